//! The small layers that all parts share. Variables start at zero: weights come from a file or from an initialiser.

use super::cpu::{self, After, Packed, Places, Ready, Turned};
use super::rotary::{Placed, Rotary};
use once_cell::sync::OnceCell;
use std::cell::RefCell;
use tch::nn::{Init, Path};
use tch::{Kind, Tensor};

/// A weight in the number format of what it meets. Training keeps weights in fp32 and casts them here; loaded networks hold
/// them in their format already, and this is no copy.
fn like(weight: &Tensor, x: &Tensor) -> Tensor {
    weight.to_kind(x.kind())
}

/// A variable of the checkpoint, zero until weights are loaded.
pub fn parameter(p: &Path, name: &str, shape: &[i64]) -> Tensor {
    p.var(name, shape, Init::Const(0.0))
}

/// Keys: `weight` [out, in], `bias` [out].
#[derive(Debug)]
pub struct Linear {
    /// [out, in]; none once it is packed, so that it is not kept twice.
    weight: RefCell<Option<Tensor>>,
    bias: Tensor,
    /// The weight as the CPU's kernels read it, where it does not learn; made when it is first wanted.
    packed: OnceCell<Packed>,
}

impl Linear {
    pub fn new(p: &Path, inputs: i64, outputs: i64) -> Self {
        Self::of(parameter(p, "weight", &[outputs, inputs]), parameter(p, "bias", &[outputs]))
    }

    /// Of a weight [out, in] and a bias [out].
    fn of(weight: Tensor, bias: Tensor) -> Self {
        Self { weight: RefCell::new(Some(weight)), bias, packed: OnceCell::new() }
    }

    /// Two convolutions of kernel 1, one after the other, as one; in fp32.
    pub fn composed(first: &Conv2d, second: &Conv2d) -> Self {
        let matrix = |conv: &Conv2d| conv.weight.to_kind(Kind::Float).flatten(1, 3); // [out, in, 1, 1] -> [out, in]
        let bias = |conv: &Conv2d| conv.bias.as_ref().expect("these convolutions have a bias").to_kind(Kind::Float);
        Self::of(matrix(second).matmul(&matrix(first)), matrix(second).mv(&bias(first)) + bias(second))
    }

    /// Ready for the CPU's kernels, where they can be used.
    fn ready(&self, x: &Tensor) -> Option<Ready<'_>> {
        if !cpu::usable(&[x, &self.bias]) {
            return None;
        }
        let weight = self.weight.borrow();
        let pack = || weight.as_ref().filter(|weight| cpu::usable(&[weight])).and_then(Packed::of).ok_or(());
        let packed = self.packed.get_or_try_init(pack).ok()?;
        drop(weight);
        self.weight.take();
        Some(Ready { weight: packed, bias: &self.bias })
    }

    /// The weight as libtorch reads it, [out, in].
    fn weight(&self) -> Tensor {
        match (&*self.weight.borrow(), self.packed.get()) {
            (Some(weight), _) => weight.shallow_clone(),
            (None, Some(packed)) => packed.weight(),
            (None, None) => unreachable!("a weight is given up when it is packed"),
        }
    }

    /// [..., in] -> [..., out]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match self.ready(x) {
            Some(ready) => cpu::linear(x, ready, After::default()),
            None => x.linear(&like(&self.weight(), x), Some(&like(&self.bias, x))),
        }
    }

    /// [..., in] -> `onto` [..., out] and what the layer makes.
    pub fn forward_onto(&self, x: &Tensor, onto: &Tensor) -> Tensor {
        match self.ready(x).filter(|_| cpu::usable(&[onto])) {
            Some(ready) => cpu::linear(x, ready, After { onto: Some(onto), ..After::default() }),
            None => onto + self.forward(x),
        }
    }

    /// What a token of zeros becomes, [out].
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }

    /// [B, N, in] -> [B, N, out], turned to their places, in an order of channels that depends on where this is computed.
    pub fn forward_turned(&self, x: &Tensor, rotary: &Rotary, placed: &Placed) -> Tensor {
        if let Some(ready) = self.ready(x).filter(|_| cpu::usable(&[rotary.pairs()])) {
            let places = placed.places().map_or(Places::Every(rotary.places()), Places::Of);
            let turned = Some(Turned { turns: rotary.pairs(), places });
            return cpu::linear(x, ready, After { turned, ..After::default() });
        }
        let like = |weight: &Tensor| like(&weight.index_select(0, rotary.order()), x);
        placed.rotate(&x.linear(&like(&self.weight()), Some(&like(&self.bias))), rotary)
    }
}

/// second(activation(first(x))): [..., in] -> [..., out], added to `onto` [..., out] if there is one.
pub fn feed_forward(
    [first, second]: [&Linear; 2],
    activation: Activation,
    x: &Tensor,
    onto: Option<&Tensor>,
) -> Tensor {
    let ready = first.ready(x).zip(second.ready(x)).filter(|_| onto.is_none_or(|onto| cpu::usable(&[onto])));
    if let Some((first, second)) = ready {
        return cpu::mlp(x, [first, second], activation, onto);
    }
    let made = second.forward(&activation.apply(&first.forward(x)));
    match onto {
        Some(onto) => onto + made,
        None => made,
    }
}

/// A convolution's geometry.
#[derive(Debug, Clone, Copy)]
pub struct ConvShape {
    pub kernel: i64,
    pub stride: i64,
    pub padding: i64,
    pub groups: i64,
}

impl ConvShape {
    /// Kernel 1.
    pub const POINT: ConvShape = ConvShape { kernel: 1, stride: 1, padding: 0, groups: 1 };
    /// Kernel 3, as many pixels out as in.
    pub const SAME: ConvShape = ConvShape { kernel: 3, stride: 1, padding: 1, groups: 1 };
    /// Kernel 3, half of the pixels on each side.
    pub const HALVE: ConvShape = ConvShape { kernel: 3, stride: 2, padding: 1, groups: 1 };

    /// Kernel and stride equal: each output pixel sees its own patch.
    pub fn patch(size: i64) -> Self {
        Self { kernel: size, stride: size, padding: 0, groups: 1 }
    }
}

/// Keys: `weight` [out, in / groups, k, k], and mostly `bias` [out].
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    shape: ConvShape,
}

impl Conv2d {
    pub fn new(p: &Path, inputs: i64, outputs: i64, shape: ConvShape) -> Self {
        Self { bias: Some(parameter(p, "bias", &[outputs])), ..Self::without_bias(p, inputs, outputs, shape) }
    }

    pub fn without_bias(p: &Path, inputs: i64, outputs: i64, shape: ConvShape) -> Self {
        let ConvShape { kernel, groups, .. } = shape;
        Self { weight: parameter(p, "weight", &[outputs, inputs / groups, kernel, kernel]), bias: None, shape }
    }

    pub fn learns(&self) -> bool {
        self.weight.requires_grad()
    }

    /// [B, in, H, W] -> [B, out, H', W']
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let ConvShape { stride, padding, groups, .. } = self.shape;
        x.conv2d(
            &like(&self.weight, x),
            self.bias.as_ref().map(|bias| like(bias, x)).as_ref(),
            [stride, stride],
            [padding, padding],
            [1, 1],
            groups,
        )
    }
}

/// Doubles both sides. Keys: `weight` [in, out, 2, 2], `bias` [out].
#[derive(Debug)]
pub struct ConvTranspose2d {
    weight: Tensor,
    bias: Tensor,
    /// See [`ConvTranspose2d::squares`]; kept where it does not learn.
    squares: OnceCell<Linear>,
}

impl ConvTranspose2d {
    pub fn new(p: &Path, inputs: i64, outputs: i64) -> Self {
        Self {
            weight: parameter(p, "weight", &[inputs, outputs, 2, 2]),
            bias: parameter(p, "bias", &[outputs]),
            squares: OnceCell::new(),
        }
    }

    /// What a pixel becomes: its square's four places, of all channels each.
    fn squares(&self) -> Linear {
        let weight = self.weight.permute([2, 3, 1, 0]).flatten(0, 2); // [in, out, 2, 2] -> [place and out, in]
        Linear::of(weight, self.bias.repeat([4]))
    }

    /// [B, in, H, W] -> [B, out, 2 H, 2 W]
    ///
    /// As a product at each pixel, whose four outputs become its square: on CPUs several times as fast as a transposed convolution.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (b, _, h, w) = x.size4().expect("convolutions work on [B, C, H, W]");
        let pixels = x.permute([0, 2, 3, 1]);
        let squares = match self.weight.requires_grad() {
            true => self.squares().forward(&pixels),
            false => self.squares.get_or_init(|| self.squares()).forward(&pixels),
        };
        let squares = squares.reshape([b, h, w, 2, 2, -1]).permute([0, 1, 3, 2, 4, 5]);
        squares.reshape([b, 2 * h, 2 * w, -1]).permute([0, 3, 1, 2])
    }
}

/// Keys: `weight`, `bias`, both [channels]. Normalises the last dimension.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    /// PyTorch's default epsilon, used by the attention modules.
    pub const EPSILON: f64 = 1e-5;
    /// Hiera's and ConvNeXt's.
    pub const EPSILON_TRUNK: f64 = 1e-6;

    pub fn new(p: &Path, channels: i64, epsilon: f64) -> Self {
        Self { weight: parameter(p, "weight", &[channels]), bias: parameter(p, "bias", &[channels]), epsilon }
    }

    /// [..., C] -> [..., C]. Sums are in fp32 whatever the input is; on CPUs fp32 weights may meet bf16 values.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let norm =
            |x: &Tensor| x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.epsilon, false);
        match x.kind() == self.weight.kind() || !x.device().is_cuda() {
            true => norm(x),
            false => norm(&x.to_kind(self.weight.kind())).to_kind(x.kind()),
        }
    }
}

/// `LayerNorm2d` of `sam2_utils.py`: normalises the channels of [B, C, H, W] at each pixel.
#[derive(Debug)]
pub struct LayerNorm2d(LayerNorm);

impl LayerNorm2d {
    pub fn new(p: &Path, channels: i64) -> Self {
        Self(LayerNorm::new(p, channels, 1e-6))
    }

    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.0.forward(&x.permute([0, 2, 3, 1])).permute([0, 3, 1, 2])
    }
}

/// [B, C, H, W] with its channels beside each other in memory, which convolutions on CPUs prefer and keep.
pub fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Two convolutions beside a shortcut. Keys: `norm.*`, `conv1.*`, `conv2.*`.
#[derive(Debug)]
pub struct ResidualBlock {
    norm: LayerNorm2d,
    conv1: Conv2d,
    conv2: Conv2d,
}

impl ResidualBlock {
    pub fn new(p: &Path, channels: i64) -> Self {
        let conv = |name: &str| Conv2d::new(&(p / name), channels, channels, ConvShape::SAME);
        Self { norm: LayerNorm2d::new(&(p / "norm"), channels), conv1: conv("conv1"), conv2: conv("conv2") }
    }

    /// [B, C, H, W] -> [B, C, H, W]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x + self.conv2.forward(&self.conv1.forward(&self.norm.forward(x)).relu())
    }
}

/// What stands between the layers of an [`Mlp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Relu,
    Gelu,
}

impl Activation {
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Activation::Relu => x.relu(),
            Activation::Gelu => gelu(x),
        }
    }
}

/// The exact GELU (not the tanh approximation), as `nn.GELU()`.
pub fn gelu(x: &Tensor) -> Tensor {
    x.gelu("none")
}

/// Keys: `layers.{i}.{weight,bias}`.
#[derive(Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    activation: Activation,
}

impl Mlp {
    /// `widths`: input, hidden ..., output.
    pub fn new(p: &Path, widths: &[i64], activation: Activation) -> Self {
        let p = p / "layers";
        let layers = widths.windows(2).enumerate().map(|(i, w)| Linear::new(&(&p / i), w[0], w[1])).collect();
        Self { layers, activation }
    }

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

    /// The same of a network of two layers, added to `onto`.
    pub fn forward_onto(&self, x: &Tensor, onto: &Tensor) -> Tensor {
        match &self.layers[..] {
            [first, second] => feed_forward([first, second], self.activation, x, Some(onto)),
            _ => onto + self.forward(x),
        }
    }
}

/// Bilinear, half-pixel centres, no antialiasing, in fp32: [B, C, h, w] -> [B, C, size, size].
pub fn upsample_bilinear(x: &Tensor, size: i64) -> Tensor {
    x.to_kind(Kind::Float).upsample_bilinear2d([size, size], false, None, None)
}

/// Means of squares of `stride` pixels: [B, C, H, W] -> [B, C, H / stride, W / stride].
pub fn average_pool(x: &Tensor, stride: i64) -> Tensor {
    match stride {
        1 => x.shallow_clone(),
        n => x.avg_pool2d([n, n], [n, n], [0, 0], false, true, None::<i64>),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn a_weight_is_kept_once_and_a_layer_makes_the_same_before_and_after() {
        let numbers =
            |size: &[i64]| Tensor::arange(size.iter().product::<i64>(), (Kind::Float, Device::Cpu)).sin().reshape(size);
        let (x, weight, bias) = (numbers(&[5, 24]), numbers(&[32, 24]), numbers(&[32]));
        let layer = Linear::of(weight.copy(), bias.copy());
        let expected = x.linear(&weight, Some(&bias));
        for _ in 0..2 {
            let apart = (layer.forward(&x) - &expected).abs().max().double_value(&[]);
            assert!(apart < 1e-5, "{apart}");
            assert_eq!(layer.weight.borrow().is_none(), layer.packed.get().is_some());
            assert_eq!(layer.weight(), weight);
        }
    }
}
