//! `memory_attention`: the current slice's features attend to memories. Source: `memory_attention.py`,
//! `RoPEAttention` of `sam/transformer.py`.
//!
//! Several candidates are one batch, and what they share is computed once: the first layer's attention of the slice to itself, and the keys of
//! what they attend to.

use super::attention::{attention, weighted_means, Scratch};
use super::config::Config;
use super::layers::{feed_forward, Activation, LayerNorm, Linear};
use super::rotary::{Placed, Rotary};
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
    placed: Placed,
    /// The stretches of the tokens that each candidate attends to.
    chosen: Vec<Vec<Range<i64>>>,
    scratch: Scratch,
}

impl MemoryTokens {
    /// For so many `queries`: `tokens` [B, M, mem_dim], their `encoding` [1, M, mem_dim] and their places, and the stretches of tokens that
    /// each candidate attends to.
    pub fn new(
        [tokens, encoding]: [&Tensor; 2],
        placed: Placed,
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
            placed,
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
    /// Not in the checkpoint.
    rotary: Rotary,
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
            rotary: Rotary::new(config.hidden_dim, config.feature_size()),
        }
    }

    /// Follows the weights to `device`.
    pub fn to_device(&mut self, device: Device) {
        self.rotary.move_to(device);
    }

    /// What turns tokens to a feature map's places.
    pub fn rotary(&self) -> &Rotary {
        &self.rotary
    }

    /// `features` and their position `encoding`, both [B, N, hidden] -> [K B, N, hidden] of the K candidates, one after the other, computed in
    /// `kind`.
    pub fn forward(&self, features: &Tensor, encoding: &Tensor, memory: &MemoryTokens, kind: Kind) -> Tensor {
        let turning = Turning { rotary: &self.rotary, queries: &Placed::map() };
        let mut x = (features + encoding * INPUT_POSITION_WEIGHT).to_kind(kind);
        for layer in &self.layers {
            x = layer.forward(&x, memory, turning);
        }
        self.norm.forward(&x)
    }
}

/// How queries are turned to their places.
#[derive(Debug, Clone, Copy)]
struct Turning<'a> {
    rotary: &'a Rotary,
    queries: &'a Placed,
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
    fn forward(&self, x: &Tensor, memory: &MemoryTokens, turning: Turning) -> Tensor {
        let x = self.self_attn.attend_to_itself(&self.norm1.forward(x), turning, x);
        let attended = self.cross_attn_image.attend_to_memory(&self.norm2.forward(&x), memory, turning);
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

    /// [B, N, C] -> `onto` [B, N, C] and what it attends to.
    fn attend_to_itself(&self, x: &Tensor, Turning { rotary, queries }: Turning, onto: &Tensor) -> Tensor {
        let [q, k] =
            [&self.q_proj, &self.k_proj].map(|projection| projection.forward_turned(x, rotary, queries).unsqueeze(1));
        let v = self.v_proj.forward(x).unsqueeze(1);
        self.out_proj.forward_onto(&attention(&q, &k, &v).squeeze_dim(1), onto)
    }

    /// [B, N, C], which all candidates share, or [K B, N, C] -> [K B, N, C]
    ///
    /// Weights sum to one, so values may be projected after they are averaged: there are far fewer of them, and before it they have a quarter of
    /// the channels.
    fn attend_to_memory(&self, x: &Tensor, memory: &MemoryTokens, Turning { rotary, queries }: Turning) -> Tensor {
        let q = self.q_proj.forward_turned(x, rotary, queries);
        let k = self.k_proj.forward_turned(&memory.keys, rotary, &memory.placed);
        let (batch, shared) = (k.size()[0], q.size()[0] == k.size()[0]);
        let candidates: Vec<[Tensor; 3]> = (memory.chosen.iter().zip(&memory.values).enumerate())
            .map(|(candidate, (stretches, values))| {
                let q = if shared { q.shallow_clone() } else { q.narrow(0, candidate as i64 * batch, batch) };
                [q, select(&k, stretches), values.shallow_clone()]
            })
            .collect();
        let averaged = weighted_means(&candidates, &memory.scratch);
        self.out_proj.forward(&self.v_proj.forward(&averaged))
    }
}
