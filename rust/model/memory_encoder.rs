//! `memory_encoder`: a slice's features and mask become a memory. Source: `memory_encoder.py`.

use super::activation::{gelu, Activation};
use super::config::Config;
use super::layers::{parameter, Conv2d, ConvShape, LayerNorm2d};
use super::linear::{feed_forward, Linear};
use tch::nn::Path;
use tch::{Kind, Tensor};

/// `fuser.num_layers`.
const FUSER_LAYERS: i64 = 2;

/// Keys: `mask_downsampler.encoder.*`, `pix_feat_proj.*`, `fuser.layers.{i}.*`, `out_proj.*`.
#[derive(Debug)]
pub struct MemoryEncoder {
    mask_downsampler: MaskDownSampler,
    pix_feat_proj: Conv2d,
    fuser: Vec<CxBlock>,
    out_proj: Conv2d,
}

impl MemoryEncoder {
    /// The encoder for the widths of `config`.
    pub fn new(p: &Path, config: &Config) -> Self {
        let d = config.hidden_dim;
        Self {
            mask_downsampler: MaskDownSampler::new(&(p / "mask_downsampler" / "encoder"), config.feature_stride(), d),
            pix_feat_proj: Conv2d::new(&(p / "pix_feat_proj"), d, d, ConvShape::POINT),
            fuser: (0..FUSER_LAYERS).map(|i| CxBlock::new(&(p / "fuser" / "layers" / i), d)).collect(),
            out_proj: Conv2d::new(&(p / "out_proj"), d, config.mem_dim, ConvShape::POINT),
        }
    }

    /// See `Linear::prepare_for_inference`.
    pub fn prepare_for_inference(&mut self, kind: Kind) {
        for (i, block) in self.fuser.iter_mut().enumerate() {
            let kind = if i == 0 { kind } else { Kind::Float }; // `gamma` is in fp32, and so is what it multiplies
            block.pwconv1.prepare_for_inference(kind);
            block.pwconv2.prepare_for_inference(kind);
        }
    }

    /// Features [B, hidden, h, w] and scaled mask [B, 1, S, S] -> [B, mem_dim, h, w].
    pub fn forward(&self, features: &Tensor, mask: &Tensor) -> Tensor {
        let mut x = self.pix_feat_proj.forward(features) + self.mask_downsampler.forward(mask);
        for block in &self.fuser {
            x = block.forward(&x);
        }
        self.out_proj.forward(&x)
    }
}

/// Keys: `{3 i}.*` convolutions and `{3 i + 1}.*` norms of step i, the number after them (`12`) the last projection.
#[derive(Debug)]
struct MaskDownSampler {
    steps: Vec<(Conv2d, LayerNorm2d)>,
    projection: Conv2d,
}

impl MaskDownSampler {
    /// `stride`: pixels of the mask per cell of the features; each step halves height and width.
    fn new(p: &Path, stride: i64, hidden_dim: i64) -> Self {
        let channels = |step: i64| 4i64.pow(step as u32); // a quarter of the pixels, four times the channels
        let count = i64::from(stride.ilog2());
        let steps = (0..count)
            .map(|i| {
                let conv = Conv2d::new(&(p / (3 * i)), channels(i), channels(i + 1), ConvShape::HALVE);
                (conv, LayerNorm2d::new(&(p / (3 * i + 1)), channels(i + 1)))
            })
            .collect();
        Self { steps, projection: Conv2d::new(&(p / (3 * count)), channels(count), hidden_dim, ConvShape::POINT) }
    }

    /// [B, 1, S, S] -> [B, hidden, h, w]
    fn forward(&self, mask: &Tensor) -> Tensor {
        let mut x = mask.shallow_clone();
        for (conv, norm) in &self.steps {
            x = gelu(&norm.forward(&conv.forward(&x)));
        }
        self.projection.forward(&x)
    }
}

/// A ConvNeXt block. Keys: `dwconv.*`, `norm.*`, `pwconv{1,2}.*`, `gamma`.
#[derive(Debug)]
struct CxBlock {
    dwconv: Conv2d,
    norm: LayerNorm2d,
    pwconv1: Linear,
    pwconv2: Linear,
    gamma: Tensor,
}

impl CxBlock {
    fn new(p: &Path, dim: i64) -> Self {
        let depthwise = ConvShape { kernel: 7, stride: 1, padding: 3, groups: dim };
        Self {
            dwconv: Conv2d::new(&(p / "dwconv"), dim, dim, depthwise),
            norm: LayerNorm2d::new(&(p / "norm"), dim),
            pwconv1: Linear::new(&(p / "pwconv1"), dim, 4 * dim),
            pwconv2: Linear::new(&(p / "pwconv2"), 4 * dim, dim),
            gamma: parameter(p, "gamma", &[dim]),
        }
    }

    /// [B, C, H, W] -> [B, C, H, W]
    fn forward(&self, x: &Tensor) -> Tensor {
        let y = self.norm.forward(&self.dwconv.forward(x)).permute([0, 2, 3, 1]); // -> [B, H, W, C]
        let y = feed_forward([&self.pwconv1, &self.pwconv2], Activation::Gelu, &y, None) * &self.gamma;
        x + y.permute([0, 3, 1, 2])
    }
}
