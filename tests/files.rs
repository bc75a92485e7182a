//! `promem segment` and `promem info` on files as other tools write them: nothing is lost, nothing is silently wrong.

#[path = "common/program.rs"]
mod program;

use ndarray::{s, Array3};
use program::{ok, text};
use promem::geometry::{Dims, Geometry, IjkToRas};
use promem::volume::{self, LabelMap, Overwrite, Segment, Volume};
use serde_json::Value;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SIZE: [usize; 3] = [40, 36, 8];

/// A bright disc on each slice of a noisy scan, its mask on slice k = 4, and a toy model.
struct Case(tempfile::TempDir);

impl Case {
    fn new() -> Self {
        Self::with_spacing([0.8, 0.8, 3.0])
    }

    fn with_spacing(spacing: [f64; 3]) -> Self {
        let case = Self(tempfile::tempdir().unwrap());
        let demo = case.path("demo");
        ok(promem(&["demo", &demo.display().to_string(), "--quiet"]));
        std::fs::rename(demo.join("toy.safetensors"), case.path("toy.safetensors")).unwrap();
        let geometry = geometry(SIZE, spacing, [10.0, -20.0, 5.0]);
        let scan = grid(|[i, j, k]| if disc(i, j) { 120.0 } else { ((i * 7 + j * 5 + k * 3) % 11) as f32 });
        let scan = Volume::new(geometry, scan).unwrap();
        volume::write_image(&case.path("image.nii.gz"), &scan, Overwrite::Refuse).unwrap();
        case.mask("mask.nii.gz", |[i, j, k]| u16::from(disc(i, j) && k == 4));
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn image(&self) -> Volume<f32> {
        volume::read_image(&self.path("image.nii.gz")).unwrap()
    }

    /// A label map on the scan's grid.
    fn mask(&self, name: &str, label: impl Fn([usize; 3]) -> u16) -> LabelMap {
        let labels = Volume::new(self.image().geometry().clone(), grid(label)).unwrap();
        volume::write_labels(&self.path(name), &labels, Overwrite::Refuse, &[]).unwrap();
        labels
    }

    fn segment(&self, output: &str, extra: &[&str]) -> Output {
        let name = |name: &str| self.path(name).display().to_string();
        let mut all = vec!["segment".to_string(), "--image".into(), name("image.nii.gz")];
        if !extra.contains(&"--model") {
            all.extend(["--model".into(), name("toy.safetensors")]);
        }
        all.extend(["--output".into(), name(output), "--threads".into(), "1".into(), "--no-stop".into()]);
        // File names of the case are those with a dot.
        let path = |word: &&str| if word.contains('.') && !word.contains('=') { name(word) } else { word.to_string() };
        all.extend(extra.iter().map(path));
        promem(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn told(&self, output: &str, extra: &[&str]) -> Value {
        serde_json::from_str(&ok(self.segment(output, &[extra, &["--json"]].concat()))).unwrap()
    }
}

fn promem(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_promem")).args(arguments).output().unwrap()
}

fn geometry(size: [usize; 3], spacing: [f64; 3], origin: [f64; 3]) -> Geometry {
    let row = |r: usize, sign: f64| {
        let mut row = [0.0, 0.0, 0.0, origin[r]];
        row[r] = sign * spacing[r];
        row
    };
    Geometry { dims: Dims(size), ijk_to_ras: IjkToRas([row(0, -1.0), row(1, 1.0), row(2, 1.0)]) }
}

fn disc(i: usize, j: usize) -> bool {
    let (i, j) = (i as i64 - 20, j as i64 - 18);
    i * i + j * j < 60
}

fn grid<T>(value: impl Fn([usize; 3]) -> T) -> Array3<T> {
    Array3::from_shape_fn((SIZE[2], SIZE[1], SIZE[0]), |(k, j, i)| value([i, j, k]))
}

/// The message of a failure with status 1.
fn refused(output: Output) -> String {
    let line = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.trim_end().lines().count() <= 2 && !line.contains("panicked"), "{line}");
    line
}

#[test]
fn outputs_never_replace_inputs() {
    let case = Case::new();
    std::fs::create_dir(case.path("sub")).unwrap();
    std::fs::hard_link(case.path("mask.nii.gz"), case.path("hard.nii.gz")).unwrap();
    std::os::unix::fs::symlink(case.path("image.nii.gz"), case.path("soft.nii.gz")).unwrap();
    let before = std::fs::read(case.path("image.nii.gz")).unwrap();
    for output in ["image.nii.gz", "sub/../mask.nii.gz", "hard.nii.gz", "soft.nii.gz"] {
        let line = refused(case.segment(output, &["--prompt-mask", "mask.nii.gz", "--force"]));
        assert!(line.contains("it is the input"), "{line}");
    }
    for option in ["--trace", "--overlay"] {
        for input in ["image.nii.gz", "toy.safetensors"] {
            let line = refused(case.segment("o.nii.gz", &["--prompt-mask", "mask.nii.gz", "--force", option, input]));
            assert!(line.contains("it is the input"), "{line}");
        }
    }
    let line = refused(case.segment("o.nii.gz", &["--prompt-mask", "mask.nii.gz", "--trace", "o.nii.gz"]));
    assert!(line.contains("named twice"), "{line}");
    assert_eq!(std::fs::read(case.path("image.nii.gz")).unwrap(), before);
    let model = case.path("toy.safetensors").display().to_string();
    assert!(refused(promem(&["convert", &model, &model, "--force"])).contains("it is the input"));
}

#[test]
fn mask_on_one_slice_decides_the_axis_and_none_of_it_is_lost() {
    let case = Case::with_spacing([0.9, 0.9, 0.625]);
    let told = case.told("o.nii.gz", &["--prompt-mask", "mask.nii.gz"]);
    assert_eq!(told["axis"], "k");
    assert!(told["axis_reason"].as_str().unwrap().contains("lies on one slice along it"), "{told}");
    let (out, mask) = ["o.nii.gz", "mask.nii.gz"].map(|n| volume::read_labels(&case.path(n)).unwrap()).into();
    assert_eq!(out.voxels().slice(s![4, .., ..]), mask.voxels().slice(s![4, .., ..]));
    // Points alone leave the largest spacing.
    let told = case.told("p.nii.gz", &["--point", "20,18,4", "--range", "17,19"]);
    assert_eq!(
        (told["axis"].as_str(), told["axis_reason"].as_str()),
        (Some("j"), Some("the largest spacing, 0.900 mm"))
    );
    let line = refused(case.segment("a.nii.gz", &["--prompt-mask", "mask.nii.gz", "--axis", "i"]));
    assert!(line.contains("--axis i") && line.contains("--prompt-slice"), "{line}");
    case.mask("other.nii.gz", |[i, j, _]| u16::from(i == 20 && disc(i, j)));
    let line = refused(case.segment("a.nii.gz", &["--prompt-mask", "mask.nii.gz", "--prompt-mask", "other.nii.gz"]));
    assert!(line.contains("lies on one slice along i") && line.contains("mask.nii.gz` on one along k"), "{line}");
}

#[test]
fn mask_of_several_slices_says_which_one_is_the_prompt() {
    let case = Case::new();
    case.mask("thick.nii.gz", |[i, j, k]| u16::from(disc(i, j) && (2..=5).contains(&k)));
    let told = case.told("o.nii.gz", &["--prompt-mask", "thick.nii.gz"]);
    let notes = told["notes"].to_string();
    assert!(notes.contains("label 1 lies on 4 slices, 2 to 5; slice 3 is the prompt"), "{notes}");
}

#[test]
fn masks_of_one_lattice_give_one_result() {
    let case = Case::new();
    let whole = volume::read_labels(&case.path("mask.nii.gz")).unwrap();
    let write = |name: &str, geometry: Geometry, voxels: Array3<u16>| {
        let labels = Volume::new(geometry, voxels.as_standard_layout().to_owned()).unwrap();
        volume::write_labels(&case.path(name), &labels, Overwrite::Refuse, &[]).unwrap();
    };
    let mut flipped = whole.geometry().clone();
    (flipped.ijk_to_ras.0[0][0], flipped.ijk_to_ras.0[0][3]) = (0.8, 10.0 - 0.8 * 39.0);
    write("flipped.nii.gz", flipped, whole.voxels().slice(s![.., .., ..;-1]).to_owned());
    let cropped = geometry([25, 24, 3], [0.8, 0.8, 3.0], [10.0 - 0.8 * 8.0, -20.0 + 0.8 * 6.0, 5.0 + 3.0 * 3.0]);
    write("cropped.mha", cropped, whole.voxels().slice(s![3..6, 6..30, 8..33]).to_owned());
    let mut turned = whole.geometry().clone();
    turned.dims = Dims([8, 40, 36]);
    turned.ijk_to_ras.0 = turned.ijk_to_ras.0.map(|[i, j, k, o]| [k, i, j, o]);
    write("turned.nrrd", turned, whole.voxels().permuted_axes([1, 2, 0]).to_owned());
    case.told("whole.nii", &["--prompt-mask", "mask.nii.gz"]);
    let expected = std::fs::read(case.path("whole.nii")).unwrap();
    for name in ["flipped.nii.gz", "cropped.mha", "turned.nrrd"] {
        let told = case.told(&format!("of_{name}.nii"), &["--prompt-mask", name]);
        assert!(told["notes"].to_string().contains("lies on the image's lattice"), "{told}");
        assert!(std::fs::read(case.path(&format!("of_{name}.nii"))).unwrap() == expected, "{name}");
    }
}

#[test]
fn mask_of_another_lattice_is_refused_with_both_grids_and_the_ways_out() {
    let case = Case::new();
    let whole = volume::read_labels(&case.path("mask.nii.gz")).unwrap();
    let mut geometry = whole.geometry().clone();
    geometry.ijk_to_ras.0[0][3] += 0.3;
    let shifted = Volume::new(geometry, whole.voxels().to_owned()).unwrap();
    volume::write_labels(&case.path("shifted.nii.gz"), &shifted, Overwrite::Refuse, &[]).unwrap();
    let line = refused(case.segment("o.nii.gz", &["--prompt-mask", "shifted.nii.gz"]));
    for part in [
        "shifted.nii.gz` and image",
        "mask: 40x36x8 voxels of 0.8 x 0.8 x 3 mm, LAS, first voxel at (10.3, -20, 5) mm RAS",
        "image: 40x36x8 voxels of 0.8 x 0.8 x 3 mm, LAS, first voxel at (10, -20, 5) mm RAS",
        "--mask-grid resample takes the nearest voxels",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    case.told("whole.nii", &["--prompt-mask", "mask.nii.gz"]);
    for rule in ["resample", "index"] {
        let output = format!("{rule}.nii");
        let told = case.told(&output, &["--prompt-mask", "shifted.nii.gz", "--mask-grid", rule]);
        assert!(told["notes"].to_string().contains(&format!("--mask-grid {rule}")), "{told}");
        assert_eq!(std::fs::read(case.path(&output)).unwrap(), std::fs::read(case.path("whole.nii")).unwrap());
    }
}

/// A `.seg.nrrd` of two layers, both with value 1, as 3D Slicer writes overlapping segments.
fn write_layers(case: &Case, name: &str) {
    let mut bytes = b"NRRD0004\ntype: uchar\ndimension: 4\nsizes: 2 40 36 8\nspace: left-posterior-superior\n\
        space directions: none (0.8,0,0) (0,-0.8,0) (0,0,3)\nspace origin: (-10,20,5)\n\
        kinds: list domain domain domain\nencoding: raw\n"
        .to_vec();
    for n in 0..2 {
        bytes.extend(
            format!(
                "Segment{n}_ID:=S{n}\nSegment{n}_Name:=organ {n}\nSegment{n}_Color:=0.{} 0.5 0.5\n\
                 Segment{n}_LabelValue:=1\nSegment{n}_Layer:={n}\n",
                n + 1
            )
            .bytes(),
        );
    }
    bytes.push(b'\n');
    for k in 0..8 {
        for j in 0..36 {
            for i in 0..40 {
                bytes.extend([disc(i, j), i >= 4 && disc(i - 4, j)].map(|inside| u8::from(inside && k == 4)));
            }
        }
    }
    std::fs::write(case.path(name), bytes).unwrap();
}

#[test]
fn segments_of_layers_are_objects_whose_names_and_colours_are_kept() {
    let case = Case::new();
    write_layers(&case, "layers.seg.nrrd");
    let told = case.told("o.seg.nrrd", &["--prompt-mask", "layers.seg.nrrd", "--name", "2=second organ"]);
    let names: Vec<&str> = told["objects"].as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["organ 0", "second organ"]);
    let written = volume::read_segmentation(&case.path("o.seg.nrrd")).unwrap();
    let segment = |label, name: &str, red| Segment { label, name: name.into(), colour: Some([red, 0.5, 0.5]) };
    assert_eq!(written.segments, [segment(1, "organ 0", 0.1), segment(2, "second organ", 0.2)]);
    let header = std::fs::read(case.path("o.seg.nrrd")).unwrap();
    let header = String::from_utf8_lossy(&header);
    assert!(header.contains("ProMem_Version:=") && header.contains("sha256") && header.contains("\"windows\""));
}

#[test]
fn labels_beside_whole_numbers_are_labels() {
    let case = Case::new();
    // A slope of 3 / 255, as scaled files have it, gives 2.9999999 and the like.
    let mask = case.mask("stored.nii", |[i, j, k]| if disc(i, j) && k == 4 { 255 } else { 0 });
    let mut bytes = std::fs::read(case.path("stored.nii")).unwrap();
    bytes[112..116].copy_from_slice(&(3.0f32 / 255.0).to_le_bytes());
    std::fs::write(case.path("scaled.nii"), bytes).unwrap();
    let read = volume::read_labels(&case.path("scaled.nii")).unwrap();
    assert_eq!(read.voxels(), mask.voxels().mapv(|label| label / 85));
    ok(case.segment("o.nii.gz", &["--prompt-mask", "scaled.nii", "--label", "3"]));
}

#[test]
fn results_have_volume_intensity_and_how_they_were_made() {
    let case = Case::new();
    let told = case.told("o.nii.gz", &["--prompt-mask", "mask.nii.gz", "--name", "1=liver", "--range", "4,4"]);
    let object = &told["objects"][0];
    assert_eq!((object["label"].as_u64(), object["name"].as_str()), (Some(1), Some("liver")));
    let voxels = object["voxels"].as_f64().unwrap();
    assert!((object["volume_ml"].as_f64().unwrap() - voxels * 0.8 * 0.8 * 3.0 / 1000.0).abs() < 1e-5, "{object}");
    assert_eq!((object["mean"].as_f64(), object["sd"].as_f64()), (Some(120.0), Some(0.0)), "{object}");
    assert_eq!(object["slices"], serde_json::json!([4, 4]));
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told["model"]["file"], "toy.safetensors");
    assert_eq!(told["model"]["sha256"].as_str().unwrap().len(), 64);
    let shown = ok(case.segment("t.nii.gz", &["--prompt-mask", "mask.nii.gz", "--name", "1=liver"]));
    assert!(shown.contains("liver") && shown.contains(" ml"), "{shown}");
}

#[test]
fn object_of_which_nothing_is_found_has_exit_status_3() {
    let case = Case::new();
    // Both masks are one: each voxel can have one label only.
    let same = ["--object", "1", "--prompt-mask", "mask.nii.gz", "--object", "2", "--prompt-mask", "mask.nii.gz"];
    let output = case.segment("o.nii.gz", &[&same[..], &["--range", "4,4"]].concat());
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let line = text(&output.stderr);
    assert!(line.contains("object ") && line.contains("nothing was found"), "{line}");
    assert!(case.path("o.nii.gz").exists());
}

#[test]
fn closed_pipe_and_full_standard_output_end_without_a_panic() {
    let case = Case::new();
    let image = case.path("image.nii.gz");
    let run = |stdout: Stdio| {
        Command::new(env!("CARGO_BIN_EXE_promem")).arg("info").arg(&image).stdout(stdout).output().unwrap()
    };
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    let output = run(OwnedFd::from(writer).into());
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = run(full.into());
    let line = refused(output);
    assert!(line.contains("cannot write to standard output"), "{line}");
}

#[test]
fn frame_of_several_is_chosen_by_number() {
    let case = Case::new();
    volume::write_image(&case.path("plain.nii"), &case.image(), Overwrite::Refuse).unwrap();
    let mut header = std::fs::read(case.path("plain.nii")).unwrap();
    let voxels = header.split_off(352);
    header[40] = 4;
    header[48] = 3;
    let brighter = |by: i16| -> Vec<u8> {
        let numbers = voxels.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]) + by);
        numbers.flat_map(i16::to_le_bytes).collect()
    };
    let frames = [brighter(0), brighter(1000), brighter(2000)].concat();
    std::fs::write(case.path("series.nii"), [header, frames].concat()).unwrap();
    let path = case.path("series.nii").display().to_string();
    let told: Value = serde_json::from_str(&ok(promem(&["info", "--json", &path, "--frame", "2"]))).unwrap();
    assert_eq!((told["values"]["max"].as_f64(), told["frames"].as_u64()), (Some(2120.0), Some(3)));
    let line = volume::read_image(Path::new(&path)).unwrap_err().to_string();
    assert!(line.contains("3 frames, expected one 3-D volume; --frame N takes one, 0 to 2"), "{line}");
    assert!(refused(promem(&["info", &path, "--frame", "3"])).contains("expected 0 to 2"));
}

#[test]
fn info_describes_a_scan() {
    let case = Case::new();
    let path = case.path("image.nii.gz").display().to_string();
    let told: Value = serde_json::from_str(&ok(promem(&["info", "--json", &path]))).unwrap();
    assert_eq!(told["kind"], "NIfTI-1");
    assert_eq!(told["size"], serde_json::json!(SIZE));
    assert_eq!(told["orientation"], "LAS");
    assert!((told["spacing_mm"][2].as_f64().unwrap() - 3.0).abs() < 1e-6);
    assert!((told["ijk_to_ras"][0][3].as_f64().unwrap() - 10.0).abs() < 1e-6);
    assert_eq!(told["ijk_to_ras"][3], serde_json::json!([0.0, 0.0, 0.0, 1.0]));
    assert_eq!((told["values"]["min"].as_f64(), told["values"]["max"].as_f64()), (Some(0.0), Some(120.0)));
    assert_eq!((told["axis"].as_str(), told["frames"].as_u64()), (Some("k"), Some(1)));
    let shown = ok(promem(&["info", &path]));
    for part in ["40 x 36 x 8 voxels", "0.8 x 0.8 x 3 mm", "LAS", "slice axis: k (the largest spacing", "memory"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
