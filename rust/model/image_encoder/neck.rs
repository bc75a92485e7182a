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

    /// Stages, finest first -> strides 4, 8, 16.
    pub fn forward(&self, stages: &[Tensor; 4]) -> [Tensor; 3] {
        let lateral = |stage: usize| self.lateral(stage).forward(&stages[stage]);
        [lateral(0), lateral(1), self.features(stages)]
    }

    /// Stages, finest first -> stride 16.
    ///
    /// `fpn_top_down_levels: [2, 3]`: only stride 16 receives the coarser level, which itself is dropped (`scalp: 1`).
    pub fn features(&self, stages: &[Tensor; 4]) -> Tensor {
        let lateral = |stage: usize| self.lateral(stage).forward(&stages[stage]);
        let fine = lateral(2);
        let (h, w) = (fine.size()[2], fine.size()[3]);
        let coarse = lateral(3).to_kind(Kind::Float).upsample_nearest2d([h, w], None, None).to_kind(fine.kind());
        fine + coarse
    }

    /// What is done to a stage's output, counted from the finest.
    pub fn lateral(&self, stage: usize) -> &Conv2d {
        &self.convs[3 - stage]
    }
}
