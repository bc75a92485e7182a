//! What a run is: every number of it, from a preset and a TOML file on top.

use crate::error::{Error, Result};
use crate::model::config::{Config, Size, Version, SIZE_MULTIPLE};
use crate::session::PrecisionChoice;
use crate::tracking::MAX_WINDOW;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

mod data;
mod prompt;

pub use data::{DataConfig, SourceConfig, SourceKind};
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

/// How losses of slices become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// SAM 2's.
    Sum,
    /// The mean over slices.
    Mean,
}

/// Weights and form of the losses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossConfig {
    /// Weight of the focal loss or cross entropy.
    pub mask: f64,
    /// Weight of the Dice loss.
    pub dice: f64,
    /// Weight of the loss of predicted IoU.
    pub iou: f64,
    /// Weight of the loss of the object score.
    pub object: f64,
    /// Alpha of the focal loss; negative: none.
    pub focal_alpha: f64,
    /// Gamma of the focal loss; 0: cross entropy.
    pub focal_gamma: f64,
    /// Weight of slices without the object in the object loss.
    pub absent_weight: f64,
    /// Pixels of the image per pixel of the loss: 1, 2 or 4.
    pub stride: i64,
    /// How slices are joined.
    pub reduction: Reduction,
}

/// AdamW and its schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Highest learning rate.
    pub learning_rate: f64,
    /// The same for the image encoder.
    pub encoder_learning_rate: f64,
    /// Factor on the rate from each block of the trunk to the one before.
    pub layer_decay: f64,
    /// Not for biases and norms.
    pub weight_decay: f64,
    /// Decay of both moments.
    pub betas: [f64; 2],
    /// AdamW's epsilon.
    pub epsilon: f64,
    /// Largest norm of the gradient.
    pub max_grad_norm: f64,
    /// Share of the steps in which the rate rises from nothing.
    pub warmup_fraction: f64,
    /// Share of the rate that is left at the end of the cosine.
    pub final_lr_fraction: f64,
    /// How much of the running average stays at each step.
    pub ema_decay: f64,
}

impl OptimizerConfig {
    /// The rate at `share` (0 to 1) of the run.
    pub fn rate_at(&self, share: f64) -> f64 {
        let rise = if self.warmup_fraction > 0.0 { (share / self.warmup_fraction).min(1.0) } else { 1.0 };
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * share.clamp(0.0, 1.0)).cos());
        self.learning_rate * rise.max(1e-3) * (self.final_lr_fraction + (1.0 - self.final_lr_fraction) * cosine)
    }
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

const PAPER: &str = include_str!("../presets/paper.toml");
const COMPACT: &str = include_str!("../presets/compact.toml");
const TOY: &str = include_str!("../presets/toy.toml");

impl TrainConfig {
    /// Names and texts of the presets.
    pub const PRESETS: [(&'static str, &'static str); 3] = [("paper", PAPER), ("compact", COMPACT), ("toy", TOY)];

    /// A preset's text.
    pub fn preset_text(name: &str) -> Result<&'static str> {
        Self::PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text).ok_or_else(|| {
            let names: Vec<&str> = Self::PRESETS.iter().map(|(name, _)| *name).collect();
            Error::invalid(format!("preset `{name}`: expected {}", names.join(", ")))
        })
    }

    /// A preset by its name.
    ///
    /// # Errors
    /// `InvalidInput` for an unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        Self::parse(Self::preset_text(name)?)
    }

    /// A whole configuration.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(explained)?;
        config.validate()?;
        Ok(config)
    }

    /// A user's file: `preset = "..."` and the keys that differ. `stages` replace the preset's as a whole.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::io(format!("cannot read the configuration `{shown}`"), e))?;
        Self::on_preset(&text).map_err(|e| e.context(format!("`{shown}`")))
    }

    fn on_preset(text: &str) -> Result<Self> {
        let mut own: toml::Table = toml::from_str(text).map_err(explained)?;
        let name = match own.remove("preset") {
            Some(toml::Value::String(name)) => name,
            Some(other) => return Err(Error::invalid(format!("preset {other}: expected a name in quotes"))),
            None => return Err(Error::invalid("no `preset`: expected one of paper, compact, toy")),
        };
        let mut whole: toml::Table = toml::from_str(Self::preset_text(&name)?).map_err(explained)?;
        merge(&mut whole, own, "")?;
        Self::parse(&toml::to_string(&whole).map_err(|e| Error::invalid(e.to_string()))?)
    }

    /// The configuration as TOML.
    pub fn text(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }

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

    fn validate(&self) -> Result<()> {
        network(&self.network)?;
        let wrong = |what: String| Err(Error::invalid(what));
        if !(1..=64).contains(&self.replicas) {
            return wrong(format!("replicas {}: expected 1 to 64", self.replicas));
        }
        if self.stages.is_empty() {
            return wrong("stages: none given, expected at least one".into());
        }
        for (n, stage) in self.stages.iter().enumerate() {
            let named = |what: &str| wrong(format!("stages[{n}]: {what}"));
            if stage.steps == 0 || stage.batch == 0 || stage.accumulate == 0 || stage.length == 0 {
                return named("expected steps, batch, accumulate and length of 1 or more");
            }
            if let Some(prompt) = &stage.prompt {
                prompt.validate(&format!("stages[{n}].prompt"))?;
            }
            if stage.length == 1 && (stage.masks_only || self.prompt_of(stage).mask > 0.0) {
                return named("length 1 with prompts that are masks, which leaves nothing to predict: expected none");
            }
            if stage.batch % self.replicas.max(1) != 0 {
                return named(&format!("batch {}: expected a multiple of the {} replicas", stage.batch, self.replicas));
            }
            if stage.image_size < SIZE_MULTIPLE || stage.image_size % SIZE_MULTIPLE != 0 {
                return named(&format!("image_size {}: expected a multiple of {SIZE_MULTIPLE}", stage.image_size));
            }
            if stage.teacher_forcing.iter().any(|f| !(0.0..=1.0).contains(f)) {
                return named(&format!("teacher_forcing {:?}: expected shares from 0 to 1", stage.teacher_forcing));
            }
        }
        let [low, high] = self.memory.windows;
        if low < 1 || low > high || high > MAX_WINDOW {
            return wrong(format!(
                "memory.windows [{low}, {high}]: expected two rising numbers from 1 to {MAX_WINDOW}"
            ));
        }
        self.data.validate()?;
        self.prompt.validate("prompt")?;
        shares("prior", &[self.prior.none, self.prior.previous, self.prior.registered])?;
        for (key, share) in [
            ("memory.pinned", self.memory.pinned),
            ("intensity_model.clip_fraction", self.intensity_model.clip_fraction),
            ("optimizer.warmup_fraction", self.optimizer.warmup_fraction),
            ("optimizer.final_lr_fraction", self.optimizer.final_lr_fraction),
            ("optimizer.ema_decay", self.optimizer.ema_decay),
            ("optimizer.betas[0]", self.optimizer.betas[0]),
            ("optimizer.betas[1]", self.optimizer.betas[1]),
        ] {
            self::share(key, share)?;
        }
        if self.intensity_model.clip_fraction > 0.0 && network(&self.network)?.intensity_channels.is_none() {
            return wrong(format!(
                "intensity_model.clip_fraction {}: the network `{}` cannot see evidence, expected 0",
                self.intensity_model.clip_fraction, self.network
            ));
        }
        if self.intensity_model.weight.is_nan() || self.intensity_model.weight < 0.0 {
            return wrong(format!("intensity_model.weight {}: expected 0 or more", self.intensity_model.weight));
        }
        if ![1, 2, 4].contains(&self.loss.stride) {
            return wrong(format!("loss.stride {}: expected 1, 2 or 4", self.loss.stride));
        }
        if !(self.optimizer.learning_rate > 0.0 && self.optimizer.max_grad_norm > 0.0 && self.optimizer.epsilon > 0.0) {
            return wrong("optimizer: expected learning_rate, max_grad_norm and epsilon above 0".into());
        }
        if self.log.every == 0 || self.log.checkpoint == 0 {
            return wrong("log: expected every and checkpoint of 1 or more".into());
        }
        Ok(())
    }
}

/// Refuses shares that do not sum to one.
fn shares(key: &str, shares: &[f64]) -> Result<()> {
    let sum: f64 = shares.iter().sum();
    match shares.iter().any(|s| s.is_nan() || *s < 0.0) || (sum - 1.0).abs() > 1e-6 {
        true => Err(Error::invalid(format!("{key}: shares {shares:?} sum to {sum}, expected 1"))),
        false => Ok(()),
    }
}

fn share(key: &str, share: f64) -> Result<()> {
    match (0.0..=1.0).contains(&share) {
        true => Ok(()),
        false => Err(Error::invalid(format!("{key} {share}: expected a share from 0 to 1"))),
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

/// Puts `own` on top of `whole`; a key that is not there is unknown.
fn merge(whole: &mut toml::Table, own: toml::Table, path: &str) -> Result<()> {
    for (key, value) in own {
        let place = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (whole.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => merge(inner, value, &place)?,
            (Some(known), value) => *known = value,
            (None, value) if place == "init" => {
                whole.insert(key, value);
            }
            (None, _) => {
                let known: Vec<&str> = whole.keys().map(String::as_str).collect();
                return Err(Error::invalid(format!("unknown key `{place}`, expected one of {}", known.join(", "))));
            }
        }
    }
    Ok(())
}

fn explained(error: toml::de::Error) -> Error {
    Error::invalid(format!("no valid configuration: {}", error.message())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_whole_and_survives_being_written() {
        for (name, _) in TrainConfig::PRESETS {
            let config = TrainConfig::preset(name).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(TrainConfig::parse(&config.text()).unwrap(), config, "{name}");
        }
    }

    #[test]
    fn the_papers_numbers_stand_in_its_preset() {
        let paper = TrainConfig::preset("paper").unwrap();
        assert_eq!((paper.steps(), paper.stages[0].image_size, paper.stages[0].length), (28_200, 512, 8));
        assert_eq!(paper.stages[0].batch * paper.stages[0].accumulate, 16);
        assert_eq!(
            (paper.optimizer.learning_rate, paper.optimizer.encoder_learning_rate, paper.optimizer.max_grad_norm),
            (5e-6, 3e-6, 0.1)
        );
        assert_eq!((paper.loss.mask, paper.loss.dice, paper.loss.iou, paper.loss.object), (20.0, 1.0, 1.0, 1.0));
    }

    #[test]
    fn a_users_file_changes_what_it_names_and_nothing_unknown() {
        let config = TrainConfig::on_preset("preset = \"toy\"\nseed = 7\n[optimizer]\nlearning_rate = 0.5\n").unwrap();
        assert_eq!((config.seed, config.optimizer.learning_rate), (7, 0.5));
        assert_eq!(config.stages, TrainConfig::preset("toy").unwrap().stages);
        for (text, expected) in [
            ("preset = \"toy\"\nsede = 7", "unknown key `sede`, expected one of"),
            ("preset = \"toy\"\n[optimizer]\nlr = 1", "unknown key `optimizer.lr`"),
            ("preset = \"toys\"", "preset `toys`: expected paper, compact, toy"),
            ("seed = 7", "no `preset`"),
            ("preset = \"toy\"\nseed = \"x\"", "invalid type"),
            ("preset = \"toy\"\nnetwork = \"huge\"", "network `huge`: expected one of toy, mini, compact"),
            ("preset = \"toy\"\n[prior]\nregistered = 0.9", "prior: shares"),
            ("preset = \"toy\"\n[memory]\nwindows = [0, 6]", "memory.windows [0, 6]"),
            ("preset = \"toy\"\n[intensity_model]\nclip_fraction = 0.5", "the network `toy` cannot see evidence"),
            ("preset = [", "no valid configuration"),
        ] {
            let error = TrainConfig::on_preset(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

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
