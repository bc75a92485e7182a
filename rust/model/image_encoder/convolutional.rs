//! `image_encoder.trunk` of networks that learn from scratch: residual convolutions at strides 2, 4, 8 and 16. Not in
//! SAM 2.

use crate::model::config::ConvolutionalConfig;
use crate::model::layers::{channels_last, Conv2d, ConvShape, ResidualBlock};
use tch::nn::Path;
use tch::Tensor;

/// The first convolution has a larger kernel than those that halve later.
const STEM: ConvShape = ConvShape { kernel: 5, stride: 2, padding: 2, groups: 1 };

/// Keys: `stages.{i}.halve.*`, `stages.{i}.blocks.{j}.{norm,conv1,conv2}.*`.
#[derive(Debug)]
pub struct Convolutional {
    stages: Vec<(Conv2d, Vec<ResidualBlock>)>,
}

impl Convolutional {
    /// The trunk with the stages of `config`.
    pub fn new(p: &Path, config: &ConvolutionalConfig) -> Self {
        let mut inputs = 3;
        let stages = (config.channels.iter().zip(config.residual_blocks).enumerate())
            .map(|(i, (&channels, blocks))| {
                let p = p / "stages" / i;
                let halve =
                    Conv2d::new(&(&p / "halve"), inputs, channels, if i == 0 { STEM } else { ConvShape::HALVE });
                inputs = channels;
                (halve, (0..blocks).map(|j| ResidualBlock::new(&(&p / "blocks" / j), channels)).collect())
            })
            .collect();
        Self { stages }
    }

    /// [B, 3, S, S] -> stages, finest first, each [B, C, S / stride, S / stride].
    pub fn forward(&self, images: &Tensor) -> [Tensor; 4] {
        let mut x = channels_last(images);
        let mut stages = Vec::with_capacity(4);
        for (i, (halve, blocks)) in self.stages.iter().enumerate() {
            x = halve.forward(&if i == 0 { x } else { x.relu() });
            for block in blocks {
                x = block.forward(&x);
            }
            stages.push(x.shallow_clone());
        }
        stages.try_into().expect("a trunk has four stages")
    }
}
