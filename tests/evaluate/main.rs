//! `promem evaluate` and `promem compare`, end to end: the paper's tables at toy size, resuming, other tools' masks.

mod bench;
#[path = "../data/mod.rs"]
mod data;
mod interaction;
#[path = "../common/program.rs"]
mod program;

use bench::*;
use program::{ok, text};
use promem::output::Overwrite;
use promem::volume;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn presets_evaluate_every_table_of_the_paper() {
    let bench = Bench::new();
    let model = bench.model();
    for (preset, count) in [("table1", 9), ("table2", 1), ("table3", 4), ("table4", 3), ("table5", 6), ("table6", 2)] {
        let told = told(bench.evaluate(preset, &["--model", &model, "--preset", preset, "--cases", "1"]));
        assert_eq!(told["computed"], count, "{preset}");
        assert_eq!(methods(&told).len(), count, "{preset}: {told}");
        let report = std::fs::read_to_string(bench.file(&format!("{preset}/report.md"))).unwrap();
        assert!(report.contains(&format!("Table {}", &preset[5..])), "{report}");
        for file in ["report.html", "objects.csv", "summary.json"] {
            assert!(bench.file(preset).join(file).is_file(), "{preset}/{file}");
        }
    }
    // The paper's figures are for its own data sets; this one is not among them.
    let report = std::fs::read_to_string(bench.file("table3/report.md")).unwrap();
    assert!(!report.contains("0.7126"), "{report}");
    let both = refused(bench.evaluate("x", &["--model", &model, "--preset", "table1", "--position", "0.2"]));
    assert!(both.contains("--position: the preset sets it"), "{both}");
    let both = refused(bench.evaluate("x", &["--model", &model, "--preset", "table6", "--stop-rule", "both"]));
    assert!(both.contains("--stop-rule: the preset sets it"), "{both}");
}

#[test]
fn report_prints_the_papers_figures_on_its_data_set() {
    let bench = Bench::new();
    let subject = bench.file("total/s0001/segmentations");
    std::fs::create_dir_all(&subject).unwrap();
    std::fs::copy(bench.file("set/images/a.nii.gz"), bench.file("total/s0001/ct.nii.gz")).unwrap();
    let (_, mut labels) = balls(0.0);
    labels.voxels_mut().mapv_inplace(|label| u16::from(label == 1));
    volume::write_labels(&subject.join("hip_left.nii.gz"), &labels, Overwrite::Refuse, &[]).unwrap();
    let set = format!("totalsegmentator={}", bench.path("total"));
    let (out, model) = (bench.path("out"), bench.model());
    let extra = ["--preset", "table3", "--class-list", "unseen", "--threads", "1", "--quiet"];
    ok(promem(&[&["evaluate", "--dataset", &set, "-o", &out, "--model", &model], &extra[..]].concat()));
    let report = std::fs::read_to_string(bench.file("out/report.md")).unwrap();
    for figure in ["0.7126", "0.6748"] {
        assert!(report.contains(figure), "{report}");
    }
}

#[test]
fn finished_results_are_resumed_and_other_settings_are_refused() {
    let bench = Bench::new();
    let first = told(bench.evaluate("out", &["--copy", "--cases", "1"]));
    assert_eq!((&first["computed"], &first["resumed"]), (&1.into(), &0.into()));
    // The same command without the limit computes the rest.
    let second = told(bench.evaluate("out", &["--copy"]));
    assert_eq!((&second["computed"], &second["resumed"]), (&1.into(), &1.into()));
    let line = refused(bench.evaluate("out", &["--copy", "--tolerance", "1"]));
    assert!(line.contains("other settings") && line.contains("tolerance_mm") && line.contains("--force"), "{line}");
    let forced = told(bench.evaluate("out", &["--copy", "--tolerance", "1", "--force"]));
    assert_eq!((&forced["computed"], &forced["resumed"]), (&2.into(), &0.into()));
    let half = bench.file("out/results/set/copy/a.json");
    std::fs::write(&half, "{").unwrap();
    let line = refused(bench.evaluate("out", &["--copy", "--tolerance", "1"]));
    assert!(line.contains("a.json") && line.contains("is not a result"), "{line}");
}

#[cfg(unix)]
#[test]
fn interrupted_run_keeps_its_results_and_resumes() {
    let bench = Bench::new();
    let (set, out, model) = (format!("plain={}", bench.path("set")), bench.path("out"), bench.model());
    let arguments =
        ["evaluate", "--dataset", &set, "-o", &out, "--model", &model, "--threads", "1", "--preset", "table1"];
    let child = Command::new(env!("CARGO_BIN_EXE_promem"))
        .args(arguments)
        .args(["--image-size", "256", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Interrupted as soon as the first result is there.
    let finished = || count_results(&bench.file("out/results"));
    let begin = std::time::Instant::now();
    while finished() == 0 && begin.elapsed().as_secs() < 120 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    // SAFETY: kill has no memory effects; the child has not been waited for, so the number is its own.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
    let lines = refused(child.wait_with_output().unwrap());
    let kept = finished();
    assert!((1..18).contains(&kept), "{kept} results: {lines}");
    assert!(lines.contains("interrupted; the results so far are kept"), "{lines}");
    let told = told(promem(&[&arguments[..], &["--image-size", "256", "--json"]].concat()));
    assert_eq!(told["resumed"].as_u64().unwrap() as usize, kept);
    assert_eq!(told["computed"].as_u64().unwrap() as usize, 18 - kept);
}

/// Result files below a folder.
fn count_results(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |path: PathBuf| match path.is_dir() {
        true => count_results(&path),
        false => usize::from(path.extension().is_some_and(|e| e == "json")),
    };
    entries.flatten().map(|entry| count(entry.path())).sum()
}

#[test]
fn damaged_case_is_reported_and_the_run_continues() {
    let bench = Bench::new();
    std::fs::write(bench.file("set/images/a.nii.gz"), b"no scan").unwrap();
    let ended = bench.evaluate("out", &["--copy"]);
    assert_eq!(ended.status.code(), Some(1));
    let told: Value = serde_json::from_str(&text(&ended.stdout)).expect("one object");
    let line = told["error"]["message"].as_str().unwrap();
    assert!(line.contains("1 of 2 results failed"), "{line}");
    let report = std::fs::read_to_string(bench.file("out/report.md")).unwrap();
    assert!(report.contains("images/a.nii.gz"), "{report}");
    // After the repair only that case is computed.
    let (scan, _) = balls(0.0);
    volume::write_image(&bench.file("set/images/a.nii.gz"), &scan, Overwrite::Replace).unwrap();
    let told = self::told(bench.evaluate("out", &["--copy"]));
    assert_eq!((&told["computed"], &told["resumed"], &told["failed"]), (&1.into(), &1.into(), &0.into()));
}

#[test]
fn masks_of_other_tools_are_scored_from_perfect_to_empty() {
    let bench = Bench::new();
    let tasks = bench.path("tasks");
    ok(bench.evaluate("none", &["--export-tasks", &tasks]));
    let list: Value =
        serde_json::from_str(&std::fs::read_to_string(bench.file("tasks/set/tasks.json")).unwrap()).unwrap();
    assert_eq!(list["cases"].as_array().unwrap().len(), 2);
    // A tool that knows the answer, one that finds nothing, and one whose label maps are shifted by one voxel.
    for name in ["a", "b"] {
        let labels = volume::read_labels(&bench.file(&format!("set/labels/{name}.nii.gz"))).unwrap();
        for (label, target) in [(1, "large"), (2, "small")] {
            for (tool, factor) in [("perfect", 1), ("empty", 0)] {
                let mut mask = labels.clone();
                mask.voxels_mut().mapv_inplace(|voxel| factor * u16::from(voxel == label));
                let path = bench.file(&format!("{tool}/set/{name}/{target}.nii.gz"));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                volume::write_labels(&path, &mask, Overwrite::Refuse, &[]).unwrap();
            }
        }
        let mut shifted = labels.clone();
        for ((k, j, i), voxel) in shifted.voxels_mut().indexed_iter_mut() {
            *voxel = if i > 0 { labels.voxels()[[k, j, i - 1]] } else { 0 };
        }
        std::fs::create_dir_all(bench.file("shifted/set")).unwrap();
        volume::write_labels(&bench.file(&format!("shifted/set/{name}.nii.gz")), &shifted, Overwrite::Refuse, &[])
            .unwrap();
    }
    std::fs::write(bench.file("shifted/set/labels.json"), r#"{"1": "large", "2": "small"}"#).unwrap();
    let tools = ["perfect", "empty", "shifted"].map(|tool| format!("{tool}={}", bench.path(tool)));
    let mut extra: Vec<&str> = Vec::new();
    tools.iter().for_each(|tool| extra.extend(["--predictions", tool]));
    let told = told(bench.evaluate("out", &extra));
    assert_eq!(dice(&told, "perfect"), 1.0);
    assert_eq!(dice(&told, "empty"), 0.0);
    let shifted = dice(&told, "shifted");
    assert!((0.7..0.95).contains(&shifted), "{shifted}");
    let csv = std::fs::read_to_string(bench.file("out/objects.csv")).unwrap();
    let perfect = csv.lines().find(|line| line.starts_with("set,perfect,a,a,large")).unwrap();
    assert!(perfect.contains(",1.0000,1.0000,1.0000,1.0000,0.0000,0.0000,0.0000,"), "{perfect}");

    // Comparison of the same objects under two methods, and of a folder without results.
    let out = bench.path("out");
    let found: Value =
        serde_json::from_str(&ok(promem(&["compare", &out, &out, "--methods", "shifted", "perfect", "--json"])))
            .unwrap();
    let of_dice = found["comparisons"].as_array().unwrap().iter().find(|c| c["metric"] == "Dice").unwrap();
    assert_eq!(of_dice["objects"], 4);
    assert!((of_dice["difference"].as_f64().unwrap() - (1.0 - shifted)).abs() < 1e-9);
    assert_eq!(of_dice["p"], 0.125, "four objects, all better: 2 / 2^4");
    let line = refused(promem(&["compare", &out, &bench.path("set")]));
    assert!(line.contains("is not the folder of an evaluation"), "{line}");
    // A missing mask is an error, not an empty mask.
    std::fs::remove_file(bench.file("perfect/set/a/small.nii.gz")).unwrap();
    refused(bench.evaluate("again", &["--predictions", &tools[0]]));
    let report = std::fs::read_to_string(bench.file("again/report.md")).unwrap();
    assert!(report.contains("perfect/set/a/small.nii.gz"), "{report}");
}

#[test]
fn options_are_checked_before_anything_runs() {
    let bench = Bench::new();
    for (extra, expected) in [
        (vec![], "no method: expected --model, --copy"),
        (vec!["--copy", "--interaction", "clicks=0"], "expected clicks=N, box+clicks=N"),
        (vec!["--copy", "--interaction", "clicks=2", "--preset", "clicks"], "--interaction: the preset sets it"),
        (vec!["--copy", "--repaint", "worst", "--preset", "corrections"], "--repaint: the preset sets it"),
        (vec!["--copy", "--user", "border"], "--user: no simulated user of this kind; expected --interaction clicks=N"),
        (vec!["--copy", "--user", "random", "--interaction", "scribbles=2"], "--user: no simulated user of this kind"),
        (
            vec!["--baseline", "threshold", "--interaction", "corrections=1"],
            "--baseline: no simulated user of this kind",
        ),
        (vec!["--copy", "--prompt", "scribble"], "possible values: mask, box, point"),
        (vec!["--copy", "--position", "1.5"], "expected numbers from 0 to 1"),
        (vec!["--copy", "--stop-rule", "some"], "possible values: free, range, both"),
        (vec!["--copy", "--preset", "table9"], "possible values: table1, table2"),
        (vec!["--copy", "--predictions", "tool"], "expected NAME=FOLDER"),
        (vec!["--copy", "--predictions", "tool:given=/x"], "NAME:range=FOLDER"),
        (vec!["--copy", "--tolerance", "-1"], "expected a distance of 0 mm or more"),
        (vec!["--copy", "--empty", "two"], "possible values: skip, zero, one"),
        (vec!["--predictions", "tool=/nowhere"], "there is no folder `/nowhere/set`"),
        (vec!["--model", "/nowhere.pt"], "/nowhere.pt"),
        (vec!["--copy", "--class-list", "/nowhere.txt"], "/nowhere.txt"),
    ] {
        let line = refused(bench.evaluate("out", &extra));
        assert!(line.contains(expected), "{line}");
    }
    let told =
        told(bench.evaluate(
            "prompts",
            &["--model", &bench.model(), "--prompt", "box", "--stop-rule", "both", "--cases", "1"],
        ));
    assert_eq!(methods(&told), ["toy, free stop", "toy, ground-truth range"]);
    // Names of methods may contain commas.
    let out = bench.path("prompts");
    let pair = ["--methods", "toy, free stop", "toy, ground-truth range", "--json"];
    let found: Value = serde_json::from_str(&ok(promem(&[&["compare", &out, &out], &pair[..]].concat()))).unwrap();
    assert_eq!(found["comparisons"][0]["first_method"], "toy, free stop");
}

#[test]
fn objects_of_a_real_scan_share_slice_embeddings() {
    let Some(data) = data::folder() else { return };
    let bench = Bench::new();
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/datasets/ct_totalseg_torso.json");
    let set = format!("pairs:{}={}", list.display(), data.display());
    let (out, model) = (bench.path("out"), bench.model());
    // One window and one beam: what is counted here is encoding, not search.
    let extra = ["--windows", "1", "--beams", "1", "--image-size", "64", "--worst", "0", "--json"];
    let told = told(promem(&[&["evaluate", "--dataset", &set, "--model", &model, "-o", &out], &extra[..]].concat()));
    assert_eq!(summaries(&told)[0]["dice"]["objects"], 61);
    let result = std::fs::read_to_string(bench.file("out/results/ct_totalseg_torso/toy/torso.json")).unwrap();
    let result: Value = serde_json::from_str(&result).unwrap();
    let embeddings = result["embeddings"].as_u64().unwrap();
    assert!((100..=112).contains(&embeddings), "{embeddings} embeddings of 112 slices");
}

#[test]
fn copy_baseline_reproduces_the_published_figures() {
    let Some(data) = data::folder() else { return };
    let published = data.join("../baseline/per_object.csv");
    let Ok(published) = std::fs::read_to_string(&published) else {
        eprintln!("skipped: there is no {}", published.display());
        return;
    };
    let bench = Bench::new();
    let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/datasets/chaos_t2.json");
    let set = format!("pairs:{}={}", lists.display(), data.display());
    let out = bench.path("out");
    ok(promem(&[
        "evaluate",
        "--dataset",
        &set,
        "--copy",
        "--stop-rule",
        "both",
        "-o",
        &out,
        "--worst",
        "0",
        "--quiet",
    ]));
    let csv = std::fs::read_to_string(bench.file("out/objects.csv")).unwrap();
    let organs = ["liver", "right kidney", "left kidney", "spleen"];
    let mut compared = 0;
    for line in published.lines().filter(|line| line.starts_with("chaos_t2,")) {
        let fields: Vec<&str> = line.split(',').collect();
        let [case, label, method, setting] = [1, 2, 3, 4].map(|n| fields[n]);
        if method != "copy" {
            continue;
        }
        let method = if setting == "free" { "\"copy, free stop\"" } else { "\"copy, ground-truth range\"" };
        let start = format!("chaos_t2,{method},{case},");
        let organ = format!(",{},", organs[label.parse::<usize>().unwrap() - 1]);
        let own = csv.lines().find(|line| line.starts_with(&start) && line.contains(&organ)).unwrap();
        let numbers: Vec<&str> = own.split(&organ).nth(1).unwrap().split(',').collect();
        for (own, theirs) in [(numbers[3], fields[5]), (numbers[4], fields[6])] {
            let apart = (own.parse::<f64>().unwrap() - theirs.parse::<f64>().unwrap()).abs();
            assert!(apart < 1.5e-4, "{case} {organ} {setting}: {own}, published {theirs}");
        }
        compared += 1;
    }
    assert_eq!(compared, 64);
}
