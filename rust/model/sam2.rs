//! The whole network, and the steps that a propagation consists of. Source: `sam2_base.py`.
//!
//! Top-level keys: `image_encoder`, `memory_attention`, `memory_encoder`, `sam_prompt_encoder`, `sam_mask_decoder`,
//! `maskmem_tpos_enc`, `no_mem_embed`, `no_mem_pos_enc`, `no_obj_ptr`, `no_obj_embed_spatial`, `mask_downsample`,
//! `obj_ptr_proj`, `obj_ptr_tpos_proj`. m: the side of mask logits, `Config::mask_size`.

use super::activation::Activation;
use super::attended::Attending;
use super::config::{Config, Version, MEMORY_MASK_BIAS, MEMORY_MASK_SCALE, NUM_MASKMEM};
use super::image_encoder::ImageEncoder;
use super::layers::{parameter, upsample_bilinear, Conv2d, ConvShape};
use super::linear::{Linear, Mlp};
use super::mask_decoder::{DenseInputs, MaskDecoder};
use super::memory_attention::MemoryAttention;
use super::memory_encoder::MemoryEncoder;
use super::memory_tokens::MemoryTokenizer;
use super::outputs::{DecoderOutput, ImageEmbedding};
use super::position::sine_2d;
use super::prompt_encoder::PromptEncoder;
use super::weights::{self, StateDict};
use crate::error::Result;
use tch::nn::{Path, VarStore};
use tch::{Device, Kind, Tensor};

/// Number format in which image encoder and memory attention compute, and with [`Config::reduced_precision_decoder`]
/// memory encoder and mask decoder; the rest is always fp32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit IEEE floating point.
    Fp32,
    /// bfloat16: 8 bits of exponent, 7 of mantissa.
    Bf16,
}

/// A network with its weights.
///
/// Networks that [`Sam2::load`] and [`Sam2::pseudo_random`] return are frozen: their weights never change, lie as the
/// CPU kernels read them, and computing changes no state. [`Sam2::for_training`] returns one that is never frozen.
#[derive(Debug)]
pub struct Sam2 {
    config: Config,
    device: Device,
    /// Of [`Precision`].
    kind: Kind,
    image_encoder: ImageEncoder,
    memory_attention: MemoryAttention,
    memory_encoder: MemoryEncoder,
    prompt_encoder: PromptEncoder,
    mask_decoder: MaskDecoder,
    memory_tokenizer: MemoryTokenizer,
    no_mem_embed: Tensor,
    no_obj_ptr: Tensor,
    no_obj_embed_spatial: Option<Tensor>,
    mask_downsample: Conv2d,
    obj_ptr_proj: Mlp,
    /// Position encoding of features, [1, hidden, h, w]; computed, not in the checkpoint.
    position: Tensor,
    /// Of a frozen network: the neck's convolution and the decoder's at the two finer strides, each pair as one layer.
    high_resolution: Option<[Linear; 2]>,
}

impl Sam2 {
    /// The network with variables registered under the official keys, all zero.
    pub fn new(p: &Path, config: &Config) -> Self {
        let (d, m) = (config.hidden_dim, config.mem_dim);
        let newer = config.version == Version::V2_1;
        let side = config.feature_size();
        // Every checkpoint carries it and no path of SAM 2 reads it (`directly_add_no_mem_embed`).
        let _unread = parameter(p, "no_mem_pos_enc", &[1, 1, d]);
        // The order in which variables are registered is that of an optimizer's state: it must not change.
        let image_encoder = ImageEncoder::new(&(p / "image_encoder"), config);
        let memory_attention = MemoryAttention::new(&(p / "memory_attention"), config);
        let memory_encoder = MemoryEncoder::new(&(p / "memory_encoder"), config);
        let prompt_encoder = PromptEncoder::new(&(p / "sam_prompt_encoder"), config);
        let mask_decoder = MaskDecoder::new(&(p / "sam_mask_decoder"), config);
        let maskmem_tpos_enc = parameter(p, "maskmem_tpos_enc", &[NUM_MASKMEM, 1, 1, m]);
        let no_mem_embed = parameter(p, "no_mem_embed", &[1, 1, d]);
        let no_obj_ptr = parameter(p, "no_obj_ptr", &[1, d]);
        let no_obj_embed_spatial = newer.then(|| parameter(p, "no_obj_embed_spatial", &[1, m]));
        let mask_downsample = Conv2d::new(&(p / "mask_downsample"), 1, 1, ConvShape::patch(config.mask_stride()));
        let obj_ptr_proj = Mlp::new(&(p / "obj_ptr_proj"), &[d, d, d, d], Activation::Relu);
        let obj_ptr_tpos_proj = newer.then(|| Linear::new(&(p / "obj_ptr_tpos_proj"), d, m));
        Self {
            config: config.clone(),
            device: p.device(),
            kind: Kind::Float,
            image_encoder,
            memory_attention,
            memory_encoder,
            prompt_encoder,
            mask_decoder,
            memory_tokenizer: MemoryTokenizer::new(config, maskmem_tpos_enc, obj_ptr_tpos_proj, p.device()),
            no_mem_embed,
            no_obj_ptr,
            no_obj_embed_spatial,
            mask_downsample,
            obj_ptr_proj,
            position: sine_2d(d, side, side, p.device()),
            high_resolution: None,
        }
    }

    /// Builds the network and fills it from `state`, strictly: every key and every shape must fit.
    pub fn load(config: &Config, state: StateDict, device: Device, precision: Precision) -> Result<Self> {
        Self::build(config, device, precision, |variables| weights::load_strict(variables, state))
    }

    /// The network with the pseudo-random weights of the specification, which need no file.
    pub fn pseudo_random(config: &Config, device: Device, precision: Precision) -> Self {
        let filled = Self::build(config, device, precision, |variables| {
            weights::fill_pseudo_random(variables);
            Ok(())
        });
        filled.expect("filling variables in place cannot fail")
    }

    /// The network on variables that go on learning, in fp32; the heavy parts compute in `precision`.
    pub fn for_training(variables: &VarStore, config: &Config, precision: Precision) -> Self {
        let mut network = Self::new(&variables.root(), config);
        network.memory_attention.to_device(variables.device());
        if precision == Precision::Bf16 {
            network.kind = Kind::BFloat16;
        }
        network
    }

    fn build(
        config: &Config,
        device: Device,
        precision: Precision,
        fill: impl FnOnce(&mut VarStore) -> Result<()>,
    ) -> Result<Self> {
        let mut variables = VarStore::new(device);
        let mut network = Self::new(&variables.root(), config);
        fill(&mut variables)?;
        variables.freeze();
        network.memory_attention.to_device(device);
        if precision == Precision::Bf16 {
            network.kind = Kind::BFloat16;
            for (name, mut variable) in variables.variables() {
                if name.starts_with("image_encoder.") || name.starts_with("memory_attention.") {
                    variable.set_data(&variable.to_kind(Kind::BFloat16));
                }
            }
        }
        network.prepare_for_inference();
        Ok(network)
    }

    /// Freezes the network: lays weights out as they are read, combines layers, and computes what all images share.
    fn prepare_for_inference(&mut self) {
        let _guard = tch::no_grad_guard();
        let (kind, decoder_kind) = (self.kind, self.decoder_kind());
        self.high_resolution = Some([0, 1].map(|level| {
            let (neck, decoder) = self.high_resolution_layers(level);
            let mut layer = Linear::composed(neck, decoder);
            layer.prepare_for_inference(decoder_kind);
            layer
        }));
        self.image_encoder.prepare_for_inference(self.config.image_size, kind);
        self.memory_attention.prepare_for_inference(kind);
        self.memory_encoder.prepare_for_inference(decoder_kind);
        self.mask_decoder.prepare_for_inference(decoder_kind);
        self.memory_tokenizer.prepare_for_inference();
        self.obj_ptr_proj.prepare_for_inference(Kind::Float);
    }

    /// The number format of memory encoder and mask decoder.
    fn decoder_kind(&self) -> Kind {
        match self.config.reduced_precision_decoder {
            true => self.kind,
            false => Kind::Float,
        }
    }

    /// What the network was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the weights are and the network computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// A part, for tests that compare it with the public implementation's.
    pub fn image_encoder(&self) -> &ImageEncoder {
        &self.image_encoder
    }

    /// See [`Sam2::image_encoder`].
    pub fn memory_attention(&self) -> &MemoryAttention {
        &self.memory_attention
    }

    /// See [`Sam2::image_encoder`].
    pub fn prompt_encoder(&self) -> &PromptEncoder {
        &self.prompt_encoder
    }

    /// See [`Sam2::image_encoder`].
    pub fn mask_decoder(&self) -> &MaskDecoder {
        &self.mask_decoder
    }

    /// Normalised images [1, 3, S, S] -> embedding (`forward_image`).
    pub fn encode_image(&self, image: &Tensor) -> ImageEmbedding {
        let image = image.to_device(self.device).to_kind(self.kind);
        let stages = self.image_encoder.stages(&image);
        let high_resolution = [0, 1].map(|level| self.high_resolution_features(level, &stages[level]));
        let features = self.image_encoder.neck().features(&stages).to_kind(Kind::Float).contiguous();
        ImageEmbedding { features, high_resolution }
    }

    /// The neck's convolution and the decoder's at one of the two finer strides.
    fn high_resolution_layers(&self, level: usize) -> (&Conv2d, &Conv2d) {
        (self.image_encoder.neck().lateral(level), self.mask_decoder.high_resolution()[level])
    }

    /// One of the trunk's two finest stages as the decoder reads it: [B, trunk channels, ...] -> [B, channels, m, m] or
    /// [B, channels, m / 2, m / 2].
    fn high_resolution_features(&self, level: usize, stage: &Tensor) -> Tensor {
        let kind = self.decoder_kind();
        match &self.high_resolution {
            Some(layers) => layers[level].forward(&stage.to_kind(kind).permute([0, 2, 3, 1])).permute([0, 3, 1, 2]),
            None => {
                let (neck, decoder) = self.high_resolution_layers(level);
                decoder.forward(&neck.forward(stage).to_kind(kind))
            }
        }
    }

    /// Features of a slice that attends to no memory: [B, hidden, h, w].
    pub fn without_memory(&self, image: &ImageEmbedding) -> Tensor {
        &image.features + self.no_mem_embed.reshape([1, -1, 1, 1])
    }

    /// Memory-conditioned features of a slice for each of K candidates, which attend to memories and object pointers:
    /// [K B, hidden, h, w] (`_prepare_memory_conditioned_features`).
    pub fn with_memory(&self, image: &ImageEmbedding, candidates: &[Attending]) -> Tensor {
        let tokens = self.memory_tokenizer.tokens(candidates, &self.memory_attention, self.kind);
        let flat = |x: &Tensor| x.flatten(2, 3).transpose(1, 2); // [B, C, h, w] -> [B, h*w, C]
        let fused = self.memory_attention.forward(&flat(&image.features), &flat(&self.position), &tokens, self.kind);
        let (_, c, h, w) = image.features.size4().expect("features are [B, C, h, w]");
        fused.to_kind(Kind::Float).transpose(1, 2).reshape([-1, c, h, w])
    }

    /// All outputs of the mask decoder for a batch: `features` [B, hidden, h, w], `sparse` tokens [B or 1, T, hidden].
    pub fn decode_all(
        &self,
        image: &ImageEmbedding,
        features: &Tensor,
        sparse: &Tensor,
        inputs: DenseInputs,
    ) -> DecoderOutput {
        self.mask_decoder.forward(
            features,
            &self.prompt_encoder.dense_position(),
            &image.high_resolution,
            sparse,
            &self.prompt_encoder.dense(inputs.dense_prompt),
            inputs,
        )
    }

    /// Object pointers of a batch: decoder tokens [B, hidden], `present` [B, 1] of 0 and 1 -> [B, hidden].
    pub fn pointers(&self, tokens: &Tensor, present: &Tensor) -> Tensor {
        self.obj_ptr_proj.forward(tokens) * present + &self.no_obj_ptr * (present.ones_like() - present)
    }

    /// Masks [B, 1, S, S] of 0 and 1 -> dense prompts [B, 1, m, m], from which the object pointer of a given mask is
    /// decoded (`_use_mask_as_output`).
    pub fn given_mask_prompt(&self, mask: &Tensor) -> Tensor {
        self.mask_downsample.forward(mask)
    }

    /// Memory features of a batch: mask logits [B, 1, S, S], `present` [B, 1] of 0 and 1 -> [B, mem_dim, h, w].
    pub fn memory_features(&self, image: &ImageEmbedding, logits: &Tensor, present: &Tensor) -> Tensor {
        let mask = logits.sigmoid() * MEMORY_MASK_SCALE + MEMORY_MASK_BIAS;
        let kind = self.decoder_kind();
        let features =
            self.memory_encoder.forward(&image.features.to_kind(kind), &mask.to_kind(kind)).to_kind(Kind::Float);
        match &self.no_obj_embed_spatial {
            Some(absent) => {
                let missing = (present.ones_like() - present).reshape([-1, 1, 1, 1]);
                features + absent.reshape([1, -1, 1, 1]) * missing
            }
            None => features,
        }
    }

    /// Logits at the resolution of the network's input: [B, 1, m, m] -> [B, 1, S, S].
    pub fn full_resolution(&self, logits: &Tensor) -> Tensor {
        upsample_bilinear(logits, self.config.image_size)
    }

    /// `logits` [B, 1, h, w] warped by a `displacement` field [B, 2, h, w] (rows, columns; in pixels): bilinear
    /// interpolation, border values repeated.
    pub fn warped(logits: &Tensor, displacement: &Tensor) -> Tensor {
        let size = logits.size();
        let (h, w) = (size[2], size[3]);
        let options = (Kind::Float, logits.device());
        let rows = Tensor::arange(h, options).reshape([1, h, 1]) + displacement.select(1, 0);
        let columns = Tensor::arange(w, options).reshape([1, 1, w]) + displacement.select(1, 1);
        let normalised = |at: Tensor, n: i64| at * 2.0 / (n as f64 - 1.0) - 1.0;
        let grid = Tensor::stack(&[normalised(columns, w), normalised(rows, h)], 3);
        const BILINEAR: i64 = 0;
        const BORDER: i64 = 1;
        logits.grid_sampler_2d(&grid, BILINEAR, BORDER, true)
    }
}

impl StateDict {
    /// The pseudo-random weights of a network that tests and the demonstration use; see [`weights::pseudo_random`].
    pub fn pseudo_random(config: &Config) -> Result<Self> {
        let mut var_store = VarStore::new(Device::Cpu);
        Sam2::new(&var_store.root(), config);
        weights::fill_pseudo_random(&mut var_store);
        Self::of(&var_store)
    }
}

#[cfg(test)]
mod tests;
