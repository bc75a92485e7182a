//! `sam_mask_decoder.refinement`: what the decoder of a small network has beyond SAM 2's. Residual convolutions draw the border at full
//! detail, a dense prompt is seen there too and not only at the features' resolution, and the object score knows what the mask looks like.

use super::layers::{Conv2d, ConvShape, ResidualBlock};
use super::mask_decoder::DecoderOutput;
use tch::nn::Path;
use tch::{Kind, Tensor};

/// Keys: `prompt{0,1}.*`, `blocks.{0,1}.*`, `object.weight` [1, 3], `prior.weight` [1, 1].
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
    /// `channels` at twice and four times the features' resolution.
    pub fn new(p: &Path, [twice, four_times]: [i64; 2]) -> Self {
        Self {
            prompt0: Conv2d::new(&(p / "prompt0"), 1, four_times, ConvShape::SAME),
            prompt1: Conv2d::new(&(p / "prompt1"), four_times, twice, ConvShape::HALVE),
            twice: ResidualBlock::new(&(p / "blocks" / 0), twice),
            four_times: ResidualBlock::new(&(p / "blocks" / 1), four_times),
            object: super::layers::parameter(&(p / "object"), "weight", &[1, 3]),
            prior: super::layers::parameter(&(p / "prior"), "weight", &[1, 1]),
        }
    }

    /// High-resolution features with a dense prompt's logits [B, 1, m, m] beside them.
    pub fn prompt(&self, prompt: Option<&Tensor>, [s0, s1]: [&Tensor; 2]) -> [Tensor; 2] {
        let Some(prompt) = prompt else { return [s0.shallow_clone(), s1.shallow_clone()] };
        let share = prompt.sigmoid() * 2.0 - 1.0;
        let p0 = self.prompt0.forward(&share.to_kind(s0.kind()));
        let p1 = self.prompt1.forward(&p0.relu());
        [s0 + p0, s1 + p1]
    }

    pub fn twice(&self, x: &Tensor) -> Tensor {
        self.twice.forward(x)
    }

    pub fn four_times(&self, x: &Tensor) -> Tensor {
        self.four_times.forward(x)
    }

    /// Mask logits [B, M, m, m] as corrections of a dense prompt's: from the first step of training on a network does no worse than its prior.
    pub fn correct(&self, prompt: Option<&Tensor>, masks: Tensor) -> Tensor {
        match prompt {
            Some(prompt) => masks + prompt.to_kind(Kind::Float) * self.prior.reshape([1, 1, 1, 1]),
            None => masks,
        }
    }

    /// Adds to the object score what the best mask shows: its highest logit, its area, and how sure it is.
    pub fn judge(&self, output: DecoderOutput) -> DecoderOutput {
        let (logits, _, _) = output.best_of_three();
        let logits = logits.flatten(1, 3);
        let share = logits.sigmoid();
        let sum = |x: &Tensor| x.sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        let (all, count) = (sum(&share), share.size()[1] as f64);
        let highest = logits.amax([1i64].as_slice(), true) / 8.0;
        let area = (&all / count + 1e-4).log() / 4.0;
        let sure = sum(&share.square()) / (all + 1e-3);
        let features = Tensor::cat(&[highest, area, sure], 1).clamp(-5.0, 5.0); // [B, 3]
        let object_logit = &output.object_logit + features.linear(&self.object, None::<&Tensor>);
        DecoderOutput { object_logit, ..output }
    }
}
