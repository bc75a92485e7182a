//! `[optimizer]`: AdamW, its schedule, and the running average of the weights.

use serde::{Deserialize, Serialize};

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
