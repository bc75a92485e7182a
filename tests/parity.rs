//! All official networks at full size against the public implementation (`make parity`).
//!
//! Reads the folder that `PROMEM_PARITY` names; passes with a message without it.

use promem::geometry::SliceIndex;
use promem::model::config::{Config, Size, Version};
use promem::model::prompt_encoder::{Point, PointKind};
use promem::model::{Attended, Attending, DenseInputs, ImageEmbedding, Precision, Presence, Sam2};
use promem::tracking::candidates::PROMPT_SLOT;
use promem::tracking::{Beam, ModelDefaults, Phase, SearchOptions, SliceContext, Tracker};
use std::collections::HashMap;
use std::path::PathBuf;
use tch::{no_grad, Device, Kind, Tensor};

mod common;

const TOLERANCE: f64 = 1e-4;
const SCORE_TOLERANCE: f64 = 1e-3;
const DEPTH: usize = 3;
const PROMPT: usize = 1;

fn check(network: &str, arrays: &HashMap<String, Tensor>, key: &str, found: &Tensor) {
    let expected = &arrays[key];
    let found = match key.rsplit_once('@') {
        Some((_, n)) => {
            let n: i64 = n.parse().unwrap();
            found.slice(-2, None, None, n).slice(-1, None, None, n)
        }
        None => found.shallow_clone(),
    };
    let worst = (&found - expected).abs().max().double_value(&[]);
    let largest = expected.abs().max().double_value(&[]);
    eprintln!("{network} {key}: worst {:.1e} of the largest value", worst / largest);
    assert!(worst <= TOLERANCE * largest, "{network} {key}: worst {worst:.2e} of {largest:.2e}");
}

/// A click on the prompted slice, propagation, and two clicks that correct the next slice (`CORRECTIONS` of parity.py).
fn check_corrections(name: &str, arrays: &HashMap<String, Tensor>, tracker: &Tracker, images: [&ImageEmbedding; 2]) {
    let point = |x: f32, y: f32, kind| Point { x, y, kind };
    let network = tracker.network();
    let first = point(280.0, 230.0, PointKind::Foreground);
    let prompted = tracker.prompt(images[0], &network.without_memory(images[0]), &[&[first]]).output;
    let memory = tracker.remember(images[0], &prompted);
    let attending = Attending {
        memories: vec![Attended { memory: &memory, slot: PROMPT_SLOT as i64 }],
        pointers: vec![(&memory, 1)],
        pointer_span: DEPTH,
    };
    let mut output =
        tracker.track(images[1], std::slice::from_ref(&attending), DenseInputs::default(), Presence::Judged).output;
    let features = network.with_memory(images[1], &[attending]);
    let clicks = [point(380.0, 200.0, PointKind::Background), point(300.0, 250.0, PointKind::Foreground)];
    for count in 1..=clicks.len() {
        output = tracker.correct(images[1], &features, &[&clicks[..count]], &output.logits).output;
    }
    check(name, arrays, "corrected.logits@2", &output.logits);
    check(name, arrays, "corrected.pointer", &output.pointer);
    for (n, found) in [&output.iou, &output.object_logit].into_iter().enumerate() {
        let (found, expected) = (found.double_value(&[0, 0]), arrays["corrected.scores"].double_value(&[n as i64]));
        assert!((found - expected).abs() < SCORE_TOLERANCE, "{name} corrected score {n}: {found} not {expected}");
    }
}

#[test]
fn every_official_network_equals_the_public_one_at_512_pixels() {
    let Some(folder) = std::env::var_os("PROMEM_PARITY").map(PathBuf::from) else {
        eprintln!("skipped: PROMEM_PARITY names no folder (run `make parity`)");
        return;
    };
    let mut compared = 0;
    for config in [Version::V2_0, Version::V2_1].iter().flat_map(|&v| Size::ALL.map(|s| Config::official(v, s))) {
        let path = folder.join(format!("{}.npz", config.name));
        if !path.exists() {
            continue;
        }
        let arrays: HashMap<String, Tensor> = Tensor::read_npz(&path).unwrap().into_iter().collect();
        let network = Sam2::pseudo_random(&config, Device::Cpu, Precision::Fp32);
        no_grad(|| {
            let (images, masks) = common::phantom(DEPTH, config.image_size);
            let name = &config.name;
            let image = network.encode_image(&images[PROMPT]);
            check(name, &arrays, "image.features@4", &image.features);
            check(name, &arrays, "image.high0@16", &image.high_resolution[0]);
            check(name, &arrays, "image.high1@8", &image.high_resolution[1]);
            let tracker = Tracker::new(&network, Phase::Inference);
            let output = tracker.accept_mask(&image, &masks[PROMPT]);
            check(name, &arrays, "pointer", &output.pointer);
            let memory = tracker.remember(&image, &output);
            check(name, &arrays, "memory@2", &memory.features);
            let logits = Tensor::zeros([1], (Kind::Float, Device::Cpu));
            let mut beam = Beam::new(SliceIndex(PROMPT), memory, logits);
            let next = network.encode_image(&images[PROMPT + 1]);
            let context = SliceContext::of_memory(SliceIndex(PROMPT + 1), DEPTH, &next);
            let options = SearchOptions::promem().resolve(&ModelDefaults::SAM2).unwrap();
            let step = beam.search(&tracker, &context, &options);
            let scores = [step.candidates[0].iou, step.candidates[0].object_logit];
            for (n, found) in scores.into_iter().enumerate() {
                let expected = arrays["scores"].double_value(&[n as i64]);
                assert!((found - expected).abs() < SCORE_TOLERANCE, "{name} score {n}: {found} not {expected}");
            }
            check(name, &arrays, "logits@2", &step.best.expect("the object is present").output.logits);
            check_corrections(name, &arrays, &tracker, [&image, &next]);
        });
        compared += 1;
    }
    assert!(compared > 0, "{} holds no golden", folder.display());
}
