//! The network as a whole, on pseudo-random weights.

use super::*;
use crate::model::attended::Attended;
use crate::model::outputs::Memory;

const FLOATS: (Kind, Device) = (Kind::Float, Device::Cpu);

#[test]
fn log_likelihood_ratio_of_zero_changes_nothing_and_another_moves_the_mask() {
    let _guard = tch::no_grad_guard();
    for config in [Config::compact(), Config::mini()] {
        let network = Sam2::pseudo_random(&config, Device::Cpu, Precision::Fp32);
        let image = network.encode_image(&image(&config));
        let decode = |ratio: Option<f64>| {
            let m = config.mask_size();
            let ratio = ratio.map(|value| Tensor::full([1, 1, m, m], value, FLOATS));
            let inputs = DenseInputs { dense_prompt: None, log_likelihood_ratio: ratio.as_ref() };
            network.decode_all(&image, &image.features, &network.prompt_encoder().sparse(&[]), inputs).masks
        };
        let (none, zero, other) = (decode(None), decode(Some(0.0)), decode(Some(2.0)));
        assert!(none.equal(&zero), "{}", config.name);
        assert!((other - none).abs().mean(Kind::Float).double_value(&[]) > 0.1, "{}", config.name);
    }
}

#[test]
fn frozen_network_computes_what_the_learning_one_does_and_the_learning_one_is_not_frozen() {
    let _guard = tch::no_grad_guard();
    for config in [Config::mini(), Config::toy(Version::V2_1)] {
        let frozen = Sam2::pseudo_random(&config, Device::Cpu, Precision::Fp32);
        let mut variables = VarStore::new(Device::Cpu);
        let learning = Sam2::for_training(&variables, &config, Precision::Fp32);
        weights::fill_pseudo_random(&mut variables);
        assert!(frozen.high_resolution.is_some() && learning.high_resolution.is_none());
        let image = image(&config);
        let logits = |network: &Sam2| {
            let embedding = network.encode_image(&image);
            let decode = |features: &Tensor| {
                let points = network.prompt_encoder().sparse(&[]);
                network.decode_all(&embedding, features, &points, DenseInputs::default())
            };
            let first = decode(&network.without_memory(&embedding));
            let (mask, _, token) = first.best_of_three();
            let present = Tensor::ones([1, 1], FLOATS);
            let features = network.memory_features(&embedding, &network.full_resolution(&mask), &present);
            let memory = Memory::new(features, network.pointers(&token, &present));
            let memories = vec![Attended { memory: &memory, slot: 0 }];
            let attending = [Attending { memories, pointers: vec![(&memory, 1)], pointer_span: 16 }];
            decode(&network.with_memory(&embedding, &attending)).masks
        };
        let (found, expected) = (logits(&frozen), logits(&learning));
        let apart = (&found - &expected).abs().max().double_value(&[]);
        let largest = expected.abs().max().double_value(&[]);
        assert!(apart < 1e-3 * largest, "{}: {apart} apart, of logits up to {largest}", config.name);
    }
}

fn image(config: &Config) -> Tensor {
    let side = config.image_size;
    (Tensor::arange(3 * side * side, FLOATS) * 0.01).sin().reshape([1, 3, side, side])
}
