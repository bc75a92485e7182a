//! One slice after another: prompt, attend to memories, decode, remember.
//!
//! The one place that knows how these steps follow each other, used by inference (`session`: beams, scores on the host)
//! and by training
//! (`train`: batches of clips, gradients, ground truth as memory) alike.
//!
//! - `options`: what a caller may ask for, resolved against the model's own defaults;
//! - `candidates`: which memories a slice attends to, as pure functions over slice numbers;
//! - `bank`: the memories themselves, bounded;
//! - `step`: the steps, for a batch;
//! - `attended`: what a slice attended to, for corrections, and memories in another frame;
//! - `beam`: memory window search along one track;
//! - `tensors`: arrays of slices as tensors, and back.
//!
//! Knows nothing of volumes, files or users.

mod attended;
mod bank;
mod beam;
pub mod candidates;
mod options;
mod step;
pub mod tensors;

pub use attended::{reframed, AttendedBank};
pub use bank::{Bank, Entry};
pub use beam::{Beam, BestMask, CandidateScores, PriorInput, Searched, SliceContext};
pub use options::{
    CandidateRule, FieldOfView, MaskPrior, ModelDefaults, PointerRule, PromptMemory, SearchOptions, TrackingOptions,
    AGREEING_DICE, AGREEING_SLICES, MAX_BEAMS, MAX_INTENSITY_WEIGHT, MAX_POINTERS, MAX_WINDOW, SAM2_PRESENCE_THRESHOLD,
};
pub use step::{attending, dense_prior, mask_choice, Phase, SliceOutput, StepOutput, Tracker};
