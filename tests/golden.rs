//! The network and the search against the public implementation, at toy size, module by module and end to end.
//!
//! The numbers come from `tests/golden/generate.py`; within 1e-4 of the largest value of each array, scores within
//! 1e-3.

use promem::geometry::SliceIndex;
use promem::model::config::{Config, Version};
use promem::model::position;
use promem::model::prompt_encoder::{Point, PointKind};
use promem::model::{DenseInputs, ImageEmbedding, Memory, Precision, Sam2};
use promem::tracking::{
    Beam, ModelDefaults, Phase, PointerRule, PromptMemory, SearchOptions, SliceContext, SliceOutput, Tracker,
};
use serde_json::Value;
use std::collections::HashMap;
use tch::{no_grad, Device, Kind, Tensor};

mod common;
use common::phantom;

const SIZE: i64 = 128;
const DEPTH: usize = 9;
const PROMPT: usize = DEPTH / 2;
const TOLERANCE: f64 = 1e-4;
const SCORE_TOLERANCE: f64 = 1e-3;

struct World {
    version: Version,
    network: Sam2,
    arrays: HashMap<String, Tensor>,
    traces: Value,
}

fn worlds() -> Vec<World> {
    [(Version::V2_0, "2.0"), (Version::V2_1, "2.1")]
        .map(|(version, name)| {
            let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/toy_");
            let arrays = Tensor::read_npz(format!("{root}{name}.npz")).unwrap().into_iter().collect();
            let traces = serde_json::from_str(&std::fs::read_to_string(format!("{root}{name}.json")).unwrap()).unwrap();
            let network = Sam2::pseudo_random(&Config::toy(version), Device::Cpu, Precision::Fp32);
            World { version, network, arrays, traces }
        })
        .into()
}

impl World {
    fn golden(&self, key: &str) -> &Tensor {
        self.arrays.get(key).unwrap_or_else(|| panic!("no golden `{key}`"))
    }

    /// Compares with the golden `key`; a key that ends in `@n` has every n-th row and column only.
    fn check(&self, key: &str, found: &Tensor) {
        let expected = self.golden(key);
        let found = match key.rsplit_once('@') {
            Some((_, n)) => {
                let n: i64 = n.parse().unwrap();
                found.slice(-2, None, None, n).slice(-1, None, None, n)
            }
            None => found.shallow_clone(),
        };
        let found = found.to_kind(Kind::Float).reshape(expected.size());
        let worst = (&found - expected).abs().max().double_value(&[]);
        let largest = expected.abs().max().double_value(&[]);
        assert!(worst <= TOLERANCE * largest, "{:?} {key}: worst {worst:.2e} of {largest:.2e}", self.version);
    }

    fn check_output(&self, key: &str, found: &SliceOutput) {
        let logits = match &found.given {
            Some(full) => full.internal_upsample_bilinear2d_aa([SIZE / 4, SIZE / 4], false, None, None),
            None => found.logits.shallow_clone(),
        };
        self.check(&format!("{key}.logits"), &logits);
        self.check(&format!("{key}.iou"), &found.iou);
        self.check(&format!("{key}.object_logit"), &found.object_logit);
        self.check(&format!("{key}.pointer"), &found.pointer);
    }

    fn image(&self, slice: usize) -> ImageEmbedding {
        self.network.encode_image(&phantom(DEPTH, SIZE).0[slice])
    }

    fn tracker(&self) -> Tracker<'_> {
        Tracker::new(&self.network, Phase::Inference)
    }

    fn prompted(&self, name: &str) -> (SliceOutput, Memory) {
        let (tracker, image) = (self.tracker(), self.image(PROMPT));
        let output = match name {
            "mask" => tracker.accept_mask(&image, &phantom(DEPTH, SIZE).1[PROMPT]),
            _ => tracker.prompt(&image, &self.network.without_memory(&image), &[&points(name)]).output,
        };
        let memory = tracker.remember(&image, &output);
        (output, memory)
    }

    /// Tracks from the prompt to both ends; compares every candidate, every order and every mask.
    fn check_track(&self, name: &str, first: &Memory, options: &SearchOptions) -> Vec<usize> {
        let mut lengths = Vec::new();
        for (way, slices) in [("up", (PROMPT + 1..DEPTH).collect::<Vec<_>>()), ("down", (0..PROMPT).rev().collect())] {
            let trace = self.traces[format!("{name}.{way}")].as_array().expect("a golden trace");
            let mut beam = Beam::new(SliceIndex(PROMPT), first.clone(), Tensor::zeros([1], (Kind::Float, Device::Cpu)));
            let options = options.resolve(&ModelDefaults::SAM2).unwrap();
            for (expected, slice) in trace.iter().zip(slices) {
                let image = self.image(slice);
                let context = SliceContext::of_memory(SliceIndex(slice), DEPTH, &image);
                let step = beam.search(&self.tracker(), &context, &options);
                assert_eq!(expected["slice"], slice, "{name} {way}");
                let candidates = expected["candidates"].as_array().unwrap();
                assert_eq!(step.candidates.len(), candidates.len(), "{name} {way} slice {slice}");
                for (found, expected) in step.candidates.iter().zip(candidates) {
                    assert_eq!(
                        (found.bank as u64, found.window as u64),
                        (expected["bank"].as_u64().unwrap(), expected["window"].as_u64().unwrap())
                    );
                    for (found, key) in [(found.iou, "iou"), (found.object_logit, "object_logit")] {
                        let expected = expected[key].as_f64().unwrap();
                        let apart = (found - expected).abs();
                        assert!(apart < SCORE_TOLERANCE, "{name} {way} slice {slice} {key}: {found} not {expected}");
                    }
                }
                self.check_order(&format!("{name} {way} slice {slice}"), &step.order, expected);
                match &step.best {
                    Some(best) => self.check(&format!("{name}.{way}.{slice}@4"), &best.output.logits),
                    None => assert!(!self.arrays.contains_key(&format!("{name}.{way}.{slice}@4"))),
                }
            }
            lengths.push(trace.len());
        }
        lengths
    }

    /// The same order, unless two scores differ by less than the tolerance.
    fn check_order(&self, place: &str, found: &[usize], expected: &Value) {
        let order: Vec<usize> =
            expected["order"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect();
        let iou = |candidate: usize| expected["candidates"][candidate]["iou"].as_f64().unwrap();
        for (&a, &b) in found.iter().zip(&order) {
            assert!(a == b || (iou(a) - iou(b)).abs() < SCORE_TOLERANCE, "{place}: {found:?} not {order:?}");
        }
    }
}

fn points(name: &str) -> Vec<Point> {
    use PointKind::{Background, BoxEnd, BoxStart, Foreground};
    let corners = [(48., 30., BoxStart), (92., 84., BoxEnd)];
    let list = match name {
        "point" => vec![(70., 57., Foreground)],
        "points" => vec![(70., 57., Foreground), (20., 100.5, Background), (75., 62., Foreground)],
        "box" => corners.to_vec(),
        "box_point" => [&corners[..], &[(70., 57., Foreground)]].concat(),
        _ => panic!("no prompt `{name}`"),
    };
    list.into_iter().map(|(x, y, kind)| Point { x, y, kind }).collect()
}

const PROMPTS: [&str; 4] = ["point", "points", "box", "box_point"];

#[test]
fn the_image_encoder_equals_the_public_one() {
    no_grad(|| {
        for world in worlds() {
            let image = &phantom(DEPTH, SIZE).0[PROMPT];
            for (level, stage) in world.network.image_encoder().stages(image).iter().enumerate() {
                world.check(&format!("trunk.{level}@2"), stage);
            }
            for (level, features) in world.network.image_encoder().forward(image).iter().enumerate() {
                world.check(&format!("neck.{level}@4"), features);
            }
            let embedding = world.image(PROMPT);
            world.check("image.features", &embedding.features);
            world.check("image.high0@4", &embedding.high_resolution[0]);
            world.check("image.high1@2", &embedding.high_resolution[1]);
        }
    });
}

#[test]
fn an_image_that_no_window_divides_is_padded_as_the_public_one() {
    no_grad(|| {
        for world in worlds() {
            let image = &phantom(3, 160).0[1];
            for (level, features) in world.network.image_encoder().forward(image).iter().enumerate() {
                world.check(&format!("neck160.{level}@5"), features);
            }
        }
    });
}

#[test]
fn position_encodings_equal_the_public_ones() {
    no_grad(|| {
        for world in worlds() {
            world.check("position.image", &position::sine_2d(64, 8, 8, Device::Cpu));
            let places = Tensor::from_slice(&[0f32, 0.2, 1.0, -0.4]);
            world.check("position.sine_1d", &position::sine_1d(&places, 64));
            world.check("position.rotation", &position::axial_rotation(64, 8, Device::Cpu).permute([1, 2, 0]));
            world.check("prompt.dense_position", &world.network.prompt_encoder().dense_position());
        }
    });
}

#[test]
fn the_prompt_encoder_equals_the_public_one() {
    no_grad(|| {
        for world in worlds() {
            let encoder = world.network.prompt_encoder();
            for name in PROMPTS {
                world.check(&format!("prompt.sparse.{name}"), &encoder.sparse(&points(name)));
            }
            world.check("prompt.dense.mask", &encoder.dense(Some(world.golden("prompt.mask_logits"))));
        }
    });
}

#[test]
fn the_mask_decoder_equals_the_public_one() {
    no_grad(|| {
        for world in worlds() {
            let (image, encoder) = (world.image(PROMPT), world.network.prompt_encoder());
            let output = world.network.mask_decoder().forward(
                &world.network.without_memory(&image),
                &encoder.dense_position(),
                &image.high_resolution,
                &encoder.sparse(&points("points")),
                &encoder.dense(Some(world.golden("prompt.mask_logits"))),
                DenseInputs::default(),
            );
            world.check("decoder.masks@2", &output.masks);
            world.check("decoder.ious", &output.ious);
            world.check("decoder.tokens", &output.tokens);
            world.check("decoder.object_logit", &output.object_logit);
        }
    });
}

#[test]
fn every_prompt_kind_gives_the_public_mask_scores_pointer_and_memory() {
    no_grad(|| {
        for world in worlds() {
            for name in ["mask", "point", "points", "box", "box_point"] {
                let (output, memory) = world.prompted(name);
                world.check_output(&format!("prompted.{name}"), &output);
                world.check(&format!("prompted.{name}.memory"), &memory.features);
            }
        }
    });
}

#[test]
fn memory_search_equals_the_reference_candidate_by_candidate() {
    no_grad(|| {
        for world in worlds() {
            let (_, first) = world.prompted("mask");
            for k in 1..=3 {
                for windows in [vec![1, 6], vec![2, 4, 6]] {
                    for (prompt, word) in [(PromptMemory::InWindow, "free"), (PromptMemory::Pinned, "pinned")] {
                        let joined: String = windows.iter().map(ToString::to_string).collect();
                        let options = SearchOptions {
                            windows: windows.clone(),
                            beams: k,
                            prompt,
                            pointers: PointerRule::Window,
                            stop_when_absent: false,
                            ..SearchOptions::promem()
                        };
                        let lengths = world.check_track(&format!("k{k}_w{joined}_{word}"), &first, &options);
                        assert_eq!(lengths, [DEPTH - 1 - PROMPT, PROMPT]);
                    }
                }
            }
        }
    });
}

#[test]
fn a_box_prompt_propagates_as_in_the_reference() {
    no_grad(|| {
        for world in worlds() {
            let (_, first) = world.prompted("box");
            world.check_track("promem_box", &first, &SearchOptions::promem());
        }
    });
}

#[test]
fn plain_propagation_equals_track_step_in_both_directions() {
    no_grad(|| {
        for world in worlds() {
            for name in ["mask", "point"] {
                let (_, first) = world.prompted(name);
                let lengths = world.check_track(&format!("sam2_{name}"), &first, &SearchOptions::sam2());
                assert_eq!(lengths, [DEPTH - 1 - PROMPT, PROMPT]);
            }
        }
    });
}

/// The networks with another last bias of the object score head.
fn with_object_bias(version: Version, bias: f64) -> Sam2 {
    let config = Config::toy(version);
    let mut state = promem::model::weights::StateDict::new();
    let plain = promem::model::weights::StateDict::pseudo_random(&config).unwrap();
    for (key, tensor) in plain.iter() {
        let head = key == "sam_mask_decoder.pred_obj_score_head.layers.2.bias";
        state.insert(key, if head { tensor.full_like(bias) } else { tensor.shallow_clone() }).unwrap();
    }
    Sam2::load(&config, state, Device::Cpu, Precision::Fp32).unwrap()
}

#[test]
fn an_absent_object_leaves_the_public_traces_in_mask_pointer_and_memory() {
    no_grad(|| {
        for mut world in worlds() {
            world.network = with_object_bias(world.version, -8.0);
            for name in ["point", "mask"] {
                let (output, memory) = world.prompted(name);
                world.check_output(&format!("absent.{name}"), &output);
                world.check(&format!("absent.{name}.memory"), &memory.features);
            }
        }
    });
}

#[test]
fn a_track_ends_where_the_reference_ends() {
    no_grad(|| {
        for mut world in worlds() {
            world.network = with_object_bias(world.version, world.golden("stop.bias").double_value(&[0]));
            // The memory of a given mask does not depend on the head; the track does.
            let (_, first) = world.prompted("mask");
            let lengths = world.check_track("stop", &first, &SearchOptions::promem());
            assert!(lengths.iter().any(|&n| n < DEPTH - 1 - PROMPT), "no track was cut short: {lengths:?}");
        }
    });
}
