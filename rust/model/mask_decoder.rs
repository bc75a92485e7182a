//! `sam_mask_decoder`: features and prompt tokens become masks, scores and an object token. Source:
//! `sam/mask_decoder.py`. m: the side of its masks, `Config::mask_size`.

use super::config::Config;
use super::evidence::{EvidenceEncoder, Seen};
use super::layers::{channels_last, gelu, parameter, Activation, Conv2d, ConvShape, ConvTranspose2d, LayerNorm2d, Mlp};
use super::refinement::Refinement;
use super::two_way::TwoWayTransformer;
use tch::nn::Path;
use tch::{Kind, Tensor};

/// `num_multimask_outputs` + 1: token 0 is for unambiguous prompts, 1 to 3 for ambiguous ones.
const MASK_TOKENS: i64 = 4;
/// `dynamic_multimask_stability_delta` and `_thresh` of `build_sam.py`.
const STABILITY_DELTA: f64 = 0.05;
const STABILITY_THRESHOLD: f64 = 0.98;

/// What the decoder is told of a slice at full detail, beside its features and points. Both are logits [B or 1, 1, m, m].
#[derive(Debug, Clone, Copy, Default)]
pub struct DenseInputs<'a> {
    /// A dense prompt: a given mask, or one expected from the slice before.
    pub mask: Option<&'a Tensor>,
    /// What intensities alone say of each pixel. Networks that have not learned to see it add it to their masks.
    pub evidence: Option<&'a Tensor>,
}

/// All that the decoder says of one prompt; M = 4 masks.
#[derive(Debug)]
pub struct DecoderOutput {
    /// [B, M, m, m]
    pub masks: Tensor,
    /// Predicted IoU, [B, M]
    pub ious: Tensor,
    /// [B, M, hidden]
    pub tokens: Tensor,
    /// [B, 1]; positive where the object is present.
    pub object_logit: Tensor,
}

/// Keys: `transformer.*`, `{iou,mask,obj_score}_token*.weight`, `output_upscaling.*`, `conv_s{0,1}.*`,
/// `output_hypernetworks_mlps.{i}.*`, `iou_prediction_head.*`, `pred_obj_score_head.*`; of networks with one, `refinement.*` and
/// `evidence.*`.
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
    evidence: Option<EvidenceEncoder>,
}

impl MaskDecoder {
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
            evidence: config
                .evidence
                .map(|channels| EvidenceEncoder::new(&(p / "evidence"), channels, d, config.upscaling_channels())),
        }
    }

    /// What the decoder does to features of the two finer strides, computed once per image: [B, hidden, m, m] and [B, hidden, m / 2, m / 2] ->
    /// [B, channels, ...].
    pub fn high_resolution(&self) -> [&Conv2d; 2] {
        [&self.conv_s0, &self.conv_s1]
    }

    /// `features` [B, hidden, h, w] and their `position` [1, hidden, h, w], `high_resolution` [Bh, ...] with Bh = B or 1,
    /// `sparse` [Bs, T, hidden] with Bs = B or 1, `dense` [B or 1, hidden, h or 1, w or 1]; `hints.mask`: the logits that `dense` was made
    /// of, for networks that refine, which compute all but the tokens' heads in the number format of `high_resolution`.
    pub fn forward(
        &self,
        features: &Tensor,
        position: &Tensor,
        high_resolution: &[Tensor; 2],
        sparse: &Tensor,
        dense: &Tensor,
        hints: DenseInputs,
    ) -> DecoderOutput {
        let (b, c, h, w) = features.size4().expect("decoder features are [B, C, h, w]");
        let own = Tensor::cat(&[&self.obj_score_token, &self.iou_token, &self.mask_tokens], 0);
        let tokens = Tensor::cat(&[own.unsqueeze(0).expand([b, -1, -1], false), sparse.expand([b, -1, -1], false)], 1);
        let flat = |x: &Tensor| x.flatten(2, 3).transpose(1, 2); // [B, C, h, w] -> [B, h*w, C]
        let kind = if self.refinement.is_some() { high_resolution[0].kind() } else { Kind::Float };
        let seen =
            self.evidence.as_ref().zip(hints.evidence).map(|(encoder, evidence)| encoder.forward(evidence, kind));
        let features = features + dense;
        let features = match &seen {
            Some(seen) => features + &seen.coarse,
            None => features,
        };
        let [image, position, tokens] = [&flat(&features), &flat(position), &tokens].map(|x| x.to_kind(kind));
        let (tokens, image) = self.transformer.forward(&image, &position, &tokens);
        let (tokens, image) = (tokens.to_kind(Kind::Float), image.transpose(1, 2).reshape([b, c, h, w]));

        let upscaled = self.upscale(&image, high_resolution, hints.mask, seen.as_ref());
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
            Some(refinement) => refinement.correct(hints.mask, masks),
            None => masks,
        };
        let masks = match self.evidence.as_ref().zip(hints.evidence) {
            Some((encoder, evidence)) => masks + encoder.shared(evidence),
            None => masks,
        };
        let output = DecoderOutput {
            masks,
            ious: self.iou_prediction_head.forward(&tokens.select(1, 1)).sigmoid(),
            tokens: mask_tokens,
            object_logit: self.pred_obj_score_head.forward(&tokens.select(1, 0)),
        };
        let output = match &self.refinement {
            Some(refinement) => refinement.judge(output),
            None => output,
        };
        match hints.evidence.filter(|_| self.evidence.is_none()) {
            Some(evidence) => DecoderOutput { masks: output.masks + evidence, ..output },
            None => output,
        }
    }

    /// Features [B, hidden, h, w] -> [B, channels, 4 h, 4 w].
    fn upscale(&self, image: &Tensor, [s0, s1]: &[Tensor; 2], prompt: Option<&Tensor>, seen: Option<&Seen>) -> Tensor {
        let image = image.to_kind(s0.kind());
        let [s0, s1] = match seen {
            Some(seen) => [s0 + &seen.finest, s1 + &seen.finer],
            None => [s0.shallow_clone(), s1.shallow_clone()],
        };
        match &self.refinement {
            None => {
                let x = gelu(&self.upscale1.forward(&(self.upscale0.forward(&image) + s1)));
                gelu(&(self.upscale3.forward(&x) + s0))
            }
            Some(refinement) => {
                let [p0, p1] = refinement.prompt(prompt, [&s0, &s1]);
                let x = gelu(&self.upscale1.forward(&(self.upscale0.forward(&channels_last(&image)) + p1)));
                let x = gelu(&(self.upscale3.forward(&refinement.twice(&x)) + p0));
                refinement.four_times(&x)
            }
        }
    }
}

impl DecoderOutput {
    /// The mask of the highest predicted IoU among the three for ambiguous prompts, with its own token.
    ///
    /// Returns mask [B, 1, h, w], IoU [B, 1], token [B, hidden].
    pub fn best_of_three(&self) -> (Tensor, Tensor, Tensor) {
        let ious = self.ious.narrow(1, 1, MASK_TOKENS - 1);
        let best = ious.argmax(1, true) + 1; // [B, 1], an index into all four
        (self.mask_at(&best), self.ious.gather(1, &best, false), self.token_at(&best))
    }

    /// The mask for unambiguous prompts, unless it is unstable and one of the other three takes its place
    /// (`_dynamic_multimask_via_stability`). The token is always the first.
    pub fn single(&self) -> (Tensor, Tensor, Tensor) {
        let first = self.masks.narrow(1, 0, 1);
        let area =
            |threshold: f64| first.gt(threshold).flatten(1, 3).sum_dim_intlist([1].as_slice(), true, Kind::Float);
        let (inner, outer) = (area(STABILITY_DELTA), area(-STABILITY_DELTA));
        let stability = (&inner / &outer).where_self(&outer.gt(0.0), &inner.ones_like());
        let stable = stability.ge(STABILITY_THRESHOLD); // [B, 1]
        let (mask, iou, _) = self.best_of_three();
        (
            first.where_self(&stable.unsqueeze(-1).unsqueeze(-1), &mask),
            self.ious.narrow(1, 0, 1).where_self(&stable, &iou),
            self.tokens.select(1, 0),
        )
    }

    /// The mask for unambiguous prompts as it is, which training takes (`not self.training` guards the fallback upstream).
    pub fn first(&self) -> (Tensor, Tensor, Tensor) {
        (self.masks.narrow(1, 0, 1), self.ious.narrow(1, 0, 1), self.tokens.select(1, 0))
    }

    fn mask_at(&self, index: &Tensor) -> Tensor {
        let (b, _, h, w) = self.masks.size4().expect("masks are [B, M, h, w]");
        self.masks.gather(1, &index.reshape([b, 1, 1, 1]).expand([b, 1, h, w], false), false)
    }

    fn token_at(&self, index: &Tensor) -> Tensor {
        let (b, _, c) = self.tokens.size3().expect("tokens are [B, M, C]");
        self.tokens.gather(1, &index.reshape([b, 1, 1]).expand([b, 1, c], false), false).squeeze_dim(1)
    }
}
