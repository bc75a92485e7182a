//! `image_encoder.trunk`: Hiera with windowed and global attention. Source: `hieradet.py`, `backbones/utils.py`.
//!
//! Tokens are kept as [B, H, W, C].

use crate::model::activation::Activation;
use crate::model::attention::attention;
use crate::model::config::HieraConfig;
use crate::model::layers::{channels_last, parameter, Conv2d, ConvShape, LayerNorm};
use crate::model::linear::{Linear, Mlp};
use tch::nn::Path;
use tch::{Kind, Tensor};

/// Hidden width of a block's MLP, in multiples of its channels.
const MLP_RATIO: i64 = 4;
/// Pooling of the queries where a stage begins.
const Q_STRIDE: i64 = 2;
/// `PatchEmbed`: overlapping patches of 7 pixels, every 4.
const PATCH: ConvShape = ConvShape { kernel: 7, stride: 4, padding: 3, groups: 1 };

/// Keys: `patch_embed.proj.*`, `pos_embed`, `pos_embed_window`, `blocks.{i}.*`.
#[derive(Debug)]
pub struct Hiera {
    patch_embed: Conv2d,
    pos_embed: Tensor,
    pos_embed_window: Tensor,
    /// See [`Hiera::compute_position`]; kept once the weights no longer change.
    position: Option<Tensor>,
    blocks: Vec<MultiScaleBlock>,
    /// Last block of each stage.
    stage_ends: [usize; 4],
}

impl Hiera {
    /// The trunk with the blocks of `config`.
    pub fn new(p: &Path, config: &HieraConfig) -> Self {
        let mut stage_ends = [0; 4];
        let mut blocks = Vec::new();
        let (mut dim, mut heads) = (config.embed_dim, config.num_heads);
        for (stage, end) in stage_ends.iter_mut().enumerate() {
            for first in (0..config.stages[stage]).map(|i| i == 0) {
                let index = blocks.len();
                let begins = first && stage > 0;
                let dim_out = if begins { 2 * dim } else { dim };
                heads *= if begins { 2 } else { 1 };
                // A stage's first block still works in the windows of the stage before: its input has that resolution.
                let window = config.window_spec[if begins { stage - 1 } else { stage }];
                let window = (!config.global_att_blocks.contains(&(index as i64))).then_some(window);
                let shape = BlockShape { dim, dim_out, heads, window, pools: begins };
                blocks.push(MultiScaleBlock::new(&(p / "blocks" / index), shape));
                dim = dim_out;
            }
            *end = blocks.len() - 1;
        }
        let [rows, columns] = config.window_pos_embed_bkg_spatial_size;
        let window = config.window_spec[0];
        Self {
            patch_embed: Conv2d::new(&(p / "patch_embed" / "proj"), 3, config.embed_dim, PATCH),
            pos_embed: parameter(p, "pos_embed", &[1, config.embed_dim, rows, columns]),
            pos_embed_window: parameter(p, "pos_embed_window", &[1, config.embed_dim, window, window]),
            position: None,
            blocks,
            stage_ends,
        }
    }

    /// Computes what images of side `image_size` need once and for all; see [`Linear::prepare_for_inference`].
    pub fn prepare_for_inference(&mut self, image_size: i64, kind: Kind) {
        let side = image_size / PATCH.stride;
        self.position = Some(self.compute_position(side, side));
        for block in &mut self.blocks {
            block.prepare_for_inference(kind);
        }
    }

    /// [B, 3, S, S] -> stages, finest first, each [B, C, S / stride, S / stride].
    pub fn forward(&self, images: &Tensor) -> [Tensor; 4] {
        let x = self.patch_embed.forward(&channels_last(images)).permute([0, 2, 3, 1]).contiguous(); // -> [B, H, W, C]
        let (h, w) = (x.size()[1], x.size()[2]);
        let mut x = &x + self.position(h, w).to_kind(x.kind());
        let mut stages = Vec::with_capacity(4);
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x);
            if self.stage_ends.contains(&i) {
                stages.push(x.permute([0, 3, 1, 2]));
            }
        }
        stages.try_into().expect("a trunk has four stages")
    }

    /// The position embedding of every token, [1, h, w, C].
    fn position(&self, h: i64, w: i64) -> Tensor {
        match &self.position {
            Some(position) if position.size()[1..3] == [h, w] => position.shallow_clone(),
            _ => self.compute_position(h, w),
        }
    }

    /// The coarse embedding resized to the image plus the window's embedding repeated: [1, h, w, C].
    fn compute_position(&self, h: i64, w: i64) -> Tensor {
        let window = self.pos_embed_window.size()[2];
        let coarse = self.pos_embed.to_kind(Kind::Float).upsample_bicubic2d([h, w], false, None, None);
        let tiled = self.pos_embed_window.to_kind(Kind::Float).tile([1, 1, h / window, w / window]);
        (coarse + tiled).permute([0, 2, 3, 1]).contiguous()
    }
}

#[derive(Debug, Clone, Copy)]
struct BlockShape {
    dim: i64,
    dim_out: i64,
    heads: i64,
    /// `None`: attends to the whole image.
    window: Option<i64>,
    /// Max-pools its queries 2 x 2, which halves height and width.
    pools: bool,
}

/// Keys: `norm1.*`, `attn.{qkv,proj}.*`, `norm2.*`, `mlp.layers.{0,1}.*`, and `proj.*` where channels change.
#[derive(Debug)]
struct MultiScaleBlock {
    shape: BlockShape,
    norm1: LayerNorm,
    qkv: Linear,
    attn_proj: Linear,
    norm2: LayerNorm,
    mlp: Mlp,
    proj: Option<Linear>,
}

impl MultiScaleBlock {
    fn new(p: &Path, shape: BlockShape) -> Self {
        let BlockShape { dim, dim_out, .. } = shape;
        Self {
            shape,
            norm1: LayerNorm::new(&(p / "norm1"), dim, LayerNorm::EPSILON_TRUNK),
            qkv: Linear::new(&(p / "attn" / "qkv"), dim, 3 * dim_out),
            attn_proj: Linear::new(&(p / "attn" / "proj"), dim_out, dim_out),
            norm2: LayerNorm::new(&(p / "norm2"), dim_out, LayerNorm::EPSILON_TRUNK),
            mlp: Mlp::new(&(p / "mlp"), &[dim_out, MLP_RATIO * dim_out, dim_out], Activation::Gelu),
            proj: (dim != dim_out).then(|| Linear::new(&(p / "proj"), dim, dim_out)),
        }
    }

    fn prepare_for_inference(&mut self, kind: Kind) {
        for layer in [&mut self.qkv, &mut self.attn_proj].into_iter().chain(&mut self.proj) {
            layer.prepare_for_inference(kind);
        }
        self.mlp.prepare_for_inference(kind);
    }

    /// [B, H, W, dim] -> [B, H', W', dim_out]
    fn forward(&self, x: &Tensor) -> Tensor {
        let normed = self.norm1.forward(x);
        let shortcut = match &self.proj {
            Some(proj) => self.pool(&proj.forward(&normed)),
            None => x.shallow_clone(),
        };
        let attended = match self.shape.window {
            None => self.attend(&self.qkv.forward(&normed)),
            Some(window) => {
                let grid = Grid::new(&normed, window);
                // Windows are padded with zeros, whose projection is the bias: it need not be computed.
                let qkv = match grid.is_padded() {
                    false => self.qkv.forward(&grid.partition(&normed)),
                    true => grid.partition(&grid.padded(&self.qkv.forward(&normed), self.qkv.bias())),
                };
                let stride = if self.shape.pools { Q_STRIDE } else { 1 };
                grid.pooled(stride).unpartition(&self.attend(&qkv))
            }
        };
        let x = self.attn_proj.forward_residual(&attended, &shortcut);
        self.mlp.forward_residual(&self.norm2.forward(&x), &x)
    }

    /// Queries, keys and values [B, H, W, 3 C'] -> attention output [B, H', W', C'], before the output projection.
    fn attend(&self, qkv: &Tensor) -> Tensor {
        let (b, h, w, _) = qkv.size4().expect("trunk tokens are [B, H, W, C]");
        let heads = self.shape.heads;
        let mut parts = qkv.reshape([b, h * w, 3, heads, -1]).unbind(2); // three of [B, H*W, heads, d]
        let (mut h, mut w) = (h, w);
        if self.shape.pools {
            let pooled = self.pool(&parts[0].reshape([b, h, w, -1]));
            (h, w) = (pooled.size()[1], pooled.size()[2]);
            parts[0] = pooled.reshape([b, h * w, heads, -1]);
        }
        let [q, k, v] = [0, 1, 2].map(|i| parts[i].transpose(1, 2));
        attention(&q, &k, &v).transpose(1, 2).reshape([b, h, w, -1])
    }

    /// Maximum over 2 x 2 cells of [B, H, W, C], where this block pools.
    fn pool(&self, x: &Tensor) -> Tensor {
        if !self.shape.pools {
            return x.shallow_clone();
        }
        let (b, h, w, c) = x.size4().expect("trunk tokens are [B, H, W, C]");
        let greater = |x: Tensor, axis: i64| x.select(axis, 0).maximum(&x.select(axis, 1));
        let columns = greater(x.reshape([b, h, w / Q_STRIDE, Q_STRIDE, c]), 3);
        greater(columns.reshape([b, h / Q_STRIDE, Q_STRIDE, w / Q_STRIDE, c]), 2)
    }
}

/// The partition of a map into windows, padded at the bottom and right to a multiple of the window.
#[derive(Debug, Clone, Copy)]
struct Grid {
    window: i64,
    /// Rows and columns of the map.
    size: [i64; 2],
    /// Rows and columns with padding.
    whole: [i64; 2],
}

impl Grid {
    /// For maps [B, H, W, C].
    fn new(x: &Tensor, window: i64) -> Self {
        let (_, h, w, _) = x.size4().expect("trunk tokens are [B, H, W, C]");
        Self { window, size: [h, w], whole: [h, w].map(|n| (n + window - 1) / window * window) }
    }

    /// The grid after pooling by `stride`.
    fn pooled(self, stride: i64) -> Self {
        let over = |size: [i64; 2]| size.map(|n| n / stride);
        Self { window: self.window / stride, size: over(self.size), whole: over(self.whole) }
    }

    fn is_padded(&self) -> bool {
        self.size != self.whole
    }

    /// [B, H, W, C] -> [B, H', W', C], padded with `value` [C].
    fn padded(&self, x: &Tensor, value: &Tensor) -> Tensor {
        let (b, h, w, c) = x.size4().expect("trunk tokens are [B, H, W, C]");
        let value = value.to_kind(x.kind());
        let filled = |rows: i64, columns: i64| value.expand([b, rows, columns, c], false);
        let [rows, columns] = self.whole;
        let x = Tensor::cat(&[x, &filled(h, columns - w)], 2);
        Tensor::cat(&[x, filled(rows - h, columns)], 1)
    }

    /// [B, H', W', C] -> windows [B * n, window, window, C]
    fn partition(&self, x: &Tensor) -> Tensor {
        let (b, h, w, c) = x.size4().expect("trunk tokens are [B, H, W, C]");
        let n = self.window;
        x.reshape([b, h / n, n, w / n, n, c]).permute([0, 1, 3, 2, 4, 5]).reshape([-1, n, n, c])
    }

    /// Windows [B * n, window, window, C] -> [B, H, W, C] without padding.
    fn unpartition(&self, windows: &Tensor) -> Tensor {
        let (n, [rows, columns], c) = (self.window, self.whole, windows.size()[3]);
        let x = windows
            .reshape([-1, rows / n, columns / n, n, n, c])
            .permute([0, 1, 3, 2, 4, 5])
            .reshape([-1, rows, columns, c]);
        x.narrow(1, 0, self.size[0]).narrow(2, 0, self.size[1])
    }
}
