//! Kernels for the operations that take most of a network's time, in fp32 on x86-64 processors with AVX2 and FMA:
//! linear layers with all that follows them, MLPs, and attention.
//!
//! libtorch's library reaches seven to eight tenths of what such a processor can compute, and it passes over memory
//! once more for each bias, activation and sum. In: tensors that need no gradient. Out: what libtorch's operations
//! return, up to the order of sums. Knows nothing of a network's parts.
//!
//! This is the whole interface, and `linear.rs` and `attention.rs` of the network are its only callers:
//!
//! | | |
//! |---|---|
//! | [`usable`] | whether the kernels can and should compute with these tensors; otherwise the caller uses libtorch |
//! | [`PackedLinear`] | the parameters of a linear layer, packed once |
//! | [`linear`] with an [`Epilogue`], [`mlp`] | one layer, and two with an activation between them |
//! | [`attention`], [`attentions`] | of many heads, and several of one head with different keys |
//!
//! `fallback.rs` has the same interface for other targets. Unsafe code is only in this folder. Its functions say in
//! their contracts how many floats a pointer refers to, and how they are aligned.

mod arithmetic;
mod attention;
mod epilogue;
mod heads;
mod linear;
mod panels;
mod processor;
mod product;
mod softmax;
#[cfg(test)]
mod tests;
mod threads;

pub use attention::{attention, attentions};
pub use epilogue::{Epilogue, PositionIndices, RotaryEpilogue};
pub use linear::{linear, mlp, PackedLinear};

use tch::{Device, Kind, Tensor};

/// Whether the kernels compute with these tensors: fp32 on the CPU, without gradients, on a processor where the kernels
/// are the faster way.
pub fn usable(tensors: &[&Tensor]) -> bool {
    let fits = |x: &&Tensor| x.device() == Device::Cpu && x.kind() == Kind::Float && !x.requires_grad();
    processor::is_enabled() && tensors.iter().all(fits)
}
