//! `image_encoder.neck`: lateral convolutions, and one top-down step. Source: `FpnNeck` of `image_encoder.py`.

use crate::model::layers::{Conv2d, ConvShape};
use tch::nn::Path;
use tch::{Kind, Tensor};

/// Keys: `convs.{level}.conv.{weight,bias}`, coarsest level first.
#[derive(Debug)]
pub struct FpnNeck {
    convs: Vec<Conv2d>,
}

impl FpnNeck {
    /// `channels` of the trunk's stages, finest first.
    pub fn new(p: &Path, channels: [i64; 4], hidden_dim: i64) -> Self {
        let p = p / "convs";
        let convs = channels
            .iter()
            .rev()
            .enumerate()
            .map(|(level, &c)| Conv2d::new(&(&p / level / "conv"), c, hidden_dim, ConvShape::POINT))
            .collect();
        Self { convs }
    }

    /// Stages, finest first -> features of the three finer strides, each [B, hidden, h, w].
    pub fn forward(&self, stages: &[Tensor; 4]) -> [Tensor; 3] {
        let lateral = |stage: usize| self.lateral(stage).forward(&stages[stage]);
        [lateral(0), lateral(1), self.features(stages)]
    }

    /// Stages, finest first -> features of the third stride (Hiera: 16), [B, hidden, h, w].
    ///
    /// `fpn_top_down_levels: [2, 3]`: only this stride receives the coarser level, which itself is dropped (`scalp:
    /// 1`).
    pub fn features(&self, stages: &[Tensor; 4]) -> Tensor {
        let lateral = |stage: usize| self.lateral(stage).forward(&stages[stage]);
        let fine = lateral(2);
        let (h, w) = (fine.size()[2], fine.size()[3]);
        let coarse = lateral(3).to_kind(Kind::Float).upsample_nearest2d([h, w], None, None).to_kind(fine.kind());
        fine + coarse
    }

    /// The 1 x 1 convolution of a stage's output; stage 0 is the finest.
    pub fn lateral(&self, stage: usize) -> &Conv2d {
        &self.convs[3 - stage]
    }
}
