//! `[loss]`: weights and form of the losses.

use serde::{Deserialize, Serialize};

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
