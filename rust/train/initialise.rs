//! Weights to start from. Source: the constructors of `sam2==1.1.0` (PyTorch's defaults, `trunc_normal_(std=0.02)`,
//! `nn.Embedding`).
//!
//! Each weight's values depend on the seed and its own name, not on libtorch's generator or the order of construction.

use crate::train::Rng;
use rand::{Rng as _, SeedableRng};
use rand_distr::StandardNormal;
use sha2::{Digest, Sha256};
use tch::nn::VarStore;
use tch::Tensor;

/// Deviation of position and memory embeddings (`trunc_normal_`).
const EMBEDDING_DEVIATION: f32 = 0.02;
/// The memory encoder's blocks: `layer_scale_init_value` is 1e-6, which assumes a long schedule; ours must carry from
/// the first step on.
const LAYER_SCALE: f32 = 0.1;

/// How much of a dense prompt's logits a refining decoder begins with.
const PRIOR_SHARE: f32 = 0.5;

/// Fills all variables.
pub fn initialise(variables: &mut VarStore, seed: u64) {
    let _guard = tch::no_grad_guard();
    let all = variables.variables();
    for (key, mut variable) in all.iter().map(|(key, variable)| (key, variable.shallow_clone())) {
        let size = variable.size();
        let fan_in = all.get(&weight_of(key)).map_or(1, |weight| fan_in(&weight.size()));
        variable.copy_(&values(key, &size, fan_in, seed));
    }
}

/// A bias takes its bound from the weight beside it.
fn weight_of(key: &str) -> String {
    key.strip_suffix(".bias").map_or_else(|| key.to_owned(), |layer| format!("{layer}.weight"))
}

/// PyTorch counts dimension 1 and what follows, also for transposed convolutions.
fn fan_in(size: &[i64]) -> i64 {
    size.iter().skip(1).product::<i64>().max(1)
}

fn values(key: &str, size: &[i64], fan_in: i64, seed: u64) -> Tensor {
    let count = size.iter().product::<i64>() as usize;
    let mut digest = Sha256::new();
    digest.update(seed.to_le_bytes());
    digest.update(key.as_bytes());
    let mut rng = Rng::from_seed(digest.finalize().into());
    let values: Vec<f32> = match Start::of(key, size) {
        Start::Constant(value) => vec![value; count],
        Start::Normal(deviation) => (0..count).map(|_| deviation * rng.sample::<f32, _>(StandardNormal)).collect(),
        Start::Uniform => {
            let bound = 1.0 / (fan_in as f32).sqrt();
            (0..count).map(|_| rng.random_range(-bound..bound)).collect()
        }
    };
    Tensor::from_slice(&values).reshape(size)
}

enum Start {
    Constant(f32),
    Normal(f32),
    /// `kaiming_uniform_(a=sqrt(5))`, PyTorch's default of weights and biases: within 1 / sqrt(fan in).
    Uniform,
}

impl Start {
    fn of(key: &str, size: &[i64]) -> Self {
        let is_norm = |key: &str| key.contains("norm") || key.contains("output_upscaling.1.") || is_sequence_norm(key);
        // Residual blocks begin as nothing, the object score begins without the mask, and evidence is at first only added to masks.
        let evidence =
            ["finest", "finer", "coarse"].iter().any(|part| key.ends_with(&format!("evidence.{part}.weight")));
        if key.ends_with(".conv2.weight") || key.ends_with("refinement.object.weight") || evidence {
            return Self::Constant(0.0);
        }
        if key.ends_with("evidence.share.weight") {
            return Self::Constant(1.0);
        }
        if key.ends_with("refinement.prior.weight") {
            return Self::Constant(PRIOR_SHARE);
        }
        // Equal constants in queries and keys: after their rotation a cell attends to the same place of its memories first.
        if key.ends_with("cross_attn_image.q_proj.bias") || key.ends_with("cross_attn_image.k_proj.bias") {
            return Self::Constant(1.0);
        }
        if key.ends_with("gamma") {
            return Self::Constant(LAYER_SCALE);
        }
        if key.contains("positional_encoding_gaussian_matrix") {
            return Self::Normal(1.0);
        }
        if key.ends_with(".bias") {
            return if is_norm(key) { Self::Constant(0.0) } else { Self::Uniform };
        }
        if key.ends_with(".weight") {
            return match size.len() {
                1 => Self::Constant(1.0),
                // Tokens and point embeddings (`nn.Embedding`).
                2 if key.contains("_token") && !key.contains("layers") && !key.contains("_proj") => Self::Normal(1.0),
                2 if key.contains("_embed") || key.contains("embeddings") => Self::Normal(1.0),
                _ => Self::Uniform,
            };
        }
        Self::Normal(EMBEDDING_DEVIATION)
    }
}

/// Norms inside `nn.Sequential`s have numbers for names.
fn is_sequence_norm(key: &str) -> bool {
    ["mask_downsampler.encoder.1.", "mask_downsampler.encoder.4.", "mask_downsampler.encoder.7."]
        .iter()
        .chain(&["mask_downsampler.encoder.10.", "mask_downscaling.1.", "mask_downscaling.4."])
        .any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::{Config, Version};
    use crate::model::Sam2;
    use tch::{Device, Kind};

    fn filled(seed: u64) -> VarStore {
        let mut variables = VarStore::new(Device::Cpu);
        let _network = Sam2::new(&variables.root(), &Config::toy(Version::V2_1));
        initialise(&mut variables, seed);
        variables
    }

    #[test]
    fn weights_depend_on_the_seed_and_their_name_alone() {
        let (one, same, other) = (filled(1).variables(), filled(1).variables(), filled(2).variables());
        let key = "memory_attention.layers.0.linear1.weight";
        assert_eq!(one[key], same[key]);
        assert_ne!(one[key], other[key]);
        assert_ne!(one[key], one["memory_attention.layers.1.linear1.weight"]);
    }

    #[test]
    fn norms_start_as_nothing_and_every_other_weight_is_drawn() {
        for (key, variable) in filled(1).variables() {
            let deviation = if variable.numel() > 1 { variable.std(true).double_value(&[]) } else { 1.0 };
            let norm = key.contains("norm") && !key.contains("no_");
            if norm && key.ends_with("weight") {
                assert_eq!(variable.mean(Kind::Float).double_value(&[]), 1.0, "{key}");
            } else if !norm && variable.dim() > 1 {
                assert!(deviation > 1e-3, "{key}: {deviation}");
            }
        }
    }
}
