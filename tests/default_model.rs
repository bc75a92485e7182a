//! The model that ships, on the demonstration's scan: a person without data or model gets a liver.

use promem::volume::{self, LabelMap};
use std::path::{Path, PathBuf};
use std::process::Command;

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/promem-compact.safetensors")
}

struct Demo {
    folder: tempfile::TempDir,
    truth: LabelMap,
}

impl Demo {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        run(&["demo", folder.path().to_str().unwrap()]);
        let truth = volume::read_labels(&folder.path().join("mask.nii.gz")).unwrap();
        Self { folder, truth }
    }

    /// Dice with the liver of what `promem segment` makes of a prompt, without `--model`.
    fn dice(&self, prompt: &[&str]) -> f64 {
        let path = |name: &str| self.folder.path().join(name).to_str().unwrap().to_string();
        let (scan, output) = (path("scan.nii.gz"), path("out.nii.gz"));
        let mut arguments = vec!["segment", "--image", &scan, "--output", &output, "--force"];
        arguments.extend(prompt);
        run(&arguments);
        let found = volume::read_labels(Path::new(&output)).unwrap();
        let (mut both, mut sum) = (0usize, 0usize);
        for (&a, &b) in found.voxels().iter().zip(self.truth.voxels()) {
            both += usize::from(a > 0 && b > 0);
            sum += usize::from(a > 0) + usize::from(b > 0);
        }
        2.0 * both as f64 / sum as f64
    }
}

fn run(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_promem"))
        .args(arguments)
        .env("PROMEM_MODEL", model())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn one_slices_mask_becomes_the_organ() {
    let demo = Demo::new();
    let mask = demo.folder.path().join("mask.nii.gz");
    let dice = demo.dice(&["--prompt-mask", mask.to_str().unwrap()]);
    assert!(dice > 0.9, "Dice {dice:.3}");
}

#[test]
fn the_file_says_what_it_is_and_is_small_enough() {
    assert!(std::fs::metadata(model()).unwrap().len() <= 24_000_000);
    let file = promem::model::checkpoint::read(&model()).unwrap();
    assert_eq!(file.metadata["promem.data"], "generated anatomy");
    assert_eq!(file.metadata["promem.licence"], "Apache-2.0");
    assert_eq!(file.config.image_size, 128);
}

#[test]
fn the_file_of_an_earlier_version_has_the_configuration_of_today() {
    let file = promem::model::checkpoint::read(&model()).unwrap();
    assert_eq!(file.config, promem::model::Config::compact());
    assert_eq!(file.config.intensity_channels, Some(16));
    assert!(file.config.reduced_precision_decoder && file.config.multimask_for_boxes);
    assert!(file.config.trusts_known_presence);
}
