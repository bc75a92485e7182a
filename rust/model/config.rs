//! The configuration of a network: SAM 2.0 and 2.1 in four sizes, and the small networks of this project.
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
/// See [`MEMORY_MASK_SCALE`].
pub const MEMORY_MASK_BIAS: f64 = -10.0;
/// Logits of a mask that a user gave: +10 inside, -10 outside (`_use_mask_as_output`).
pub const GIVEN_MASK_SCALE: f64 = 20.0;
/// See [`GIVEN_MASK_SCALE`].
pub const GIVEN_MASK_BIAS: f64 = -10.0;
/// `NO_OBJ_SCORE` in `sam2_base.py`: the logits of a mask whose object is absent.
pub const NO_OBJ_SCORE: f64 = -1024.0;
/// ImageNet mean and deviation, as `sam2_video_predictor.py` normalises.
pub const PIXEL_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// See [`PIXEL_MEAN`].
pub const PIXEL_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The two published generations. 2.1 adds temporal encoding of object pointers and a no-object memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// SAM 2 of July 2024.
    #[serde(rename = "2.0")]
    V2_0,
    /// SAM 2.1 of September 2024, and everything derived from it.
    #[serde(rename = "2.1")]
    V2_1,
}

/// The trunk of the image encoder: an image becomes features of four strides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TrunkConfig {
    /// As in SAM 2.
    Hiera(HieraConfig),
    /// Beyond SAM 2.
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

/// Residual convolutions, for networks that are trained from scratch: they need no pretraining. Not in SAM 2.
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
    /// Channels of the first stage.
    pub embed_dim: i64,
    /// Attention heads of the first stage.
    pub num_heads: i64,
    /// Blocks per stage.
    pub stages: [i64; 4],
    /// Blocks that attend to the whole image instead of a window.
    pub global_att_blocks: Vec<i64>,
    /// Rows and columns of the background position embedding.
    pub window_pos_embed_bkg_spatial_size: [i64; 2],
    /// Window size per stage.
    pub window_spec: [i64; 4],
}

/// One network. Serialised into the metadata of our own checkpoints, and read as `StoredConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredConfig")]
pub struct Config {
    /// Such as `sam2.1_hiera_tiny`.
    pub name: String,
    /// The published generation whose keys the network has.
    pub version: Version,
    /// Side of the square the network sees, in pixels; a multiple of 32.
    pub image_size: i64,
    /// The trunk of the image encoder.
    pub trunk: TrunkConfig,
    /// `d_model` of neck, memory attention, prompt encoder and mask decoder.
    pub hidden_dim: i64,
    /// Channels of a memory; divides `hidden_dim`.
    pub mem_dim: i64,
    /// `num_layers` of memory attention.
    pub memory_attention_layers: i64,
    /// `dim_feedforward` of a memory attention layer.
    pub memory_attention_feedforward: i64,
    /// `mlp_dim` of the mask decoder's transformer.
    pub decoder_mlp_dim: i64,
    /// Hidden width of the head that predicts IoUs.
    pub iou_head_hidden_dim: i64,
    /// Channels of residual convolutions in the mask decoder's upscaling, at twice and four times the features'
    /// resolution; a dense prompt enters there, too. Beyond SAM 2: no published network has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refinement: Option<[i64; 2]>,
    /// Hidden channels of the mask decoder's encoder of the intensity model's log-likelihood ratio. Beyond SAM 2: no
    /// published network has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intensity_channels: Option<i64>,
    /// Whether mask decoder (without its heads) and memory encoder compute in the chosen
    /// [`Precision`](super::Precision), as image encoder and memory attention do; otherwise always in fp32, as
    /// published.
    pub reduced_precision_decoder: bool,
    /// Whether a box without points gets the best of three masks, as a single point does; otherwise the first mask, as
    /// published.
    pub multimask_for_boxes: bool,
    /// Whether the object score is ignored where the object is known to be present
    /// ([`Presence::Certain`](super::Presence::Certain)); otherwise the score always decides, as published.
    pub trusts_known_presence: bool,
    /// Whether several clicks of one call are decoded one after the other, each on the mask of those before; otherwise
    /// together, as published.
    pub sequential_clicks: bool,
}

/// [`Config`] as files hold it, those of earlier versions too: they call the intensity channels `evidence`, and do not
/// say how a network computes, which followed from `refinement`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredConfig {
    name: String,
    version: Version,
    image_size: i64,
    trunk: TrunkConfig,
    hidden_dim: i64,
    mem_dim: i64,
    memory_attention_layers: i64,
    memory_attention_feedforward: i64,
    decoder_mlp_dim: i64,
    iou_head_hidden_dim: i64,
    refinement: Option<[i64; 2]>,
    #[serde(alias = "evidence")]
    intensity_channels: Option<i64>,
    reduced_precision_decoder: Option<bool>,
    multimask_for_boxes: Option<bool>,
    trusts_known_presence: Option<bool>,
    sequential_clicks: Option<bool>,
}

impl From<StoredConfig> for Config {
    fn from(stored: StoredConfig) -> Self {
        let refines = stored.refinement.is_some();
        Self {
            name: stored.name,
            version: stored.version,
            image_size: stored.image_size,
            trunk: stored.trunk,
            hidden_dim: stored.hidden_dim,
            mem_dim: stored.mem_dim,
            memory_attention_layers: stored.memory_attention_layers,
            memory_attention_feedforward: stored.memory_attention_feedforward,
            decoder_mlp_dim: stored.decoder_mlp_dim,
            iou_head_hidden_dim: stored.iou_head_hidden_dim,
            refinement: stored.refinement,
            intensity_channels: stored.intensity_channels,
            reduced_precision_decoder: stored.reduced_precision_decoder.unwrap_or(refines),
            multimask_for_boxes: stored.multimask_for_boxes.unwrap_or(refines),
            trusts_known_presence: stored.trusts_known_presence.unwrap_or(refines),
            sequential_clicks: stored.sequential_clicks.unwrap_or(refines),
        }
    }
}

/// The published sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the documentation
pub enum Size {
    Tiny,
    Small,
    BasePlus,
    Large,
}

impl Size {
    /// All, smallest first.
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

    /// The trunk of this size.
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
            intensity_channels: None,
            reduced_precision_decoder: false,
            multimask_for_boxes: false,
            trusts_known_presence: false,
            sequential_clicks: false,
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
            intensity_channels: None,
            reduced_precision_decoder: false,
            multimask_for_boxes: false,
            trusts_known_presence: false,
            sequential_clicks: false,
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
            intensity_channels: Some(16),
            reduced_precision_decoder: true,
            multimask_for_boxes: true,
            trusts_known_presence: true,
            sequential_clicks: true,
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
            intensity_channels: None,
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
    use serde_json::{from_value, json, to_value};

    /// The configuration as files of earlier versions hold it.
    fn stored_before(config: &Config) -> serde_json::Value {
        let mut stored = to_value(config).unwrap();
        let fields = stored.as_object_mut().unwrap();
        for added in ["reduced_precision_decoder", "multimask_for_boxes", "trusts_known_presence", "sequential_clicks"]
        {
            fields.remove(added).unwrap();
        }
        if let Some(channels) = fields.remove("intensity_channels") {
            fields.insert("evidence".into(), channels);
        }
        stored
    }

    #[test]
    fn configuration_of_an_earlier_version_is_completed_from_its_refinement() {
        let official = Size::ALL.map(|size| Config::official(Version::V2_1, size));
        for config in [Config::compact(), Config::mini(), Config::toy(Version::V2_0)].into_iter().chain(official) {
            assert_eq!(from_value::<Config>(stored_before(&config)).unwrap(), config);
        }
    }

    #[test]
    fn configuration_is_read_back_as_it_was_written_and_unknown_fields_are_refused() {
        let config = Config { multimask_for_boxes: false, ..Config::compact() };
        let mut stored = to_value(&config).unwrap();
        assert_eq!(from_value::<Config>(stored.clone()).unwrap(), config);
        stored["foreign"] = json!(1);
        assert!(from_value::<Config>(stored).unwrap_err().to_string().contains("unknown field `foreign`"));
    }

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
