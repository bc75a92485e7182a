//! `promem segment`, `info` and `convert`, end to end.

mod data;
#[path = "common/program.rs"]
mod program;

use program::{ok, text};
use promem::volume;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with the demonstration's scan, mask and toy model.
struct Demo(tempfile::TempDir);

impl Demo {
    fn new() -> Self {
        let demo = Self(tempfile::tempdir().unwrap());
        let made = promem(&["demo", &demo.path("")]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        demo
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// `promem segment` on the demonstration's files, with further arguments.
    fn segment(&self, output: &str, extra: &[&str]) -> Output {
        let files = [self.path("scan.nii.gz"), self.path("toy.safetensors"), self.path(output)];
        let mut all = vec!["segment", "--image", &files[0], "--model", &files[1], "--output", &files[2]];
        all.extend(["--threads", "1", "--precision", "fp32"]);
        all.extend(extra);
        promem(&all)
    }
}

fn promem(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_promem")).args(arguments).output().unwrap()
}

/// The one or two lines of a failure with status 1.
fn refused(output: Output) -> String {
    let line = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.trim_end().lines().count() <= 2, "{line}");
    assert!(!line.contains("panicked"), "{line}");
    line
}

#[test]
fn mask_prompt_writes_label_map_trace_and_overlay_on_the_scans_grid() {
    let demo = Demo::new();
    let (mask, trace, overlay) = (demo.path("mask.nii.gz"), demo.path("t.json"), demo.path("o.png"));
    let extra = ["--prompt-mask", &mask, "--no-stop", "--trace", &trace, "--overlay", &overlay, "--json"];
    let told: Value = serde_json::from_str(&ok(demo.segment("out.nii.gz", &extra))).unwrap();
    let out = volume::read_labels(Path::new(&demo.path("out.nii.gz"))).unwrap();
    let scan = volume::read_image(Path::new(&demo.path("scan.nii.gz"))).unwrap();
    assert_eq!(out.geometry(), scan.geometry());
    assert_eq!(told["embeddings"], 32, "each slice is encoded once");
    let traces: Value = serde_json::from_str(&std::fs::read_to_string(&trace).unwrap()).unwrap();
    let slices = |way: &str| -> Vec<u64> {
        traces[way].as_array().unwrap().iter().map(|entry| entry["slice"].as_u64().unwrap()).collect()
    };
    let (up, down) = (slices("up"), slices("down"));
    assert!(up.windows(2).all(|w| w[0] < w[1]) && down.windows(2).all(|w| w[0] > w[1]));
    assert_eq!((*up.last().unwrap(), *down.last().unwrap()), (31, 0));
    assert_eq!(up.len() + down.len(), 31);
    assert!(std::fs::read(&overlay).unwrap().starts_with(b"\x89PNG"));
    // The prompt slice keeps the prompt mask, voxel for voxel.
    let given = volume::read_labels(Path::new(&mask)).unwrap();
    let prompt = ndarray::Axis(0);
    let at = up[0] as usize - 1;
    assert_eq!(out.voxels().index_axis(prompt, at), given.voxels().index_axis(prompt, at));
}

#[test]
fn several_objects_share_embeddings_and_keep_their_labels() {
    let demo = Demo::new();
    let extra = [
        "--object",
        "3",
        "--point",
        "60,40,16",
        "--object",
        "7",
        "--box",
        "20,20,50,60,14",
        "--no-stop",
        "--range",
        "10,20",
        "--json",
    ];
    let told: Value = serde_json::from_str(&ok(demo.segment("out.seg.nrrd", &extra))).unwrap();
    assert_eq!(told["embeddings"], 11);
    let numbers: Vec<u64> = told["objects"].as_array().unwrap().iter().map(|o| o["label"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [3, 7]);
    let out = volume::read_labels(Path::new(&demo.path("out.seg.nrrd"))).unwrap();
    assert!(out.voxels().iter().all(|l| [0, 3, 7].contains(l)));
    let outside = out.voxels().indexed_iter().any(|((k, _, _), &l)| l > 0 && !(10..=20).contains(&k));
    assert!(!outside, "a label lies outside the range");
}

#[test]
fn field_of_view_around_the_object_keeps_the_grid_and_the_prompt_mask() {
    let demo = Demo::new();
    let mask = demo.path("mask.nii.gz");
    let told = |output: &str, extra: &[&str]| -> Value {
        let all = [&["--prompt-mask", &mask, "--no-stop", "--range", "12,20", "--json"], extra].concat();
        serde_json::from_str(&ok(demo.segment(output, &all))).unwrap()
    };
    told("slice.nii.gz", &["--field-of-view", "slice"]);
    told("object.nii.gz", &["--field-of-view", "object"]);
    let [whole, around] =
        ["slice.nii.gz", "object.nii.gz"].map(|n| volume::read_labels(Path::new(&demo.path(n))).unwrap());
    assert_eq!(whole.geometry(), around.geometry());
    assert_ne!(whole.voxels(), around.voxels(), "both inputs of the network are equal");
    let given = volume::read_labels(Path::new(&mask)).unwrap();
    let extent = |labels: &volume::LabelMap| -> Vec<usize> {
        (0..32).filter(|&k| labels.voxels().index_axis(ndarray::Axis(0), k).iter().any(|&l| l > 0)).collect()
    };
    let prompt = (12..=20).find(|&k| {
        let axis = ndarray::Axis(0);
        around.voxels().index_axis(axis, k) == given.voxels().index_axis(axis, k)
    });
    assert!(prompt.is_some(), "no slice has the prompt mask");
    assert!(extent(&around).iter().all(|k| (12..=20).contains(k)));
    for prompt in [&["--point", "75,42,16"][..], &["--box", "60,20,95,60,16"]] {
        let all = [&["--range", "15,17", "--no-stop", "--field-of-view", "object"], prompt].concat();
        ok(demo.segment("prompted.nii.gz", &[&all[..], &["--force"]].concat()));
    }
    let refused = demo.segment("x.nii.gz", &["--prompt-mask", &mask, "--field-of-view", "voxel"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("expected slice or object"));
}

#[test]
fn axes_memory_modes_and_directions_all_run() {
    let demo = Demo::new();
    for (n, extra) in [
        vec!["--axis", "i", "--point", "60,40,16", "--range", "55,65"],
        vec!["--axis", "j", "--box", "40,10,70,20,40", "--range", "36,44", "--no-stop"],
        vec!["--memory", "sam2", "--point", "60,40,16", "--point", "10,10,16,0", "--range", "14,18"],
        vec![
            "--windows",
            "2,4,6",
            "--beams",
            "3",
            "--include-prompt",
            "--pointers",
            "sam2",
            "--point",
            "60,40,16",
            "--direction",
            "up",
        ],
        vec![
            "--direction",
            "down",
            "--point",
            "60,40,16",
            "--window",
            "400,40",
            "--precision",
            "bf16",
            "--cache-mb",
            "0",
        ],
        vec!["--point", "60,40,10", "--point", "60,40,20", "--image-size", "96", "--range", "8,22", "--no-stop"],
    ]
    .into_iter()
    .enumerate()
    {
        let extra: Vec<&str> = extra.into_iter().filter(|a| *a != "--precision" && *a != "bf16").collect();
        ok(demo.segment(&format!("out{n}.nii"), &extra));
    }
}

#[test]
fn invalid_input_prints_one_line_and_keeps_existing_files() {
    let demo = Demo::new();
    let mask = demo.path("mask.nii.gz");
    let other = demo.path("other.nii.gz");
    let scan = volume::read_labels(Path::new(&mask)).unwrap();
    let mut geometry = scan.geometry().clone();
    geometry.ijk_to_ras.0[0][3] += 5.0;
    let shifted = volume::Volume::new(geometry, scan.voxels().to_owned()).unwrap();
    volume::write_labels(Path::new(&other), &shifted, volume::Overwrite::Refuse, &[]).unwrap();
    std::fs::write(demo.path("kept.nii.gz"), "precious").unwrap();
    std::fs::write(demo.path("text.pt"), "not a model").unwrap();
    let text_model = demo.path("text.pt");
    let no_model = demo.path("nothing.pt");
    for (output, extra, expected) in [
        ("kept.nii.gz", vec!["--prompt-mask", &mask], "exists already; --force"),
        ("out.tif", vec!["--prompt-mask", &mask], "expected .nii, .nii.gz"),
        ("no/out.nii", vec!["--prompt-mask", &mask], "there is no folder"),
        ("out.nii", vec!["--prompt-mask", &other], "expected one lattice"),
        ("out.nii", vec!["--prompt-mask", &mask, "--label", "9"], "it has no label 9; it has 1"),
        ("out.nii", vec!["--prompt-mask", &mask, "--prompt-slice", "0"], "is not on slice 0"),
        ("out.nii", vec!["--point", "500,0,0"], "outside the volume of 112x96x32"),
        ("out.nii", vec!["--point", "5,5,5,0"], "it says where the object is not"),
        ("out.nii", vec!["--point", "5,5,5", "--range", "6,9"], "lies outside the range"),
        ("out.nii", vec!["--point", "5,5,5", "--range", "0,99"], "expected two rising slice numbers"),
        ("out.nii", vec!["--point", "5,5,5", "--image-size", "100"], "multiple of 32"),
        ("out.nii", vec!["--point", "5,5,5", "--device", "cuda:42"], "finds"),
        ("out.nii", vec!["--point", "5,5,5", "--model", &text_model], "text.pt"),
        ("out.nii", vec!["--point", "5,5,5", "--model", &no_model], "nothing.pt"),
    ] {
        let mut all = vec![
            "segment".to_string(),
            "--image".into(),
            demo.path("scan.nii.gz"),
            "--output".into(),
            demo.path(output),
        ];
        if !extra.contains(&"--model") {
            all.extend(["--model".into(), demo.path("toy.safetensors")]);
        }
        all.extend(extra.iter().map(ToString::to_string));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let line = refused(promem(&all));
        assert!(line.contains(expected), "{extra:?}: {line}");
    }
    assert_eq!(std::fs::read(demo.path("kept.nii.gz")).unwrap(), b"precious");
    assert!(!Path::new(&demo.path("out.nii")).exists());
    let left: Vec<PathBuf> = std::fs::read_dir(demo.0.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(!left.iter().any(|p| p.display().to_string().contains(".promem-")), "{left:?}");
}

#[test]
fn info_and_convert_describe_a_model_file() {
    let demo = Demo::new();
    let told = ok(promem(&["info", &demo.path("toy.safetensors")]));
    assert!(told.contains("toy") && told.contains("128") && told.contains("pseudo-random"), "{told}");
    let copy = demo.path("copy.safetensors");
    ok(promem(&["convert", &demo.path("toy.safetensors"), &copy, "--image-size", "96", "--licence", "CC0"]));
    let told: Value = serde_json::from_str(&ok(promem(&["--json", "info", &copy]))).unwrap();
    assert_eq!(told["image_size"], 96);
    refused(promem(&["convert", &demo.path("toy.safetensors"), &copy]));
}

/// Dice of all labels against background.
fn dice(a: &volume::LabelMap, b: &volume::LabelMap) -> f64 {
    let inside = |m: &volume::LabelMap| m.voxels().iter().filter(|&&l| l > 0).count();
    let both = a.voxels().iter().zip(b.voxels()).filter(|(&x, &y)| x > 0 && y > 0).count();
    2.0 * both as f64 / (inside(a) + inside(b)) as f64
}

#[test]
fn bf16_mask_equals_that_of_fp32() {
    let demo = Demo::new();
    let mask = demo.path("mask.nii.gz");
    for (n, memory) in ["promem", "sam2"].into_iter().enumerate() {
        let names = ["fp32", "bf16"].map(|precision| {
            let name = format!("{precision}_{n}.nii");
            let files = [demo.path("scan.nii.gz"), demo.path("toy.safetensors"), demo.path(&name)];
            ok(promem(&[
                "segment",
                "--image",
                &files[0],
                "--model",
                &files[1],
                "--output",
                &files[2],
                "--prompt-mask",
                &mask,
                "--no-stop",
                "--precision",
                precision,
                "--memory",
                memory,
            ]));
            name
        });
        let [a, b] = names.map(|name| volume::read_labels(Path::new(&demo.path(&name))).unwrap());
        assert!(dice(&a, &b) >= 0.995, "{memory}: Dice {}", dice(&a, &b));
    }
}

#[test]
fn real_scans_are_segmented_on_their_own_grid() {
    let Some(data) = data::folder() else { return };
    let demo = Demo::new();
    for (n, (image, label)) in data::scans(&data).into_iter().enumerate() {
        let output = demo.path(&format!("scan{n}.nii.gz"));
        let model = demo.path("toy.safetensors");
        ok(promem(&[
            "segment",
            "--image",
            image.to_str().unwrap(),
            "--model",
            &model,
            "--prompt-mask",
            label.to_str().unwrap(),
            "--output",
            &output,
            "--quiet",
        ]));
        let (out, scan) = (volume::read_labels(Path::new(&output)).unwrap(), volume::read_image(&image).unwrap());
        assert_eq!(out.geometry().dims, scan.geometry().dims);
        out.geometry().check_same_grid(scan.geometry()).unwrap();
        assert!(out.voxels().iter().any(|&l| l > 0), "{}: nothing was written", image.display());
    }
}

#[test]
fn scribbles_lassos_and_boxes_are_prompts_in_the_order_given() {
    let demo = Demo::new();
    let mask = demo.path("mask.nii.gz");
    let labels = volume::read_labels(Path::new(&mask)).unwrap();
    let prompted = labels.voxels().indexed_iter().find(|(_, &label)| label > 0).map(|((k, ..), _)| k).unwrap();
    let voxels = |k: usize| format!("20,20,{k};24,24,{k};20,26,{k}");
    let drawn = voxels(prompted);
    for extra in [
        vec!["--scribble", &drawn, "--negative-scribble", &drawn],
        vec!["--lasso", &drawn, "--negative-lasso", &drawn],
        vec![
            "--prompt-mask",
            &mask,
            "--prompt-slice",
            &prompted.to_string(),
            "--negative-box",
            &format!("20,20,24,24,{prompted}"),
        ],
        vec!["--box", &format!("18,18,{},30,30,{}", prompted - 1, prompted + 1)],
    ] {
        let result = demo.segment("drawn.nii.gz", &[&extra[..], &["--no-stop", "--force"]].concat());
        assert!(result.status.success(), "{extra:?}: {}", text(&result.stderr));
    }
    // The box in three dimensions bounds the slices.
    let found = volume::read_labels(Path::new(&demo.path("drawn.nii.gz"))).unwrap();
    let voxels = found.voxels();
    let mut slices = voxels.indexed_iter().filter(|(_, &label)| label > 0).map(|((k, ..), _)| k);
    assert!(slices.all(|k| k.abs_diff(prompted) <= 1));

    let refusals = [
        (vec!["--negative-scribble", drawn.as_str()], "it says where the object is not"),
        (vec!["--lasso", "1,1,1;2,2,2;3,1,4"], "several planes"),
        (vec!["--scribble", "1,1"], "expected voxels I,J,K separated by semicolons"),
        (vec!["--box", "1,1,1,999,9,9"], "outside the volume"),
    ];
    for (extra, expected) in refusals {
        let output = demo.segment("refused.nii.gz", &extra);
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(expected), "{extra:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_former_result_is_corrected_and_the_rest_of_it_stays() {
    let demo = Demo::new();
    let (mask, first) = (demo.path("mask.nii.gz"), demo.path("first.nii.gz"));
    ok(demo.segment("first.nii.gz", &["--prompt-mask", &mask, "--no-stop"]));
    let before = volume::read_labels(Path::new(&first)).unwrap();
    let last = before.voxels().dim().0 - 1;
    let corner = format!("0,0,12,12,{last}");
    ok(demo.segment("second.nii.gz", &["--initial", &first, "--negative-box", &corner, "--no-stop"]));
    let after = volume::read_labels(Path::new(&demo.path("second.nii.gz"))).unwrap();
    let slice = |labels: &volume::LabelMap, k: usize| labels.voxels().index_axis(ndarray::Axis(0), k).to_owned();
    assert!(slice(&after, last).slice(ndarray::s![..=12, ..=12]).iter().all(|&label| label == 0));
    assert!((0..last).any(|k| slice(&after, k) == slice(&before, k) && slice(&before, k).iter().any(|&l| l > 0)));
    let alone = demo.segment("third.nii.gz", &["--initial", &first]);
    assert!(!alone.status.success() && text(&alone.stderr).contains("no prompt"));
}
