//! How good a network is on clips that no step has seen.

use crate::error::Result;
use crate::memory::search::{Prior, MAX_WINDOW};
use crate::model::Sam2;
use crate::train::clip::{Clip, ClipOptions, ClipSource};
use crate::train::unroll::{unroll, Batch, Plan};
use crate::train::{rng, Purpose};
use serde::Serialize;
use tch::{Device, Kind};

/// Clips for validation have numbers from here on.
const FIRST: u64 = 1 << 40;
const BATCH: usize = 4;

/// Mean Dice beside the prompt slice, free running from a mask, and how often presence is told right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Validation {
    pub dice: f64,
    pub presence: f64,
}

/// The clips that a run is validated on.
pub fn clips(source: &dyn ClipSource, options: &ClipOptions, count: usize) -> Result<Vec<Clip>> {
    (0..count as u64).map(|n| source.clip(FIRST + n, options)).collect()
}

/// Walks the network along the clips with one window.
pub fn validate(network: &Sam2, clips: &[Clip], window: Option<usize>, prior: Prior, device: Device) -> Validation {
    let _guard = tch::no_grad_guard();
    let (mut dice, mut told, mut slices) = (0.0, 0.0, 0.0);
    for group in clips.chunks(BATCH) {
        let batch = Batch::new(group.to_vec(), device);
        let (b, length, _) = batch.size();
        let plan = Plan::inference(length as usize, window.unwrap_or(MAX_WINDOW), prior);
        let mut both = tch::Tensor::zeros([b], (Kind::Float, device));
        let mut all = both.zeros_like();
        for predicted in unroll(network, &batch, &plan, &mut rng(0, Purpose::Validation, 0)) {
            let step = &predicted.steps[0];
            let best = step.ious.argmax(1, true).reshape([b, 1, 1, 1]);
            let size = step.logits.size();
            let logits = step.logits.gather(1, &best.expand([b, 1, size[2], size[3]], false), false);
            let present = step.object_logit.gt(0.0).reshape([b, 1, 1, 1]).to_kind(Kind::Float);
            let truth = batch.truth(predicted.t, 1).gt(0.5).to_kind(Kind::Float);
            let side = truth.size()[3];
            let full = logits.to_kind(Kind::Float).upsample_bilinear2d([side, side], false, None, None);
            let mask = full.gt(0.0).to_kind(Kind::Float) * &present;
            let sum = |x: &tch::Tensor| x.flatten(1, 3).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
            both += sum(&(&mask * &truth)) * 2.0;
            all += sum(&mask) + sum(&truth);
            let there = truth.flatten(1, 3).amax([1i64].as_slice(), false);
            told += present.flatten(0, 3).eq_tensor(&there).to_kind(Kind::Float).sum(Kind::Float).double_value(&[]);
            slices += b as f64;
        }
        // A clip whose object is on the prompt slice alone and is predicted nowhere else is right.
        let score = (&both + 1e-6) / (&all + 1e-6);
        dice += score.sum(Kind::Float).double_value(&[]);
    }
    Validation { dice: dice / clips.len().max(1) as f64, presence: told / f64::max(slices, 1.0) }
}
