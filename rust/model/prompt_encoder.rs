//! `sam_prompt_encoder`: points, boxes and masks become tokens. Source: `sam/prompt_encoder.py`.

use super::activation::gelu;
use super::config::Config;
use super::layers::{parameter, Conv2d, ConvShape, LayerNorm2d};
use tch::nn::Path;
use tch::{Kind, Tensor};

/// `mask_in_chans` of `sam2_base.py`.
const MASK_CHANNELS: i64 = 16;

/// Kinds of point tokens; the number is the label of `_embed_points`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    /// Outside the object.
    Background = 0,
    /// On the object.
    Foreground = 1,
    /// Upper left corner of a box.
    BoxStart = 2,
    /// Lower right corner of a box.
    BoxEnd = 3,
}

/// A point in network pixels; (0, 0) is the centre of the first pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Column.
    pub x: f32,
    /// Row.
    pub y: f32,
    /// What the point says.
    pub kind: PointKind,
}

/// Keys: `pe_layer.*`, `point_embeddings.{0..3}.weight`, `not_a_point_embed.weight`, `mask_downscaling.*`,
/// `no_mask_embed.weight`.
#[derive(Debug)]
pub struct PromptEncoder {
    pe_layer: RandomFrequencies,
    point_embeddings: Vec<Tensor>,
    not_a_point_embed: Tensor,
    mask_downscaling: MaskDownscaling,
    no_mask_embed: Tensor,
    image_size: i64,
    feature_size: i64,
}

impl PromptEncoder {
    /// The encoder for the image and feature sizes of `config`.
    pub fn new(p: &Path, config: &Config) -> Self {
        let d = config.hidden_dim;
        let embedding = |p: &Path| parameter(p, "weight", &[1, d]);
        Self {
            pe_layer: RandomFrequencies::new(&(p / "pe_layer"), d),
            point_embeddings: (0..4).map(|i| embedding(&(p / "point_embeddings" / i))).collect(),
            not_a_point_embed: embedding(&(p / "not_a_point_embed")),
            mask_downscaling: MaskDownscaling::new(&(p / "mask_downscaling"), d),
            no_mask_embed: embedding(&(p / "no_mask_embed")),
            image_size: config.image_size,
            feature_size: config.feature_size(),
        }
    }

    /// The position encoding of every feature cell: [1, hidden, h, w].
    pub fn dense_position(&self) -> Tensor {
        self.pe_layer.grid(self.feature_size)
    }

    /// Tokens of one prompt: [1, points + 1, hidden], the last being the empty point that SAM pads with.
    ///
    /// SAM 2 passes boxes as two points, and no prompt at all as one empty point more (`_forward_sam_heads`).
    pub fn sparse(&self, points: &[Point]) -> Tensor {
        self.sparse_batch(&[points])
    }

    /// The same for prompts of equally many points: [B, points + 1, hidden].
    pub fn sparse_batch(&self, prompts: &[&[Point]]) -> Tensor {
        let batch = prompts.len() as i64;
        let empty = self.not_a_point_embed.unsqueeze(0).expand([batch, -1, -1], false); // [B, 1, hidden]
        if prompts.iter().all(|points| points.is_empty()) {
            return Tensor::cat(&[&empty, &empty], 1);
        }
        let device = self.not_a_point_embed.device();
        let all = || prompts.iter().flat_map(|points| points.iter());
        let coordinates: Vec<f32> = all().flat_map(|p| [p.x + 0.5, p.y + 0.5]).collect();
        let coordinates = Tensor::from_slice(&coordinates).to_device(device).reshape([batch, -1, 2]);
        let position = self.pe_layer.encode(&(coordinates / self.image_size as f64));
        let kinds: Vec<&Tensor> = all().map(|p| &self.point_embeddings[p.kind as usize]).collect();
        let kinds = Tensor::cat(&kinds, 0).reshape([batch, -1, position.size()[2]]);
        Tensor::cat(&[position + kinds, empty], 1)
    }

    /// Mask logits [B, 1, m, m] -> [B, hidden, h, w]; without a mask [1, hidden, 1, 1], to be broadcast.
    pub fn dense(&self, mask: Option<&Tensor>) -> Tensor {
        match mask {
            Some(mask) => self.mask_downscaling.forward(&mask.to_kind(Kind::Float)),
            None => self.no_mask_embed.reshape([1, -1, 1, 1]),
        }
    }
}

/// `PositionEmbeddingRandom`. Key: `positional_encoding_gaussian_matrix` [2, channels / 2].
#[derive(Debug)]
struct RandomFrequencies {
    matrix: Tensor,
}

impl RandomFrequencies {
    fn new(p: &Path, channels: i64) -> Self {
        Self { matrix: parameter(p, "positional_encoding_gaussian_matrix", &[2, channels / 2]) }
    }

    /// Coordinates (x, y) in 0..1, [..., 2] -> [..., channels].
    fn encode(&self, coordinates: &Tensor) -> Tensor {
        let phase = (coordinates * 2.0 - 1.0).matmul(&self.matrix) * (2.0 * std::f64::consts::PI);
        Tensor::cat(&[phase.sin(), phase.cos()], -1)
    }

    /// The encoding of every cell of a square grid: [1, channels, side, side].
    fn grid(&self, side: i64) -> Tensor {
        let centres = (Tensor::arange(side, (Kind::Float, self.matrix.device())) + 0.5) / side as f64;
        let x = centres.unsqueeze(0).expand([side, side], false);
        let y = centres.unsqueeze(1).expand([side, side], false);
        self.encode(&Tensor::stack(&[x, y], -1)).permute([2, 0, 1]).unsqueeze(0)
    }
}

/// Keys: `0.*`, `1.*`, `3.*`, `4.*`, `6.*` (an `nn.Sequential`).
#[derive(Debug)]
struct MaskDownscaling {
    conv0: Conv2d,
    norm1: LayerNorm2d,
    conv3: Conv2d,
    norm4: LayerNorm2d,
    conv6: Conv2d,
}

impl MaskDownscaling {
    fn new(p: &Path, hidden_dim: i64) -> Self {
        let quarter = MASK_CHANNELS / 4;
        Self {
            conv0: Conv2d::new(&(p / 0), 1, quarter, ConvShape::patch(2)),
            norm1: LayerNorm2d::new(&(p / 1), quarter),
            conv3: Conv2d::new(&(p / 3), quarter, MASK_CHANNELS, ConvShape::patch(2)),
            norm4: LayerNorm2d::new(&(p / 4), MASK_CHANNELS),
            conv6: Conv2d::new(&(p / 6), MASK_CHANNELS, hidden_dim, ConvShape::POINT),
        }
    }

    fn forward(&self, mask: &Tensor) -> Tensor {
        let x = gelu(&self.norm1.forward(&self.conv0.forward(mask)));
        let x = gelu(&self.norm4.forward(&self.conv3.forward(&x)));
        self.conv6.forward(&x)
    }
}
