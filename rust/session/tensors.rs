//! Between the arrays of slices and the tensors of the network.

use crate::model::config::{PIXEL_MEAN, PIXEL_STD};
use ndarray::Array2;
use tch::{Device, Kind, Tensor};

/// Pixels of 0..1, [h, w] -> normalised image [1, 3, S, S], padded with zeros at the bottom and right.
pub fn image(pixels: &Array2<f32>, side: i64) -> Tensor {
    let (h, w) = (pixels.nrows() as i64, pixels.ncols() as i64);
    let grey = plane(pixels);
    let per_channel = |values: &[f32; 3]| Tensor::from_slice(values).reshape([1, 3, 1, 1]);
    ((grey - per_channel(&PIXEL_MEAN)) / per_channel(&PIXEL_STD)).constant_pad_nd([0, side - w, 0, side - h])
}

/// A mask of the valid part [h, w] -> [1, 1, S, S] of 0 and 1, padded at the bottom and right.
pub fn mask(mask: &Array2<bool>, side: i64) -> Tensor {
    let (h, w) = (mask.nrows() as i64, mask.ncols() as i64);
    plane(&mask.mapv(f32::from)).constant_pad_nd([0, side - w, 0, side - h])
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
