//! The losses of SAM 2's training: focal, dice, predicted IoU, object score. Source: `loss_fns.py` of the public
//! training code, as its
//! configuration sets it (`MultiStepMultiMasksAndIous`). Golden values: `tests/golden/losses.py`.

use crate::train::config::LossConfig;
use tch::{Kind, Reduction, Tensor};

/// The supervised masks and scores of one slice or one correction round, for a batch.
#[derive(Debug)]
pub struct Prediction {
    /// Mask logits [B, M, s, s].
    pub logits: Tensor,
    /// Predicted IoU [B, M].
    pub ious: Tensor,
    /// [B, 1]
    pub object_logit: Tensor,
}

/// A loss, and what is logged of it. All are scalars where the logits are: reading one waits for the device.
#[derive(Debug)]
pub struct Losses {
    /// The weighted sum.
    pub total: Tensor,
    /// Focal loss or cross entropy of the mask.
    pub focal: Tensor,
    /// Dice loss.
    pub dice: Tensor,
    /// Loss of the predicted IoU.
    pub iou: Tensor,
    /// Loss of the object score.
    pub object: Tensor,
    /// Sum of the IoU of the chosen masks over slices where the object is, and how many there are.
    pub best_iou: [Tensor; 2],
    /// Fraction of slices whose object score has the right sign.
    pub presence_right: Tensor,
}

/// Binary cross entropy that weights easy pixels down, mean over pixels: [B, M, P] -> [B, M] (`sigmoid_focal_loss`).
pub fn focal(logits: &Tensor, truth: &Tensor, alpha: f64, gamma: f64) -> Tensor {
    let probability = logits.sigmoid();
    let cross_entropy = logits.binary_cross_entropy_with_logits::<Tensor>(truth, None, None, Reduction::None);
    let right = &probability * truth + (1.0 - &probability) * (1.0 - truth);
    let missing: Tensor = 1.0 - right;
    let mut loss = cross_entropy * missing.pow_tensor_scalar(gamma);
    if alpha >= 0.0 {
        loss *= truth * alpha + (1.0 - truth) * (1.0 - alpha);
    }
    loss.mean_dim([-1i64].as_slice(), false, Kind::Float)
}

/// 1 - Dice of the probabilities, one added above and below: [B, M, P] -> [B, M] (`dice_loss`).
pub fn dice(logits: &Tensor, truth: &Tensor) -> Tensor {
    let probability = logits.sigmoid();
    let sum = |x: Tensor| x.sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
    let both = sum(&probability * truth) * 2.0;
    1.0 - (both + 1.0) / (sum(probability) + sum(truth.shallow_clone()) + 1.0)
}

/// The IoU that masks have: [B, M, P] -> [B, M].
pub fn actual_iou(logits: &Tensor, truth: &Tensor) -> Tensor {
    let (mask, truth) = (logits.gt(0.0), truth.gt(0.5));
    let count = |x: Tensor| x.sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
    count(mask.logical_and(&truth)) / count(mask.logical_or(&truth)).clamp_min(1.0)
}

/// The loss of one prediction: `truth` [B, 1, s, s] in 0..1 at the logits' resolution.
///
/// Only the mask of the smallest mask loss learns from it, all masks learn their IoU, and no mask is supervised where
/// the object is
/// absent.
pub fn slice_loss(prediction: &Prediction, truth: &Tensor, config: &LossConfig) -> Losses {
    let logits = prediction.logits.to_kind(Kind::Float).flatten(2, 3);
    let batch = logits.size()[0] as f64;
    let truth = truth.flatten(2, 3).expand_as(&logits);
    let present = truth.narrow(1, 0, 1).amax([-1i64].as_slice(), false).gt(0.0).to_kind(Kind::Float); // [B, 1]
    let focal = focal(&logits, &truth, config.focal_alpha, config.focal_gamma);
    let dice = dice(&logits, &truth);
    let actual = actual_iou(&logits, &truth);
    let mask_loss = &focal * config.mask + &dice * config.dice;
    let best = mask_loss.argmin(1, true); // [B, 1]
    let of_best = |x: &Tensor| (x.gather(1, &best, false) * &present).sum(Kind::Float) / batch;
    let (focal, dice) = (of_best(&focal), of_best(&dice));
    let iou = (prediction.ious.to_kind(Kind::Float) - &actual).abs().mean_dim([1i64].as_slice(), true, Kind::Float);
    let iou = (iou * &present).sum(Kind::Float) / batch;
    let object_logit = prediction.object_logit.to_kind(Kind::Float);
    let absent: Tensor = 1.0 - &present;
    let weights: Tensor = &present + absent * config.absent_weight;
    let object = object_logit.binary_cross_entropy_with_logits::<Tensor>(&present, None, None, Reduction::None);
    let object: Tensor = (object * weights).sum(Kind::Float) / batch;
    let total = &focal * config.mask + &dice * config.dice + &iou * config.iou + &object * config.object;
    let best_iou = (actual.gather(1, &best, false) * &present).sum(Kind::Float);
    let presence_right =
        object_logit.gt(0.0).to_kind(Kind::Float).eq_tensor(&present).to_kind(Kind::Float).mean(Kind::Float);
    Losses { total, focal, dice, iou, object, best_iou: [best_iou, present.sum(Kind::Float)], presence_right }
}
