//! A data set of two scans, the programs on it, and what they print.

use crate::program::{ok, text};
use promem::output::Overwrite;
use promem::volume::{self, LabelMap, Volume};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A plain data set of two small scans with two balls each, and the toy model.
pub struct Bench(tempfile::TempDir);

/// Centre, radius in voxels; along k the scan has `SLICES` slices.
pub const BALLS: [([f64; 3], f64); 2] = [([12.0, 14.0, 6.0], 4.2), ([22.0, 18.0, 5.0], 3.2)];
pub const SLICES: usize = 12;

impl Bench {
    pub fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        ok(promem(&["demo", &bench.path("demo")]));
        for (name, shift) in [("a", 0.0), ("b", 1.0)] {
            let (scan, labels) = balls(shift);
            for folder in ["set/images", "set/labels"] {
                std::fs::create_dir_all(bench.path(folder)).unwrap();
            }
            volume::write_image(&bench.file(&format!("set/images/{name}.nii.gz")), &scan, Overwrite::Refuse).unwrap();
            let path = bench.file(&format!("set/labels/{name}.nii.gz"));
            volume::write_labels(&path, &labels, Overwrite::Refuse, &[]).unwrap();
        }
        std::fs::write(bench.file("set/labels.json"), r#"{"1": "large", "2": "small"}"#).unwrap();
        bench
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// `promem evaluate` on the data set into a folder, with further arguments.
    pub fn evaluate(&self, output: &str, extra: &[&str]) -> Output {
        let (set, out) = (format!("plain={}", self.path("set")), self.path(output));
        let mut all = vec!["evaluate", "--dataset", &set, "-o", &out, "--threads", "1", "--json"];
        all.extend(extra);
        promem(&all)
    }

    pub fn model(&self) -> String {
        self.path("demo/toy.safetensors")
    }
}

pub fn balls(shift: f64) -> (Volume<f32>, LabelMap) {
    use promem::geometry::{Dims, Geometry, IjkToRas, Spacing};
    let geometry =
        Geometry { dims: Dims([32, 30, SLICES]), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0, 1.0, 2.0])) };
    let mut scan = ndarray::Array3::from_elem((SLICES, 30, 32), 20.0);
    let mut labels = ndarray::Array3::zeros((SLICES, 30, 32));
    for ((k, j, i), voxel) in labels.indexed_iter_mut() {
        for (n, (centre, radius)) in BALLS.iter().enumerate() {
            let at = [i as f64 - shift, j as f64, k as f64];
            if (0..3).map(|c| (at[c] - centre[c]).powi(2)).sum::<f64>() <= radius * radius {
                *voxel = n as u16 + 1;
                scan[[k, j, i]] = 120.0 + 40.0 * n as f32;
            }
        }
    }
    (Volume::new(geometry.clone(), scan).unwrap(), Volume::new(geometry, labels).unwrap())
}

pub fn promem(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_promem")).args(arguments).output().unwrap()
}

pub fn told(output: Output) -> Value {
    serde_json::from_str(&ok(output)).unwrap()
}

pub fn refused(output: Output) -> String {
    let lines = text(&output.stderr) + &text(&output.stdout);
    assert!(!output.status.success() && !lines.contains("panicked"), "{lines}");
    lines
}

/// The methods' summaries on the first data set.
pub fn summaries(told: &Value) -> &Vec<Value> {
    told["datasets"][0]["methods"].as_array().unwrap()
}

pub fn methods(told: &Value) -> Vec<&str> {
    summaries(told).iter().map(|summary| summary["method"].as_str().unwrap()).collect()
}

pub fn dice(told: &Value, method: &str) -> f64 {
    summaries(told).iter().find(|s| s["method"] == method).unwrap()["dice"]["mean"].as_f64().unwrap()
}
