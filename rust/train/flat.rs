//! All weights in one flat tensor, so that an optimizer step is a dozen operations, whatever the number of weights.

use std::collections::BTreeMap;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// Tensors by the name of their weight.
pub type Named = BTreeMap<String, Tensor>;

/// Every weight begins at a multiple of so many values: kernels want aligned memory.
const ALIGNMENT: i64 = 64;

/// Where a weight is in the flat tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    key: String,
    start: i64,
    shape: Vec<i64>,
}

impl Slot {
    fn length(&self) -> i64 {
        self.shape.iter().product()
    }

    /// Values up to the next weight.
    fn padding(&self) -> i64 {
        (ALIGNMENT - self.length() % ALIGNMENT) % ALIGNMENT
    }
}

/// Where all weights of a network are in a flat tensor, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightLayout {
    slots: Vec<Slot>,
    length: i64,
}

impl WeightLayout {
    pub fn of(variables: &VarStore) -> Self {
        let mut length = 0;
        let all: BTreeMap<_, _> = variables.variables().into_iter().collect();
        let slot = |(key, variable): (String, Tensor)| {
            let slot = Slot { key, start: length, shape: variable.size() };
            length += slot.length() + slot.padding();
            slot
        };
        let slots = all.into_iter().map(slot).collect();
        Self { slots, length }
    }

    /// A value for each weight, repeated over its elements; 0 in the padding.
    pub fn spread(&self, device: Device, value: impl Fn(&str, usize) -> f64) -> Tensor {
        let flat = self.zeros(device);
        for slot in &self.slots {
            let mut part = flat.narrow(0, slot.start, slot.length());
            let _ = part.fill_(value(&slot.key, slot.shape.len()));
        }
        flat
    }

    pub fn zeros(&self, device: Device) -> Tensor {
        Tensor::zeros([self.length], (Kind::Float, device))
    }

    /// The weights as parts of a flat tensor, which they share.
    pub fn views(&self, flat: &Tensor) -> Named {
        let view = |slot: &Slot| flat.narrow(0, slot.start, slot.length()).view(slot.shape.as_slice());
        self.slots.iter().map(|slot| (slot.key.clone(), view(slot))).collect()
    }

    /// Makes the variables views of one flat tensor, which has their values.
    pub fn gather(&self, variables: &mut VarStore) -> Tensor {
        let _guard = tch::no_grad_guard();
        let flat = self.zeros(variables.device());
        let mut views = self.views(&flat);
        for (key, mut variable) in variables.variables() {
            if let Some(view) = views.get_mut(&key) {
                view.copy_(&variable);
                variable.set_data(view);
            }
        }
        flat
    }

    /// The gradients of `loss` in all weights. Where nothing reaches a weight they are zero.
    pub fn gradients(&self, loss: &Tensor, variables: &VarStore) -> Tensor {
        let variables: Named = variables.variables().into_iter().collect();
        let learning: Vec<(&str, &Tensor)> =
            (variables.iter()).filter(|(_, v)| v.requires_grad()).map(|(key, v)| (key.as_str(), v)).collect();
        let inputs: Vec<&Tensor> = learning.iter().map(|(_, variable)| *variable).collect();
        let found = Tensor::run_backward(&[loss], &inputs, false, false);
        let found: BTreeMap<&str, Tensor> = learning.into_iter().map(|(key, _)| key).zip(found).collect();
        let nothing = Tensor::zeros([ALIGNMENT], (Kind::Float, loss.device()));
        let mut parts = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            match found.get(slot.key.as_str()).filter(|gradient| gradient.defined()) {
                Some(gradient) => parts.push(gradient.reshape([-1])),
                None => parts.push(Tensor::zeros([slot.length()], (Kind::Float, loss.device()))),
            }
            if slot.padding() > 0 {
                parts.push(nothing.narrow(0, 0, slot.padding()));
            }
        }
        Tensor::cat(&parts, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> VarStore {
        let variables = VarStore::new(Device::Cpu);
        let _ = variables.root().ones("b", &[2, 3]);
        let _ = variables.root().zeros("a", &[1]);
        let _ = variables.root().zeros("unused", &[5]);
        variables
    }

    #[test]
    fn variables_follow_the_flat_tensor_that_they_are_views_of() {
        let mut variables = two();
        let held = variables.variables()["b"].shallow_clone();
        let layout = WeightLayout::of(&variables);
        let mut flat = layout.gather(&mut variables);
        assert_eq!(flat.sum(Kind::Float).double_value(&[]), 6.0);
        let _ = tch::no_grad(|| flat.g_mul_scalar_(3.0));
        assert_eq!(held, Tensor::full([2, 3], 3.0, (Kind::Float, Device::Cpu)), "also whoever held them before");
        assert!(held.requires_grad());
        assert_eq!(layout.views(&flat)["b"], held);
    }

    #[test]
    fn gradients_lie_where_their_weights_do_and_are_zero_where_nothing_reaches_a_weight() {
        let variables = two();
        let layout = WeightLayout::of(&variables);
        let all = variables.variables();
        let loss = (&all["b"] * 2.0).sum(Kind::Float) + (&all["a"] + 1.0).square().sum(Kind::Float);
        let views = layout.views(&layout.gradients(&loss, &variables));
        assert_eq!(views["b"], Tensor::full([2, 3], 2.0, (Kind::Float, Device::Cpu)));
        assert_eq!(views["a"], Tensor::from_slice(&[2f32]));
        assert_eq!(views["unused"], Tensor::zeros([5], (Kind::Float, Device::Cpu)));
    }
}
