//! The epilogue of a product: what is done to its sums before they are written to memory.

use crate::model::activation::Activation;
use tch::Tensor;

/// activation(rotary(sum + bias)) + residual; the bias is the layer's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// A rotary encoding of the output's rows.
    pub rotary: Option<RotaryEpilogue<'a>>,
    /// Applied to each element.
    pub activation: Option<Activation>,
    /// Added at the end; of the output's size.
    pub residual: Option<&'a Tensor>,
}

/// A rotary encoding of the rows [N, out] of a product, whose channels 2 i and 2 i + 1 are the two parts of a number.
#[derive(Debug, Clone, Copy)]
pub struct RotaryEpilogue<'a> {
    /// Cosines and signed sines at each position, contiguous: [2, positions, out].
    pub table: &'a Tensor,
    /// The position of each row.
    pub positions: PositionIndices<'a>,
}

/// The positions of rows; after the last position the first follows again, once for each image of a batch.
#[derive(Debug, Clone, Copy)]
pub enum PositionIndices<'a> {
    /// One index for each row.
    Given(&'a [u32]),
    /// 0, 1, ... up to this number, exclusive.
    Sequential(usize),
}
