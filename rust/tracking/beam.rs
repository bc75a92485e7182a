//! Memory window search along one track: a beam of banks that moves away from its prompted slice, slice by slice.

use super::attended::{AttendedBank, Reframing};
use super::candidates::{self, Candidate};
use super::options::{CandidateRule, TrackingOptions};
use super::step::{attending, dense_prior, SliceOutput, Tracker};
use super::{Bank, Entry};
use crate::geometry::SliceIndex;
use crate::model::{DenseInputs, ImageEmbedding, Memory, Presence, Sam2};
use crate::slices::resize::NetworkFrame;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use tch::{Device, Tensor};

/// Candidates of one batch: as many as any usual search has, and a bound on memory for wide ones.
const CANDIDATES_AT_ONCE: usize = 8;

/// One candidate's scores, as in the specification's trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CandidateScores {
    /// The bank's rank on the previous slice.
    pub bank: usize,
    /// The memory window.
    pub window: usize,
    /// Predicted IoU.
    pub iou: f64,
    /// Logit of the object's presence.
    pub object_logit: f64,
}

/// The mask prior of a slice, for each bank of a beam.
#[derive(Debug, Clone, Copy)]
pub enum PriorInput<'a> {
    /// No dense prompt.
    None,
    /// The bank's newest mask.
    Previous,
    /// The bank's newest mask, moved by this displacement, [1, 2, m, m].
    Registered(&'a Tensor),
}

/// A slice that a beam is to segment.
#[derive(Debug, Clone, Copy)]
pub struct SliceContext<'a> {
    /// The slice.
    pub slice: SliceIndex,
    /// SAM 2's rule for pointers depends on it.
    pub slices_in_volume: usize,
    /// Its embedding.
    pub image: &'a ImageEmbedding,
    /// The mask prior.
    pub prior: PriorInput<'a>,
    /// Of the intensity model, weighted, logits [1, 1, m, m].
    pub log_likelihood_ratio: Option<&'a Tensor>,
}

impl<'a> SliceContext<'a> {
    /// The paper's method: memories alone.
    pub fn of_memory(slice: SliceIndex, slices_in_volume: usize, image: &'a ImageEmbedding) -> Self {
        Self { slice, slices_in_volume, image, prior: PriorInput::None, log_likelihood_ratio: None }
    }
}

/// One slice of a beam.
#[derive(Debug)]
pub struct Searched {
    /// Scores in the order in which the candidates were decoded.
    pub candidates: Vec<CandidateScores>,
    /// Indices of candidates, best first.
    pub order: Vec<usize>,
    /// The best candidate; `None`: the track has ended before this slice.
    pub best: Option<BestMask>,
}

/// A slice's mask and its score.
#[derive(Debug)]
pub struct BestMask {
    /// Its mask and scores, of one.
    pub output: SliceOutput,
    /// The mask's logits at the network's resolution, [1, 1, S, S].
    pub full_resolution: Tensor,
    /// Predicted IoU.
    pub iou: f64,
    /// What the slice attended to.
    pub attended: AttendedBank,
}

/// A beam of banks.
#[derive(Debug)]
pub struct Beam {
    banks: Vec<Bank>,
}

/// What a batch of candidates makes of a slice, with its scores on the host.
struct Decoded {
    output: SliceOutput,
    /// Predicted IoU and object score of each.
    scores: Vec<[f64; 2]>,
}

impl Decoded {
    /// The scores leave the device together.
    fn new(output: SliceOutput) -> Self {
        let scores = Tensor::cat(&[&output.iou, &output.object_logit], 1).to_device(Device::Cpu);
        let scores = (0..scores.size()[0]).map(|i| [0, 1].map(|column| scores.double_value(&[i, column]))).collect();
        Self { output, scores }
    }

    fn joined(parts: Vec<Self>) -> Self {
        let scores = parts.iter().flat_map(|part| part.scores.clone()).collect();
        Self { output: SliceOutput::joined(parts.into_iter().map(|part| part.output).collect()), scores }
    }
}

impl Beam {
    /// `logits` [1, 1, m, m] of the prompted slice's mask, for a mask prior.
    pub fn new(slice: SliceIndex, memory: Memory, logits: Tensor) -> Self {
        Self::beside(Entry { slice, memory, logits }, Vec::new())
    }

    /// From a prompted slice; `known`: slices behind it whose masks are known.
    pub fn beside(prompt: Entry, known: Vec<Entry>) -> Self {
        Self { banks: vec![Bank::new(prompt, known)] }
    }

    /// Slices that are remembered.
    pub fn remembered(&self) -> BTreeSet<SliceIndex> {
        self.banks.iter().flat_map(Bank::slices).collect()
    }

    /// Makes the memories anew from the masks that are known, as another frame shows them. `images`: embeddings of the
    /// remembered slices in
    /// that frame. Object pointers stay.
    pub fn reframe(
        &mut self,
        tracker: &Tracker,
        images: &BTreeMap<SliceIndex, ImageEmbedding>,
        frames: [&NetworkFrame; 2],
    ) {
        let mut anew = Reframing::new(tracker, images, frames);
        self.banks = self.banks.iter().map(|bank| bank.map(&mut |entry| anew.entry(entry))).collect();
    }

    /// Decodes the candidates of a slice, and keeps the best `beams` as the banks of the next.
    pub fn search(&mut self, tracker: &Tracker, context: &SliceContext, options: &TrackingOptions) -> Searched {
        let known: Vec<Vec<SliceIndex>> = self.banks.iter().map(Bank::slices).collect();
        let mut plan = candidates::candidates(&known, context.slice, options);
        let decode = |plan: &[Candidate]| -> Vec<Decoded> {
            plan.chunks(CANDIDATES_AT_ONCE).map(|plan| self.decoded(tracker, context, plan, options)).collect()
        };
        let decoded = match options.candidates {
            CandidateRule::All => decode(&plan),
            CandidateRule::UntilAccepted(iou) => {
                let first = plan.remove(candidates::first_to_try(&plan));
                let mut decoded = decode(std::slice::from_ref(&first));
                let [found, object_logit] = decoded[0].scores[0];
                match found >= iou && object_logit > options.min_object_logit() {
                    true => plan.clear(),
                    false => decoded.extend(decode(&plan)),
                }
                plan.insert(0, first);
                decoded
            }
        };
        let Decoded { output, scores } = Decoded::joined(decoded);
        let order = candidates::rank(&scores.iter().map(|[iou, _]| *iou).collect::<Vec<_>>());
        let candidates = (plan.iter().zip(&scores))
            .map(|(c, &[iou, object_logit])| CandidateScores { bank: c.bank, window: c.window, iou, object_logit })
            .collect();
        let best = output.narrow(order[0] as i64);
        let [iou, object_logit] = scores[order[0]];
        let full_resolution = tracker.full_resolution(&best);
        let absent = object_logit <= options.min_object_logit() || full_resolution.max().double_value(&[]) <= 0.0;
        if options.stop_when_absent && absent {
            return Searched { candidates, order, best: None };
        }
        let chosen = &plan[order[0]];
        let attended = AttendedBank {
            bank: self.banks[chosen.bank].clone(),
            attended: chosen.attended.clone(),
            slice: context.slice,
            slices_in_volume: context.slices_in_volume,
            pointers: options.pointers,
        };
        let survivors: Vec<usize> = order.iter().take(options.beams).copied().collect();
        let kept = output.select(&survivors.iter().map(|&c| c as i64).collect::<Vec<_>>());
        let memories = tracker.remember(context.image, &kept);
        self.banks = (survivors.iter().enumerate())
            .map(|(n, &c)| {
                let one = |x: &Tensor| x.narrow(0, n as i64, 1);
                let memory = Memory::new(one(&memories.features), one(&memories.pointer));
                let entry = Entry { slice: context.slice, memory, logits: one(&kept.logits) };
                self.banks[plan[c].bank].extended(entry, options.reach())
            })
            .collect();
        Searched { candidates, order, best: Some(BestMask { output: best, full_resolution, iou, attended }) }
    }

    /// What some candidates make of a slice, as one batch.
    fn decoded(
        &self,
        tracker: &Tracker,
        context: &SliceContext,
        plan: &[Candidate],
        options: &TrackingOptions,
    ) -> Decoded {
        let of = |candidate: &Candidate| {
            let entries = self.banks[candidate.bank].entries();
            attending(
                &self.banks[candidate.bank].slices(),
                |entry| &entries[entry].memory,
                &candidate.attended,
                context.slice,
                context.slices_in_volume,
                options.pointers,
            )
        };
        let priors: Option<Vec<Tensor>> = (plan.iter())
            .map(|candidate| context.prior.dense_prompt(&self.banks[candidate.bank].newest().logits))
            .collect();
        let priors = priors.map(|priors| Tensor::cat(&priors, 0));
        // Who does not want a track to stop says that the object is there.
        let presence = if options.stop_when_absent { Presence::Judged } else { Presence::Certain };
        let inputs = DenseInputs { dense_prompt: priors.as_ref(), log_likelihood_ratio: context.log_likelihood_ratio };
        let candidates: Vec<_> = plan.iter().map(of).collect();
        Decoded::new(tracker.track(context.image, &candidates, inputs, presence).output)
    }
}

impl PriorInput<'_> {
    /// Logits [1, 1, m, m], of the previous slice's.
    pub fn dense_prompt(self, previous: &Tensor) -> Option<Tensor> {
        match self {
            PriorInput::None => None,
            PriorInput::Previous => Some(dense_prior(previous)),
            PriorInput::Registered(displacement) => Some(Sam2::warped(&dense_prior(previous), displacement)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{tensors, ModelDefaults, Phase, SearchOptions};
    use super::*;
    use crate::model::config::{Config, Version};
    use crate::model::Precision;
    use crate::slices::roi::Roi;
    use ndarray::Array2;
    use tch::Kind;

    const PIXELS: usize = 160;
    const WHOLE: Roi = Roi { first: [0, 0], size: [PIXELS; 2] };

    fn plane(slice: usize) -> Array2<f32> {
        Array2::from_shape_fn((PIXELS, PIXELS), |(r, c)| {
            let (y, x) = (r as f32 - 80.0, c as f32 - 75.0 - slice as f32);
            let bright = if y.hypot(x) < 30.0 { 0.4 } else { 0.0 };
            0.3 + 0.1 * (x / 17.0).sin() + 0.1 * (y / 13.0).cos() + bright
        })
    }

    fn frame(roi: Roi) -> NetworkFrame {
        NetworkFrame::new(roi, [1.0, 1.0], 128)
    }

    fn encoded(network: &Sam2, roi: Roi, slice: usize) -> ImageEmbedding {
        let pixels = frame(roi).to_network(plane(slice).view());
        network.encode_image(&tensors::image(&pixels, network.config().image_size))
    }

    /// A beam that begins at slice 0 with the bright disc as its mask.
    fn beam(tracker: &Tracker, roi: Roi) -> Beam {
        let (network, image) = (tracker.network(), encoded(tracker.network(), roi, 0));
        let mask = frame(roi).mask_to_network(plane(0).mapv(|value| value > 0.55).view());
        let output = tracker.accept_mask(&image, &tensors::mask(&mask, network.config().image_size));
        let memory = tracker.remember(&image, &output);
        Beam::new(SliceIndex(0), memory, output.logits)
    }

    fn options(accept_iou: Option<f64>) -> TrackingOptions {
        let options = SearchOptions { accept_iou, stop_when_absent: false, ..SearchOptions::promem() };
        options.resolve(&ModelDefaults::SAM2).unwrap()
    }

    #[test]
    fn further_candidates_are_decoded_only_where_the_first_is_not_accepted() {
        let network = Sam2::pseudo_random(&Config::toy(Version::V2_1), Device::Cpu, Precision::Fp32);
        let tracker = Tracker::new(&network, Phase::Inference);
        tch::no_grad(|| {
            let track = |accept_iou| {
                let mut beam = beam(&tracker, WHOLE);
                let steps = (1..4).map(|slice| {
                    let image = encoded(&network, WHOLE, slice);
                    let context = SliceContext::of_memory(SliceIndex(slice), 9, &image);
                    beam.search(&tracker, &context, &options(accept_iou))
                });
                steps.collect::<Vec<Searched>>()
            };
            let decoded = |steps: &[Searched]| steps.iter().map(|step| step.candidates.len()).collect::<Vec<_>>();
            let (all, never, always) = (track(None), track(Some(1.0)), track(Some(0.0)));
            assert_eq!(decoded(&all), [1, 2, 4]);
            assert_eq!(decoded(&never), decoded(&all));
            assert_eq!(decoded(&always), [1, 1, 1]);
            for (all, never) in all.iter().zip(&never) {
                let best = |step: &Searched| step.best.as_ref().expect("it does not stop").iou;
                assert!((best(all) - best(never)).abs() < 1e-5, "the same candidates give the same best");
            }
        });
    }

    /// A beam that began in one region and moved to another continues as one that began there.
    #[test]
    fn memories_made_anew_are_those_of_the_other_region() {
        let network = Sam2::pseudo_random(&Config::toy(Version::V2_1), Device::Cpu, Precision::Fp32);
        let tracker = Tracker::new(&network, Phase::Inference);
        let near = Roi { first: [40, 35], size: [80, 80] };
        tch::no_grad(|| {
            let step = |beam: &mut Beam, roi: Roi| {
                let image = encoded(&network, roi, 1);
                let context =
                    SliceContext { prior: PriorInput::Previous, ..SliceContext::of_memory(SliceIndex(1), 9, &image) };
                beam.search(&tracker, &context, &options(None))
            };
            let expected = step(&mut beam(&tracker, WHOLE), WHOLE);
            let untouched = step(&mut beam(&tracker, near), near);
            let mut moved = beam(&tracker, near);
            let images = moved.remembered().into_iter().map(|s| (s, encoded(&network, WHOLE, s.0))).collect();
            moved.reframe(&tracker, &images, [&frame(near), &frame(WHOLE)]);
            let found = step(&mut moved, WHOLE);
            let apart = |a: &Searched, b: &Searched| {
                let [a, b] = [a, b].map(|step| &step.best.as_ref().expect("it does not stop").output.logits);
                (a - b).abs().mean(Kind::Float).double_value(&[])
            };
            // The pointer is the other region's, and borders are resampled: nearly the same, and far from what the old region shows.
            let (same, other) = (apart(&found, &expected), apart(&untouched, &expected));
            assert!(same < 0.1 * other, "{same} from the other region's, which is {other} from the first's");
        });
    }
}
