//! What a run is: every number of it, from a preset and a TOML file on top.

use crate::error::{Error, Result};
use crate::model::config::{Config, Size, Version};
use crate::session::PrecisionChoice;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

mod data;
mod loss;
mod optimizer;
mod presets;
mod prompt;
mod validate;

pub use data::{DataConfig, SourceConfig, SourceKind};
pub use loss::{LossConfig, Reduction};
pub use optimizer::OptimizerConfig;
pub use prompt::{ClickStyle, PromptConfig};

/// A training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// `toy`, `mini`, `compact` or an official network such as `sam2.1_hiera_tiny`.
    pub network: String,
    /// A model file to begin with; none: from scratch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// `fp32`, or `bf16` for image encoder and memory attention with fp32 weights, or `auto`: bf16 where the hardware multiplies it, since it is
    /// many times slower than fp32 where not.
    pub precision: PrecisionChoice,
    /// Copies of the network, each on its share of a batch in a thread of its own: on CPUs faster than threads within
    /// operations. Results
    /// depend on it.
    pub replicas: usize,
    /// `[data]`
    pub data: DataConfig,
    /// `[memory]`
    pub memory: MemoryConfig,
    /// `[prompt]`
    pub prompt: PromptConfig,
    /// `[prior]`
    pub prior: PriorConfig,
    /// `[intensity_model]`
    #[serde(default)]
    pub intensity_model: IntensityModelConfig,
    /// `[loss]`
    pub loss: LossConfig,
    /// `[optimizer]`
    pub optimizer: OptimizerConfig,
    /// `[[stages]]`, one after the other.
    pub stages: Vec<Stage>,
    /// `[log]`
    pub log: LogConfig,
}

/// When memories are augmented (section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryAugmentation {
    /// SAM 2's training: window 6, the prompt pinned.
    Off,
    /// The paper's: drawn for each sequence.
    Sequence,
    /// Drawn for each slice.
    Slice,
}

/// How memories are chosen in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryConfig {
    /// When windows and pinning are drawn.
    pub augment: MemoryAugmentation,
    /// Smallest and largest window that are drawn.
    pub windows: [usize; 2],
    /// How often the prompt is attended to from everywhere.
    pub pinned: f64,
}

/// Shares of the dense priors; beyond the paper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorConfig {
    /// Share without a prior.
    pub none: f64,
    /// Share with the previous slice's mask.
    pub previous: f64,
    /// Share with the registered one.
    pub registered: f64,
}

/// What intensities on the prompt slice say; beyond the paper.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntensityModelConfig {
    /// Fraction of the clips that have an intensity model.
    pub clip_fraction: f64,
    /// Factor on the logarithms of likelihood ratios, as inference gives them (`promem convert --intensity-weight`).
    pub weight: f64,
}

/// Which part of a slice is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// The object and its surroundings, as inference shows an object whose mask it knows.
    #[default]
    Object,
    /// Anything from the whole slice to the object alone, since a click tells no extent.
    Any,
}

/// Steps of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Optimizer steps.
    pub steps: u64,
    /// Side of the square, in pixels.
    pub image_size: i64,
    /// Slices of a clip.
    pub length: usize,
    /// Clips that go through the network together.
    pub batch: usize,
    /// Batches whose gradients are added for one step.
    pub accumulate: usize,
    /// Share of memories made of the truth, at the stage's begin and end.
    pub teacher_forcing: [f64; 2],
    /// Every prompt is a mask: a network that learns from scratch learns to remember first.
    #[serde(default)]
    pub masks_only: bool,
    /// Which part of a slice the first one shows.
    #[serde(default)]
    pub framing: Framing,
    /// Prompts of this stage, instead of `[prompt]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PromptConfig>,
}

/// How often a run reports, saves and validates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Steps between lines of the log.
    pub every: u64,
    /// Steps between checkpoints.
    pub checkpoint: u64,
    /// Steps between validations; 0: none.
    pub validate: u64,
    /// Clips of a validation.
    pub validation_clips: usize,
}

impl TrainConfig {
    /// Steps of all stages.
    pub fn steps(&self) -> u64 {
        self.stages.iter().map(|stage| stage.steps).sum()
    }

    /// The stage of a step (from 0) and how far into it the step is, 0 to 1.
    pub fn stage(&self, step: u64) -> (usize, f64) {
        let mut begin = 0;
        for (n, stage) in self.stages.iter().enumerate() {
            if step < begin + stage.steps || n + 1 == self.stages.len() {
                return (n, (step - begin) as f64 / stage.steps as f64);
            }
            begin += stage.steps;
        }
        (0, 0.0)
    }

    /// The prompts of a stage.
    pub fn prompt_of<'a>(&'a self, stage: &'a Stage) -> &'a PromptConfig {
        stage.prompt.as_ref().unwrap_or(&self.prompt)
    }

    /// The number of the first clip of a step.
    pub fn first_clip(&self, step: u64) -> u64 {
        let mut clips = 0;
        let mut left = step;
        for stage in &self.stages {
            let steps = left.min(stage.steps);
            clips += steps * (stage.batch * stage.accumulate) as u64;
            left -= steps;
        }
        clips
    }

    /// The stage that a clip belongs to.
    pub fn stage_of_clip(&self, clip: u64) -> usize {
        let mut end = 0;
        for (n, stage) in self.stages.iter().enumerate() {
            end += stage.steps * (stage.batch * stage.accumulate) as u64;
            if clip < end {
                return n;
            }
        }
        self.stages.len() - 1
    }

    /// The network that is trained, at the image size of a stage.
    pub fn network_at(&self, stage: usize) -> Result<Config> {
        network(&self.network)?.with_image_size(self.stages[stage].image_size)
    }
}

/// A network by name.
pub fn network(name: &str) -> Result<Config> {
    let official = [Version::V2_0, Version::V2_1].into_iter().flat_map(|v| Size::ALL.map(|s| Config::official(v, s)));
    let own = [Config::toy(Version::V2_1), Config::mini(), Config { name: "compact".into(), ..Config::compact() }];
    let known: Vec<Config> = own.into_iter().chain(official).collect();
    match known.iter().find(|config| config.name == name) {
        Some(_) if name == "compact" => Ok(Config::compact()),
        Some(config) => Ok(config.clone()),
        None => {
            let names: Vec<&str> = known.iter().map(|config| config.name.as_str()).collect();
            Err(Error::invalid(format!("network `{name}`: expected one of {}", names.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_stages_and_clips_count_alike() {
        let config = TrainConfig::preset("compact").unwrap();
        for step in [0, 1, config.stages[0].steps, config.steps() - 1] {
            assert_eq!(config.stage_of_clip(config.first_clip(step)), config.stage(step).0, "step {step}");
        }
        assert!(config.optimizer.rate_at(0.0) < config.optimizer.rate_at(0.1));
        assert!(
            (config.optimizer.rate_at(1.0) - config.optimizer.learning_rate * config.optimizer.final_lr_fraction).abs()
                < 1e-12
        );
    }
}
