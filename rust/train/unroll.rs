//! The tracker along a batch of clips: the prompt step on the first slice, then one track step for each further slice.
//!
//! The steps are those of inference ([`crate::tracking::Tracker`]); a [`ClipPlan`] says which prompts, windows and
//! priors they get.

use crate::geometry::SliceIndex;
use crate::model::prompt_encoder::Point;
use crate::model::{
    at_mask_resolution, average_pool, DecoderOutput, DenseInputs, ImageEmbedding, MaskChoice, Presence, Sam2,
};
use crate::tracking::candidates::attended;
use crate::tracking::{attending, tensors, MaskPrior, Phase, PriorInput, SliceOutput, Tracker};
use crate::train::batch::{masks_in, Batch};
use crate::train::loss::Prediction;
use crate::train::plan::{ClipPlan, RoughMaskUse, TrainingPrompt};
use crate::train::simulated_user::{click, drawn_box, next_click, rough_mask, scribble};
use crate::train::Rng;
use ndarray::ArrayView2;
use tch::{Device, Tensor};

/// Predictions of slice `t`: one, or on a prompted slice one for each round of prompts.
pub struct SlicePredictions {
    /// Number of the slice in the clip.
    pub t: i64,
    /// One prediction, or several where points correct it.
    pub rounds: Vec<Prediction>,
}

/// Tracks the first slice's object along a batch. Nothing is predicted on a slice whose mask is given.
pub fn unroll(network: &Sam2, batch: &Batch, plan: &ClipPlan, rng: &mut Rng) -> Vec<SlicePredictions> {
    unroll_embedded(network, &embed(network, batch), batch, plan, rng)
}

/// The same on slices that are encoded already, an embedding of B clips for each slice.
pub fn unroll_embedded(
    network: &Sam2,
    images: &[ImageEmbedding],
    batch: &Batch,
    plan: &ClipPlan,
    rng: &mut Rng,
) -> Vec<SlicePredictions> {
    let (_, length, _) = batch.size();
    let tracker = Tracker::new(network, Phase::Training);
    let slices: Vec<SliceIndex> = (0..length as usize).map(SliceIndex).collect();
    let mut predictions = Vec::new();
    let (first, ratio) = match plan.prompt {
        TrainingPrompt::Mask => (
            tracker.accept_mask(&images[0], &batch.mask(0)),
            batch.log_likelihood_ratio.as_ref().map(Tensor::shallow_clone),
        ),
        _ => {
            let (rounds, output) = interact(&tracker, batch, &images[0], plan, rng);
            predictions.push(SlicePredictions { t: 0, rounds });
            let found = tracker.full_resolution(&output);
            let ratio = batch.log_likelihood_ratio.is_some().then(|| batch.log_likelihood_ratio_of(&found));
            (output, ratio)
        }
    };
    let ratio = ratio.filter(|_| !plan.intensity_weights.is_empty()).map(|ratio| {
        let weights = Tensor::from_slice(&plan.intensity_weights).to_device(network.device()).reshape([-1, 1, 1, 1]);
        at_mask_resolution(&ratio, network.config().mask_stride()) * weights // [B, T, m, m]
    });
    let mut memories = vec![tracker.remember(&images[0], &first)];
    let mut previous = first.logits;
    for t in 1..length as usize {
        let image = &images[t];
        let bank = &slices[..t];
        let chosen = attended(bank, plan.windows[t], slices[t], plan.memory);
        let candidate = attending(bank, |entry| &memories[entry], &chosen, slices[t], length as usize, plan.pointers);
        let displacement = batch.displacements.as_ref().map(|field| field.select(1, t as i64));
        let prior = match (plan.prior, &displacement) {
            (MaskPrior::None, _) | (MaskPrior::Registered, None) => PriorInput::None,
            (MaskPrior::Previous, _) => PriorInput::Previous,
            (MaskPrior::Registered, Some(displacement)) => PriorInput::Registered(displacement),
        };
        let prior = prior.dense_prompt(&previous);
        let ratio = ratio.as_ref().map(|ratio| ratio.narrow(1, t as i64, 1));
        let inputs = DenseInputs { dense_prompt: prior.as_ref(), log_likelihood_ratio: ratio.as_ref() };
        let step = tracker.track(image, &[candidate], inputs, Presence::Judged);
        let forced = teacher_forced(&plan.teacher_forced[t], network.device());
        let output = tracker.teacher_forced(&step, &batch.mask(t as i64), forced.as_ref());
        memories.push(tracker.remember(image, &output));
        previous = output.logits;
        predictions.push(SlicePredictions { t: t as i64, rounds: vec![prediction(step.decoder, step.choice)] });
    }
    predictions
}

/// 1 for the clips whose memory is made of the ground truth, [B, 1]; `None` where none is.
fn teacher_forced(clips: &[bool], device: Device) -> Option<Tensor> {
    clips.iter().any(|&forced| forced).then(|| {
        let forced: Vec<f32> = clips.iter().map(|&forced| f32::from(forced)).collect();
        Tensor::from_slice(&forced).to_device(device).reshape([-1, 1])
    })
}

/// The masks that are supervised: the one for unambiguous prompts, or the three others.
fn prediction(decoder: DecoderOutput, choice: MaskChoice) -> Prediction {
    let (first, count) = match choice {
        MaskChoice::Single => (0, 1),
        MaskChoice::BestOfThree => (1, decoder.ious.size()[1] - 1),
    };
    Prediction {
        logits: decoder.masks.narrow(1, first, count),
        ious: decoder.ious.narrow(1, first, count),
        object_logit: decoder.object_logit,
    }
}

/// One embedding a slice; all are computed together.
fn embed(network: &Sam2, batch: &Batch) -> Vec<ImageEmbedding> {
    let (b, length, side) = batch.size();
    let grey = batch.images.reshape([b * length, 1, side, side]);
    let all = network.encode_image(&tensors::normalised(&grey));
    let slice = |x: &Tensor, t: i64| {
        let size = x.size();
        x.reshape([b, length, size[1], size[2], size[3]]).select(1, t)
    };
    (0..length)
        .map(|t| ImageEmbedding {
            features: slice(&all.features, t),
            high_resolution: all.high_resolution.each_ref().map(|x| slice(x, t)),
        })
        .collect()
}

/// Any prompt but a true mask, and points that correct it, each on the mask before it: predictions of all rounds, and
/// the last one's output.
fn interact(
    tracker: &Tracker,
    batch: &Batch,
    image: &ImageEmbedding,
    plan: &ClipPlan,
    rng: &mut Rng,
) -> (Vec<Prediction>, SliceOutput) {
    let truths: Vec<ArrayView2<bool>> =
        batch.clips.iter().map(|clip| clip.masks.index_axis(ndarray::Axis(0), 0)).collect();
    let (mut points, mut present) = first_prompt(tracker, &truths, plan, rng);
    let features = tracker.network().without_memory(image);
    let mut rounds = Vec::new();
    loop {
        let prompts: Vec<&[Point]> = points.iter().map(Vec::as_slice).collect();
        let step = match &present {
            None => tracker.prompt(image, &features, &prompts),
            Some(present) => tracker.correct(image, &features, &prompts, present),
        };
        let output = tracker.teacher_forced(&step, &batch.mask(0), None);
        rounds.push(prediction(step.decoder, step.choice));
        if rounds.len() > plan.corrections {
            return (rounds, output);
        }
        let found = masks_in(&tracker.full_resolution(&output));
        for (found, (points, truth)) in found.outer_iter().zip(points.iter_mut().zip(&truths)) {
            points.push(next_click(&found, truth, plan.clicks, rng));
        }
        present = Some(output.logits);
    }
}

/// Equally many points of each clip, and the mask that they correct, logits [B, 1, m, m].
fn first_prompt(
    tracker: &Tracker,
    truths: &[ArrayView2<bool>],
    plan: &ClipPlan,
    rng: &mut Rng,
) -> (Vec<Vec<Point>>, Option<Tensor>) {
    let mut of_each = |points: &mut dyn FnMut(&ArrayView2<bool>, &mut Rng) -> Vec<Point>| -> Vec<Vec<Point>> {
        truths.iter().map(|truth| points(truth, rng)).collect()
    };
    let style = plan.clicks;
    match plan.prompt {
        TrainingPrompt::Mask => unreachable!("a mask is not decoded"),
        TrainingPrompt::Box => (of_each(&mut |truth, rng| drawn_box(truth, style, rng)), None),
        TrainingPrompt::Point => (of_each(&mut |truth, rng| click(truth, style, rng).into_iter().collect()), None),
        TrainingPrompt::Scribble(count) => (of_each(&mut |truth, rng| scribble(truth, count, rng)), None),
        TrainingPrompt::RoughMask(what) => {
            let mut rough = Vec::new();
            let points = of_each(&mut |truth, rng| {
                let mask = rough_mask(truth, rng);
                let points = match what {
                    RoughMaskUse::Refined => Vec::new(),
                    RoughMaskUse::Corrected => vec![next_click(&mask.view(), truth, style, rng)],
                };
                rough.push(mask);
                points
            });
            let network = tracker.network();
            let side = network.config().image_size;
            let values: Vec<f32> = rough.iter().flatten().map(|&inside| f32::from(inside)).collect();
            let masks = Tensor::from_slice(&values).reshape([-1, 1, side, side]).to_device(network.device());
            (points, Some(average_pool(&tensors::given_logits(&masks), network.config().mask_stride())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Config;
    use crate::model::Precision;
    use crate::train::clip::{Clip, ClipOptions};
    use crate::train::config::{ClickStyle, Framing};
    use crate::train::{rng, Purpose};
    use ndarray::Array3;

    #[test]
    fn every_prompt_is_followed_by_its_rounds_and_rounds_take_the_mask_before_along() {
        let network = Sam2::pseudo_random(&Config::mini(), Device::Cpu, Precision::Fp32);
        let side = network.config().image_size as usize;
        let options = ClipOptions {
            length: 1,
            side,
            stochastic_propagation: false,
            displacement_stride: None,
            intensity_model: false,
            framing: Framing::Any,
        };
        let middle = side as f32 / 2.0;
        let masks = Array3::from_shape_fn((1, side, side), |(_, r, c)| {
            (r as f32 - middle).hypot(c as f32 - middle) < 0.3 * side as f32
        });
        let images = masks.mapv(|inside| if inside { 0.8 } else { 0.3 });
        let batch = || Batch::new(vec![Clip::new(images.clone(), masks.clone(), &options); 2], Device::Cpu);
        let rounds = |prompt: TrainingPrompt, corrections: usize| -> Vec<Tensor> {
            let base = ClipPlan::inference(1, 6, MaskPrior::None, Vec::new());
            let plan = ClipPlan { prompt, corrections, clicks: ClickStyle::Mixed, ..base };
            let mut found = tch::no_grad(|| unroll(&network, &batch(), &plan, &mut rng(1, Purpose::Step, 0)));
            assert_eq!((found.len(), found[0].t), (1, 0), "{prompt:?}");
            found.remove(0).rounds.into_iter().map(|round| round.logits).collect()
        };
        let rough = |what| TrainingPrompt::RoughMask(what);
        for prompt in [
            TrainingPrompt::Box,
            TrainingPrompt::Point,
            TrainingPrompt::Scribble(5),
            rough(RoughMaskUse::Corrected),
            rough(RoughMaskUse::Refined),
        ] {
            let all = rounds(prompt, 7);
            assert_eq!(all.len(), 8, "{prompt:?}");
            assert!(all.iter().all(|logits| logits.size()[0] == 2 && bool::try_from(logits.isfinite().all()).unwrap()));
        }
        // The same click on a mask and on none: what is decoded differs, since the mask is the dense prompt.
        let tracker = Tracker::new(&network, Phase::Training);
        let image = &embed(&network, &batch())[0];
        let features = network.without_memory(image);
        let point = [Point { x: middle, y: middle, kind: crate::model::prompt_encoder::PointKind::Foreground }];
        let logits = tensors::given_logits(&average_pool(&batch().mask(0), network.config().mask_stride()));
        let prompts = [&point[..], &point[..]];
        let (bare, corrected) = tch::no_grad(|| {
            (tracker.prompt(image, &features, &prompts), tracker.correct(image, &features, &prompts, &logits))
        });
        assert!((bare.decoder.masks - corrected.decoder.masks).abs().max().double_value(&[]) > 1e-3);
    }
}
