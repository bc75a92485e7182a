//! `sam_mask_decoder.transformer`: tokens and image attend to each other. Source: `sam/transformer.py`.

use super::activation::Activation;
use super::attention::{attention, recombine_heads, separate_heads};
use super::layers::LayerNorm;
use super::linear::{Linear, Mlp};
use tch::nn::Path;
use tch::{Kind, Tensor};

/// `_build_sam_heads`: depth, heads; and the default `attention_downsample_rate`.
const DEPTH: usize = 2;
const HEADS: i64 = 8;
const DOWNSAMPLE: i64 = 2;

/// Keys: `layers.{i}.*`, `final_attn_token_to_image.*`, `norm_final_attn.*`.
#[derive(Debug)]
pub struct TwoWayTransformer {
    layers: Vec<TwoWayAttentionBlock>,
    final_attn_token_to_image: Attention,
    norm_final_attn: LayerNorm,
}

impl TwoWayTransformer {
    /// For tokens of `dim` channels.
    pub fn new(p: &Path, dim: i64, mlp_dim: i64) -> Self {
        Self {
            layers: (0..DEPTH).map(|i| TwoWayAttentionBlock::new(&(p / "layers" / i), dim, mlp_dim)).collect(),
            final_attn_token_to_image: Attention::new(&(p / "final_attn_token_to_image"), dim, dim / DOWNSAMPLE),
            norm_final_attn: LayerNorm::new(&(p / "norm_final_attn"), dim, LayerNorm::EPSILON),
        }
    }

    /// See [`Linear::prepare_for_inference`].
    pub fn prepare_for_inference(&mut self, kind: Kind) {
        for block in &mut self.layers {
            block.prepare_for_inference(kind);
        }
        self.final_attn_token_to_image.prepare_for_inference(kind);
    }

    /// Image [B, N, C], its position [1, N, C], tokens [B, T, C] -> (tokens, image).
    pub fn forward(&self, image: &Tensor, position: &Tensor, tokens: &Tensor) -> (Tensor, Tensor) {
        let (mut queries, mut keys) = (tokens.shallow_clone(), image.shallow_clone());
        for (i, layer) in self.layers.iter().enumerate() {
            (queries, keys) = layer.forward(&queries, &keys, tokens, position, i == 0);
        }
        let attended = self.final_attn_token_to_image.forward(&(&queries + tokens), &(&keys + position), &keys);
        (self.norm_final_attn.forward(&(queries + attended)), keys)
    }
}

/// Keys: `self_attn.*`, `cross_attn_{token_to_image,image_to_token}.*`, `mlp.layers.{0,1}.*`, `norm{1..4}.*`.
#[derive(Debug)]
struct TwoWayAttentionBlock {
    self_attn: Attention,
    cross_attn_token_to_image: Attention,
    cross_attn_image_to_token: Attention,
    mlp: Mlp,
    norm1: LayerNorm,
    norm2: LayerNorm,
    norm3: LayerNorm,
    norm4: LayerNorm,
}

impl TwoWayAttentionBlock {
    fn new(p: &Path, dim: i64, mlp_dim: i64) -> Self {
        let norm = |name: &str| LayerNorm::new(&(p / name), dim, LayerNorm::EPSILON);
        let cross = |name: &str| Attention::new(&(p / name), dim, dim / DOWNSAMPLE);
        Self {
            self_attn: Attention::new(&(p / "self_attn"), dim, dim),
            cross_attn_token_to_image: cross("cross_attn_token_to_image"),
            cross_attn_image_to_token: cross("cross_attn_image_to_token"),
            mlp: Mlp::new(&(p / "mlp"), &[dim, mlp_dim, dim], Activation::Relu),
            norm1: norm("norm1"),
            norm2: norm("norm2"),
            norm3: norm("norm3"),
            norm4: norm("norm4"),
        }
    }

    fn prepare_for_inference(&mut self, kind: Kind) {
        let cross = [&mut self.cross_attn_token_to_image, &mut self.cross_attn_image_to_token];
        for attention in cross.into_iter().chain([&mut self.self_attn]) {
            attention.prepare_for_inference(kind);
        }
        self.mlp.prepare_for_inference(kind);
    }

    /// Queries are tokens [B, T, C], keys the image [B, N, C]; returns both, updated.
    ///
    /// The first block's self-attention replaces its queries and adds no position (`skip_first_layer_pe`).
    fn forward(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        token_position: &Tensor,
        image_position: &Tensor,
        first: bool,
    ) -> (Tensor, Tensor) {
        let queries = if first {
            self.self_attn.forward(queries, queries, queries)
        } else {
            let q = queries + token_position;
            queries + self.self_attn.forward(&q, &q, queries)
        };
        let queries = self.norm1.forward(&queries);

        let k = keys + image_position;
        let attended = self.cross_attn_token_to_image.forward(&(&queries + token_position), &k, keys);
        let queries = self.norm2.forward(&(queries + attended));

        let queries = self.norm3.forward(&(&queries + self.mlp.forward(&queries)));

        let attended = self.cross_attn_image_to_token.forward(&k, &(&queries + token_position), &queries);
        (queries, self.norm4.forward(&(keys + attended)))
    }
}

/// Keys: `{q,k,v}_proj.*` to `internal` channels, `out_proj.*` back.
#[derive(Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
}

impl Attention {
    fn new(p: &Path, dim: i64, internal: i64) -> Self {
        let project = |name: &str| Linear::new(&(p / name), dim, internal);
        Self {
            q_proj: project("q_proj"),
            k_proj: project("k_proj"),
            v_proj: project("v_proj"),
            out_proj: Linear::new(&(p / "out_proj"), internal, dim),
        }
    }

    fn prepare_for_inference(&mut self, kind: Kind) {
        for layer in [&mut self.q_proj, &mut self.k_proj, &mut self.v_proj, &mut self.out_proj] {
            layer.prepare_for_inference(kind);
        }
    }

    /// [B, N, C], [B, M, C], [B, M, C] -> [B, N, C]
    fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
        let q = separate_heads(&self.q_proj.forward(q), HEADS);
        let k = separate_heads(&self.k_proj.forward(k), HEADS);
        let v = separate_heads(&self.v_proj.forward(v), HEADS);
        self.out_proj.forward(&recombine_heads(&attention(&q, &k, &v)))
    }
}
