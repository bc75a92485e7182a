//! AdamW with a learning rate and a decay of their own for each weight, clipping, and the running average of the weights.
//!
//! The state is plain tensors by name, so that a resumed run goes on to the last bit. Groups as SAM 2 trains: the image encoder slower
//! than the rest, its earlier blocks slower still, no decay on biases and norms.

use crate::train::config::OptimizerConfig;
use std::collections::BTreeMap;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

/// Tensors by the name of their weight.
pub type Named = BTreeMap<String, Tensor>;

/// What the optimizer remembers.
#[derive(Debug)]
pub struct AdamW {
    pub first: Named,
    pub second: Named,
    /// Running average of the weights, which is what is shipped.
    pub average: Named,
    groups: BTreeMap<String, Group>,
}

/// Gradients by name. A weight that nothing reached has one of zero, whether an earlier step gave it one or not: a resumed run has no earlier
/// step.
pub fn gradients(variables: &VarStore) -> Named {
    (variables.variables().into_iter())
        .map(|(key, variable)| {
            let gradient = variable.grad();
            (key, if gradient.defined() { gradient.copy() } else { variable.zeros_like().detach() })
        })
        .collect()
}

/// How one weight learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Factor on the schedule's rate.
    pub rate: f64,
    pub decay: f64,
}

/// The group of a weight: `blocks` is the number of blocks in the trunk.
pub fn group(key: &str, dimensions: usize, blocks: i64, config: &OptimizerConfig) -> Group {
    let plain = dimensions <= 1 || key.ends_with(".bias") || key.contains("norm");
    let decay = if plain { 0.0 } else { config.weight_decay };
    let mut rate = 1.0;
    if key.ends_with("positional_encoding_gaussian_matrix") {
        return Group { rate: 0.0, decay: 0.0 }; // a buffer of SAM 2: drawn once, never learned
    }
    if key.starts_with("image_encoder.") {
        rate = config.encoder_rate / config.rate;
    }
    if let Some(rest) = key.strip_prefix("image_encoder.trunk.") {
        // Layer 0 is the patch embedding, layer n + 1 block n (`get_vit_lr_decay_rate`); the neck is no part of the trunk.
        let block = rest.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()?.parse::<i64>().ok());
        let layer = block.map_or(0, |block| block + 1);
        rate *= config.layer_decay.powi((blocks + 1 - layer) as i32);
    }
    Group { rate, decay }
}

impl AdamW {
    pub fn new(variables: &VarStore, config: &OptimizerConfig) -> Self {
        let all = variables.variables();
        let blocks = all.keys().filter(|key| key.ends_with(".norm1.weight") && key.contains(".trunk.blocks.")).count();
        let zeros = || all.iter().map(|(key, v)| (key.clone(), v.zeros_like().detach())).collect();
        let groups = all.iter().map(|(key, v)| (key.clone(), group(key, v.dim(), blocks as i64, config))).collect();
        let average = all.iter().map(|(key, v)| (key.clone(), v.detach().copy())).collect();
        Self { first: zeros(), second: zeros(), average, groups }
    }

    /// One step at the schedule's `rate`; `number` counts from 1. Returns the gradient's norm before clipping, which is not finite where
    /// the step was not made.
    pub fn step(
        &mut self,
        variables: &VarStore,
        gradients: Named,
        rate: f64,
        number: u64,
        config: &OptimizerConfig,
    ) -> f64 {
        let _guard = tch::no_grad_guard();
        let variables: Named = variables.variables().into_iter().collect();
        let squares: Vec<Tensor> = gradients.values().map(|g| g.square().sum(Kind::Float)).collect();
        if squares.is_empty() {
            return 0.0;
        }
        let norm = Tensor::stack(&squares, 0).sum(Kind::Double).sqrt().double_value(&[]);
        if !norm.is_finite() {
            return norm;
        }
        let scale = if norm > config.clip { config.clip / (norm + 1e-6) } else { 1.0 };
        let [beta1, beta2] = config.betas;
        let correction = [1.0 - beta1.powi(number as i32), 1.0 - beta2.powi(number as i32)];
        for (key, mut gradient) in gradients {
            let (Some(first), Some(second)) = (self.first.get_mut(&key), self.second.get_mut(&key)) else { continue };
            let (group, variable) = (self.groups[&key], &variables[&key]);
            let rate = rate * group.rate;
            let _ = gradient.g_mul_scalar_(scale);
            let _ = first.lerp_(&gradient, 1.0 - beta1);
            let _ = second.g_mul_scalar_(beta2).addcmul_(&gradient, &(&gradient * (1.0 - beta2)));
            let mut variable = variable.shallow_clone();
            if group.decay > 0.0 {
                let _ = variable.g_mul_scalar_(1.0 - rate * group.decay);
            }
            let divisor = (&*second / correction[1]).sqrt() + config.epsilon;
            let _ = variable.addcdiv_(&(&*first * (-rate / correction[0])), &divisor);
        }
        // The average follows quickly at first.
        let keep = config.average.min((1.0 + number as f64) / (10.0 + number as f64));
        for (key, variable) in &variables {
            if let Some(average) = self.average.get_mut(key) {
                let _ = average.lerp_(variable, 1.0 - keep);
            }
        }
        norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::config::TrainConfig;
    use tch::Device;

    #[test]
    fn earlier_blocks_learn_slower_and_norms_do_not_decay() {
        let config = TrainConfig::preset("paper").unwrap().optimizer;
        let of = |key: &str, dimensions| group(key, dimensions, 12, &config);
        assert_eq!(of("memory_attention.layers.0.linear1.weight", 2), Group { rate: 1.0, decay: 0.1 });
        assert_eq!(of("memory_attention.layers.0.linear1.bias", 1).decay, 0.0);
        assert_eq!(of("sam_mask_decoder.transformer.norm_final_attn.weight", 1).decay, 0.0);
        let last = of("image_encoder.trunk.blocks.11.mlp.layers.0.weight", 2).rate;
        let first = of("image_encoder.trunk.patch_embed.proj.weight", 4).rate;
        assert!((last - 0.6 * 0.9).abs() < 1e-12 && (first - 0.6 * 0.9f64.powi(13)).abs() < 1e-12);
        assert_eq!(of("image_encoder.neck.convs.0.conv.weight", 4).rate, 0.6);
    }

    /// PyTorch's AdamW on x^2 summed, from (1, -2), rate 0.1, decay 0.01: `tests/golden/adamw.txt` has its steps.
    #[test]
    fn steps_equal_pytorchs_adamw() {
        let variables = VarStore::new(Device::Cpu);
        let mut x = variables.root().zeros("x", &[1, 2]);
        tch::no_grad(|| x.copy_(&Tensor::from_slice(&[1f32, -2.0]).reshape([1, 2])));
        let mut config = TrainConfig::preset("toy").unwrap().optimizer;
        config.weight_decay = 0.01;
        config.clip = 1e9;
        config.betas = [0.9, 0.999];
        config.epsilon = 1e-8;
        let mut optimizer = AdamW::new(&variables, &config);
        let expected: Vec<f64> = include_str!("../../tests/golden/adamw.txt")
            .split_whitespace()
            .map(|number| number.parse().unwrap())
            .collect();
        assert_eq!(expected.len(), 10);
        for number in 1..=5 {
            if x.grad().defined() {
                x.zero_grad();
            }
            x.square().sum(Kind::Float).backward();
            optimizer.step(&variables, gradients(&variables), 0.1, number, &config);
            for c in 0..2 {
                let found = x.double_value(&[0, c]);
                let wanted = expected[(number as usize - 1) * 2 + c as usize];
                assert!((found - wanted).abs() < 1e-6, "step {number}: {found}, PyTorch {wanted}");
            }
        }
    }
}
