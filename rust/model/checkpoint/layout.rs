//! The layouts of weights files.

use serde::Serialize;
use std::fmt;

/// Where a file holds the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum WeightLayout {
    /// A `.pt` with the weights under `model`, as published.
    Nested,
    /// A `.pt` that is itself the state dict.
    Bare,
    /// A `.safetensors`.
    Safetensors,
}

impl fmt::Display for WeightLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WeightLayout::Nested => "PyTorch, weights under `model`",
            WeightLayout::Bare => "PyTorch, bare weights",
            WeightLayout::Safetensors => "safetensors",
        })
    }
}
