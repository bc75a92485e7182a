//! Between the arrays of slices and the tensors of the network. S: the side of the network's square.

use crate::model::config::{GIVEN_MASK_BIAS, GIVEN_MASK_SCALE, PIXEL_MEAN, PIXEL_STD};
use ndarray::Array2;
use tch::{Device, Kind, Tensor};

/// Grey values of 0..1, [B, 1, S, S] -> normalised images [B, 3, S, S] on the same device.
pub fn normalised(grey: &Tensor) -> Tensor {
    let per_channel = |values: &[f32; 3]| Tensor::from_slice(values).to_device(grey.device()).reshape([1, 3, 1, 1]);
    (grey - per_channel(&PIXEL_MEAN)) / per_channel(&PIXEL_STD)
}

/// Pixels of 0..1, [h, w] -> normalised image [1, 3, S, S], padded with zeros at the bottom and right.
pub fn image(pixels: &Array2<f32>, side: i64) -> Tensor {
    padded(&normalised(&plane(pixels)), side)
}

/// A mask of the valid part [h, w] -> [1, 1, S, S] of 0 and 1, padded at the bottom and right.
pub fn mask(mask: &Array2<bool>, side: i64) -> Tensor {
    padded(&plane(&mask.mapv(f32::from)), side)
}

/// Masks of 0 to 1 -> the logits that stand for a given mask (`_use_mask_as_output`).
pub fn given_logits(mask: &Tensor) -> Tensor {
    mask * GIVEN_MASK_SCALE + GIVEN_MASK_BIAS
}

/// [h, w] -> [1, 1, h, w]
pub fn plane(values: &Array2<f32>) -> Tensor {
    let (h, w) = (values.nrows() as i64, values.ncols() as i64);
    let values: Vec<f32> = values.iter().copied().collect();
    Tensor::from_slice(&values).reshape([1, 1, h, w])
}

/// [1, 1, h, w] -> [h, w]
///
/// # Panics
/// If the tensor has another shape.
pub fn array(tensor: &Tensor) -> Array2<f32> {
    let (_, _, h, w) = tensor.size4().expect("logits are [1, 1, h, w]");
    let flat = tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().flatten(0, 3);
    let values = Vec::<f32>::try_from(&flat).expect("a flat tensor of fp32 is a vector");
    Array2::from_shape_vec((h as usize, w as usize), values).expect("logits are one plane")
}

/// [B, C, h, w] -> [B, C, S, S]
fn padded(image: &Tensor, side: i64) -> Tensor {
    let size = image.size();
    image.constant_pad_nd([0, side - size[3], 0, side - size[2]])
}
