//! How good a network is on clips that no step has seen.

use crate::error::Result;
use crate::model::Sam2;
use crate::tracking::{MaskPrior, MAX_WINDOW};
use crate::train::batch::Batch;
use crate::train::clip::{Clip, ClipOptions, ClipSource};
use crate::train::plan::ClipPlan;
use crate::train::unroll::unroll;
use crate::train::{rng, Purpose};
use ndarray::{Array3, Axis};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

/// Clips for validation have numbers from here on.
const FIRST: u64 = 1 << 40;
const BATCH: usize = 4;

/// How well clips are tracked, free running from a mask, the prompt slice left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Validation {
    /// Mean Dice.
    pub dice: f64,
    /// Share of slices whose presence is predicted right.
    pub presence: f64,
}

/// The clips that a run is validated on.
pub fn clips(source: &dyn ClipSource, options: &ClipOptions, count: usize) -> Result<Vec<Clip>> {
    (0..count as u64).map(|n| source.clip(FIRST + n, options)).collect()
}

/// What the network finds on slice `t` of a batch: masks [B, 1, S, S] of 0 and 1, empty where it takes the object for
/// absent, and presence [B].
struct Found {
    t: i64,
    masks: Tensor,
    present: Tensor,
}

/// How clips are walked, free running.
#[derive(Debug, Clone, Copy)]
pub struct ValidationSettings {
    /// The mask prior.
    pub prior: MaskPrior,
    /// The weight of what intensities say, for networks and clips that have it.
    pub intensity_weight: f64,
}

/// Walks the network along a batch.
fn find(network: &Sam2, batch: &Batch, settings: &ValidationSettings) -> Vec<Found> {
    let (b, length, side) = batch.size();
    let weights = vec![settings.intensity_weight as f32; b as usize];
    let plan = ClipPlan::inference(length as usize, MAX_WINDOW, settings.prior, weights);
    (unroll(network, batch, &plan, &mut rng(0, Purpose::Validation, 0)).into_iter())
        .map(|predicted| {
            let step = &predicted.rounds[0];
            let best = step.ious.argmax(1, true).reshape([b, 1, 1, 1]);
            let size = step.logits.size();
            let logits = step.logits.gather(1, &best.expand([b, 1, size[2], size[3]], false), false);
            let present = step.object_logit.gt(0.0).reshape([b, 1, 1, 1]).to_kind(Kind::Float);
            let full = logits.to_kind(Kind::Float).upsample_bilinear2d([side, side], false, None, None);
            Found {
                t: predicted.t,
                masks: full.gt(0.0).to_kind(Kind::Float) * &present,
                present: present.flatten(0, 3),
            }
        })
        .collect()
}

/// How well the network does on clips.
pub fn validate(network: &Sam2, clips: &[Clip], settings: &ValidationSettings, device: Device) -> Validation {
    let _guard = tch::no_grad_guard();
    let (mut dice, mut right, mut slices) = (0.0, 0.0, 0.0);
    for group in clips.chunks(BATCH) {
        let batch = Batch::new(group.to_vec(), device);
        let (b, _, _) = batch.size();
        let mut both = Tensor::zeros([b], (Kind::Float, device));
        let mut all = both.zeros_like();
        for Found { t, masks, present } in find(network, &batch, settings) {
            let truth = batch.truth(t, 1).gt(0.5).to_kind(Kind::Float);
            let sum = |x: &Tensor| x.flatten(1, 3).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
            both += sum(&(&masks * &truth)) * 2.0;
            all += sum(&masks) + sum(&truth);
            let there = truth.flatten(1, 3).amax([1i64].as_slice(), false);
            right += present.eq_tensor(&there).to_kind(Kind::Float).sum(Kind::Float).double_value(&[]);
            slices += b as f64;
        }
        // A clip whose object is on the prompt slice alone and is predicted nowhere else is right.
        let score = (&both + 1e-6) / (&all + 1e-6);
        dice += score.sum(Kind::Float).double_value(&[]);
    }
    Validation { dice: dice / clips.len().max(1) as f64, presence: right / f64::max(slices, 1.0) }
}

/// The masks that a network finds on one clip, [T, S, S]; the prompt slice's is the given one.
pub fn masks_of(network: &Sam2, clip: &Clip, settings: &ValidationSettings, device: Device) -> Array3<bool> {
    let _guard = tch::no_grad_guard();
    let batch = Batch::new(vec![clip.clone()], device);
    let mut all = clip.masks.clone();
    for found in find(network, &batch, settings) {
        let flat = found.masks.to_device(Device::Cpu).flatten(0, 3).contiguous();
        let values = Vec::<f32>::try_from(&flat).expect("a flat tensor of fp32 is a vector");
        let mut out = all.index_axis_mut(Axis(0), found.t as usize);
        out.iter_mut().zip(values).for_each(|(out, value)| *out = value > 0.5);
    }
    all
}
