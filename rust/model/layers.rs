//! Convolutions, norms and resizing, which all parts share; linear layers are in `linear.rs`.
//!
//! Variables start at zero: weights come from a file or from an initialiser.

use tch::nn::{Init, Path};
use tch::{Kind, Tensor};

/// A parameter in the number format of the input `x`. Training keeps parameters in fp32 and casts them here; a loaded
/// network holds them in their format already, and this is no copy.
pub fn with_kind_of(parameter: &Tensor, x: &Tensor) -> Tensor {
    parameter.to_kind(x.kind())
}

/// A variable of the checkpoint, zero until weights are loaded.
pub fn parameter(p: &Path, name: &str, shape: &[i64]) -> Tensor {
    p.var(name, shape, Init::Const(0.0))
}

/// A convolution's geometry; kernel, stride and padding are the same on both axes.
#[derive(Debug, Clone, Copy)]
pub struct ConvShape {
    /// Side of the kernel, in pixels.
    pub kernel: i64,
    /// Input pixels per output pixel.
    pub stride: i64,
    /// Zeros added on each side.
    pub padding: i64,
    /// As many groups as channels: a depthwise convolution.
    pub groups: i64,
}

impl ConvShape {
    /// 1 x 1: a linear layer at each pixel.
    pub const POINT: ConvShape = ConvShape { kernel: 1, stride: 1, padding: 0, groups: 1 };
    /// 3 x 3, output as large as the input.
    pub const SAME: ConvShape = ConvShape { kernel: 3, stride: 1, padding: 1, groups: 1 };
    /// 3 x 3 with stride 2: half the height and width.
    pub const HALVE: ConvShape = ConvShape { kernel: 3, stride: 2, padding: 1, groups: 1 };

    /// Kernel and stride equal: patches that do not overlap.
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
    /// A layer from `inputs` to `outputs` channels.
    pub fn new(p: &Path, inputs: i64, outputs: i64, shape: ConvShape) -> Self {
        Self { bias: Some(parameter(p, "bias", &[outputs])), ..Self::without_bias(p, inputs, outputs, shape) }
    }

    /// The same without the key `bias`.
    pub fn without_bias(p: &Path, inputs: i64, outputs: i64, shape: ConvShape) -> Self {
        let ConvShape { kernel, groups, .. } = shape;
        Self { weight: parameter(p, "weight", &[outputs, inputs / groups, kernel, kernel]), bias: None, shape }
    }

    /// [out, in / groups, k, k]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// [out], if it has one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// [B, in, H, W] -> [B, out, H', W']
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let ConvShape { stride, padding, groups, .. } = self.shape;
        x.conv2d(
            &with_kind_of(&self.weight, x),
            self.bias.as_ref().map(|bias| with_kind_of(bias, x)).as_ref(),
            [stride, stride],
            [padding, padding],
            [1, 1],
            groups,
        )
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

    /// `epsilon` is added to the variance.
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
    /// Keys: as [`LayerNorm`]'s.
    pub fn new(p: &Path, channels: i64) -> Self {
        Self(LayerNorm::new(p, channels, 1e-6))
    }

    /// [B, C, H, W] -> [B, C, H, W]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.0.forward(&x.permute([0, 2, 3, 1])).permute([0, 3, 1, 2])
    }
}

/// [B, C, H, W] in memory format channels-last, which oneDNN's convolutions on CPUs prefer and keep.
pub fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// x + conv2(relu(conv1(norm(x)))), a pre-activation residual block. Keys: `norm.*`, `conv1.*`, `conv2.*`.
#[derive(Debug)]
pub struct ResidualBlock {
    norm: LayerNorm2d,
    conv1: Conv2d,
    conv2: Conv2d,
}

impl ResidualBlock {
    /// `channels` in and out.
    pub fn new(p: &Path, channels: i64) -> Self {
        let conv = |name: &str| Conv2d::new(&(p / name), channels, channels, ConvShape::SAME);
        Self { norm: LayerNorm2d::new(&(p / "norm"), channels), conv1: conv("conv1"), conv2: conv("conv2") }
    }

    /// [B, C, H, W] -> [B, C, H, W]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x + self.conv2.forward(&self.conv1.forward(&self.norm.forward(x)).relu())
    }
}

/// Bilinear resizing (half-pixel centres, no antialiasing), in fp32: [B, C, h, w] -> [B, C, size, size].
pub fn upsample_bilinear(x: &Tensor, size: i64) -> Tensor {
    x.to_kind(Kind::Float).upsample_bilinear2d([size, size], false, None, None)
}

/// Average pooling with kernel and stride `stride`: [B, C, H, W] -> [B, C, H / stride, W / stride].
pub fn average_pool(x: &Tensor, stride: i64) -> Tensor {
    match stride {
        1 => x.shallow_clone(),
        n => x.avg_pool2d([n, n], [n, n], [0, 0], false, true, None::<i64>),
    }
}
