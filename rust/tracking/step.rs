//! The steps along a track, for a batch of B clips or candidates. Inference and training call these and nothing else.
//!
//! In: image embeddings, prompts in network pixels, memories. Out: what the decoder says, the mask that is taken, and
//! memories.
//! Source: `SAM2Base._track_step`, `_use_mask_as_output` and `_encode_new_memory` of `sam2==1.1.0`. m: the side of mask
//! logits.

use super::candidates::{pointers, Choice};
use super::options::PointerRule;
use super::tensors::given_logits;
use crate::geometry::SliceIndex;
use crate::model::config::{Config, GIVEN_MASK_BIAS, GIVEN_MASK_SCALE, NO_OBJ_SCORE};
use crate::model::prompt_encoder::{Point, PointKind};
use crate::model::{
    average_pool, Attended, Attending, DecoderOutput, DenseInputs, ImageEmbedding, MaskChoice, Memory, Presence, Sam2,
};
use tch::{Kind, Tensor};

/// Who takes the steps. SAM 2 differs in one point: only inference replaces an unstable single mask by one of the other
/// three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Masks for a user.
    Inference,
    /// Masks for a loss.
    Training,
}

/// The mask that a step takes for its slice, and what is remembered of it.
#[derive(Debug)]
pub struct SliceOutput {
    /// Mask logits [B, 1, m, m] in fp32, [`NO_OBJ_SCORE`] where the object is absent.
    pub logits: Tensor,
    /// The same at the network's resolution [B, 1, S, S], where it is not `logits` enlarged: of a mask that was given.
    pub given: Option<Tensor>,
    /// Predicted IoU, [B, 1].
    pub iou: Tensor,
    /// [B, 1]; positive where the object is present.
    pub object_logit: Tensor,
    /// Object pointers, [B, hidden].
    pub pointer: Tensor,
}

/// A step's outcome with all that the decoder says, for losses.
#[derive(Debug)]
pub struct StepOutput {
    /// All masks and scores.
    pub decoder: DecoderOutput,
    /// Which of the decoder's masks was taken.
    pub choice: MaskChoice,
    /// The taken mask's token, [B, hidden].
    pub token: Tensor,
    /// The mask that was taken.
    pub output: SliceOutput,
}

impl SliceOutput {
    /// Another handle on the same tensors.
    pub fn shallow_clone(&self) -> Self {
        Self {
            logits: self.logits.shallow_clone(),
            given: self.given.as_ref().map(Tensor::shallow_clone),
            iou: self.iou.shallow_clone(),
            object_logit: self.object_logit.shallow_clone(),
            pointer: self.pointer.shallow_clone(),
        }
    }

    /// One of the batch.
    pub fn narrow(&self, index: i64) -> Self {
        let one = |x: &Tensor| x.narrow(0, index, 1);
        Self {
            logits: one(&self.logits),
            given: self.given.as_ref().map(one),
            iou: one(&self.iou),
            object_logit: one(&self.object_logit),
            pointer: one(&self.pointer),
        }
    }

    /// Several of the batch, in the order of `indices`.
    pub fn select(&self, indices: &[i64]) -> Self {
        let indices = Tensor::from_slice(indices).to_device(self.logits.device());
        let some = |x: &Tensor| x.index_select(0, &indices);
        Self {
            logits: some(&self.logits),
            given: self.given.as_ref().map(some),
            iou: some(&self.iou),
            object_logit: some(&self.object_logit),
            pointer: some(&self.pointer),
        }
    }

    /// Several batches as one.
    ///
    /// # Panics
    /// Without a batch.
    pub fn joined(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let all = |part: fn(&Self) -> &Tensor| Tensor::cat(&parts.iter().map(part).collect::<Vec<_>>(), 0);
        let given: Option<Vec<&Tensor>> = parts.iter().map(|part| part.given.as_ref()).collect();
        Self {
            logits: all(|part| &part.logits),
            given: given.map(|given| Tensor::cat(&given, 0)),
            iou: all(|part| &part.iou),
            object_logit: all(|part| &part.object_logit),
            pointer: all(|part| &part.pointer),
        }
    }
}

/// Which mask a prompt selects: SAM 2's rule, and for networks that want it the best of three for a box alone.
pub fn mask_choice(config: &Config, points: &[Point]) -> MaskChoice {
    let corner = |point: &Point| matches!(point.kind, PointKind::BoxStart | PointKind::BoxEnd);
    let box_alone = points.iter().all(corner);
    match box_alone && config.multimask_for_boxes {
        true => MaskChoice::BestOfThree,
        false => MaskChoice::for_points(points.len()),
    }
}

/// The dense prompt that a mask gives to the next slice: its logits [B, 1, m, m] within the range of a given mask.
pub fn dense_prior(logits: &Tensor) -> Tensor {
    logits.clamp(GIVEN_MASK_BIAS, GIVEN_MASK_SCALE + GIVEN_MASK_BIAS)
}

/// The range of the logits that a correction refines (`add_new_points_or_box`).
const PRESENT_LOGITS: f64 = 32.0;

/// What a slice attends to in a bank: the memories that were chosen, and object pointers by `rule`.
///
/// `slices`: of the bank's entries, whose memories `memory` gives; `slices_in_volume` scales the pointers' distances.
pub fn attending<'a>(
    slices: &[SliceIndex],
    memory: impl Fn(usize) -> &'a Memory,
    chosen: &[Choice],
    query: SliceIndex,
    slices_in_volume: usize,
    rule: PointerRule,
) -> Attending<'a> {
    let memories = chosen.iter().map(|c| Attended { memory: memory(c.entry), slot: c.slot as i64 }).collect();
    let (entries, pointer_span) = pointers(slices, chosen, query, slices_in_volume, rule);
    let pointers = entries.iter().map(|&entry| (memory(entry), slices[entry].distance(query))).collect();
    Attending { memories, pointers, pointer_span }
}

/// The network, as tracks use it.
#[derive(Debug, Clone, Copy)]
pub struct Tracker<'a> {
    network: &'a Sam2,
    phase: Phase,
}

impl<'a> Tracker<'a> {
    /// A tracker that takes the steps of `phase`.
    pub fn new(network: &'a Sam2, phase: Phase) -> Self {
        Self { network, phase }
    }

    /// The network.
    pub fn network(&self) -> &'a Sam2 {
        self.network
    }

    /// A prompted slice whose mask is given, [B, 1, S, S] of 0 and 1: it is the output (`_use_mask_as_output`), with a
    /// predicted IoU of 1.
    pub fn accept_mask(&self, image: &ImageEmbedding, mask: &Tensor) -> SliceOutput {
        let network = self.network;
        let mask = mask.to_device(network.device()).to_kind(Kind::Float);
        let prompt = network.given_mask_prompt(&mask);
        let none = network.prompt_encoder().sparse(&[]);
        let inputs = DenseInputs { dense_prompt: Some(&prompt), log_likelihood_ratio: None };
        let decoder = network.decode_all(image, &image.features, &none, inputs);
        let present = mask.flatten(1, 3).amax([1i64].as_slice(), true).gt(0.0).to_kind(Kind::Float);
        let full = given_logits(&mask);
        SliceOutput {
            logits: average_pool(&full, network.config().mask_stride()),
            iou: present.ones_like(),
            object_logit: given_logits(&present),
            pointer: network
                .pointers(&decoder.tokens.select(1, 0), &(&present * self.present(&decoder, Presence::Certain))),
            given: Some(full),
        }
    }

    /// A prompted slice: points and box corners of each of the batch, equally many, corners first. `features` [B,
    /// hidden, h, w]: without memory on
    /// a slice that no track has reached, else as the slice was tracked.
    pub fn prompt(&self, image: &ImageEmbedding, features: &Tensor, points: &[&[Point]]) -> StepOutput {
        self.prompt_with(image, features, points, None)
    }

    /// A prompted slice that has a mask already, `present` logits [B, 1, m, m]: the mask is refined.
    pub fn correct(
        &self,
        image: &ImageEmbedding,
        features: &Tensor,
        points: &[&[Point]],
        present: &Tensor,
    ) -> StepOutput {
        self.prompt_with(image, features, points, Some(&present.clamp(-PRESENT_LOGITS, PRESENT_LOGITS)))
    }

    /// The mask of an output as a correction refines it, logits [B, 1, m, m]. Of a given mask, published networks get
    /// what `_use_mask_as_output` makes of it, reduced with antialiasing.
    pub fn present_logits(&self, output: &SliceOutput) -> Tensor {
        match &output.given {
            Some(given) if self.network.config().refinement.is_none() => {
                let side = output.logits.size()[2];
                given.internal_upsample_bilinear2d_aa([side, side], false, None, None)
            }
            _ => output.logits.shallow_clone(),
        }
    }

    fn prompt_with(
        &self,
        image: &ImageEmbedding,
        features: &Tensor,
        points: &[&[Point]],
        dense_prompt: Option<&Tensor>,
    ) -> StepOutput {
        let network = self.network;
        let sparse = network.prompt_encoder().sparse_batch(points);
        let inputs = DenseInputs { dense_prompt, log_likelihood_ratio: None };
        let decoder = network.decode_all(image, features, &sparse, inputs);
        self.taken(decoder, mask_choice(network.config(), points[0]), Presence::Certain)
    }

    /// A slice without a prompt of its own, as each of K candidates makes it: [K B, ...], one candidate after the
    /// other.
    pub fn track(
        &self,
        image: &ImageEmbedding,
        candidates: &[Attending],
        inputs: DenseInputs,
        presence: Presence,
    ) -> StepOutput {
        let network = self.network;
        let features = network.with_memory(image, candidates);
        let decoder = network.decode_all(image, &features, &network.prompt_encoder().sparse(&[]), inputs);
        self.taken(decoder, MaskChoice::BestOfThree, presence)
    }

    /// What a step leaves to memories in training: its mask without gradients, and the ground truth, masks [B, 1, S, S]
    /// of 0 and 1, where `forced`
    /// [B, 1] is 1.
    pub fn teacher_forced(&self, step: &StepOutput, truth: &Tensor, forced: Option<&Tensor>) -> SliceOutput {
        let found = SliceOutput { logits: step.output.logits.detach(), ..step.output.shallow_clone() };
        let Some(forced) = forced else { return found };
        let mix = |truth: &Tensor, found: &Tensor| {
            let forced = forced.reshape([-1, 1, 1, 1]);
            &forced * truth + (forced.ones_like() - &forced) * found
        };
        let there = truth.flatten(1, 3).amax([1i64].as_slice(), true);
        let object_logit = forced * given_logits(&there) + (forced.ones_like() - forced) * &found.object_logit.detach();
        let given = mix(&given_logits(truth), &self.full_resolution(&found));
        let coarse = given_logits(&average_pool(truth, self.network.config().mask_stride()));
        let present = object_logit.gt(0.0).to_kind(Kind::Float);
        SliceOutput {
            logits: mix(&coarse, &found.logits),
            given: Some(given),
            iou: found.iou,
            object_logit,
            pointer: self.network.pointers(&step.token, &present),
        }
    }

    /// Encodes what a step took into memories [B, ...] (`_encode_new_memory`).
    pub fn remember(&self, image: &ImageEmbedding, output: &SliceOutput) -> Memory {
        let present = output.object_logit.gt(0.0).to_kind(Kind::Float);
        let features = self.network.memory_features(image, &self.full_resolution(output), &present);
        Memory::new(features, output.pointer.shallow_clone())
    }

    /// Mask logits at the network's own resolution, [B, 1, S, S].
    pub fn full_resolution(&self, output: &SliceOutput) -> Tensor {
        match &output.given {
            Some(full) => full.shallow_clone(),
            None => self.network.full_resolution(&output.logits),
        }
    }

    /// 1 where the object is taken to be present, else 0: [B, 1].
    fn present(&self, decoder: &DecoderOutput, presence: Presence) -> Tensor {
        match presence == Presence::Certain && self.network.config().trusts_known_presence {
            true => decoder.object_logit.ones_like(),
            false => decoder.object_logit.gt(0.0).to_kind(Kind::Float),
        }
    }

    /// The mask that counts. Absent objects leave no mask and the pointer of no object.
    fn taken(&self, decoder: DecoderOutput, choice: MaskChoice, presence: Presence) -> StepOutput {
        let network = self.network;
        let (logits, iou, token) = match (choice, self.phase) {
            (MaskChoice::BestOfThree, _) => decoder.best_of_three(),
            (MaskChoice::Single, Phase::Inference) => decoder.single(),
            (MaskChoice::Single, Phase::Training) => decoder.first(),
        };
        let present = self.present(&decoder, presence);
        let here = present.reshape([-1, 1, 1, 1]);
        let logits = logits.to_kind(Kind::Float);
        let logits = &logits * &here + (here.ones_like() - &here) * NO_OBJ_SCORE;
        let pointer = network.pointers(&token, &present);
        let output =
            SliceOutput { logits, given: None, iou, object_logit: decoder.object_logit.shallow_clone(), pointer };
        StepOutput { decoder, choice, token, output }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Version;
    use crate::model::Precision;
    use tch::Device;

    #[test]
    fn an_absent_object_has_no_mask_unless_a_network_of_ours_knows_that_it_is_there() {
        for (config, known) in [(Config::mini(), true), (Config::toy(Version::V2_1), false)] {
            let network = Sam2::pseudo_random(&config, Device::Cpu, Precision::Fp32);
            let options = (Kind::Float, Device::Cpu);
            let highest = |presence| {
                let decoder = DecoderOutput {
                    masks: Tensor::ones([1, 4, 8, 8], options),
                    ious: Tensor::ones([1, 4], options),
                    tokens: Tensor::zeros([1, 4, config.hidden_dim], options),
                    object_logit: Tensor::full([1, 1], -2.0, options),
                };
                let step = Tracker::new(&network, Phase::Inference).taken(decoder, MaskChoice::BestOfThree, presence);
                step.output.logits.max().double_value(&[])
            };
            assert_eq!(highest(Presence::Judged), NO_OBJ_SCORE);
            assert_eq!(highest(Presence::Certain), if known { 1.0 } else { NO_OBJ_SCORE }, "{}", config.name);
        }
    }

    #[test]
    fn a_box_alone_takes_the_best_of_three_where_the_network_wants_it() {
        let at = |kind| Point { x: 1.0, y: 1.0, kind };
        let corners = [at(PointKind::BoxStart), at(PointKind::BoxEnd)];
        let with_point = [corners[0], corners[1], at(PointKind::Foreground)];
        let choice = |config: &Config, points: &[Point]| mask_choice(config, points);
        assert_eq!(choice(&Config::compact(), &corners), MaskChoice::BestOfThree);
        assert_eq!(choice(&Config::toy(Version::V2_1), &corners), MaskChoice::Single);
        for config in [Config::compact(), Config::toy(Version::V2_1)] {
            assert_eq!(choice(&config, &with_point), MaskChoice::Single);
            assert_eq!(choice(&config, &with_point[2..]), MaskChoice::BestOfThree);
        }
    }
}
