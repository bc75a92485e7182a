//! What is drawn for a training step before it begins: prompt, corrections, memory windows, mask prior, teacher
//! forcing.

use crate::tracking::{MaskPrior, PointerRule, PromptMemory, MAX_WINDOW};
use crate::train::config::{ClickStyle, IntensityModelConfig, MemoryAugmentation, Stage, TrainConfig};
use crate::train::Rng;
use rand::seq::IndexedRandom;
use rand::Rng as _;

/// How a prompt is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingPrompt {
    /// The true mask.
    Mask,
    /// A box around it, with noise.
    Box,
    /// A point on it.
    Point,
    /// So many points along a line in it.
    Scribble(usize),
    /// Something like the true mask, as the dense prompt of what follows: a correction, or nothing but the mask.
    RoughMask(RoughMaskUse),
}

/// What is asked for with a rough mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoughMaskUse {
    /// A better mask, without a word.
    Refined,
    /// A click corrects it.
    Corrected,
}

/// Points of a scribble: what is drawn is given as so many.
const SCRIBBLE_POINTS: std::ops::RangeInclusive<usize> = 3..=8;
/// How often a rough mask is corrected by a click at once.
const ROUGH_CORRECTED: f64 = 0.7;

/// What is drawn for the clips of a step before it begins.
#[derive(Debug, Clone)]
pub struct ClipPlan {
    /// The prompt on the first slice.
    pub prompt: TrainingPrompt,
    /// Points that correct the prompted slice, for any prompt but a mask.
    pub corrections: usize,
    /// Where points are.
    pub clicks: ClickStyle,
    /// Memory window of each slice.
    pub windows: Vec<usize>,
    /// Whether the prompted slice's memory is pinned.
    pub memory: PromptMemory,
    /// Whose object pointers are attended to.
    pub pointers: PointerRule,
    /// The mask prior.
    pub prior: MaskPrior,
    /// Slices whose memory is made of the ground truth, by clip: `[T][B]`.
    pub teacher_forced: Vec<Vec<bool>>,
    /// Weight of the intensity model, by clip; empty: no clip has one.
    pub intensity_weights: Vec<f32>,
}

impl ClipPlan {
    /// A step's draws; `forcing` is the fraction of memories made of the ground truth.
    pub fn draw(config: &TrainConfig, stage: &Stage, batch: usize, forcing: f64, rng: &mut Rng) -> Self {
        let length = stage.length;
        let given = config.prompt_of(stage);
        let prompts = [
            (TrainingPrompt::Mask, given.mask),
            (TrainingPrompt::Box, given.bounds),
            (TrainingPrompt::Point, given.point),
            (TrainingPrompt::Scribble(0), given.scribble),
            (TrainingPrompt::RoughMask(RoughMaskUse::Refined), given.rough_mask),
        ];
        let prompt = prompts.choose_weighted(rng, |p| p.1).map_or(TrainingPrompt::Mask, |p| p.0);
        let prompt = match if stage.masks_only { TrainingPrompt::Mask } else { prompt } {
            TrainingPrompt::Scribble(_) => TrainingPrompt::Scribble(rng.random_range(SCRIBBLE_POINTS)),
            TrainingPrompt::RoughMask(_) if rng.random_bool(ROUGH_CORRECTED) => {
                TrainingPrompt::RoughMask(RoughMaskUse::Corrected)
            }
            other => other,
        };
        let corrections = match prompt {
            TrainingPrompt::Mask => 0,
            _ => given.corrections,
        };
        let [low, high] = config.memory.windows;
        let shared = rng.random_range(low..=high);
        let windows = (0..length)
            .map(|_| match config.memory.augment {
                MemoryAugmentation::Off => MAX_WINDOW,
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
        let second = (rng.random_bool(given.second_slice) && length > 2).then(|| rng.random_range(1..length));
        let teacher_forced =
            (0..length).map(|t| (0..batch).map(|_| second == Some(t) || rng.random_bool(forcing)).collect()).collect();
        let IntensityModelConfig { clip_fraction, weight } = config.intensity_model;
        let intensity_weights = match clip_fraction > 0.0 {
            true => (0..batch).map(|_| if rng.random_bool(clip_fraction) { weight as f32 } else { 0.0 }).collect(),
            false => Vec::new(),
        };
        Self {
            intensity_weights,
            prompt,
            corrections,
            clicks: given.clicks,
            windows,
            memory: if pinned { PromptMemory::Pinned } else { PromptMemory::InWindow },
            pointers: PointerRule::Window,
            prior,
            teacher_forced,
        }
    }

    /// As inference propagates a given mask without search.
    pub fn inference(length: usize, window: usize, prior: MaskPrior, intensity_weights: Vec<f32>) -> Self {
        Self {
            prompt: TrainingPrompt::Mask,
            corrections: 0,
            clicks: ClickStyle::Random,
            windows: vec![window; length],
            memory: PromptMemory::InWindow,
            pointers: PointerRule::Window,
            prior,
            teacher_forced: vec![vec![]; length],
            intensity_weights,
        }
    }
}
