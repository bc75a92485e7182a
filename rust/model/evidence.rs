//! `sam_mask_decoder.evidence`: lets the decoder of a small network see what intensities say of a slice, at each of its resolutions. Beyond SAM 2.
//!
//! Nothing in it has a bias: evidence of zero, which says nothing, is as good as none.

use super::layers::{average_pool, parameter, Conv2d, ConvShape};
use tch::nn::Path;
use tch::{Kind, Tensor};

/// Keys: `lift.weight`, `finest.weight`, `finer.weight`, `coarse.weight`, `share.weight` [1, 1].
#[derive(Debug)]
pub struct EvidenceEncoder {
    lift: Conv2d,
    finest: Conv2d,
    finer: Conv2d,
    coarse: Conv2d,
    share: Tensor,
}

/// What is added to features of the decoder: [B, channels, m, m], [B, channels, m / 2, m / 2], [B, hidden, h, w].
#[derive(Debug)]
pub struct Seen {
    pub finest: Tensor,
    pub finer: Tensor,
    pub coarse: Tensor,
}

impl EvidenceEncoder {
    /// `channels` between, and those of the decoder at twice and four times the features' resolution.
    pub fn new(p: &Path, channels: i64, hidden: i64, [twice, four_times]: [i64; 2]) -> Self {
        Self {
            lift: Conv2d::without_bias(&(p / "lift"), 1, channels, ConvShape::SAME),
            finest: Conv2d::without_bias(&(p / "finest"), channels, four_times, ConvShape::SAME),
            finer: Conv2d::without_bias(&(p / "finer"), channels, twice, ConvShape::HALVE),
            coarse: Conv2d::without_bias(&(p / "coarse"), channels, hidden, ConvShape::patch(4)),
            share: parameter(&(p / "share"), "weight", &[1, 1]),
        }
    }

    /// Evidence, logits [B, 1, m, m], for features of a kind.
    pub fn forward(&self, evidence: &Tensor, kind: Kind) -> Seen {
        let lifted = self.lift.forward(&evidence.to_kind(kind)).relu();
        Seen {
            finest: self.finest.forward(&lifted),
            finer: self.finer.forward(&lifted),
            coarse: self.coarse.forward(&lifted),
        }
    }

    /// The share of evidence that mask logits begin with: [B, 1, m, m].
    pub fn shared(&self, evidence: &Tensor) -> Tensor {
        evidence.to_kind(Kind::Float) * self.share.reshape([1, 1, 1, 1])
    }
}

/// Evidence of pixels as that of mask cells, a little smoothed: [B, T, S, S] -> [B, T, m, m].
pub fn at_mask_resolution(evidence: &Tensor, mask_stride: i64) -> Tensor {
    smoothed(&average_pool(evidence, mask_stride))
}

/// Means of 3 x 3 neighbours, at the border of those that are there.
fn smoothed(x: &Tensor) -> Tensor {
    x.avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None::<i64>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Config;
    use crate::model::{DenseInputs, Precision, Sam2};
    use tch::Device;

    const FLOATS: (Kind, Device) = (Kind::Float, Device::Cpu);

    #[test]
    fn smoothing_keeps_the_mean_at_the_border() {
        let ones = Tensor::ones([1, 1, 5, 5], FLOATS);
        assert_eq!((smoothed(&ones) - ones).abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn evidence_that_says_nothing_is_as_good_as_none_and_other_moves_the_mask_its_way() {
        let _guard = tch::no_grad_guard();
        for config in [Config::compact(), Config::mini()] {
            let network = Sam2::pseudo_random(&config, Device::Cpu, Precision::Fp32);
            let side = config.image_size;
            let image = network
                .encode_image(&(Tensor::arange(3 * side * side, FLOATS) * 0.01).sin().reshape([1, 3, side, side]));
            let decode = |evidence: Option<f64>| {
                let m = config.mask_size();
                let evidence = evidence.map(|value| Tensor::full([1, 1, m, m], value, FLOATS));
                let hints = DenseInputs { mask: None, evidence: evidence.as_ref() };
                network.decode_all(&image, &image.features, &network.prompt_encoder().sparse(&[]), hints).masks
            };
            let (none, zero, other) = (decode(None), decode(Some(0.0)), decode(Some(2.0)));
            assert!(none.equal(&zero), "{}", config.name);
            assert!((other - none).abs().mean(Kind::Float).double_value(&[]) > 0.1, "{}", config.name);
        }
    }
}
