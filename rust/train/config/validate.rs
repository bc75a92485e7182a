//! Refuses a configuration that cannot be trained.

use super::{network, TrainConfig};
use crate::error::{Error, Result};
use crate::model::config::SIZE_MULTIPLE;
use crate::tracking::MAX_WINDOW;

impl TrainConfig {
    pub(super) fn validate(&self) -> Result<()> {
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
pub(super) fn shares(key: &str, shares: &[f64]) -> Result<()> {
    let sum: f64 = shares.iter().sum();
    match shares.iter().any(|s| s.is_nan() || *s < 0.0) || (sum - 1.0).abs() > 1e-6 {
        true => Err(Error::invalid(format!("{key}: shares {shares:?} sum to {sum}, expected 1"))),
        false => Ok(()),
    }
}

/// Refuses what is no share.
pub(super) fn share(key: &str, share: f64) -> Result<()> {
    match (0.0..=1.0).contains(&share) {
        true => Ok(()),
        false => Err(Error::invalid(format!("{key} {share}: expected a share from 0 to 1"))),
    }
}
