//! The numbers that make one network of the family: SAM 2.0 and 2.1 in four sizes, and the small ones of this project.
//!
//! Source of the official values: `sam2==1.1.0`, `configs/sam2{,.1}/*.yaml`. What all of them share (and what the
//! checkpoint's shapes cannot tell) stands as a constant with its key in those files.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// `num_maskmem`: temporal slots of the memory bank; the last belongs to the pinned prompt.
pub const NUM_MASKMEM: i64 = 7;
/// `max_obj_ptrs_in_encoder`.
pub const MAX_OBJ_PTRS: i64 = 16;
/// Pixels per cell of the mask decoder's logits, in every published network.
pub const MASK_STRIDE: i64 = 4;
/// `backbone_stride` is so many times that: the decoder doubles twice.
const DECODER_UPSCALING: i64 = 4;
/// Every image size must be a multiple of the trunk's coarsest stride.
pub const SIZE_MULTIPLE: i64 = 32;
/// No number of a network of this family comes near it, no image size and no width; keeps forged files and mistaken
/// callers from asking for memory.
pub const LARGEST_NUMBER: i64 = 8192;
/// The paper works at 512 (section 3.2); the official files carry no size of their own.
pub const DEFAULT_IMAGE_SIZE: i64 = 512;
/// `sigmoid_scale_for_mem_enc`, `sigmoid_bias_for_mem_enc`.
pub const MEMORY_MASK_SCALE: f64 = 20.0;
pub const MEMORY_MASK_BIAS: f64 = -10.0;
/// Logits of a mask that a user gave: +10 inside, -10 outside (`_use_mask_as_output`).
pub const GIVEN_MASK_SCALE: f64 = 20.0;
pub const GIVEN_MASK_BIAS: f64 = -10.0;
/// `NO_OBJ_SCORE` in `sam2_base.py`: the logits of a mask whose object is absent.
pub const NO_OBJ_SCORE: f64 = -1024.0;
/// ImageNet mean and deviation, as `sam2_video_predictor.py` normalises.
pub const PIXEL_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
pub const PIXEL_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The two published generations. 2.1 adds temporal encoding of object pointers and a no-object memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    #[serde(rename = "2.0")]
    V2_0,
    #[serde(rename = "2.1")]
    V2_1,
}

/// What turns an image into features of four strides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TrunkConfig {
    Hiera(HieraConfig),
    Convolutional(ConvolutionalConfig),
}

impl TrunkConfig {
    /// Channels at the end of each stage, finest first.
    pub fn channels(&self) -> [i64; 4] {
        match self {
            Self::Hiera(hiera) => [1, 2, 4, 8].map(|factor| hiera.embed_dim * factor),
            Self::Convolutional(convolutional) => convolutional.channels,
        }
    }

    /// Pixels per cell of the finest stage; each later one doubles it.
    pub fn stride(&self) -> i64 {
        match self {
            Self::Hiera(_) => MASK_STRIDE,
            Self::Convolutional(_) => CONVOLUTIONAL_STRIDE,
        }
    }
}

/// Residual convolutions, for networks that learn from scratch: they need no pretraining to see edges and textures. Not in SAM 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvolutionalConfig {
    /// Of each stage, finest first.
    pub channels: [i64; 4],
    /// Residual blocks of each stage.
    pub residual_blocks: [i64; 4],
}

/// Pixels per cell of a convolutional trunk's finest stage.
pub const CONVOLUTIONAL_STRIDE: i64 = 2;

/// The Hiera trunk; names as in `hieradet.py`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HieraConfig {
    pub embed_dim: i64,
    pub num_heads: i64,
    /// Blocks per stage.
    pub stages: [i64; 4],
    /// Blocks that attend to the whole image instead of a window.
    pub global_att_blocks: Vec<i64>,
    pub window_pos_embed_bkg_spatial_size: [i64; 2],
    /// Window size per stage.
    pub window_spec: [i64; 4],
}

/// One network. Serialised into the metadata of our own checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Such as `sam2.1_hiera_tiny`.
    pub name: String,
    pub version: Version,
    /// Side of the square the network sees, in pixels; a multiple of 32.
    pub image_size: i64,
    pub trunk: TrunkConfig,
    /// `d_model` of neck, memory attention, prompt encoder and mask decoder.
    pub hidden_dim: i64,
    /// Channels of a memory; divides `hidden_dim`.
    pub mem_dim: i64,
    pub memory_attention_layers: i64,
    pub memory_attention_feedforward: i64,
    /// `mlp_dim` of the mask decoder's transformer.
    pub decoder_mlp_dim: i64,
    pub iou_head_hidden_dim: i64,
    /// Channels of residual convolutions in the mask decoder's upscaling, at twice and four times the features' resolution, which see a dense
    /// prompt at full detail. Beyond SAM 2: no published network has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refinement: Option<[i64; 2]>,
    /// Channels of what sees the evidence of intensities in the mask decoder. Beyond SAM 2: no published network has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<i64>,
}

/// The published sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Tiny,
    Small,
    BasePlus,
    Large,
}

impl Size {
    pub const ALL: [Size; 4] = [Size::Tiny, Size::Small, Size::BasePlus, Size::Large];

    /// As in the names of the published files.
    pub fn name(self) -> &'static str {
        match self {
            Size::Tiny => "tiny",
            Size::Small => "small",
            Size::BasePlus => "base_plus",
            Size::Large => "large",
        }
    }

    pub fn trunk(self) -> HieraConfig {
        let (embed_dim, num_heads, stages, global_att_blocks, bkg, window_spec) = match self {
            Size::Tiny => (96, 1, [1, 2, 7, 2], vec![5, 7, 9], 7, [8, 4, 14, 7]),
            Size::Small => (96, 1, [1, 2, 11, 2], vec![7, 10, 13], 7, [8, 4, 14, 7]),
            Size::BasePlus => (112, 2, [2, 3, 16, 3], vec![12, 16, 20], 14, [8, 4, 14, 7]),
            Size::Large => (144, 2, [2, 6, 36, 4], vec![23, 33, 43], 7, [8, 4, 16, 8]),
        };
        HieraConfig {
            embed_dim,
            num_heads,
            stages,
            global_att_blocks,
            window_pos_embed_bkg_spatial_size: [bkg, bkg],
            window_spec,
        }
    }
}

impl Config {
    /// A published network at the paper's image size.
    pub fn official(version: Version, size: Size) -> Self {
        let generation = match version {
            Version::V2_0 => "sam2",
            Version::V2_1 => "sam2.1",
        };
        Self {
            name: format!("{generation}_hiera_{}", size.name()),
            version,
            image_size: DEFAULT_IMAGE_SIZE,
            trunk: TrunkConfig::Hiera(size.trunk()),
            hidden_dim: 256,
            mem_dim: 64,
            memory_attention_layers: 4,
            memory_attention_feedforward: 2048,
            decoder_mlp_dim: 2048,
            iou_head_hidden_dim: 256,
            refinement: None,
            evidence: None,
        }
    }

    /// The smallest network that exercises every branch of the code; for tests and the demonstration.
    pub fn toy(version: Version) -> Self {
        Self {
            name: "toy".into(),
            version,
            image_size: 128,
            trunk: TrunkConfig::Hiera(HieraConfig {
                embed_dim: 16,
                num_heads: 1,
                stages: [1, 2, 2, 1],
                global_att_blocks: vec![4],
                window_pos_embed_bkg_spatial_size: [7, 7],
                window_spec: [8, 4, 14, 7],
            }),
            hidden_dim: 64,
            mem_dim: 16,
            memory_attention_layers: 2,
            memory_attention_feedforward: 64,
            decoder_mlp_dim: 128,
            iou_head_hidden_dim: 32,
            refinement: None,
            evidence: None,
        }
    }

    /// The default model: small enough for an ordinary CPU and for training from scratch.
    pub fn compact() -> Self {
        Self {
            name: "promem-compact".into(),
            version: Version::V2_1,
            image_size: 128,
            trunk: TrunkConfig::Convolutional(ConvolutionalConfig {
                channels: [32, 64, 128, 256],
                residual_blocks: [1, 2, 2, 2],
            }),
            hidden_dim: 128,
            mem_dim: 64,
            memory_attention_layers: 2,
            memory_attention_feedforward: 512,
            decoder_mlp_dim: 512,
            iou_head_hidden_dim: 128,
            refinement: Some([64, 32]),
            evidence: Some(16),
        }
    }

    /// A quarter of the default model: for experiments in which many networks are trained.
    pub fn mini() -> Self {
        Self {
            name: "mini".into(),
            trunk: TrunkConfig::Convolutional(ConvolutionalConfig {
                channels: [16, 32, 64, 96],
                residual_blocks: [1, 1, 2, 1],
            }),
            hidden_dim: 64,
            mem_dim: 32,
            memory_attention_feedforward: 256,
            decoder_mlp_dim: 256,
            iou_head_hidden_dim: 64,
            refinement: Some([32, 16]),
            evidence: None,
            ..Self::compact()
        }
    }

    /// The same network at another image size.
    pub fn with_image_size(mut self, image_size: i64) -> Result<Self> {
        if !(SIZE_MULTIPLE..=LARGEST_NUMBER).contains(&image_size) || image_size % SIZE_MULTIPLE != 0 {
            return Err(Error::invalid(format!(
                "image size {image_size}: expected a positive multiple of {SIZE_MULTIPLE}, at most {LARGEST_NUMBER}"
            )));
        }
        self.image_size = image_size;
        Ok(self)
    }

    /// Side of the feature map that memory works on.
    pub fn feature_size(&self) -> i64 {
        self.image_size / self.feature_stride()
    }

    /// Side of the decoder's mask logits.
    pub fn mask_size(&self) -> i64 {
        self.image_size / self.mask_stride()
    }

    /// Pixels per cell of the mask decoder's logits.
    pub fn mask_stride(&self) -> i64 {
        self.trunk.stride()
    }

    /// Pixels per cell of the features that memory works on (`backbone_stride`).
    pub fn feature_stride(&self) -> i64 {
        self.mask_stride() * DECODER_UPSCALING
    }

    /// Channels of the mask decoder's features at twice and four times the resolution of the memory features.
    pub fn upscaling_channels(&self) -> [i64; 2] {
        self.refinement.unwrap_or([self.hidden_dim / 4, self.hidden_dim / 8])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_sizes_of_callers_have_the_bound_of_model_files() {
        for size in [i64::MIN, 0, 31, 33, LARGEST_NUMBER + SIZE_MULTIPLE, 100_000, i64::MAX] {
            let error = Config::compact().with_image_size(size).unwrap_err().to_string();
            assert!(
                error.contains(&format!("image size {size}: expected a positive multiple of 32, at most 8192")),
                "{error}"
            );
        }
        for size in [SIZE_MULTIPLE, 512, LARGEST_NUMBER] {
            assert_eq!(Config::compact().with_image_size(size).unwrap().image_size, size);
        }
    }
}
