//! `image_encoder`: Hiera trunk and FPN neck. Source: `image_encoder.py`.

mod hiera;
mod neck;

use super::config::Config;
use hiera::Hiera;
use neck::FpnNeck;
use tch::nn::Path;
use tch::Tensor;

/// Keys: `trunk.*`, `neck.*`.
#[derive(Debug)]
pub struct ImageEncoder {
    trunk: Hiera,
    neck: FpnNeck,
}

impl ImageEncoder {
    pub fn new(p: &Path, config: &Config) -> Self {
        Self {
            trunk: Hiera::new(&(p / "trunk"), &config.trunk),
            neck: FpnNeck::new(&(p / "neck"), config.trunk.channels(), config.hidden_dim),
        }
    }

    /// [B, 3, S, S] -> features of strides 4, 8 and 16, each [B, hidden, S / stride, S / stride].
    pub fn forward(&self, images: &Tensor) -> [Tensor; 3] {
        self.neck.forward(&self.stages(images))
    }

    /// The trunk's output after each of its four stages, [B, channels, S / stride, S / stride], finest first.
    pub fn stages(&self, images: &Tensor) -> [Tensor; 4] {
        self.trunk.forward(images)
    }
}
