//! A simulated user, step by step.

use crate::bench::*;
use crate::program::ok;

/// The lines of `steps.csv` without their times, by method and object.
fn steps(bench: &Bench, folder: &str) -> Vec<String> {
    let csv = std::fs::read_to_string(bench.file(&format!("{folder}/steps.csv"))).unwrap();
    csv.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned()).collect()
}

/// Fields of the steps of a method and object: number, slice, Dice of the slice, of the volume, without prompts.
fn fields(lines: &[String], method: &str, object: &str) -> Vec<[Option<f64>; 5]> {
    let of = |line: &&String| line.contains(method) && line.contains(&format!(",{object},"));
    let last = |line: &String| {
        let fields: Vec<Option<f64>> = line.split(',').rev().take(5).map(|field| field.parse().ok()).collect();
        [fields[4], fields[3], fields[2], fields[1], fields[0]]
    };
    lines.iter().filter(of).map(last).collect()
}

#[test]
fn simulated_clicks_are_scored_step_by_step_and_the_same_in_every_run() {
    let bench = Bench::new();
    let model = bench.model();
    let of_user = ["--interaction", "clicks=3", "--user", "random", "--seed", "7", "--cases", "1"];
    let methods_of = ["--model", &model, "--copy", "--baseline", "threshold", "--baseline", "region-growing"];
    let extra = [&of_user[..], &methods_of[..]].concat();
    let told = told(bench.evaluate("out", &extra));
    assert_eq!(methods(&told), ["toy", "copy", "threshold", "region growing"]);
    let first = steps(&bench, "out");
    ok(bench.evaluate("again", &extra));
    assert_eq!(first, steps(&bench, "again"));
    let [number, slice, slice_dice, volume_dice, unprompted] = fields(&first, "toy", "large")[1];
    assert_eq!((number, slice), (Some(2.0), Some(6.0)));
    assert!([slice_dice, volume_dice, unprompted].iter().all(|dice| dice.is_some_and(|d| (0.0..=1.0).contains(&d))));
    // The last step is what the tables of volumes show.
    let last = fields(&first, "toy", "large")[2];
    let csv = std::fs::read_to_string(bench.file("out/objects.csv")).unwrap();
    let object = csv.lines().find(|line| line.starts_with("set,toy,a,a,large")).unwrap();
    assert_eq!(object.split(',').nth(8).unwrap().parse::<f64>().ok(), last[3], "{object}");
    assert!(fields(&first, "copy", "large").is_empty());
    // Another seed clicks elsewhere.
    let seed = extra.iter().position(|&argument| argument == "7").unwrap();
    let other = [&extra[..seed], &["8"], &extra[seed + 1..]].concat();
    ok(bench.evaluate("other", &other));
    assert_ne!(first, steps(&bench, "other"));
    for file in ["interaction.csv", "set-slice-steps.png", "set-volume-steps.png", "set-calibration.png"] {
        assert!(bench.file("out").join(file).is_file(), "{file}");
    }
    let page = std::fs::read_to_string(bench.file("out/report.html")).unwrap();
    for heading in ["Mean Dice of the prompt slice after each step", "objects at 0.85 (steps)", "rank correlation"] {
        assert!(page.contains(heading), "{heading}");
    }
}

#[test]
fn baselines_segment_balls_of_constant_intensity_from_clicks() {
    let bench = Bench::new();
    let extra = ["--interaction", "clicks=3", "--baseline", "threshold", "--baseline", "region-growing"];
    ok(bench.evaluate("out", &[&extra[..], &["--cases", "1"]].concat()));
    let lines = steps(&bench, "out");
    let grown = fields(&lines, "region growing", "large");
    let slice_dice: Vec<Option<f64>> = grown.iter().map(|fields| fields[2]).collect();
    assert_eq!(slice_dice, [Some(1.0); 3]);
    let slices: Vec<Option<f64>> = grown.iter().map(|fields| fields[1]).collect();
    assert_eq!(slices, [Some(6.0), None, None], "nothing is left to do after the first click");
    // The threshold takes both balls until a click excludes the other one.
    let threshold: Vec<f64> = fields(&lines, "threshold", "large").iter().map(|fields| fields[2].unwrap()).collect();
    assert!(threshold[0] < 0.9 && threshold[1..] == [1.0, 1.0], "{threshold:?}");
}

#[test]
fn a_user_who_repaints_every_slice_ends_with_a_perfect_volume() {
    let bench = Bench::new();
    let model = bench.model();
    let extra = ["--model", &model, "--cases", "1", "--stop-rule", "both", "--interaction", "corrections=10"];
    for repaint in ["worst", "doubtful"] {
        ok(bench.evaluate(repaint, &[&extra[..], &["--repaint", repaint]].concat()));
        let lines = steps(&bench, repaint);
        for (method, object) in [("toy, free stop", "large"), ("toy, ground-truth range", "small")] {
            let found = fields(&lines, method, object);
            assert_eq!(
                found.iter().map(|fields| fields[0].unwrap()).collect::<Vec<_>>(),
                (0..11).map(f64::from).collect::<Vec<_>>()
            );
            assert!(found.iter().all(|fields| fields[2].is_none()), "{found:?}");
            assert!(found[0][3].unwrap() < 1.0, "the toy model is no good: {found:?}");
            assert_eq!(found[10][3], Some(1.0), "{repaint} {method}: {found:?}");
            let mut painted: Vec<u64> = found.iter().filter_map(|fields| fields[1]).map(|slice| slice as u64).collect();
            let all = painted.len();
            painted.sort_unstable();
            painted.dedup();
            assert_eq!(painted.len(), all, "a slice is painted once: {found:?}");
        }
    }
    let report = std::fs::read_to_string(bench.file("worst/report.md")).unwrap();
    assert!(report.contains("Mean Dice of the volume after each step"), "{report}");
}

#[test]
fn presets_of_interaction_evaluate_their_users() {
    let bench = Bench::new();
    let model = bench.model();
    for (preset, expected) in [
        ("clicks", &["toy, clicks", "toy, box and clicks", "toy, scribbles"][..]),
        ("corrections", &["toy, worst slices", "toy, doubtful slices"]),
    ] {
        let extra = ["--model", &model, "--preset", preset, "--cases", "1"];
        let rest: &[&str] = if preset == "clicks" { &["--volume-after", "last"] } else { &[] };
        let told = told(bench.evaluate(preset, &[&extra[..], rest].concat()));
        assert_eq!(methods(&told), expected);
        let counts = summaries(&told)
            .iter()
            .map(|summary| summary["interaction"]["volume_dice_by_step"].as_object().unwrap().len());
        let expected = if preset == "clicks" { 1 } else { 4 };
        assert!(counts.clone().all(|count| count == expected), "{:?}", counts.collect::<Vec<_>>());
        assert!(summaries(&told)[1]["doubt"]["slices"].as_u64().unwrap() > 0);
    }
    let box_first = fields(&steps(&bench, "clicks"), "toy, box and clicks", "large");
    assert_eq!(box_first[0][0], Some(0.0), "step 0 is the box");
}
