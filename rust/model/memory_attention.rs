//! `memory_attention`: the current slice's features attend to memories. Source: `memory_attention.py`,
//! `RoPEAttention` of `sam/transformer.py`.

use super::config::Config;
use super::layers::{attention, LayerNorm, Linear};
use super::position::{axial_rotation, real_parts_first, rotate};
use tch::nn::Path;
use tch::{Device, Kind, Tensor};

/// What a slice attends to: `tokens` and their position `encoding`, both [B, M, mem_dim]; the spatial tokens first, in
/// whole feature maps, then `pointer_tokens` tokens without a place, which are not rotated.
#[derive(Debug)]
pub struct MemoryTokens {
    pub tokens: Tensor,
    pub encoding: Tensor,
    pub pointer_tokens: i64,
}

/// Keys: `layers.{i}.*`, `norm.*`.
#[derive(Debug)]
pub struct MemoryAttention {
    layers: Vec<MemoryAttentionLayer>,
    norm: LayerNorm,
    /// Cosines and sines [2, N, d / 2]; not in the checkpoint.
    rotation: Tensor,
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
            rotation: axial_rotation(config.hidden_dim, config.feature_size(), Device::Cpu),
            order: real_parts_first(config.hidden_dim, Device::Cpu),
        }
    }

    /// Follows the weights to `device`.
    pub fn to_device(&mut self, device: Device) {
        self.rotation = self.rotation.to_device(device);
        self.order = self.order.to_device(device);
    }

    /// `features` and their position `encoding`, both [B, N, hidden] -> [B, N, hidden], computed in `kind`.
    pub fn forward(&self, features: &Tensor, encoding: &Tensor, memory: &MemoryTokens, kind: Kind) -> Tensor {
        let mut x = (features + encoding * INPUT_POSITION_WEIGHT).to_kind(kind);
        let values = memory.tokens.to_kind(kind);
        let keys = (&memory.tokens + &memory.encoding).to_kind(kind);
        for layer in &self.layers {
            x = layer.forward(&x, &keys, &values, memory.pointer_tokens, [&self.rotation, &self.order]);
        }
        self.norm.forward(&x)
    }
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

    fn forward(&self, x: &Tensor, keys: &Tensor, values: &Tensor, pointer_tokens: i64, rotary: [&Tensor; 2]) -> Tensor {
        let normed = self.norm1.forward(x);
        let x = x + self.self_attn.forward(&normed, &normed, &normed, 0, rotary);
        let x = &x + self.cross_attn_image.forward(&self.norm2.forward(&x), keys, values, pointer_tokens, rotary);
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

    /// `q` [B, N, C], `k` and `v` [B, M, C'] -> [B, N, C]; the last `unrotated` keys have no place in the image.
    fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor, unrotated: i64, [rotation, order]: [&Tensor; 2]) -> Tensor {
        let heads = |x: Tensor| x.unsqueeze(1); // [B, N, C] -> [B, 1, N, C]
                                                // Products of queries and keys do not depend on the order of their channels.
        let q = rotate(&heads(self.q_proj.forward_ordered(q, order)), rotation);
        let k = heads(self.k_proj.forward_ordered(k, order));
        let spatial = k.size()[2] - unrotated;
        let k = match unrotated {
            0 => rotate(&k, rotation),
            _ => Tensor::cat(&[rotate(&k.narrow(2, 0, spatial), rotation), k.narrow(2, spatial, unrotated)], 2),
        };
        let v = heads(self.v_proj.forward(v));
        self.out_proj.forward(&attention(&q, &k, &v).squeeze_dim(1))
    }
}
