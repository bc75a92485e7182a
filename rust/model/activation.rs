//! The nonlinearities between layers.

use tch::Tensor;

/// Element-wise nonlinearity, as a layer's caller chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// See [`gelu`].
    Gelu,
}

impl Activation {
    /// [...] -> [...]
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
