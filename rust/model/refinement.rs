//! `sam_mask_decoder.refinement`: what the mask decoder of a small network has beyond SAM 2's. Residual convolutions
//! refine the boundary at the resolution of the masks, a dense prompt enters there too and not only at the resolution
//! of the features, and the object score depends on the mask.

use super::layers::{parameter, Conv2d, ConvShape, ResidualBlock};
use super::outputs::DecoderOutput;
use tch::nn::Path;
use tch::{Kind, Tensor};

/// Keys: `prompt{0,1}.*`, `blocks.{0,1}.*`, `object.weight` [1, 3], `prior.weight` [1, 1]. Files keep these names;
/// `prior` is the factor of the dense prompt in [`Refinement::add_prompt`].
#[derive(Debug)]
pub struct Refinement {
    prompt0: Conv2d,
    prompt1: Conv2d,
    twice: ResidualBlock,
    four_times: ResidualBlock,
    object: Tensor,
    prior: Tensor,
}

impl Refinement {
    /// Channels at twice and four times the features' resolution.
    pub fn new(p: &Path, [twice, four_times]: [i64; 2]) -> Self {
        Self {
            prompt0: Conv2d::new(&(p / "prompt0"), 1, four_times, ConvShape::SAME),
            prompt1: Conv2d::new(&(p / "prompt1"), four_times, twice, ConvShape::HALVE),
            twice: ResidualBlock::new(&(p / "blocks" / 0), twice),
            four_times: ResidualBlock::new(&(p / "blocks" / 1), four_times),
            object: parameter(&(p / "object"), "weight", &[1, 3]),
            prior: parameter(&(p / "prior"), "weight", &[1, 1]),
        }
    }

    /// Adds features of a dense prompt, logits [B, 1, m, m], to the high-resolution features [B, channels, m, m] and
    /// [B, channels, m / 2, m / 2].
    pub fn prompted(&self, prompt: Option<&Tensor>, [s0, s1]: [&Tensor; 2]) -> [Tensor; 2] {
        let Some(prompt) = prompt else { return [s0.shallow_clone(), s1.shallow_clone()] };
        let scaled = prompt.sigmoid() * 2.0 - 1.0;
        let p0 = self.prompt0.forward(&scaled.to_kind(s0.kind()));
        let p1 = self.prompt1.forward(&p0.relu());
        [s0 + p0, s1 + p1]
    }

    /// The residual block at twice the features' resolution: [B, C, m / 2, m / 2] -> the same.
    pub fn twice(&self, x: &Tensor) -> Tensor {
        self.twice.forward(x)
    }

    /// The residual block at the masks' resolution: [B, C, m, m] -> the same.
    pub fn four_times(&self, x: &Tensor) -> Tensor {
        self.four_times.forward(x)
    }

    /// Mask logits [B, M, m, m] as residuals of a dense prompt's [B, 1, m, m], so that an untrained network already
    /// returns its prompt.
    pub fn add_prompt(&self, prompt: Option<&Tensor>, masks: Tensor) -> Tensor {
        match prompt {
            Some(prompt) => masks + prompt.to_kind(Kind::Float) * self.prior.reshape([1, 1, 1, 1]),
            None => masks,
        }
    }

    /// Adds to the object score a linear function of the best mask: its highest logit, the logarithm of its area, and
    /// its mean confidence.
    pub fn score_object(&self, output: DecoderOutput) -> DecoderOutput {
        let (logits, _, _) = output.best_of_three();
        let logits = logits.flatten(1, 3);
        let probability = logits.sigmoid();
        let sum = |x: &Tensor| x.sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        let (all, count) = (sum(&probability), probability.size()[1] as f64);
        let highest = logits.amax([1i64].as_slice(), true) / 8.0;
        let area = (&all / count + 1e-4).log() / 4.0;
        let confidence = sum(&probability.square()) / (all + 1e-3);
        let features = Tensor::cat(&[highest, area, confidence], 1).clamp(-5.0, 5.0); // [B, 3]
        let object_logit = &output.object_logit + features.linear(&self.object, None::<&Tensor>);
        DecoderOutput { object_logit, ..output }
    }
}
