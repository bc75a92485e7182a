//! The small layers that all parts share. Variables start at zero: weights come from a file or from an initialiser.

use super::cpu::{self, After, Packed, Places, Ready, Turned};
use super::rotary::{Placed, Rotary};
use once_cell::sync::OnceCell;
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
    weight: Tensor,
    bias: Tensor,
    /// The weight as the CPU's kernels read it, where it does not learn; made when it is first wanted.
    packed: OnceCell<Option<Packed>>,
}

impl Linear {
    pub fn new(p: &Path, inputs: i64, outputs: i64) -> Self {
        Self::of(parameter(p, "weight", &[outputs, inputs]), parameter(p, "bias", &[outputs]))
    }

    /// Of a weight [out, in] and a bias [out].
    fn of(weight: Tensor, bias: Tensor) -> Self {
        Self { weight, bias, packed: OnceCell::new() }
    }

    /// Two convolutions of kernel 1, one after the other, as one; in fp32.
    pub fn composed(first: &Conv2d, second: &Conv2d) -> Self {
        let matrix = |conv: &Conv2d| conv.weight.to_kind(Kind::Float).flatten(1, 3); // [out, in, 1, 1] -> [out, in]
        let bias = |conv: &Conv2d| conv.bias.as_ref().expect("these convolutions have a bias").to_kind(Kind::Float);
        Self::of(matrix(second).matmul(&matrix(first)), matrix(second).mv(&bias(first)) + bias(second))
    }

    /// Ready for the CPU's kernels, where they can be used.
    fn ready(&self, x: &Tensor) -> Option<Ready<'_>> {
        if !cpu::usable(&[x, &self.weight, &self.bias]) {
            return None;
        }
        let weight = self.packed.get_or_init(|| Packed::of(&self.weight)).as_ref()?;
        Some(Ready { weight, bias: &self.bias })
    }

    /// [..., in] -> [..., out]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match self.ready(x) {
            Some(ready) => cpu::linear(x, ready, After::default()),
            None => x.linear(&like(&self.weight, x), Some(&like(&self.bias, x))),
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
        placed.rotate(&x.linear(&like(&self.weight), Some(&like(&self.bias))), rotary)
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
    match (ready, onto) {
        (Some((a, b)), onto) => cpu::mlp(x, [a, b], activation, onto),
        (None, Some(onto)) => onto + second.forward(&activation.apply(&first.forward(x))),
        (None, None) => second.forward(&activation.apply(&first.forward(x))),
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
}

impl ConvTranspose2d {
    pub fn new(p: &Path, inputs: i64, outputs: i64) -> Self {
        Self { weight: parameter(p, "weight", &[inputs, outputs, 2, 2]), bias: parameter(p, "bias", &[outputs]) }
    }

    /// [B, in, H, W] -> [B, out, 2 H, 2 W]
    ///
    /// As a product at each pixel, whose four outputs become its square: on CPUs several times as fast as a transposed convolution.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (b, inputs, h, w) = x.size4().expect("convolutions work on [B, C, H, W]");
        let outputs = self.weight.size()[1];
        let weight = like(&self.weight, x).permute([2, 3, 1, 0]).reshape([4 * outputs, inputs]); // rows: place, then channel
        let squares = x.permute([0, 2, 3, 1]).linear(&weight, None::<&Tensor>).reshape([b, h, w, 2, 2, outputs]);
        let pixels = squares.permute([0, 1, 3, 2, 4, 5]).reshape([b, 2 * h, 2 * w, outputs]) + like(&self.bias, x);
        pixels.permute([0, 3, 1, 2])
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

/// Scores that [`attention`] may hold at once, in bf16 on CPUs.
const MOST_SCORES: i64 = 1 << 26;

/// softmax(q k^T / sqrt(d)) v for [B, heads, N, d].
///
/// libtorch's fused kernel multiplies bf16 matrices on CPUs with a library that widens them first where there is no AMX; written out, the
/// products are oneDNN's: three times as fast on AVX-512 BF16. Scores are rounded to bf16, sums of the softmax are fp32.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    if let Some(attended) = cpu::usable(&[q, k, v]).then(|| cpu::attention(q, k, v)).flatten() {
        return attended;
    }
    let scores: i64 = q.size()[..3].iter().product::<i64>() * k.size()[2];
    if q.kind() == Kind::BFloat16 && !q.device().is_cuda() && scores <= MOST_SCORES {
        let scale = (q.size()[3] as f64).sqrt().recip();
        return (q * scale).matmul(&k.transpose(-2, -1)).softmax(-1, None::<Kind>).matmul(v);
    }
    Tensor::scaled_dot_product_attention(q, k, v, None::<Tensor>, 0.0, false, None, false)
}

/// softmax(q k^T / sqrt(d)) v for several q [B, N, d], k [B, M, d] and v [B, M, d'], with another number of channels: [K B, N, d'], one after the
/// other.
pub fn weighted_means(all: &[[Tensor; 3]], scratch: &Scratch) -> Tensor {
    let usable = all.iter().all(|[q, k, v]| q.size()[0] == 1 && cpu::usable(&[q, k, v]));
    if usable {
        let rows: Vec<[Tensor; 3]> = all.iter().map(|one| one.each_ref().map(|x| x.squeeze_dim(0))).collect();
        if let Some(means) = cpu::attentions(&rows.iter().map(|one| one.each_ref()).collect::<Vec<_>>()) {
            return means;
        }
    }
    Tensor::cat(&all.iter().map(|[q, k, v]| weighted_mean(q, k, v, scratch)).collect::<Vec<_>>(), 0)
}

fn weighted_mean(q: &Tensor, k: &Tensor, v: &Tensor, scratch: &Scratch) -> Tensor {
    let (b, n, d) = q.size3().expect("queries are [B, N, d]");
    let (q, k) = (q * (d as f64).sqrt().recip(), k.transpose(1, 2));
    match scratch.rows(n, k.size()[2]).filter(|_| b == 1) {
        None => q.matmul(&k).softmax(-1, None::<Kind>).matmul(v),
        Some(scores) => {
            let (q, k, v) = (q.squeeze_dim(0), k.squeeze_dim(0), v.squeeze_dim(0));
            let mean = |q: &Tensor| {
                let scores = scores.narrow(0, 0, q.size()[0]);
                let _ = q.mm_out(&scores, &k);
                let _ = scores.shallow_clone().internal_softmax_out(&scores, -1, false);
                scores.mm(&v)
            };
            let parts: Vec<Tensor> = q.split(scores.size()[0], 0).iter().map(mean).collect();
            Tensor::cat(&parts, 0).unsqueeze(0)
        }
    }
}

/// Memory for the scores of [`weighted_means`] that all its calls for a slice share: they are many, and fresh memory costs a CPU as much as the
/// sums that it is for.
#[derive(Debug)]
pub struct Scratch(Option<Tensor>);

impl Scratch {
    /// Scores at once, at most: a bound on memory. Smaller parts are slower.
    const MOST: i64 = 1 << 23;

    /// For `n` queries and at most `m` of the `keys`; none where gradients need the scores, on GPUs, whose library keeps memory itself, and for the
    /// kernels, which never hold all scores.
    pub fn new(n: i64, m: i64, keys: &Tensor) -> Self {
        let wanted = !keys.device().is_cuda() && !keys.requires_grad() && !cpu::usable(&[keys]);
        Self(wanted.then(|| Tensor::empty([(n * m).min(Self::MOST).max(m)], (keys.kind(), keys.device()))))
    }

    /// As many of `n` rows of `m` scores as there is room for.
    fn rows(&self, n: i64, m: i64) -> Option<Tensor> {
        let memory = self.0.as_ref()?;
        let rows = (memory.numel() as i64 / m).clamp(1, n);
        Some(memory.narrow(0, 0, rows * m).reshape([rows, m]))
    }
}

/// [B, N, C] -> [B, heads, N, C / heads]
pub fn separate_heads(x: &Tensor, heads: i64) -> Tensor {
    let (b, n, c) = x.size3().expect("attention tokens are [B, N, C]");
    x.reshape([b, n, heads, c / heads]).transpose(1, 2)
}

/// [B, heads, N, d] -> [B, N, heads * d]
pub fn recombine_heads(x: &Tensor) -> Tensor {
    let (b, heads, n, d) = x.size4().expect("attention heads are [B, heads, N, d]");
    x.transpose(1, 2).reshape([b, n, heads * d])
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
    fn an_average_in_parts_is_that_of_the_whole_and_of_the_fused_attention() {
        let options = (Kind::Float, Device::Cpu);
        let [q, k, v] = [(1, 10), (2, 7), (3, 7)]
            .map(|(seed, rows)| (Tensor::arange(rows * 4, options) * 0.7 + seed).sin().reshape([1, rows, 4]));
        let heads = |x: &Tensor| x.unsqueeze(1);
        let parts = Scratch(Some(Tensor::empty([3 * 7], options))); // three rows at once, and one at the end
        let found = weighted_mean(&q, &k, &v, &parts);
        for expected in
            [weighted_mean(&q, &k, &v, &Scratch(None)), attention(&heads(&q), &heads(&k), &heads(&v)).squeeze_dim(1)]
        {
            assert!((&found - expected).abs().max().double_value(&[]) < 1e-6);
        }
    }
}
