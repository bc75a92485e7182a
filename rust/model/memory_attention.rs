//! `memory_attention`: the current slice's features attend to memories. Source: `memory_attention.py`,
//! `RoPEAttention` of `sam/transformer.py`.
//!
//! Several candidates are one batch, and what they share is computed once: the first layer's attention of the slice to itself, and the keys of
//! what they attend to.

use super::config::Config;
use super::layers::{attention, weighted_mean, LayerNorm, Linear, Scratch};
use super::position::{axial_rotation, real_parts_first, rotate, turns};
use std::ops::Range;
use tch::nn::Path;
use tch::{Device, Kind, Tensor};

/// What a slice's candidates attend to, in the number format of the computation.
#[derive(Debug)]
pub struct MemoryTokens {
    /// Memories with their encodings, and without: [B, M, mem_dim].
    keys: Tensor,
    /// Each candidate's own, [B, M', mem_dim].
    values: Vec<Tensor>,
    /// How the keys are turned to their places, [2, M, d].
    turns: Tensor,
    /// The stretches of the tokens that each candidate attends to.
    chosen: Vec<Vec<Range<i64>>>,
    scratch: Scratch,
}

impl MemoryTokens {
    /// For so many `queries`: `tokens` [B, M, mem_dim], their `encoding` [1, M, mem_dim], the `turns` to their places [2, M, d], and the
    /// stretches of tokens that each candidate attends to.
    pub fn new(
        [tokens, encoding, turns]: [&Tensor; 3],
        chosen: Vec<Vec<Range<i64>>>,
        queries: i64,
        kind: Kind,
    ) -> Self {
        let tokens_of = |stretches: &Vec<Range<i64>>| stretches.iter().map(|s| s.end - s.start).sum::<i64>();
        let most = chosen.iter().map(tokens_of).max().unwrap_or(1);
        let (keys, values) = ((tokens + encoding).to_kind(kind), tokens.to_kind(kind));
        Self {
            scratch: Scratch::new(queries, most, &keys),
            keys,
            values: chosen.iter().map(|stretches| select(&values, stretches)).collect(),
            turns: turns.to_kind(kind),
            chosen,
        }
    }
}

/// Stretches of [B, M, C] in a row; one stretch is no copy.
fn select(tokens: &Tensor, stretches: &[Range<i64>]) -> Tensor {
    let parts: Vec<Tensor> = stretches.iter().map(|s| tokens.narrow(1, s.start, s.end - s.start)).collect();
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
    /// How queries are turned to their places, [2, N, d]; not in the checkpoint.
    turns: Tensor,
    /// Queries and keys are projected to channels in this order.
    order: Tensor,
}

/// `pos_enc_at_input`: weight of the position encoding in the input (`MemoryAttention.forward`).
const INPUT_POSITION_WEIGHT: f64 = 0.1;

impl MemoryAttention {
    pub fn new(p: &Path, config: &Config) -> Self {
        let layers = (0..config.memory_attention_layers)
            .map(|i| MemoryAttentionLayer::new(&(p / "layers" / i), config))
            .collect();
        Self {
            layers,
            norm: LayerNorm::new(&(p / "norm"), config.hidden_dim, LayerNorm::EPSILON),
            turns: turns(&axial_rotation(config.hidden_dim, config.feature_size(), Device::Cpu)),
            order: real_parts_first(config.hidden_dim, Device::Cpu),
        }
    }

    /// Follows the weights to `device`.
    pub fn to_device(&mut self, device: Device) {
        self.turns = self.turns.to_device(device);
        self.order = self.order.to_device(device);
    }

    /// What turns tokens to a feature map's places, [2, N, d].
    pub fn turns(&self) -> &Tensor {
        &self.turns
    }

    /// `features` and their position `encoding`, both [B, N, hidden] -> [K B, N, hidden] of the K candidates, one after the other, computed in
    /// `kind`.
    pub fn forward(&self, features: &Tensor, encoding: &Tensor, memory: &MemoryTokens, kind: Kind) -> Tensor {
        let rotary = Rotary { turns: &self.turns.to_kind(kind), order: &self.order };
        let mut x = (features + encoding * INPUT_POSITION_WEIGHT).to_kind(kind);
        for layer in &self.layers {
            x = layer.forward(&x, memory, rotary);
        }
        self.norm.forward(&x)
    }
}

/// How queries are turned to their places.
#[derive(Debug, Clone, Copy)]
struct Rotary<'a> {
    turns: &'a Tensor,
    order: &'a Tensor,
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

    /// [B, N, C], which all candidates share, or [K B, N, C] -> [K B, N, C]
    fn forward(&self, x: &Tensor, memory: &MemoryTokens, rotary: Rotary) -> Tensor {
        let x = x + self.self_attn.attend_to_itself(&self.norm1.forward(x), rotary);
        let attended = self.cross_attn_image.attend_to_memory(&self.norm2.forward(&x), memory, rotary);
        let (b, n, c) = x.size3().expect("features are [B, N, C]");
        let x = (attended.reshape([-1, b, n, c]) + x).flatten(0, 1);
        let hidden = self.linear1.forward(&self.norm3.forward(&x)).relu();
        x + self.linear2.forward(&hidden)
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

    /// [B, N, C] -> [B, 1, N, C]: projected by `projection` and turned to their places. Products of queries and keys do not depend on the order of
    /// their channels.
    fn turned(projection: &Linear, x: &Tensor, order: &Tensor, turns: &Tensor) -> Tensor {
        rotate(&projection.forward_ordered(x, order).unsqueeze(1), turns)
    }

    /// [B, N, C] -> [B, N, C]
    fn attend_to_itself(&self, x: &Tensor, Rotary { turns, order }: Rotary) -> Tensor {
        let q = Self::turned(&self.q_proj, x, order, turns);
        let k = Self::turned(&self.k_proj, x, order, turns);
        let v = self.v_proj.forward(x).unsqueeze(1);
        self.out_proj.forward(&attention(&q, &k, &v).squeeze_dim(1))
    }

    /// [B, N, C], which all candidates share, or [K B, N, C] -> [K B, N, C]
    ///
    /// Weights sum to one, so values may be projected after they are averaged: there are far fewer of them, and before it they have a quarter of
    /// the channels.
    fn attend_to_memory(&self, x: &Tensor, memory: &MemoryTokens, Rotary { turns, order }: Rotary) -> Tensor {
        let q = Self::turned(&self.q_proj, x, order, turns).squeeze_dim(1);
        let k = Self::turned(&self.k_proj, &memory.keys, order, &memory.turns).squeeze_dim(1);
        let (batch, shared) = (k.size()[0], q.size()[0] == k.size()[0]);
        let averaged: Vec<Tensor> = (memory.chosen.iter().zip(&memory.values).enumerate())
            .map(|(candidate, (stretches, values))| {
                let q = if shared { q.shallow_clone() } else { q.narrow(0, candidate as i64 * batch, batch) };
                weighted_mean(&q, &select(&k, stretches), values, &memory.scratch)
            })
            .collect();
        self.out_proj.forward(&self.v_proj.forward(&Tensor::cat(&averaged, 0)))
    }
}
