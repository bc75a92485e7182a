//! AdamW with a learning rate and a decay of their own for each weight, clipping, and the running average of the
//! weights.
//!
//! The state is plain tensors, so that a resumed run goes on to the last bit. Groups as SAM 2 trains: the image encoder
//! slower
//! than the rest, its earlier blocks slower still, no decay on biases and norms.

use crate::train::config::OptimizerConfig;
use crate::train::flat::{Named, WeightLayout};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

/// What the optimizer remembers: flat tensors, in the layout of the weights.
#[derive(Debug)]
pub struct AdamW {
    layout: WeightLayout,
    first: Tensor,
    second: Tensor,
    /// Running average of the weights, which is what is shipped.
    average: Tensor,
    /// Factor on the schedule's rate.
    rates: Tensor,
    /// Factor on the schedule's rate that weights decay by.
    decays: Tensor,
}

/// How one weight learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Factor on the schedule's rate.
    pub rate: f64,
    /// Weight decay.
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
        rate = config.encoder_learning_rate / config.learning_rate;
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
    /// `weights`: the flat tensor of the variables.
    pub fn new(variables: &VarStore, weights: &Tensor, config: &OptimizerConfig) -> Self {
        let layout = WeightLayout::of(variables);
        let all = variables.variables();
        let blocks = all.keys().filter(|key| key.ends_with(".norm1.weight") && key.contains(".trunk.blocks.")).count();
        let device = variables.device();
        let group = |key: &str, dimensions| group(key, dimensions, blocks as i64, config);
        Self {
            first: layout.zeros(device),
            second: layout.zeros(device),
            average: weights.detach().copy(),
            rates: layout.spread(device, |key, dimensions| group(key, dimensions).rate),
            decays: layout.spread(device, |key, dimensions| {
                let Group { rate, decay } = group(key, dimensions);
                rate * decay
            }),
            layout,
        }
    }

    /// Running average of the weights, first and second moment.
    pub fn state(&self) -> [Named; 3] {
        [&self.average, &self.first, &self.second].map(|flat| self.layout.views(flat))
    }

    /// Takes the state of an earlier session.
    pub fn restore(&mut self, state: &[Named; 3]) {
        let _guard = tch::no_grad_guard();
        for (mut views, named) in self.state().into_iter().zip(state) {
            for (key, view) in &mut views {
                view.copy_(&named[key]);
            }
        }
    }

    /// One step at the schedule's `rate`, of flat weights; `number` counts from 1. Returns the gradient's norm before
    /// clipping, which is not
    /// finite where the step was not made.
    pub fn step(
        &mut self,
        weights: &mut Tensor,
        mut gradient: Tensor,
        rate: f64,
        number: u64,
        config: &OptimizerConfig,
    ) -> f64 {
        let _guard = tch::no_grad_guard();
        let norm = gradient.square().sum(Kind::Double).sqrt().double_value(&[]);
        if !norm.is_finite() {
            return norm;
        }
        let scale = if norm > config.max_grad_norm { config.max_grad_norm / (norm + 1e-6) } else { 1.0 };
        let [beta1, beta2] = config.betas;
        let correction = [1.0 - beta1.powi(number as i32), 1.0 - beta2.powi(number as i32)];
        let _ = gradient.g_mul_scalar_(scale);
        let _ = self.first.lerp_(&gradient, 1.0 - beta1);
        let _ = self.second.g_mul_scalar_(beta2).addcmul_(&gradient, &(&gradient * (1.0 - beta2)));
        let _ = weights.g_mul_(&(&self.decays * -rate + 1.0));
        let divisor = (&self.second / correction[1]).sqrt() + config.epsilon;
        let _ = weights.addcdiv_(&(&self.first * &self.rates * (-rate / correction[0])), &divisor);
        // The average follows quickly at first.
        let keep = config.ema_decay.min((1.0 + number as f64) / (10.0 + number as f64));
        let _ = self.average.lerp_(weights, 1.0 - keep);
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
        let mut variables = VarStore::new(Device::Cpu);
        let mut x = variables.root().zeros("x", &[1, 2]);
        tch::no_grad(|| x.copy_(&Tensor::from_slice(&[1f32, -2.0]).reshape([1, 2])));
        let layout = WeightLayout::of(&variables);
        let mut weights = layout.gather(&mut variables);
        let mut config = TrainConfig::preset("toy").unwrap().optimizer;
        config.weight_decay = 0.01;
        config.max_grad_norm = 1e9;
        config.betas = [0.9, 0.999];
        config.epsilon = 1e-8;
        let mut optimizer = AdamW::new(&variables, &weights, &config);
        let expected: Vec<f64> = include_str!("../../tests/golden/adamw.txt")
            .split_whitespace()
            .map(|number| number.parse().unwrap())
            .collect();
        assert_eq!(expected.len(), 10);
        for number in 1..=5 {
            let gradient = layout.gradients(&x.square().sum(Kind::Float), &variables);
            optimizer.step(&mut weights, gradient, 0.1, number, &config);
            for c in 0..2 {
                let found = x.double_value(&[0, c]);
                let wanted = expected[(number as usize - 1) * 2 + c as usize];
                assert!((found - wanted).abs() < 1e-6, "step {number}: {found}, PyTorch {wanted}");
            }
        }
    }
}
