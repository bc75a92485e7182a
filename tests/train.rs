//! Training: losses and stochastic propagation against their specification, runs that go on to the last bit, clear
//! refusals.

mod common;
#[path = "common/program.rs"]
mod program;

use ndarray::Array3;
use program::ok;
use promem::train::config::{IntensityModelConfig, TrainConfig};
use promem::train::log::read_log;
use promem::train::loss::{slice_loss, Prediction};
use promem::train::run::{train, RunOptions};
use promem::train::stochastic_propagation::tracks;
use promem::ErrorKind;
use serde::Deserialize;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn the_loss_of_a_slice_equals_sam_2s() {
    #[derive(Deserialize)]
    struct Golden {
        side: i64,
        masks: i64,
        batch: i64,
        logits: Vec<f32>,
        ious: Vec<f32>,
        scores: Vec<f32>,
        truth: Vec<f32>,
        total: f64,
        parts: std::collections::BTreeMap<String, f64>,
    }
    let g: Golden = serde_json::from_str(&golden("losses.json")).unwrap();
    let config = TrainConfig::preset("paper").unwrap().loss;
    let prediction = Prediction {
        logits: Tensor::from_slice(&g.logits).reshape([g.batch, g.masks, g.side, g.side]),
        ious: Tensor::from_slice(&g.ious).reshape([g.batch, g.masks]),
        object_logit: Tensor::from_slice(&g.scores).reshape([g.batch, 1]),
    };
    let truth = Tensor::from_slice(&g.truth).reshape([g.batch, 1, g.side, g.side]);
    let found = slice_loss(&prediction, &truth, &config);
    let parts = [("focal", &found.focal), ("dice", &found.dice), ("iou", &found.iou), ("object", &found.object)];
    for (name, value) in parts {
        let value = value.double_value(&[]);
        assert!((value - g.parts[name]).abs() < 1e-5, "{name}: {value}, SAM 2 {}", g.parts[name]);
    }
    assert!((found.total.double_value(&[]) - g.total).abs() < 1e-4);
}

/// `tests/golden/training_step.py`: the public implementation's own `_track_step` along a clip whose last slice the
/// object is not on.
#[test]
fn the_loss_of_a_training_step_equals_the_public_implementations() {
    use promem::model::config::{Config, Version};
    use promem::tracking::{MaskPrior, PointerRule, PromptMemory};
    use promem::train::batch::Batch;
    use promem::train::clip::Clip;
    use promem::train::plan::ClipPlan;
    use promem::train::trainer::loss_along;
    use promem::train::unroll::unroll;
    use promem::train::{rng, Purpose};
    #[derive(Deserialize)]
    struct Golden {
        total: f64,
    }
    const FIRST: usize = 4;
    let (depth, side) = (9, 128usize);
    let (images, masks) = common::phantom(depth, side as i64);
    let values = |tensor: &Tensor| Vec::<f32>::try_from(tensor.select(1, 0).flatten(0, -1)).unwrap();
    let all = |tensors: &[Tensor]| -> Array3<f32> {
        let flat = tensors[FIRST..].iter().flat_map(values).collect();
        Array3::from_shape_vec((depth - FIRST, side, side), flat).unwrap()
    };
    let mut masks = all(&masks).mapv(|v| v > 0.5);
    masks.index_axis_mut(ndarray::Axis(0), depth - FIRST - 1).fill(false);
    let images = all(&images).mapv(|v| (v * 0.25 + 0.4).clamp(0.0, 1.0));
    let clip = Clip { images, masks, displacements: None, log_likelihood_ratio: None };

    let mut config = TrainConfig::preset("paper").unwrap();
    config.network = "toy".into();
    let network =
        promem::model::Sam2::pseudo_random(&Config::toy(Version::V2_1), Device::Cpu, promem::model::Precision::Fp32);
    let plan = ClipPlan {
        memory: PromptMemory::Pinned,
        pointers: PointerRule::Sam2,
        ..ClipPlan::inference(depth - FIRST, 6, MaskPrior::None, Vec::new())
    };
    let batch = Batch::new(vec![clip], Device::Cpu);
    let predicted = tch::no_grad(|| unroll(&network, &batch, &plan, &mut rng(0, Purpose::Step, 0)));
    let found = loss_along(&predicted, &batch, &config).total.double_value(&[]);
    let expected = serde_json::from_str::<Golden>(&golden("training_step.json")).unwrap().total;
    assert!((found - expected).abs() < 1e-4 * expected, "{found}, the public implementation {expected}");
}

#[test]
fn tracks_equal_the_specifications() {
    #[derive(Deserialize)]
    struct Case {
        masks: String,
        tracks: Vec<(usize, String)>,
    }
    #[derive(Deserialize)]
    struct Golden {
        length: usize,
        rows: usize,
        columns: usize,
        cases: Vec<Case>,
    }
    let g: Golden = serde_json::from_str(&golden("stochastic_propagation.json")).unwrap();
    let mut discontinuous = 0;
    for case in &g.cases {
        let values = case.masks.bytes().map(|b| b == b'1').collect();
        let masks = Array3::from_shape_vec((g.length, g.rows, g.columns), values).unwrap();
        let mut found: Vec<(usize, String)> = (tracks(&masks).into_iter())
            .map(|(first, track)| (first, track.iter().map(|&inside| if inside { '1' } else { '0' }).collect()))
            .collect();
        found.sort();
        assert_eq!(found, case.tracks);
        discontinuous += usize::from(found.iter().any(|(first, _)| *first > 0));
    }
    assert!(discontinuous > 5, "{discontinuous} discontinuous cases");
}

fn toy() -> TrainConfig {
    let mut config = TrainConfig::preset("toy").unwrap();
    config.log.validate = 0;
    config
}

fn options(folder: &Path) -> RunOptions {
    RunOptions { output: folder.to_owned(), device: Device::Cpu, minutes: None, stop: Arc::new(AtomicBool::new(false)) }
}

fn losses(folder: &Path) -> Vec<f64> {
    read_log(folder).unwrap().iter().map(|line| line.loss).collect()
}

#[test]
fn a_resumed_run_goes_on_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let config = toy();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let ended = train(&config, &options(&whole), &mut |_| {}).unwrap();
    assert_eq!((ended.step, ended.steps), (8, 8));
    // Stopped after step 1 (before the first checkpoint is due) and after step 5, in another stage.
    for until in [1, 5, 8] {
        let mut stopping = options(&parts);
        stopping.stop = Arc::new(AtomicBool::new(false));
        let flag = stopping.stop.clone();
        let ended = train(&config, &stopping, &mut |line| {
            if line.step == until && until < 8 {
                flag.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        })
        .unwrap();
        assert_eq!(ended.step, until);
    }
    assert_eq!(losses(&whole), losses(&parts));
    for file in ["weights", "average", "first_moment", "second_moment"] {
        let [a, b] =
            [&whole, &parts].map(|run| std::fs::read(run.join(format!("checkpoint/{file}.safetensors"))).unwrap());
        assert!(a == b, "{file} differ");
    }
    assert_eq!(
        std::fs::read(whole.join("model.safetensors")).unwrap().len(),
        std::fs::read(parts.join("model.safetensors")).unwrap().len()
    );
    // Another configuration does not go on with it, more steps do.
    let mut other = toy();
    other.optimizer.learning_rate = 0.5;
    let line = train(&other, &options(&parts), &mut |_| {}).unwrap_err().to_string();
    assert!(line.contains("was begun with `learning_rate = 0.0008`, now `learning_rate = 0.5`"), "{line}");
}

#[test]
fn a_trained_model_segments_and_says_how_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    train(&toy(), &options(folder.path()), &mut |_| {}).unwrap();
    let model = promem::model::checkpoint::read(&folder.path().join("model.safetensors")).unwrap();
    assert_eq!((model.config.name.as_str(), model.config.image_size), ("toy", 96));
    assert_eq!(model.metadata["promem.prior"], "registered");
    assert!(model.metadata["promem.made_by"].contains("step 8 of 8"), "{:?}", model.metadata);
    let [demo, out] = ["demo", "out.nii.gz"].map(|name| folder.path().join(name).display().to_string());
    let file = |name: &str| folder.path().join("demo").join(name).display().to_string();
    ok(binary(env!("CARGO_BIN_EXE_promem"), &["demo", &demo]));
    let model = folder.path().join("model.safetensors").display().to_string();
    let arguments = ["--no-stop", "--threads", "1", "--quiet"];
    let (scan, mask) = (file("scan.nii.gz"), file("mask.nii.gz"));
    let files = ["segment", "--image", &scan, "--model", &model, "--prompt-mask", &mask, "--output", &out];
    ok(binary(env!("CARGO_BIN_EXE_promem"), &[&files[..], &arguments[..]].concat()));
    let registered = std::fs::read(&out).unwrap();
    ok(binary(env!("CARGO_BIN_EXE_promem"), &[&files[..], &arguments[..], &["--prior", "none", "--force"]].concat()));
    assert_ne!(registered, std::fs::read(&out).unwrap(), "the model's own prior was the registered mask");
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_names_the_clips() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = toy();
    config.optimizer.learning_rate = 1e30;
    config.optimizer.encoder_learning_rate = 1e30;
    config.optimizer.warmup_fraction = 0.0;
    let error = train(&config, &options(folder.path()), &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Compute);
    let line = error.to_string();
    assert!(line.contains("is not a finite number, on") && line.contains("checkpoint is kept"), "{line}");
}

#[test]
fn training_on_scans_skips_what_is_broken_and_counts_it() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo").display().to_string();
    ok(binary(env!("CARGO_BIN_EXE_promem"), &["demo", &demo]));
    for (name, from) in [("images", "scan.nii.gz"), ("labels", "mask.nii.gz")] {
        let place = folder.path().join("set").join(name);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::copy(folder.path().join("demo").join(from), place.join("a.nii.gz")).unwrap();
        std::fs::write(place.join("broken.nii.gz"), b"no scan").unwrap();
    }
    let mut config = toy();
    config.data.scans = vec![format!("plain={}", folder.path().join("set").display())];
    let mut skipped = 0;
    train(&config, &options(&folder.path().join("run")), &mut |line| skipped = line.skipped).unwrap();
    assert!(skipped > 0, "the broken case was never drawn");
    std::fs::remove_file(folder.path().join("set/images/a.nii.gz")).unwrap();
    let error = train(&config, &options(&folder.path().join("none")), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("in a row cannot be had") && error.contains("nii.gz"), "{error}");
}

fn binary(path: &str, arguments: &[&str]) -> Output {
    Command::new(path).args(arguments).output().unwrap()
}

#[test]
fn the_command_draws_clips_and_curves_and_refuses_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let trainer = |arguments: &[&str]| binary(env!("CARGO_BIN_EXE_promem-train"), arguments);
    ok(trainer(&["clips", "toy", "-o", &at("clips.png"), "--count", "2"]));
    assert!(std::fs::read(at("clips.png")).unwrap().starts_with(b"\x89PNG"));
    ok(trainer(&["run", "toy", "-o", &at("run"), "--minutes", "0.0001", "--quiet"]));
    ok(trainer(&["run", "toy", "-o", &at("run"), "--quiet"]));
    let presence_right = ok(trainer(&["plot", &at("run")]));
    assert!(presence_right.contains("loss.png") && std::fs::metadata(at("run/quality.png")).is_ok());
    assert!(std::fs::read(at("run/examples.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(read_log(&folder.path().join("run"))
        .unwrap()
        .iter()
        .any(|line| line.validation.contains_key("dice_registered")));
    std::fs::write(at("bad.toml"), "preset = \"toy\"\nlearning_rate = 1").unwrap();
    for (arguments, expected) in [
        (vec!["run", "/nowhere.toml", "-o", "x"], "/nowhere.toml"),
        (vec!["run", &at("bad.toml"), "-o", "x"], "unknown key `learning_rate`"),
        (vec!["run", "toy", "-o", &at("x"), "--init", "/nowhere.pt"], "/nowhere.pt"),
        (vec!["plot", "/nowhere"], "/nowhere/log.jsonl"),
        (vec!["clips", "toy", "-o", &at("clips.png")], "clips.png"),
        (vec!["run", "toy", "-o", &at("clips.png")], "clips.png"),
    ] {
        let output = trainer(&arguments);
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && line.contains(expected), "{arguments:?}: {line}");
        assert!(!line.contains("panicked"), "{line}");
    }
}

/// A file may not grow beyond the shell's limit, which the system reports as it reports a full disk.
#[cfg(unix)]
#[test]
fn a_full_disk_gives_one_line_and_keeps_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let path = folder.path().join("often.toml");
    std::fs::write(&path, "preset = \"toy\"\n[log]\ncheckpoint = 1\n").unwrap();
    let trainer = env!("CARGO_BIN_EXE_promem-train");
    ok(binary(
        trainer,
        &["run", &path.display().to_string(), "-o", &run.display().to_string(), "--minutes", "0.0001", "--quiet"],
    ));
    let before = promem::train::checkpoint::progress(&run).unwrap().unwrap();
    let command =
        format!("trap '' XFSZ; ulimit -f 16; exec {trainer} run {} -o {} --quiet", path.display(), run.display());
    let output = binary("sh", &["-c", &command]);
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && line.trim_end().lines().count() == 1, "{line}");
    assert!(line.contains("cannot write") && line.contains("checkpoint.new"), "{line}");
    assert_eq!(promem::train::checkpoint::restore(&run).unwrap().unwrap().progress, before);
}

#[test]
fn gradients_reach_every_weight_that_inference_reads() {
    use promem::train::batch::Batch;
    use promem::train::phantom::Phantoms;
    use promem::train::plan::{ClipPlan, TrainingPrompt};
    use promem::train::unroll::unroll;
    use promem::train::{clip::ClipOptions, clip::ClipSource, rng, Purpose};
    for name in ["toy", "mini", "compact"] {
        let intensity_model =
            IntensityModelConfig { clip_fraction: if name == "compact" { 1.0 } else { 0.0 }, weight: 0.6 };
        let config = TrainConfig { network: name.into(), intensity_model, ..toy() };
        let mut variables = tch::nn::VarStore::new(Device::Cpu);
        let network_config = config.network_at(0).unwrap();
        let network = promem::model::Sam2::for_training(&variables, &network_config, promem::model::Precision::Fp32);
        promem::train::initialise::initialise(&mut variables, 1);
        let source = Phantoms::new(1, Vec::new(), Vec::new());
        let options = ClipOptions {
            length: 4,
            side: 64,
            stochastic_propagation: true,
            displacement_stride: Some(network_config.mask_stride() as usize),
            intensity_model: network_config.intensity_channels.is_some(),
            framing: promem::train::config::Framing::Object,
        };
        let clips: Vec<_> = (0..2).map(|n| source.clip(n, &options).unwrap()).collect();
        let batch = Batch::new(clips, Device::Cpu);
        let mut total = Tensor::from(0f32);
        for prompt in [TrainingPrompt::Mask, TrainingPrompt::Box, TrainingPrompt::Point] {
            let mut draws = rng(1, Purpose::Step, 0);
            let mut plan = ClipPlan::draw(
                &config,
                &promem::train::config::Stage { length: 4, ..config.stages[0].clone() },
                2,
                0.5,
                &mut draws,
            );
            (plan.prompt, plan.corrections, plan.prior) = (prompt, 1, promem::tracking::MaskPrior::Registered);
            for slice in unroll(&network, &batch, &plan, &mut draws) {
                for step in slice.rounds {
                    total = total
                        + step.logits.square().mean(Kind::Float)
                        + step.ious.square().mean(Kind::Float)
                        + step.object_logit.square().mean(Kind::Float);
                }
            }
        }
        total.backward();
        // Weights of branches that these prompts do not take, and what no path of SAM 2 reads.
        let idle = ["no_mem_pos_enc", "no_obj_ptr", "no_obj_embed_spatial", "gaussian_matrix", "point_embeddings.0"];
        let without: Vec<String> = (variables.variables().into_iter())
            .filter(|(_, v)| !v.grad().defined())
            .map(|(key, _)| key)
            .filter(|key| !idle.iter().any(|part| key.contains(part)))
            .collect();
        assert!(without.is_empty(), "{name}: no gradient: {without:?}");
    }
}
