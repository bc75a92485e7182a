//! Training: from scans or generated anatomy to a model file.
//!
//! In: a configuration, label maps. Out: checkpoints, a log. `phantom` and `scans` make clips (slices with one object's
//! masks), in
//! threads and each from its own number alone; `feed` makes batches of them; `plan` draws prompts, windows and priors;
//! `unroll` takes the
//! tracker's steps along them; `loss`, `optimizer` and `run` do the rest.

pub mod batch;
pub mod cases;
pub mod checkpoint;
pub mod clip;
pub mod config;
pub mod feed;
pub mod flat;
pub mod initialise;
pub mod log;
pub mod loss;
pub mod optimizer;
pub mod phantom;
pub mod pipeline;
pub mod plan;
pub mod plot;
pub mod run;
pub mod scans;
pub mod simulated_user;
pub mod sources;
pub mod stochastic_propagation;
pub mod trainer;
pub mod unroll;
pub mod validate;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The generator of everything that is drawn; the same on every machine.
pub type Rng = ChaCha8Rng;

/// What a draw is for. Each purpose and number has a stream of its own, so nothing depends on the order of threads, and
/// a run that is
/// resumed draws what it would have drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// A label map of generated anatomy.
    LabelMap = 1,
    /// A clip.
    Clip = 2,
    /// Prompts, windows and priors of a step.
    Step = 3,
    /// Validation.
    Validation = 4,
    /// Initial weights.
    Weights = 5,
    /// Which source of a mixture gives a volume.
    Source = 6,
}

/// The generator of one purpose and number of a run.
pub fn rng(seed: u64, purpose: Purpose, number: u64) -> Rng {
    let mut key = [0; 32];
    for (place, part) in [seed, purpose as u64, number].into_iter().enumerate() {
        key[place * 8..place * 8 + 8].copy_from_slice(&part.to_le_bytes());
    }
    Rng::from_seed(key)
}
