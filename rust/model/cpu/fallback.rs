//! Where the kernels are not built: `usable` is never true, and libtorch computes everything. The same interface as
//! `cpu/mod.rs`.

#![allow(dead_code)]

mod epilogue;

pub use epilogue::{Epilogue, PositionIndices, RotaryEpilogue};

use super::activation::Activation;
use tch::Tensor;

/// Never made.
#[derive(Debug)]
pub enum PackedLinear {}

impl PackedLinear {
    pub fn new(_weight: &Tensor, _bias: &Tensor) -> Option<Self> {
        None
    }

    pub fn weight(&self) -> Tensor {
        match *self {}
    }

    pub fn bias(&self) -> &Tensor {
        match *self {}
    }
}

pub fn usable(_tensors: &[&Tensor]) -> bool {
    false
}

pub fn linear(_x: &Tensor, layer: &PackedLinear, _epilogue: Epilogue) -> Tensor {
    match *layer {}
}

pub fn mlp(
    _x: &Tensor,
    [first, _second]: [&PackedLinear; 2],
    _activation: Activation,
    _residual: Option<&Tensor>,
) -> Tensor {
    match *first {}
}

pub fn attention(_q: &Tensor, _k: &Tensor, _v: &Tensor) -> Option<Tensor> {
    None
}

pub fn attentions(_all: &[[&Tensor; 3]]) -> Option<Tensor> {
    None
}
