//! The network along a batch of clips, as inference walks: prompt, memories, slice after slice.
//!
//! Which memories a slice attends to is chosen by the same functions as at inference (`memory::search`).

use crate::geometry::SliceIndex;
use crate::memory::search::{self, MaskPrior, Pointers, PromptMemory};
use crate::model::config::{PIXEL_MEAN, PIXEL_STD};
use crate::model::mask_decoder::DecoderOutput;
use crate::model::prompt_encoder::{Point, PointKind};
use crate::model::{at_mask_resolution, average_pool, Attended, Attending, DenseInputs, ImageEmbedding, Memory, Sam2};
use crate::train::batch::{masks_in, Batch};
use crate::train::config::{IntensityModelConfig, MemoryAugmentation, Stage, TrainConfig};
use crate::train::loss::Prediction;
use crate::train::Rng;
use ndarray::ArrayView2;
use rand::seq::IndexedRandom;
use rand::Rng as _;
use tch::{Kind, Tensor};

/// How a prompt is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptKind {
    Mask,
    Box,
    Point,
}

/// What is drawn for a step before it begins.
#[derive(Debug, Clone)]
pub struct Plan {
    pub prompt: PromptKind,
    /// Points that correct the prompted slice, for boxes and points.
    pub corrections: usize,
    /// Memory window of each slice.
    pub windows: Vec<usize>,
    pub memory: PromptMemory,
    pub pointers: Pointers,
    pub prior: MaskPrior,
    /// Slices whose memory is made of the truth, by clip: [T][B].
    pub told: Vec<Vec<bool>>,
    /// The weight of what intensities say, by clip; none: nobody is told.
    pub evidence: Vec<f32>,
}

impl Plan {
    /// A step's draws; `forcing` is the share of memories made of the truth.
    pub fn draw(config: &TrainConfig, stage: &Stage, batch: usize, forcing: f64, rng: &mut Rng) -> Self {
        let length = stage.length;
        let prompts = [
            (PromptKind::Mask, config.prompt.mask),
            (PromptKind::Box, config.prompt.bounds),
            (PromptKind::Point, config.prompt.point),
        ];
        let prompt = prompts.choose_weighted(rng, |p| p.1).map_or(PromptKind::Mask, |p| p.0);
        let prompt = if stage.masks_only { PromptKind::Mask } else { prompt };
        let corrections = match prompt {
            PromptKind::Mask => 0,
            _ => config.prompt.corrections,
        };
        let [low, high] = config.memory.windows;
        let shared = rng.random_range(low..=high);
        let windows = (0..length)
            .map(|_| match config.memory.augment {
                MemoryAugmentation::Off => search::MAX_WINDOW,
                MemoryAugmentation::Sequence => shared,
                MemoryAugmentation::Slice => rng.random_range(low..=high),
            })
            .collect();
        let pinned = match config.memory.augment {
            MemoryAugmentation::Off => true,
            _ => rng.random_bool(config.memory.pinned),
        };
        let priors = [
            (MaskPrior::None, config.prior.none),
            (MaskPrior::Previous, config.prior.previous),
            (MaskPrior::Registered, config.prior.registered),
        ];
        let prior = priors.choose_weighted(rng, |p| p.1).map_or(MaskPrior::None, |p| p.0);
        // A second prompted slice: its memory is made of what the user gave.
        let second = (rng.random_bool(config.prompt.second_slice) && length > 2).then(|| rng.random_range(1..length));
        let told =
            (0..length).map(|t| (0..batch).map(|_| second == Some(t) || rng.random_bool(forcing)).collect()).collect();
        let IntensityModelConfig { clip_fraction: share, weight } = config.intensity_model;
        let evidence = match share > 0.0 {
            true => (0..batch).map(|_| if rng.random_bool(share) { weight as f32 } else { 0.0 }).collect(),
            false => Vec::new(),
        };
        Self {
            evidence,
            prompt,
            corrections,
            windows,
            memory: if pinned { PromptMemory::Pinned } else { PromptMemory::InWindow },
            pointers: Pointers::Window,
            prior,
            told,
        }
    }

    /// As inference does without search.
    pub fn inference(length: usize, window: usize, prior: MaskPrior, evidence: Vec<f32>) -> Self {
        Self {
            prompt: PromptKind::Mask,
            corrections: 0,
            windows: vec![window; length],
            memory: PromptMemory::InWindow,
            pointers: Pointers::Window,
            prior,
            told: vec![vec![]; length],
            evidence,
        }
    }
}

/// Predictions of slice `t`: one, or on a prompted slice one for each correction.
pub struct Predicted {
    pub t: i64,
    pub steps: Vec<Prediction>,
}

/// Logits of a given mask: 10 inside, -10 outside.
fn given(mask: &Tensor) -> Tensor {
    mask * 20.0 - 10.0
}

/// Walks the network along a batch. Nothing is predicted on a slice whose mask is given.
pub fn unroll(network: &Sam2, batch: &Batch, plan: &Plan, rng: &mut Rng) -> Vec<Predicted> {
    let (b, length, side) = batch.size();
    let device = network.device();
    let images = embed(network, batch);
    let slices: Vec<SliceIndex> = (0..length as usize).map(SliceIndex).collect();
    let mut predicted = Vec::new();
    let stride = network.config().mask_stride();

    let (start, first, evidence) = match plan.prompt {
        PromptKind::Mask => {
            let mask = batch.mask(0);
            let none = network.prompt_encoder().sparse(&[]);
            let prompt = network.given_mask_prompt(&mask);
            let hints = DenseInputs { dense_prompt: Some(&prompt), log_likelihood_ratio: None };
            let output = network.decode_all(&images[0], &images[0].features, &none, hints);
            let present = Tensor::ones([b, 1], (Kind::Float, device));
            let pointer = network.pointers(&output.tokens.select(1, 0), &present);
            let features = network.memory_features(&images[0], &given(&mask), &present);
            (
                Memory::new(features, pointer),
                given(&average_pool(&mask, stride)),
                batch.evidence.as_ref().map(Tensor::shallow_clone),
            )
        }
        PromptKind::Box | PromptKind::Point => {
            let (steps, memory, logits) = interact(network, batch, &images[0], plan, rng);
            predicted.push(Predicted { t: 0, steps });
            let evidence = batch.evidence.is_some().then(|| batch.evidence_of(&network.full_resolution(&logits)));
            (memory, logits, evidence)
        }
    };
    let evidence = evidence.filter(|_| !plan.evidence.is_empty()).map(|evidence| {
        let weights = Tensor::from_slice(&plan.evidence).to_device(device).reshape([-1, 1, 1, 1]);
        at_mask_resolution(&evidence, stride) * weights // [B, T, m, m]
    });
    let mut memories = vec![start];
    let mut previous = first;
    for t in 1..length as usize {
        let image = &images[t];
        let bank = &slices[..t];
        let chosen = search::attended(bank, plan.windows[t], slices[t], plan.memory);
        let attended: Vec<Attended> =
            chosen.iter().map(|c| Attended { memory: &memories[c.entry], slot: c.slot as i64 }).collect();
        let (entries, span) = search::pointers(bank, &chosen, slices[t], length as usize, plan.pointers);
        let pointers: Vec<(&Memory, usize)> = entries.iter().map(|&e| (&memories[e], t - e)).collect();
        let attending = Attending { memories: attended, pointers, pointer_span: span };
        let features = network.with_memory(image, &[attending]);
        let prior = match (plan.prior, &batch.flow) {
            (MaskPrior::None, _) | (MaskPrior::Registered, None) => None,
            (MaskPrior::Previous, _) => Some(Sam2::prior(&previous)),
            (MaskPrior::Registered, Some(flow)) => {
                Some(Sam2::warped(&Sam2::prior(&previous), &flow.select(1, t as i64)))
            }
        };
        let evidence = evidence.as_ref().map(|evidence| evidence.narrow(1, t as i64, 1));
        let hints = DenseInputs { dense_prompt: prior.as_ref(), log_likelihood_ratio: evidence.as_ref() };
        let output = network.decode_propagated(image, &features, hints);
        let told = plan.told[t].iter().any(|&told| told).then(|| {
            let told: Vec<f32> = plan.told[t].iter().map(|&told| f32::from(told)).collect();
            Tensor::from_slice(&told).to_device(device).reshape([-1, 1])
        });
        let (memory, logits) = remember(network, image, &output, batch.mask(t as i64), told, side);
        memories.push(memory);
        previous = logits;
        predicted.push(Predicted { t: t as i64, steps: vec![prediction(output, 1)] });
    }
    predicted
}

/// The masks that count: `first` is 0 for the unambiguous one alone, 1 for the three others.
fn prediction(output: DecoderOutput, first: i64) -> Prediction {
    let count = if first == 0 { 1 } else { output.ious.size()[1] - 1 };
    Prediction {
        logits: output.masks.narrow(1, first, count),
        ious: output.ious.narrow(1, first, count),
        object_logit: output.object_logit,
    }
}

/// One embedding a slice; all are computed together.
fn embed(network: &Sam2, batch: &Batch) -> Vec<ImageEmbedding> {
    let (b, length, side) = batch.size();
    let channel = |values: &[f32; 3]| Tensor::from_slice(values).to_device(network.device()).reshape([1, 3, 1, 1]);
    let grey = batch.images.reshape([b * length, 1, side, side]);
    let all = network.encode_image(&((grey - channel(&PIXEL_MEAN)) / channel(&PIXEL_STD)));
    let slice = |x: &Tensor, t: i64| {
        let size = x.size();
        x.reshape([b, length, size[1], size[2], size[3]]).select(1, t)
    };
    (0..length)
        .map(|t| ImageEmbedding {
            features: slice(&all.features, t),
            high_resolution: all.high_resolution.each_ref().map(|x| slice(x, t)),
        })
        .collect()
}

/// The memory of a propagated slice, and the logits [B, 1, m, m] it was made of. Where `told` is 1 the truth stands for both.
fn remember(
    network: &Sam2,
    image: &ImageEmbedding,
    output: &DecoderOutput,
    truth: Tensor,
    told: Option<Tensor>,
    side: i64,
) -> (Memory, Tensor) {
    let (logits, _, token) = output.best_of_three();
    let mut present = output.object_logit.gt(0.0).to_kind(Kind::Float);
    let at = |x: &Tensor| x.reshape([-1, 1, 1, 1]);
    let mut logits = logits.detach().to_kind(Kind::Float);
    logits = &logits * at(&present) - (1.0 - at(&present)) * 1024.0;
    let mut full = logits.upsample_bilinear2d([side, side], false, None, None);
    if let Some(told) = told {
        let there = truth.flatten(1, 3).amax([1i64].as_slice(), true);
        present = &told * there + (1.0 - &told) * present;
        full = at(&told) * given(&truth) + (1.0 - at(&told)) * full;
        let coarse = average_pool(&truth, network.config().mask_stride());
        logits = at(&told) * given(&coarse) + (1.0 - at(&told)) * logits;
    }
    let pointer = network.pointers(&token, &present);
    let features = network.memory_features(image, &full, &present);
    (Memory::new(features, pointer), logits)
}

/// A box or a point and points that correct it: predictions of all steps, the memory and the logits of the last.
fn interact(
    network: &Sam2,
    batch: &Batch,
    image: &ImageEmbedding,
    plan: &Plan,
    rng: &mut Rng,
) -> (Vec<Prediction>, Memory, Tensor) {
    let (b, _, side) = batch.size();
    let truths: Vec<ArrayView2<bool>> =
        batch.clips.iter().map(|clip| clip.masks.index_axis(ndarray::Axis(0), 0)).collect();
    let mut points: Vec<Vec<Point>> = (truths.iter())
        .map(|truth| match plan.prompt {
            PromptKind::Box => noisy_box(truth, rng),
            _ => pick(truth, PointKind::Foreground, rng).into_iter().collect(),
        })
        .collect();
    let features = network.without_memory(image);
    let mut steps = Vec::new();
    let mut mask: Option<Tensor> = None;
    loop {
        let prompts: Vec<&[Point]> = points.iter().map(Vec::as_slice).collect();
        let sparse = network.prompt_encoder().sparse_batch(&prompts);
        let hints = DenseInputs { dense_prompt: mask.as_ref(), log_likelihood_ratio: None };
        let output = network.decode_all(image, &features, &sparse, hints);
        let single = points[0].len() > 1;
        let (logits, _, token) = if single { output.first() } else { output.best_of_three() };
        let (logits, token) = (logits.to_kind(Kind::Float), token.shallow_clone());
        let present = output.object_logit.gt(0.0).to_kind(Kind::Float);
        steps.push(prediction(output, if single { 0 } else { 1 }));
        let full = logits.detach().upsample_bilinear2d([side, side], false, None, None);
        if steps.len() > plan.corrections {
            let pointer = network.pointers(&token, &present);
            let features = network.memory_features(image, &full, &present);
            return (steps, Memory::new(features, pointer), logits.detach());
        }
        for (found, (points, truth)) in masks_in(&full).outer_iter().zip(points.iter_mut().zip(&truths)) {
            points.push(correction(&found, truth, rng));
        }
        debug_assert_eq!(points.len(), b as usize);
        mask = Some(Sam2::prior(&logits.detach()));
    }
}

/// A random pixel of a mask.
fn pick(mask: &ArrayView2<bool>, kind: PointKind, rng: &mut Rng) -> Option<Point> {
    let inside: Vec<(usize, usize)> = mask.indexed_iter().filter(|(_, &v)| v).map(|(at, _)| at).collect();
    inside.choose(rng).map(|&(row, column)| Point { x: column as f32, y: row as f32, kind })
}

/// A pixel where prediction and truth differ, or of the background where they do not (`sample_random_points_from_errors`).
fn correction(found: &ArrayView2<bool>, truth: &ArrayView2<bool>, rng: &mut Rng) -> Point {
    let wrong: Vec<((usize, usize), bool)> = (truth.indexed_iter().zip(found))
        .filter(|((_, truth), found)| truth != found)
        .map(|((at, &truth), _)| (at, truth))
        .collect();
    match wrong.choose(rng) {
        Some(&((row, column), missing)) => {
            let kind = if missing { PointKind::Foreground } else { PointKind::Background };
            Point { x: column as f32, y: row as f32, kind }
        }
        None => {
            let outside = truth.mapv(|v| !v);
            pick(&outside.view(), PointKind::Background, rng).unwrap_or(Point {
                x: 0.0,
                y: 0.0,
                kind: PointKind::Foreground,
            })
        }
    }
}

/// The mask's box, each edge moved by a tenth of the shorter side at most, 20 pixels at most (`sample_box_points`).
fn noisy_box(mask: &ArrayView2<bool>, rng: &mut Rng) -> Vec<Point> {
    let (mut low, mut high) = ([f32::MAX; 2], [0f32; 2]);
    for ((row, column), _) in mask.indexed_iter().filter(|(_, &inside)| inside) {
        low = [low[0].min(row as f32), low[1].min(column as f32)];
        high = [high[0].max(row as f32), high[1].max(column as f32)];
    }
    let most = (0.1 * (high[0] - low[0]).min(high[1] - low[1])).clamp(0.0, 20.0);
    let last = [mask.nrows() as f32 - 1.0, mask.ncols() as f32 - 1.0];
    let mut moved = |at: f32, last: f32| (at + rng.random_range(-1.0..1.0) * most).clamp(0.0, last);
    let [y0, x0] = [moved(low[0], last[0]), moved(low[1], last[1])];
    let [y1, x1] = [moved(high[0], last[0]), moved(high[1], last[1])];
    vec![Point { x: x0, y: y0, kind: PointKind::BoxStart }, Point { x: x1, y: y1, kind: PointKind::BoxEnd }]
}
