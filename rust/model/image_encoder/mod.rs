//! `image_encoder`: trunk and FPN neck. Source: `image_encoder.py`.

mod convolutional;
mod hiera;
mod neck;

use super::config::{Config, TrunkConfig};
use convolutional::Convolutional;
use hiera::Hiera;
pub use neck::FpnNeck;
use tch::nn::Path;
use tch::{Kind, Tensor};

#[derive(Debug)]
enum Trunk {
    Hiera(Hiera),
    Convolutional(Convolutional),
}

/// Keys: `trunk.*`, `neck.*`.
#[derive(Debug)]
pub struct ImageEncoder {
    trunk: Trunk,
    neck: FpnNeck,
}

impl ImageEncoder {
    /// The trunk and neck of `config`.
    pub fn new(p: &Path, config: &Config) -> Self {
        Self {
            trunk: match &config.trunk {
                TrunkConfig::Hiera(hiera) => Trunk::Hiera(Hiera::new(&(p / "trunk"), hiera)),
                TrunkConfig::Convolutional(convolutional) => {
                    Trunk::Convolutional(Convolutional::new(&(p / "trunk"), convolutional))
                }
            },
            neck: FpnNeck::new(&(p / "neck"), config.trunk.channels(), config.hidden_dim),
        }
    }

    /// Lays the weights out for images of side `image_size` and computation in `kind`; nothing changes any more.
    pub fn prepare_for_inference(&mut self, image_size: i64, kind: Kind) {
        match &mut self.trunk {
            Trunk::Hiera(trunk) => trunk.prepare_for_inference(image_size, kind),
            Trunk::Convolutional(_) => {} // convolutions are libtorch's
        }
    }

    /// [B, 3, S, S] -> features of the three finer strides (Hiera: 4, 8 and 16), each [B, hidden, S / stride, S /
    /// stride].
    pub fn forward(&self, images: &Tensor) -> [Tensor; 3] {
        self.neck.forward(&self.stages(images))
    }

    /// The feature pyramid on top of the trunk.
    pub fn neck(&self) -> &FpnNeck {
        &self.neck
    }

    /// The trunk's output after each of its four stages, [B, channels, S / stride, S / stride], finest first.
    pub fn stages(&self, images: &Tensor) -> [Tensor; 4] {
        match &self.trunk {
            Trunk::Hiera(trunk) => trunk.forward(images),
            Trunk::Convolutional(trunk) => trunk.forward(images),
        }
    }
}
