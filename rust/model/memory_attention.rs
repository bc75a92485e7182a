//! `memory_attention`: the current slice's features attend to memories. Source: `memory_attention.py`,
//! `RoPEAttention` of `sam/transformer.py`.
//!
//! Several candidates are one batch. What they share is computed once: the first layer's self-attention, and the keys
//! of the memories.

use super::activation::Activation;
use super::attention::{attention, weighted_means, Scratch};
use super::config::Config;
use super::layers::LayerNorm;
use super::linear::{feed_forward, Linear};
use super::rotary::{Positions, Rotary};
use std::ops::Range;
use tch::nn::Path;
use tch::{Device, Kind, Tensor};

/// The tokens that a slice's candidates attend to, in the number format of the computation.
#[derive(Debug)]
pub struct MemoryTokens {
    /// Memories with their encodings, and without: [B, M, mem_dim].
    keys: Tensor,
    /// Each candidate's own, [B, M', mem_dim].
    values: Vec<Tensor>,
    positions: Positions,
    /// The ranges of the tokens that each candidate attends to.
    chosen: Vec<Vec<Range<i64>>>,
    scratch: Scratch,
}

impl MemoryTokens {
    /// For this number of `queries`: `tokens` [B, M, mem_dim], their `encoding` [1, M, mem_dim] and their positions,
    /// and the ranges of tokens that each candidate attends to.
    pub fn new(
        [tokens, encoding]: [&Tensor; 2],
        positions: Positions,
        chosen: Vec<Vec<Range<i64>>>,
        queries: i64,
        kind: Kind,
    ) -> Self {
        let tokens_of = |ranges: &Vec<Range<i64>>| ranges.iter().map(|range| range.end - range.start).sum::<i64>();
        let most = chosen.iter().map(tokens_of).max().unwrap_or(1);
        let (keys, values) = ((tokens + encoding).to_kind(kind), tokens.to_kind(kind));
        Self {
            scratch: Scratch::new(queries, most, &keys),
            keys,
            values: chosen.iter().map(|ranges| select(&values, ranges)).collect(),
            positions,
            chosen,
        }
    }
}

/// Ranges of [B, M, C], concatenated; a single range is not copied.
fn select(tokens: &Tensor, ranges: &[Range<i64>]) -> Tensor {
    let parts: Vec<Tensor> =
        ranges.iter().map(|range| tokens.narrow(1, range.start, range.end - range.start)).collect();
    match &parts[..] {
        [one] => one.shallow_clone(),
        _ => Tensor::cat(&parts, 1),
    }
}

/// Keys: `layers.{i}.*`, `norm.*`.
#[derive(Debug)]
pub struct MemoryAttention {
    layers: Vec<MemoryAttentionLayer>,
    norm: LayerNorm,
    /// Not in the checkpoint.
    rotary: Rotary,
}

/// `pos_enc_at_input`: weight of the position encoding in the input (`MemoryAttention.forward`).
const INPUT_POSITION_WEIGHT: f64 = 0.1;

impl MemoryAttention {
    /// The layers for the widths of `config`.
    pub fn new(p: &Path, config: &Config) -> Self {
        let layers = (0..config.memory_attention_layers)
            .map(|i| MemoryAttentionLayer::new(&(p / "layers" / i), config))
            .collect();
        Self {
            layers,
            norm: LayerNorm::new(&(p / "norm"), config.hidden_dim, LayerNorm::EPSILON),
            rotary: Rotary::new(config.hidden_dim, config.feature_size()),
        }
    }

    /// Follows the weights to `device`.
    pub fn to_device(&mut self, device: Device) {
        self.rotary.move_to(device);
    }

    /// See `Linear::prepare_for_inference`.
    pub fn prepare_for_inference(&mut self, kind: Kind) {
        for layer in &mut self.layers {
            layer.prepare_for_inference(kind);
        }
    }

    /// Positions of tokens (none: those of the whole map), with the factors that the layers need when they compute in
    /// `kind`.
    pub fn positions(&self, indices: Option<Vec<u32>>, kind: Kind) -> Positions {
        let by_index = self.layers.iter().all(|layer| layer.is_packed());
        Positions::new(indices, (!by_index).then_some((&self.rotary, kind)))
    }

    /// The rotary encoding of the feature map.
    pub fn rotary(&self) -> &Rotary {
        &self.rotary
    }

    /// `features` and their position `encoding`, both [B, N, hidden] -> features of the K candidates, [K B, N, hidden],
    /// computed in `kind`.
    pub fn forward(&self, features: &Tensor, encoding: &Tensor, memory: &MemoryTokens, kind: Kind) -> Tensor {
        let encoding_of_queries = QueryPositions { rotary: &self.rotary, positions: &self.positions(None, kind) };
        let mut x = (features + encoding * INPUT_POSITION_WEIGHT).to_kind(kind);
        for layer in &self.layers {
            x = layer.forward(&x, memory, encoding_of_queries);
        }
        self.norm.forward(&x)
    }
}

/// The rotary encoding of the slice's own tokens.
#[derive(Debug, Clone, Copy)]
struct QueryPositions<'a> {
    rotary: &'a Rotary,
    positions: &'a Positions,
}

/// Keys: `self_attn.*`, `cross_attn_image.*`, `linear{1,2}.*`, `norm{1,2,3}.*`.
#[derive(Debug)]
struct MemoryAttentionLayer {
    self_attn: RotaryAttention,
    cross_attn_image: RotaryAttention,
    linear1: Linear,
    linear2: Linear,
    norm1: LayerNorm,
    norm2: LayerNorm,
    norm3: LayerNorm,
}

impl MemoryAttentionLayer {
    fn new(p: &Path, config: &Config) -> Self {
        let d = config.hidden_dim;
        let norm = |name: &str| LayerNorm::new(&(p / name), d, LayerNorm::EPSILON);
        Self {
            self_attn: RotaryAttention::new(&(p / "self_attn"), d, d),
            cross_attn_image: RotaryAttention::new(&(p / "cross_attn_image"), d, config.mem_dim),
            linear1: Linear::new(&(p / "linear1"), d, config.memory_attention_feedforward),
            linear2: Linear::new(&(p / "linear2"), config.memory_attention_feedforward, d),
            norm1: norm("norm1"),
            norm2: norm("norm2"),
            norm3: norm("norm3"),
        }
    }

    fn prepare_for_inference(&mut self, kind: Kind) {
        self.self_attn.prepare_for_inference(kind);
        self.cross_attn_image.prepare_for_inference(kind);
        self.linear1.prepare_for_inference(kind);
        self.linear2.prepare_for_inference(kind);
    }

    /// Whether all projections with rotary encoding are the CPU kernels'.
    fn is_packed(&self) -> bool {
        [&self.self_attn, &self.cross_attn_image]
            .iter()
            .all(|attention| attention.q_proj.is_packed() && attention.k_proj.is_packed())
    }

    /// [B, N, C], which all candidates share, or [K B, N, C] -> [K B, N, C]
    fn forward(&self, x: &Tensor, memory: &MemoryTokens, queries: QueryPositions) -> Tensor {
        let x = self.self_attn.self_attention(&self.norm1.forward(x), queries, x);
        let attended = self.cross_attn_image.cross_attention(&self.norm2.forward(&x), memory, queries);
        let (b, n, c) = x.size3().expect("features are [B, N, C]");
        let x = (attended.reshape([-1, b, n, c]) + x).flatten(0, 1);
        feed_forward([&self.linear1, &self.linear2], Activation::Relu, &self.norm3.forward(&x), Some(&x))
    }
}

/// One head. Keys: `{q,k,v,out}_proj.*`.
#[derive(Debug)]
struct RotaryAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
}

impl RotaryAttention {
    fn new(p: &Path, dim: i64, key_dim: i64) -> Self {
        Self {
            q_proj: Linear::new(&(p / "q_proj"), dim, dim),
            k_proj: Linear::new(&(p / "k_proj"), key_dim, dim),
            v_proj: Linear::new(&(p / "v_proj"), key_dim, dim),
            out_proj: Linear::new(&(p / "out_proj"), dim, dim),
        }
    }

    fn prepare_for_inference(&mut self, kind: Kind) {
        for layer in [&mut self.q_proj, &mut self.k_proj, &mut self.v_proj, &mut self.out_proj] {
            layer.prepare_for_inference(kind);
        }
    }

    /// Self-attention with a residual connection: [B, N, C] -> `residual` + output, [B, N, C].
    fn self_attention(&self, x: &Tensor, queries: QueryPositions, residual: &Tensor) -> Tensor {
        let QueryPositions { rotary, positions } = queries;
        let [q, k] = [&self.q_proj, &self.k_proj].map(|layer| layer.forward_rotary(x, rotary, positions).unsqueeze(1));
        let v = self.v_proj.forward(x).unsqueeze(1);
        self.out_proj.forward_residual(&attention(&q, &k, &v).squeeze_dim(1), residual)
    }

    /// [B, N, C], which all candidates share, or [K B, N, C] -> [K B, N, C]
    ///
    /// Softmax weights sum to one, so values may be projected after they are averaged. There are far fewer averages
    /// than values, and they have a quarter of the channels.
    fn cross_attention(&self, x: &Tensor, memory: &MemoryTokens, queries: QueryPositions) -> Tensor {
        let QueryPositions { rotary, positions } = queries;
        let q = self.q_proj.forward_rotary(x, rotary, positions);
        let k = self.k_proj.forward_rotary(&memory.keys, rotary, &memory.positions);
        let (batch, shared) = (k.size()[0], q.size()[0] == k.size()[0]);
        let candidates: Vec<[Tensor; 3]> = (memory.chosen.iter().zip(&memory.values).enumerate())
            .map(|(candidate, (ranges, values))| {
                let q = if shared { q.shallow_clone() } else { q.narrow(0, candidate as i64 * batch, batch) };
                [q, select(&k, ranges), values.shallow_clone()]
            })
            .collect();
        let averaged = weighted_means(&candidates, &memory.scratch);
        self.out_proj.forward(&self.v_proj.forward(&averaged))
    }
}
