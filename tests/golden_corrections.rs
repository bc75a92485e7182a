//! Corrections against the public video predictor, at toy size: clicks, boxes and masks on slices that have a mask.
//!
//! The numbers come from `tests/golden/corrections.py`, which drives `SAM2VideoPredictor`; here its bookkeeping (which
//! slice is prompted, pending, tracked) is written out and every step is one call of `Tracker`. Within 1e-4 of the
//! largest value of each array.

use promem::model::config::{Config, Version, NUM_MASKMEM};
use promem::model::prompt_encoder::{Point, PointKind};
use promem::model::weights::StateDict;
use promem::model::{Attended, Attending, DenseInputs, ImageEmbedding, Memory, Precision, Presence, Sam2};
use promem::tracking::candidates::PROMPT_SLOT;
use promem::tracking::{Phase, SliceOutput, Tracker, MAX_POINTERS};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use tch::{no_grad, Device, Kind, Tensor};

mod common;
use common::phantom;

const SIZE: i64 = 128;
const DEPTH: usize = 9;
const TOLERANCE: f64 = 1e-4;

#[derive(Clone, Copy, PartialEq)]
enum Heading {
    Up,
    Down,
}

/// A slice's newest output and the memory of it.
struct Remembered {
    output: SliceOutput,
    memory: Memory,
}

/// What the video predictor keeps of an object (`output_dict_per_obj`, `temp_output_dict_per_obj`,
/// `frames_tracked_per_obj`).
#[derive(Default)]
struct Object {
    points: BTreeMap<usize, Vec<Point>>,
    /// New outputs of prompted slices, of which there is no memory yet.
    pending: BTreeMap<usize, SliceOutput>,
    prompted: BTreeMap<usize, Remembered>,
    tracked: BTreeMap<usize, Remembered>,
    reached: BTreeMap<usize, Heading>,
}

impl Object {
    /// What a slice attends to (`_prepare_memory_conditioned_features`): all prompted slices, the six before it on the
    /// way, and pointers of those that lie behind.
    ///
    /// A slice that is itself prompted, and memorised by an earlier propagation, attends to its own memory.
    fn attending(&self, slice: usize, heading: Heading) -> Attending<'_> {
        let before = |away: usize| match heading {
            Heading::Up => slice.checked_sub(away),
            Heading::Down => Some(slice + away),
        };
        let behind = |other: usize| if heading == Heading::Up { other <= slice } else { other >= slice };
        let pinned = self.prompted.values().map(|kept| Attended { memory: &kept.memory, slot: PROMPT_SLOT as i64 });
        let recent = (1..NUM_MASKMEM as usize).rev().filter_map(|away| Some((away, self.tracked.get(&before(away)?)?)));
        let recent = recent.map(|(away, kept)| Attended { memory: &kept.memory, slot: away as i64 - 1 });
        let pointer_span = DEPTH.min(MAX_POINTERS);
        let of_prompted = self.prompted.iter().filter(|(&other, _)| behind(other));
        let of_prompted = of_prompted.map(|(other, kept)| (&kept.memory, other.abs_diff(slice)));
        let of_tracked = (1..pointer_span).filter_map(|away| Some((&self.tracked.get(&before(away)?)?.memory, away)));
        Attending {
            memories: pinned.chain(recent).collect(),
            pointers: of_prompted.chain(of_tracked).collect(),
            pointer_span,
        }
    }

    /// The newest logits of a slice, [1, 1, m, m].
    fn present(&self, slice: usize) -> Option<Tensor> {
        let kept = || self.prompted.get(&slice).or_else(|| self.tracked.get(&slice)).map(|kept| &kept.output);
        self.pending.get(&slice).or_else(kept).map(|output| output.logits.shallow_clone())
    }
}

/// One sequence on one network.
struct Replay<'a> {
    network: &'a Sam2,
    images: Vec<Tensor>,
    masks: Vec<Tensor>,
    objects: BTreeMap<u64, Object>,
    arrays: &'a HashMap<String, Tensor>,
    compared: HashSet<String>,
}

impl Replay<'_> {
    fn tracker(&self) -> Tracker<'_> {
        Tracker::new(self.network, Phase::Inference)
    }

    fn image(&self, slice: usize) -> ImageEmbedding {
        self.network.encode_image(&self.images[slice])
    }

    fn check(&mut self, key: String, found: &Tensor) {
        let expected = self.arrays.get(&key).unwrap_or_else(|| panic!("no golden `{key}`"));
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
        assert!(
            worst <= TOLERANCE * largest,
            "{} {key}: worst {worst:.2e} of {largest:.2e}",
            self.network.config().name
        );
        self.compared.insert(key);
    }

    fn prompt(&mut self, key: &str, step: &Value) {
        let slice = number(step, "slice");
        let object = self.objects.entry(step["object"].as_u64().unwrap()).or_default();
        let output = if step["do"] == "mask" {
            object.points.remove(&slice);
            let mut output = self.tracker().accept_mask(&self.image(slice), &self.masks[slice]);
            let full = output.given.take().expect("a given mask is the output at full resolution");
            output.logits = full.internal_upsample_bilinear2d_aa([SIZE / 4, SIZE / 4], false, None, None);
            output
        } else {
            let all = object.points.entry(slice).or_default();
            if step["box"].is_array() {
                *all = corners(&step["box"]);
            }
            all.extend(step["points"].as_array().unwrap().iter().map(point));
            let (all, object) = (all.clone(), &self.objects[&step["object"].as_u64().unwrap()]);
            let image = self.image(slice);
            let features = match object.reached.get(&slice) {
                Some(&heading) => self.network.with_memory(&image, &[object.attending(slice, heading)]),
                None => self.network.without_memory(&image),
            };
            match object.present(slice) {
                Some(present) => self.tracker().correct(&image, &features, &[&all], &present).output,
                None => self.tracker().prompt(&image, &features, &[&all]).output,
            }
        };
        self.check(format!("{key}.logits@2"), &output.logits);
        self.check(format!("{key}.iou"), &output.iou);
        self.check(format!("{key}.object_logit"), &output.object_logit);
        self.check(format!("{key}.pointer"), &output.pointer);
        self.objects.get_mut(&step["object"].as_u64().unwrap()).unwrap().pending.insert(slice, output);
    }

    /// Memories of the slices with new prompts, then a slice after the other.
    fn propagate(&mut self, key: &str, step: &Value) {
        let (first, last) = (number(step, "first"), number(step, "last"));
        let heading = if last < first { Heading::Down } else { Heading::Up };
        let way: Vec<usize> = if last < first { (last..=first).rev().collect() } else { (first..=last).collect() };
        for (id, mut object) in std::mem::take(&mut self.objects) {
            for (slice, output) in std::mem::take(&mut object.pending) {
                let memory = self.tracker().remember(&self.image(slice), &output);
                self.check(format!("{key}.{id}.{slice}.memory"), &memory.features);
                object.tracked.remove(&slice);
                object.prompted.insert(slice, Remembered { output, memory });
            }
            for &slice in &way {
                object.reached.insert(slice, heading);
                if object.prompted.contains_key(&slice) {
                    continue;
                }
                let image = self.image(slice);
                let attending = object.attending(slice, heading);
                let inputs = DenseInputs::default();
                let output = self.tracker().track(&image, &[attending], inputs, Presence::Judged).output;
                self.check(format!("{key}.{id}.{slice}.tracked@4"), &output.logits);
                let memory = self.tracker().remember(&image, &output);
                object.tracked.insert(slice, Remembered { output, memory });
            }
            self.objects.insert(id, object);
        }
    }
}

fn number(step: &Value, name: &str) -> usize {
    step[name].as_u64().unwrap_or_else(|| panic!("a step has `{name}`")) as usize
}

fn point(value: &Value) -> Point {
    let at = |n: usize| value[n].as_f64().unwrap() as f32;
    let kind = if value[2] == 1 { PointKind::Foreground } else { PointKind::Background };
    Point { x: at(0), y: at(1), kind }
}

fn corners(value: &Value) -> Vec<Point> {
    let at = |n: usize| value[n].as_f64().unwrap() as f32;
    let corner = |n: usize, kind| Point { x: at(n), y: at(n + 1), kind };
    vec![corner(0, PointKind::BoxStart), corner(2, PointKind::BoxEnd)]
}

/// The toy network, changed as the sequence wants it: `absent` by the last bias of the object score head, `loud` by the
/// last layers of the heads that make the masks.
fn network(version: Version, sequence: &str, written: &Value) -> Sam2 {
    let config = Config::toy(version);
    let mut state = StateDict::new();
    for (key, tensor) in StateDict::pseudo_random(&config).unwrap().iter() {
        let is_object_score = key == "sam_mask_decoder.pred_obj_score_head.layers.2.bias";
        let is_mask_head = key.contains("output_hypernetworks_mlps") && key.contains("layers.2.");
        let changed = match sequence {
            "absent" if is_object_score => tensor.full_like(written["absent_bias"].as_f64().unwrap()),
            "loud" if is_mask_head => tensor * written["loud_factor"].as_f64().unwrap(),
            _ => tensor.shallow_clone(),
        };
        state.insert(key, changed).unwrap();
    }
    Sam2::load(&config, state, Device::Cpu, Precision::Fp32).unwrap()
}

/// Replays the sequences whose name `chosen` accepts on both generations of networks.
fn replay(chosen: impl Fn(&str) -> bool) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/corrections");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(format!("{root}.json")).unwrap()).unwrap();
    let sequences: Vec<_> = written["sequences"].as_object().unwrap().iter().filter(|(name, _)| chosen(name)).collect();
    assert!(!sequences.is_empty());
    no_grad(|| {
        for (version, named) in [(Version::V2_0, "2.0"), (Version::V2_1, "2.1")] {
            let arrays = Tensor::read_npz(format!("{root}_{named}.npz")).unwrap().into_iter().collect();
            for (name, steps) in &sequences {
                let network = network(version, name, &written);
                let (images, masks) = phantom(DEPTH, SIZE);
                let mut replay = Replay {
                    network: &network,
                    images,
                    masks,
                    objects: BTreeMap::new(),
                    arrays: &arrays,
                    compared: HashSet::new(),
                };
                for (number, step) in steps.as_array().unwrap().iter().enumerate() {
                    let key = format!("{name}.{number}");
                    match step["do"].as_str().unwrap() {
                        "propagate" => replay.propagate(&key, step),
                        _ => replay.prompt(&key, step),
                    }
                }
                let of_sequence = arrays.keys().filter(|key| key.starts_with(&format!("{name}.")));
                let left: Vec<_> = of_sequence.filter(|key| !replay.compared.contains(*key)).collect();
                assert!(left.is_empty(), "{version:?} {name}: not compared: {left:?}");
            }
        }
    });
}

#[test]
fn clicks_and_boxes_on_a_fresh_slice_refine_its_mask_as_the_public_predictor_does() {
    replay(|name| ["fresh", "one_call", "box", "box_and_point"].contains(&name));
}

#[test]
fn clicks_on_a_painted_slice_refine_the_painted_mask_as_the_public_predictor_does() {
    replay(|name| ["painted", "painted_over"].contains(&name));
}

#[test]
fn corrections_of_tracked_slices_use_memory_and_start_tracks_as_the_public_predictor_does() {
    replay(|name| name.starts_with("tracked") || name == "prompted_again");
}

#[test]
fn two_objects_are_corrected_independently_as_the_public_predictor_does() {
    replay(|name| name == "two_objects");
}

#[test]
fn clicks_on_a_slice_without_the_object_are_decoded_as_the_public_predictor_does() {
    replay(|name| name == "absent");
}

#[test]
fn logits_beyond_32_are_clamped_before_they_are_a_dense_prompt_as_the_public_predictor_does() {
    replay(|name| name == "loud");
}
