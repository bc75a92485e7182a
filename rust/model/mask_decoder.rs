//! `sam_mask_decoder`: features and prompt tokens become masks, scores and an object token. Source:
//! `sam/mask_decoder.py`. m: the side of its masks, `Config::mask_size`.

use super::activation::{gelu, Activation};
use super::config::Config;
use super::intensity::{IntensityEncoder, IntensityFeatures};
use super::layers::{channels_last, parameter, Conv2d, ConvShape, LayerNorm2d};
use super::linear::{ConvTranspose2d, Mlp};
use super::outputs::MASK_TOKENS;
use super::refinement::Refinement;
use super::two_way::TwoWayTransformer;
use tch::nn::Path;
use tch::{Kind, Tensor};

pub use super::outputs::DecoderOutput;

/// Inputs of the decoder at the resolution of its masks, beside features and points. Both are logits [B or 1, 1, m, m].
#[derive(Debug, Clone, Copy, Default)]
pub struct DenseInputs<'a> {
    /// A mask to refine: one that was given, or the one predicted on the previous slice.
    pub dense_prompt: Option<&'a Tensor>,
    /// The intensity model's log-likelihood ratio, object over background. Networks without
    /// [`Config::intensity_channels`] add it to their mask logits.
    pub log_likelihood_ratio: Option<&'a Tensor>,
}

/// Keys: `transformer.*`, `{iou,mask,obj_score}_token*.weight`, `output_upscaling.*`, `conv_s{0,1}.*`,
/// `output_hypernetworks_mlps.{i}.*`, `iou_prediction_head.*`, `pred_obj_score_head.*`; of networks that have them,
/// `refinement.*` and `evidence.*` (see `IntensityEncoder`).
#[derive(Debug)]
pub struct MaskDecoder {
    transformer: TwoWayTransformer,
    iou_token: Tensor,
    mask_tokens: Tensor,
    obj_score_token: Tensor,
    upscale0: ConvTranspose2d,
    upscale1: LayerNorm2d,
    upscale3: ConvTranspose2d,
    conv_s0: Conv2d,
    conv_s1: Conv2d,
    output_hypernetworks_mlps: Vec<Mlp>,
    iou_prediction_head: Mlp,
    pred_obj_score_head: Mlp,
    refinement: Option<Refinement>,
    intensity: Option<IntensityEncoder>,
    /// See [`Config::reduced_precision_decoder`].
    reduced_precision: bool,
}

impl MaskDecoder {
    /// The decoder for the widths of `config`.
    pub fn new(p: &Path, config: &Config) -> Self {
        let d = config.hidden_dim;
        let [twice, four_times] = config.upscaling_channels();
        let token = |name: &str, n: i64| parameter(&(p / name), "weight", &[n, d]);
        let upscaling = p / "output_upscaling";
        let hyper = p / "output_hypernetworks_mlps";
        Self {
            transformer: TwoWayTransformer::new(&(p / "transformer"), d, config.decoder_mlp_dim),
            iou_token: token("iou_token", 1),
            mask_tokens: token("mask_tokens", MASK_TOKENS),
            obj_score_token: token("obj_score_token", 1),
            upscale0: ConvTranspose2d::new(&(&upscaling / 0), d, twice),
            upscale1: LayerNorm2d::new(&(&upscaling / 1), twice),
            upscale3: ConvTranspose2d::new(&(&upscaling / 3), twice, four_times),
            conv_s0: Conv2d::new(&(p / "conv_s0"), d, four_times, ConvShape::POINT),
            conv_s1: Conv2d::new(&(p / "conv_s1"), d, twice, ConvShape::POINT),
            output_hypernetworks_mlps: (0..MASK_TOKENS)
                .map(|i| Mlp::new(&(&hyper / i), &[d, d, d, four_times], Activation::Relu))
                .collect(),
            iou_prediction_head: Mlp::new(
                &(p / "iou_prediction_head"),
                &[d, config.iou_head_hidden_dim, config.iou_head_hidden_dim, MASK_TOKENS],
                Activation::Relu,
            ),
            pred_obj_score_head: Mlp::new(&(p / "pred_obj_score_head"), &[d, d, d, 1], Activation::Relu),
            refinement: config.refinement.map(|channels| Refinement::new(&(p / "refinement"), channels)),
            intensity: config
                .intensity_channels
                .map(|channels| IntensityEncoder::new(&(p / "evidence"), channels, d, config.upscaling_channels())),
            reduced_precision: config.reduced_precision_decoder,
        }
    }

    /// Lays the weights out for computing in `kind`; the heads always compute in fp32. See
    /// `Linear::prepare_for_inference`.
    pub fn prepare_for_inference(&mut self, kind: Kind) {
        self.transformer.prepare_for_inference(kind);
        self.upscale0.prepare_for_inference(kind);
        self.upscale3.prepare_for_inference(kind);
        let heads = [&mut self.iou_prediction_head, &mut self.pred_obj_score_head];
        for head in heads.into_iter().chain(&mut self.output_hypernetworks_mlps) {
            head.prepare_for_inference(Kind::Float);
        }
    }

    /// The convolutions of the features of the two finer strides, which are computed once per image: [B, hidden, m, m]
    /// and [B, hidden, m / 2, m / 2] -> [B, channels, ...].
    pub fn high_resolution(&self) -> [&Conv2d; 2] {
        [&self.conv_s0, &self.conv_s1]
    }

    /// `features` [B, hidden, h, w] and their `position` [1, hidden, h, w], `high_resolution` [Bh, ...] with Bh = B or
    /// 1, `sparse` [Bs, T, hidden] with Bs = B or 1, `dense` [B or 1, hidden, h or 1, w or 1]; `inputs.dense_prompt`:
    /// the logits that `dense` was made of, for networks with [`Config::refinement`]. With
    /// [`Config::reduced_precision_decoder`] all but the heads compute in the number format of `high_resolution`.
    pub fn forward(
        &self,
        features: &Tensor,
        position: &Tensor,
        high_resolution: &[Tensor; 2],
        sparse: &Tensor,
        dense: &Tensor,
        inputs: DenseInputs,
    ) -> DecoderOutput {
        let (b, c, h, w) = features.size4().expect("decoder features are [B, C, h, w]");
        let own = Tensor::cat(&[&self.obj_score_token, &self.iou_token, &self.mask_tokens], 0);
        let tokens = Tensor::cat(&[own.unsqueeze(0).expand([b, -1, -1], false), sparse.expand([b, -1, -1], false)], 1);
        let flat = |x: &Tensor| x.flatten(2, 3).transpose(1, 2); // [B, C, h, w] -> [B, h*w, C]
        let kind = if self.reduced_precision { high_resolution[0].kind() } else { Kind::Float };
        let ratio = inputs.log_likelihood_ratio;
        let intensity = self.intensity.as_ref().zip(ratio).map(|(encoder, ratio)| encoder.forward(ratio, kind));
        let features = features + dense;
        let features = match &intensity {
            Some(intensity) => features + &intensity.coarse,
            None => features,
        };
        let [image, position, tokens] = [&flat(&features), &flat(position), &tokens].map(|x| x.to_kind(kind));
        let (tokens, image) = self.transformer.forward(&image, &position, &tokens);
        let (tokens, image) = (tokens.to_kind(Kind::Float), image.transpose(1, 2).reshape([b, c, h, w]));

        let upscaled = self.upscale(&image, high_resolution, inputs.dense_prompt, intensity.as_ref());
        let mask_tokens = tokens.narrow(1, 2, MASK_TOKENS);
        let filters: Vec<Tensor> = self
            .output_hypernetworks_mlps
            .iter()
            .enumerate()
            .map(|(i, mlp)| mlp.forward(&mask_tokens.select(1, i as i64)))
            .collect();
        let filters = Tensor::stack(&filters, 2).to_kind(upscaled.kind()); // [B, channels, M]
        let masks = upscaled.permute([0, 2, 3, 1]).flatten(1, 2).matmul(&filters); // [B, 4 h * 4 w, M]
        let masks = masks.to_kind(Kind::Float).transpose(1, 2).reshape([b, -1, 4 * h, 4 * w]);
        let masks = match &self.refinement {
            Some(refinement) => refinement.add_prompt(inputs.dense_prompt, masks),
            None => masks,
        };
        let masks = match self.intensity.as_ref().zip(ratio) {
            Some((encoder, ratio)) => masks + encoder.mask_term(ratio),
            None => masks,
        };
        let output = DecoderOutput {
            masks,
            ious: self.iou_prediction_head.forward(&tokens.select(1, 1)).sigmoid(),
            tokens: mask_tokens,
            object_logit: self.pred_obj_score_head.forward(&tokens.select(1, 0)),
        };
        let output = match &self.refinement {
            Some(refinement) => refinement.score_object(output),
            None => output,
        };
        match ratio.filter(|_| self.intensity.is_none()) {
            Some(ratio) => DecoderOutput { masks: output.masks + ratio, ..output },
            None => output,
        }
    }

    /// Features [B, hidden, h, w] -> [B, channels, 4 h, 4 w].
    fn upscale(
        &self,
        image: &Tensor,
        [s0, s1]: &[Tensor; 2],
        prompt: Option<&Tensor>,
        intensity: Option<&IntensityFeatures>,
    ) -> Tensor {
        let image = image.to_kind(s0.kind());
        let [s0, s1] = match intensity {
            Some(intensity) => [s0 + &intensity.finest, s1 + &intensity.finer],
            None => [s0.shallow_clone(), s1.shallow_clone()],
        };
        match &self.refinement {
            None => {
                let x = gelu(&self.upscale1.forward(&(self.upscale0.forward(&image) + s1)));
                gelu(&(self.upscale3.forward(&x) + s0))
            }
            Some(refinement) => {
                let [p0, p1] = refinement.prompted(prompt, [&s0, &s1]);
                let x = gelu(&self.upscale1.forward(&(self.upscale0.forward(&channels_last(&image)) + p1)));
                let x = gelu(&(self.upscale3.forward(&refinement.twice(&x)) + p0));
                refinement.four_times(&x)
            }
        }
    }
}
