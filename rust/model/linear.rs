//! Linear layers and what is made of them: MLPs, and transposed convolutions without overlap.
//!
//! In training a layer holds its variables as they are. [`Linear::prepare_for_inference`] packs the weight for the CPU
//! kernels of [`cpu`] where they compute it faster than libtorch, and drops the tensor that libtorch would read.

use super::activation::Activation;
use super::cpu::{self, Epilogue, PackedLinear, PositionIndices, RotaryEpilogue};
use super::layers::{parameter, with_kind_of, Conv2d};
use super::rotary::{Positions, Rotary};
use tch::nn::Path;
use tch::{Kind, Tensor};

/// Keys: `weight` [out, in], `bias` [out].
#[derive(Debug)]
pub struct Linear {
    parameters: Parameters,
}

/// A layer's parameters are held once, in the layout of whoever reads them.
#[derive(Debug)]
enum Parameters {
    /// As libtorch reads them: `weight` [out, in], `bias` [out].
    Plain { weight: Tensor, bias: Tensor },
    /// As the CPU kernels read them; these never learn.
    Packed(PackedLinear),
}

impl Linear {
    /// A layer from `inputs` to `outputs` channels.
    pub fn new(p: &Path, inputs: i64, outputs: i64) -> Self {
        Self::of(parameter(p, "weight", &[outputs, inputs]), parameter(p, "bias", &[outputs]))
    }

    /// A layer of this `weight` [out, in] and `bias` [out].
    fn of(weight: Tensor, bias: Tensor) -> Self {
        Self { parameters: Parameters::Plain { weight, bias } }
    }

    /// Two 1 x 1 convolutions, one after the other, as one layer; in fp32.
    pub fn composed(first: &Conv2d, second: &Conv2d) -> Self {
        let matrix = |conv: &Conv2d| conv.weight().to_kind(Kind::Float).flatten(1, 3); // [out, in, 1, 1] -> [out, in]
        let bias = |conv: &Conv2d| conv.bias().expect("these convolutions have a bias").to_kind(Kind::Float);
        Self::of(matrix(second).matmul(&matrix(first)), matrix(second).mv(&bias(first)) + bias(second))
    }

    /// Packs the parameters for the CPU kernels, if these are available for inputs of this `kind`.
    pub fn prepare_for_inference(&mut self, kind: Kind) {
        if let (Parameters::Plain { weight, bias }, Kind::Float) = (&self.parameters, kind) {
            if let Some(packed) = cpu::usable(&[weight, bias]).then(|| PackedLinear::new(weight, bias)).flatten() {
                self.parameters = Parameters::Packed(packed);
            }
        }
    }

    /// Whether the CPU kernels compute this layer.
    pub fn is_packed(&self) -> bool {
        matches!(self.parameters, Parameters::Packed(_))
    }

    /// The layer as the kernels read it, if they can compute it for `x`.
    fn packed(&self, x: &Tensor) -> Option<&PackedLinear> {
        match &self.parameters {
            Parameters::Packed(packed) if cpu::usable(&[x]) => Some(packed),
            _ => None,
        }
    }

    /// The weight as libtorch reads it, [out, in].
    fn weight(&self) -> Tensor {
        match &self.parameters {
            Parameters::Plain { weight, .. } => weight.shallow_clone(),
            Parameters::Packed(packed) => packed.weight(),
        }
    }

    /// The bias, [out]: the output for an input of zeros.
    pub fn bias(&self) -> &Tensor {
        match &self.parameters {
            Parameters::Plain { bias, .. } => bias,
            Parameters::Packed(packed) => packed.bias(),
        }
    }

    /// [..., in] -> [..., out]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match self.packed(x) {
            Some(packed) => cpu::linear(x, packed, Epilogue::default()),
            None => x.linear(&with_kind_of(&self.weight(), x), Some(&with_kind_of(self.bias(), x))),
        }
    }

    /// [..., in] -> `residual` + output, [..., out].
    pub fn forward_residual(&self, x: &Tensor, residual: &Tensor) -> Tensor {
        match self.packed(x).filter(|_| cpu::usable(&[residual])) {
            Some(packed) => cpu::linear(x, packed, Epilogue { residual: Some(residual), ..Epilogue::default() }),
            None => residual + self.forward(x),
        }
    }

    /// [B, N, in] -> [B, N, out] with the rotary encoding of `positions` applied.
    ///
    /// The order of the output channels differs between the kernels (as in the checkpoint) and libtorch
    /// ([`Rotary::order`]); dot products of queries and keys do not depend on it, if both are computed here.
    pub fn forward_rotary(&self, x: &Tensor, rotary: &Rotary, positions: &Positions) -> Tensor {
        if let Some(packed) = self.packed(x).filter(|_| cpu::usable(&[rotary.interleaved()])) {
            let sequential = PositionIndices::Sequential(rotary.positions());
            let positions = positions.indices().map_or(sequential, PositionIndices::Given);
            let rotary = Some(RotaryEpilogue { table: rotary.interleaved(), positions });
            return cpu::linear(x, packed, Epilogue { rotary, ..Epilogue::default() });
        }
        let reordered = |parameter: &Tensor| with_kind_of(&parameter.index_select(0, rotary.order()), x);
        positions.rotate(&x.linear(&reordered(&self.weight()), Some(&reordered(self.bias()))), rotary)
    }
}

/// second(activation(first(x))), plus `residual` [..., out] if there is one: [..., in] -> [..., out].
pub fn feed_forward(
    [first, second]: [&Linear; 2],
    activation: Activation,
    x: &Tensor,
    residual: Option<&Tensor>,
) -> Tensor {
    let packed = first.packed(x).zip(second.packed(x));
    if let Some((first, second)) = packed.filter(|_| residual.is_none_or(|residual| cpu::usable(&[residual]))) {
        return cpu::mlp(x, [first, second], activation, residual);
    }
    let output = second.forward(&activation.apply(&first.forward(x)));
    match residual {
        Some(residual) => residual + output,
        None => output,
    }
}

/// Keys: `layers.{i}.{weight,bias}`.
#[derive(Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    activation: Activation,
}

impl Mlp {
    /// `widths`: channels of the input, of each hidden layer, of the output.
    pub fn new(p: &Path, widths: &[i64], activation: Activation) -> Self {
        let p = p / "layers";
        let layers = widths.windows(2).enumerate().map(|(i, w)| Linear::new(&(&p / i), w[0], w[1])).collect();
        Self { layers, activation }
    }

    /// See [`Linear::prepare_for_inference`].
    pub fn prepare_for_inference(&mut self, kind: Kind) {
        for layer in &mut self.layers {
            layer.prepare_for_inference(kind);
        }
    }

    /// [..., in] -> [..., out]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        if let [first, second] = &self.layers[..] {
            return feed_forward([first, second], self.activation, x, None);
        }
        let last = self.layers.len() - 1;
        let mut x = x.shallow_clone();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x);
            if i < last {
                x = self.activation.apply(&x);
            }
        }
        x
    }

    /// [..., in] -> `residual` + output, [..., out].
    pub fn forward_residual(&self, x: &Tensor, residual: &Tensor) -> Tensor {
        match &self.layers[..] {
            [first, second] => feed_forward([first, second], self.activation, x, Some(residual)),
            _ => residual + self.forward(x),
        }
    }
}

/// A transposed convolution of kernel 2 and stride 2. Keys: `weight` [in, out, 2, 2], `bias` [out].
///
/// Its patches do not overlap, so it is a product at each pixel, whose four outputs are the pixel's patch: on CPUs
/// several times as fast as libtorch's transposed convolution.
#[derive(Debug)]
pub struct ConvTranspose2d {
    parameters: TransposedParameters,
}

#[derive(Debug)]
enum TransposedParameters {
    /// `weight` [in, out, 2, 2], `bias` [out].
    Learning { weight: Tensor, bias: Tensor },
    /// The product at each pixel, [in] -> [2 * 2 * out].
    Frozen(Linear),
}

impl ConvTranspose2d {
    /// A layer from `inputs` to `outputs` channels.
    pub fn new(p: &Path, inputs: i64, outputs: i64) -> Self {
        let weight = parameter(p, "weight", &[inputs, outputs, 2, 2]);
        Self { parameters: TransposedParameters::Learning { weight, bias: parameter(p, "bias", &[outputs]) } }
    }

    /// The product at each pixel: [..., in] -> [..., 2 * 2 * out].
    fn per_pixel(weight: &Tensor, bias: &Tensor) -> Linear {
        let weight = weight.permute([2, 3, 1, 0]).flatten(0, 2); // [in, out, 2, 2] -> [2 * 2 * out, in]
        Linear::of(weight, bias.repeat([4]))
    }

    /// Makes the product at each pixel once and for all, as [`Linear::prepare_for_inference`] does.
    pub fn prepare_for_inference(&mut self, kind: Kind) {
        if let TransposedParameters::Learning { weight, bias } = &self.parameters {
            let mut product = Self::per_pixel(weight, bias);
            product.prepare_for_inference(kind);
            self.parameters = TransposedParameters::Frozen(product);
        }
    }

    /// [B, in, H, W] -> [B, out, 2 H, 2 W]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (b, _, h, w) = x.size4().expect("convolutions work on [B, C, H, W]");
        let pixels = x.permute([0, 2, 3, 1]);
        let patches = match &self.parameters {
            TransposedParameters::Learning { weight, bias } => Self::per_pixel(weight, bias).forward(&pixels),
            TransposedParameters::Frozen(product) => product.forward(&pixels),
        };
        let patches = patches.reshape([b, h, w, 2, 2, -1]).permute([0, 1, 3, 2, 4, 5]); // -> [B, H, 2, W, 2, out]
        patches.reshape([b, 2 * h, 2 * w, -1]).permute([0, 3, 1, 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn::VarStore;
    use tch::Device;

    fn numbers(size: &[i64], seed: f64) -> Tensor {
        let count = size.iter().product::<i64>();
        (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.7311 + seed).sin().reshape(size)
    }

    fn apart(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn linear_layer_computes_the_same_before_and_after_preparation_and_holds_its_weight_once() {
        let (x, weight, bias) = (numbers(&[5, 24], 0.0), numbers(&[32, 24], 0.1), numbers(&[32], 0.2));
        let mut layer = Linear::of(weight.copy(), bias.copy());
        let expected = x.linear(&weight, Some(&bias));
        for prepared in [false, true] {
            if prepared {
                layer.prepare_for_inference(Kind::Float);
            }
            assert!(apart(&layer.forward(&x), &expected) < 1e-5);
            assert_eq!(layer.is_packed(), prepared && cpu::usable(&[&x]));
            assert_eq!((layer.weight(), layer.bias()), (weight.shallow_clone(), &bias));
        }
    }

    #[test]
    fn layer_that_computes_in_bf16_or_learns_is_never_packed() {
        let variables = VarStore::new(Device::Cpu);
        let mut learning = Linear::new(&variables.root(), 24, 32);
        learning.prepare_for_inference(Kind::Float);
        let mut other_kind = Linear::of(numbers(&[32, 24], 0.1), numbers(&[32], 0.2));
        other_kind.prepare_for_inference(Kind::BFloat16);
        assert!(!learning.is_packed() && !other_kind.is_packed());
    }

    #[test]
    fn transposed_convolution_is_libtorchs_before_and_after_preparation() {
        let mut variables = VarStore::new(Device::Cpu);
        let mut layer = ConvTranspose2d::new(&variables.root(), 12, 8);
        let (weight, bias) = (numbers(&[12, 8, 2, 2], 0.1), numbers(&[8], 0.2));
        tch::no_grad(|| {
            for (name, mut variable) in variables.variables() {
                variable.copy_(if name == "weight" { &weight } else { &bias });
            }
        });
        let x = numbers(&[2, 12, 3, 5], 0.3);
        let expected = x.conv_transpose2d(&weight, Some(&bias), [2, 2], [0, 0], [0, 0], 1, [1, 1]);
        assert!(apart(&layer.forward(&x), &expected) < 1e-5);
        variables.freeze();
        layer.prepare_for_inference(Kind::Float);
        assert!(apart(&layer.forward(&x), &expected) < 1e-5);
    }

    #[test]
    fn rotary_projection_of_the_kernels_equals_libtorchs_in_another_order_of_channels() {
        let rotary = Rotary::new(32, 4);
        let indices: Vec<u32> = (0..16).chain([16, 16]).chain((0..16).rev()).collect();
        let count = indices.len() as i64;
        let (x, weight, bias) = (numbers(&[1, count, 24], 0.1), numbers(&[32, 24], 0.2), numbers(&[32], 0.3));
        let plain = Linear::of(weight.copy(), bias.copy());
        let expected = plain.forward_rotary(&x, &rotary, &Positions::new(Some(indices.clone()), None));
        let precomputed = Positions::new(Some(indices.clone()), Some((&rotary, Kind::Float)));
        assert_eq!(plain.forward_rotary(&x, &rotary, &precomputed), expected);
        let unrotated = x.narrow(1, 16, 2).linear(&weight, Some(&bias)).index_select(2, rotary.order());
        assert!(apart(&expected.narrow(1, 16, 2), &unrotated) < 1e-5, "position 16 rotates nothing");
        let Some(packed) = PackedLinear::new(&weight, &bias) else {
            eprintln!("skipped: no kernels for this processor");
            return;
        };
        let positions = PositionIndices::Given(&indices);
        let rotation = Some(RotaryEpilogue { table: rotary.interleaved(), positions });
        let found = cpu::linear(&x, &packed, Epilogue { rotary: rotation, ..Epilogue::default() });
        assert!(apart(&found.index_select(2, rotary.order()), &expected) < 1e-5);
    }
}
