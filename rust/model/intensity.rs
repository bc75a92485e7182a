//! `sam_mask_decoder.evidence`: the mask decoder of a small network sees the log-likelihood ratio of the intensity
//! model at each of its resolutions. Beyond SAM 2.
//!
//! No convolution has a bias: a ratio of zero everywhere, which says nothing, is the same as no ratio.

use super::layers::{average_pool, parameter, Conv2d, ConvShape};
use tch::nn::Path;
use tch::{Kind, Tensor};

/// Keys: `lift.weight`, `finest.weight`, `finer.weight`, `coarse.weight`, `share.weight` [1, 1].
///
/// In files the path of this module is `evidence`, its first name, and `share` is the factor of the log-likelihood
/// ratio in the masks; weights files keep both names.
#[derive(Debug)]
pub struct IntensityEncoder {
    lift: Conv2d,
    finest: Conv2d,
    finer: Conv2d,
    coarse: Conv2d,
    share: Tensor,
}

/// Features of the log-likelihood ratio, which are added to the decoder's.
#[derive(Debug)]
pub struct IntensityFeatures {
    /// [B, channels, m, m]
    pub finest: Tensor,
    /// [B, channels, m / 2, m / 2]
    pub finer: Tensor,
    /// [B, hidden, h, w]
    pub coarse: Tensor,
}

impl IntensityEncoder {
    /// `channels` of the hidden layer, and the decoder's channels: `hidden` at the features' resolution, and at twice
    /// and four times that.
    pub fn new(p: &Path, channels: i64, hidden: i64, [twice, four_times]: [i64; 2]) -> Self {
        Self {
            lift: Conv2d::without_bias(&(p / "lift"), 1, channels, ConvShape::SAME),
            finest: Conv2d::without_bias(&(p / "finest"), channels, four_times, ConvShape::SAME),
            finer: Conv2d::without_bias(&(p / "finer"), channels, twice, ConvShape::HALVE),
            coarse: Conv2d::without_bias(&(p / "coarse"), channels, hidden, ConvShape::patch(4)),
            share: parameter(&(p / "share"), "weight", &[1, 1]),
        }
    }

    /// Log-likelihood ratio [B, 1, m, m] -> features, computed in `kind`.
    pub fn forward(&self, log_likelihood_ratio: &Tensor, kind: Kind) -> IntensityFeatures {
        let lifted = self.lift.forward(&log_likelihood_ratio.to_kind(kind)).relu();
        IntensityFeatures {
            finest: self.finest.forward(&lifted),
            finer: self.finer.forward(&lifted),
            coarse: self.coarse.forward(&lifted),
        }
    }

    /// The term that the log-likelihood ratio adds to mask logits: [B, 1, m, m] -> [B, 1, m, m], in fp32.
    pub fn mask_term(&self, log_likelihood_ratio: &Tensor) -> Tensor {
        log_likelihood_ratio.to_kind(Kind::Float) * self.share.reshape([1, 1, 1, 1])
    }
}

/// A log-likelihood ratio of pixels at the resolution of mask logits, slightly smoothed: [B, T, S, S] -> [B, T, m, m].
pub fn at_mask_resolution(log_likelihood_ratio: &Tensor, mask_stride: i64) -> Tensor {
    smoothed(&average_pool(log_likelihood_ratio, mask_stride))
}

/// 3 x 3 box filter; at the border the mean of the neighbours that exist.
fn smoothed(x: &Tensor) -> Tensor {
    x.avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None::<i64>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn smoothing_keeps_the_mean_at_the_border() {
        let ones = Tensor::ones([1, 1, 5, 5], (Kind::Float, Device::Cpu));
        assert_eq!((smoothed(&ones) - ones).abs().max().double_value(&[]), 0.0);
    }
}
