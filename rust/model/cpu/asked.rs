//! What a product is asked for: a layer, and what follows it.

use super::Packed;
use crate::model::layers::Activation;
use tch::Tensor;

/// A layer ready to be multiplied with.
#[derive(Debug, Clone, Copy)]
pub struct Ready<'a> {
    pub weight: &'a Packed,
    /// [out]
    pub bias: &'a Tensor,
}

/// How tokens are turned to their places by rotary encodings.
#[derive(Debug, Clone, Copy)]
pub struct Turned<'a> {
    /// Of pairs of channels at each place, contiguous: [2, places, out].
    pub turns: &'a Tensor,
    pub places: Places<'a>,
}

/// The places of tokens, which begin anew after the last.
#[derive(Debug, Clone, Copy)]
pub enum Places<'a> {
    /// Of each.
    Of(&'a [u32]),
    /// So many, in their order.
    Every(usize),
}

/// What follows a product.
#[derive(Debug, Clone, Copy, Default)]
pub struct After<'a> {
    pub turned: Option<Turned<'a>>,
    pub activation: Option<Activation>,
    /// Of the result's size.
    pub onto: Option<&'a Tensor>,
}
