//! Metrics and statistics equal MONAI's and scipy's; `golden/metrics.py` writes the expected values.

use ndarray::Array3;
use promem::datasets::BinaryMask;
use promem::evaluate::metrics::{score, MetricOptions};
use promem::evaluate::statistics;
use promem::evaluate::surface::SurfaceDistances;
use promem::geometry::{Axis, SliceIndex, Spacing};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/metrics.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn paint(balls: &Value, shape: &Value) -> BinaryMask {
    let shape: Vec<usize> = numbers(shape).into_iter().map(|n| n as usize).collect();
    let balls: Vec<Vec<f64>> = balls.as_array().unwrap().iter().map(numbers).collect();
    let full = Array3::from_shape_fn((shape[0], shape[1], shape[2]), |(k, j, i)| {
        let inside = |b: &Vec<f64>| {
            (k as f64 - b[0]).powi(2) + (j as f64 - b[1]).powi(2) + (i as f64 - b[2]).powi(2) <= b[3] * b[3]
        };
        balls.iter().any(inside)
    });
    BinaryMask::new(full.view())
}

#[track_caller]
fn close(found: f64, expected: &Value, tolerance: f64, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= tolerance, "{what}: {found}, expected {expected}");
}

#[test]
fn overlap_and_surface_distances_equal_monai() {
    let golden = golden();
    let tolerances = numbers(&golden["tolerances"]);
    for (n, case) in golden["cases"].as_array().unwrap().iter().enumerate() {
        let [truth, prediction] = ["truth", "prediction"].map(|name| paint(&case[name], &golden["shape"]));
        let [k, j, i]: [f64; 3] = numbers(&case["spacing_kji"]).try_into().unwrap();
        let spacing = Some(Spacing([i, j, k]));
        let scored = |tolerance_mm| {
            let options = MetricOptions { tolerance_mm, ..MetricOptions::default() };
            score(&truth, &prediction, spacing, Axis::K, SliceIndex(3), options)
        };
        close(scored(1.0).dice.unwrap(), &case["dice"], 1e-6, &format!("case {n}, Dice"));
        close(scored(1.0).hausdorff_95_mm.unwrap(), &case["hausdorff_95"], 1e-5, &format!("case {n}, HD95"));
        for (tolerance, expected) in tolerances.iter().zip(case["surface_dice"].as_array().unwrap()) {
            let found = scored(*tolerance).surface_dice.unwrap();
            close(found, expected, 1e-6, &format!("case {n}, NSD at {tolerance} mm"));
        }
        let distances = SurfaceDistances::new(&truth, &prediction, [k, j, i]).unwrap();
        let mean = statistics::mean;
        close(mean(&distances.truth_to_prediction), &case["mean_truth_to_prediction"], 1e-5, &format!("case {n}"));
        close(mean(&distances.prediction_to_truth), &case["mean_prediction_to_truth"], 1e-5, &format!("case {n}"));
    }
}

#[test]
fn signed_rank_test_equals_scipy() {
    for (n, case) in golden()["wilcoxon"].as_array().unwrap().iter().enumerate() {
        let expected = case["p"].as_f64().unwrap();
        let found = statistics::wilcoxon(&numbers(&case["differences"])).unwrap();
        assert!((found - expected).abs() <= 1e-9 * expected, "list {n}: {found}, expected {expected}");
    }
}

#[test]
fn quantiles_equal_numpy() {
    let golden = golden();
    let mut values = numbers(&golden["quantiles"]["values"]);
    values.sort_by(f64::total_cmp);
    for pair in golden["quantiles"]["at"].as_array().unwrap() {
        let found = statistics::quantile_of_sorted(&values, pair[0].as_f64().unwrap());
        close(found, &pair[1], 1e-12, "quantile");
    }
}
