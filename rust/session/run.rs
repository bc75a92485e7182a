//! One object's walk away from one prompted slice: the beam of banks, slice by slice.

use crate::geometry::SliceIndex;
use crate::memory::search::{self, Candidate};
use crate::memory::{Bank, Entry, SearchOptions};
use crate::model::config::{GIVEN_MASK_BIAS, NO_OBJ_SCORE};
use crate::model::prompt_encoder::{Point, PointKind};
use crate::model::{
    average_pool, Attended, Attending, Decoded, DenseInputs, ImageEmbedding, MaskChoice, Memory, Presence, Sam2,
};
use crate::prompt::{PointLabel, SlicePrompt};
use crate::session::embeddings::View;
use crate::session::tensors;
use crate::session::trace::CandidateTrace;
use crate::slices::resize::Frame;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::c_void;
use tch::Tensor;

/// Candidates of one batch: enough for any usual search, and a bound on memory for wide ones.
const CANDIDATES_AT_ONCE: usize = 8;

/// What a prompt made of its slice.
#[derive(Debug)]
pub struct Prompted {
    pub decoded: Decoded,
    /// [1, 1, m, m]
    pub logits: Tensor,
}

/// Turns one slice's prompt into a mask.
pub fn prompt(network: &Sam2, image: &ImageEmbedding, frame: &Frame, prompt: &SlicePrompt) -> Prompted {
    let side = network.config().image_size;
    let decoded = select(network, image, frame, prompt);
    let logits = match decoded.logits.size()[3] == side {
        true => average_pool(&decoded.logits, network.config().mask_stride()),
        false => decoded.logits.shallow_clone(),
    };
    Prompted { decoded, logits }
}

/// What one slice's prompt selects.
///
/// A mask alone is taken as the output. Points and boxes are decoded; a mask beside them guides the decoder.
pub fn select(network: &Sam2, image: &ImageEmbedding, frame: &Frame, prompt: &SlicePrompt) -> Decoded {
    let side = network.config().image_size;
    let mask = prompt.mask.as_ref().map(|mask| tensors::mask(&frame.mask_to_network(mask.view()), side));
    let points = network_points(frame, prompt);
    match (&mask, points.as_slice()) {
        (Some(mask), []) => network.accept_mask(image, mask),
        _ => {
            let dense = mask.map(|mask| network.mask_prompt(&mask));
            let features = network.without_memory(image);
            // A box alone leaves our own small networks as unsure as a point does: the best of three is better on scans, and as good on
            // generated ones.
            let unsure = prompt.points.is_empty() && network.config().multimask_for_boxes;
            let choice = if unsure { MaskChoice::BestOfThree } else { MaskChoice::for_points(points.len()) };
            network.decode(image, &features, &points, dense.as_ref(), choice)
        }
    }
}

/// Mask logits at the network's own size, whatever the decoder gives.
pub fn at_full_resolution(network: &Sam2, logits: &Tensor) -> Tensor {
    match logits.size()[3] {
        n if n == network.config().image_size => logits.shallow_clone(),
        _ => network.full_resolution(logits),
    }
}

/// The box's corners first, then the points, as SAM 2's video predictor orders them.
fn network_points(frame: &Frame, prompt: &SlicePrompt) -> Vec<Point> {
    let at = |row: f64, column: f64, kind: PointKind| {
        let (x, y) = frame.point_to_network(row, column);
        Point { x: x as f32, y: y as f32, kind }
    };
    let corners = prompt
        .bounds
        .iter()
        .flat_map(|b| [at(b.first[0], b.first[1], PointKind::BoxStart), at(b.last[0], b.last[1], PointKind::BoxEnd)]);
    let points = prompt.points.iter().map(|p| {
        let kind = match p.label {
            PointLabel::Foreground => PointKind::Foreground,
            PointLabel::Background => PointKind::Background,
        };
        at(p.row, p.column, kind)
    });
    corners.chain(points).collect()
}

/// What the decoder is told of the slice before.
#[derive(Debug, Clone, Copy)]
pub enum Hint<'a> {
    Nothing,
    Mask,
    /// The mask moved by a displacement, [1, 2, m, m].
    Moved(&'a Tensor),
}

impl Hint<'_> {
    /// The dense prompt: logits [1, 1, m, m].
    fn prompt(self, before: &Tensor) -> Option<Tensor> {
        match self {
            Hint::Nothing => None,
            Hint::Mask => Some(Sam2::prior(before)),
            Hint::Moved(displacement) => Some(Sam2::warped(&Sam2::prior(before), displacement)),
        }
    }
}

/// What a step is told beyond its memories.
#[derive(Debug, Clone, Copy)]
pub struct Guide<'a> {
    pub hint: Hint<'a>,
    /// What intensities say of the slice, logits [1, 1, m, m].
    pub evidence: Option<&'a Tensor>,
}

impl Guide<'_> {
    /// The paper's method: memories alone.
    pub const NONE: Self = Self { hint: Hint::Nothing, evidence: None };
}

/// A beam of banks walking away from its prompt.
#[derive(Debug)]
pub struct Run {
    banks: Vec<Bank>,
    /// How the slices were shown that the banks' entries are made of.
    view: View,
}

/// One slice of a run.
#[derive(Debug)]
pub struct Step {
    pub candidates: Vec<CandidateTrace>,
    /// Candidates' indices, best first.
    pub order: Vec<usize>,
    /// The best candidate; `None`: the run has ended before this slice.
    pub best: Option<Best>,
}

/// A slice's mask and its score.
#[derive(Debug)]
pub struct Best {
    /// [1, 1, m, m]
    pub logits: Tensor,
    /// The same at [1, 1, S, S].
    pub full_resolution: Tensor,
    pub iou: f64,
}

impl Run {
    /// `logits` [1, 1, m, m] of the prompt slice's mask, for a prior.
    pub fn new(view: View, slice: SliceIndex, memory: Memory, logits: Tensor) -> Self {
        Self { banks: vec![Bank::new(Entry { slice, memory, logits })], view }
    }

    pub fn view(&self) -> View {
        self.view
    }

    /// Slices that are remembered.
    pub fn remembered(&self) -> BTreeSet<SliceIndex> {
        self.banks.iter().flat_map(Bank::slices).collect()
    }

    /// Makes the memories anew from the masks that are known, as another frame shows them. `images`: embeddings of the remembered slices in
    /// that frame. Object pointers stay.
    pub fn reframe(&mut self, network: &Sam2, images: &BTreeMap<SliceIndex, ImageEmbedding>, [from, to]: [&Frame; 2]) {
        let mut made: HashMap<(SliceIndex, *mut c_void), Entry> = HashMap::new(); // banks share entries
        let mut anew = |entry: &Entry| {
            let make = || {
                let before = tensors::array(&entry.logits);
                let logits = from.logits_in(to, before.view(), GIVEN_MASK_BIAS as f32);
                let logits = tensors::plane(&logits).to_device(network.device());
                let present = entry.logits.max().double_value(&[]) > NO_OBJ_SCORE / 2.0;
                let pointer = entry.memory.pointer.shallow_clone();
                let object_logit = if present { 1.0 } else { -1.0 };
                let decoded = Decoded { logits, iou: 0.0, object_logit, pointer };
                let memory = network.remember(&images[&entry.slice], &decoded);
                let logits = average_pool(&decoded.logits, network.config().mask_stride());
                Entry { slice: entry.slice, memory, logits }
            };
            made.entry((entry.slice, entry.memory.features.data_ptr())).or_insert_with(make).clone()
        };
        self.banks = self.banks.iter().map(|bank| bank.map(&mut anew)).collect();
        self.view.region = to.region();
    }

    /// Tries all candidates on `slice`, keeps the best `beams` as the banks of the next.
    pub fn step(
        &mut self,
        network: &Sam2,
        image: &ImageEmbedding,
        slice: SliceIndex,
        slices_in_volume: usize,
        options: &SearchOptions,
        guide: Guide,
    ) -> Step {
        let known: Vec<Vec<SliceIndex>> = self.banks.iter().map(Bank::slices).collect();
        let mut plan = search::candidates(&known, slice, options);
        let try_out = |plan: &[Candidate]| -> Vec<Decoded> {
            let batches = plan.chunks(CANDIDATES_AT_ONCE);
            batches
                .flat_map(|plan| self.decoded(network, image, plan, (slice, slices_in_volume), options, guide))
                .collect()
        };
        let decoded = match options.accept_iou {
            None => try_out(&plan),
            Some(enough) => {
                let first = plan.remove(search::first_to_try(&plan));
                let mut decoded = try_out(std::slice::from_ref(&first));
                let found = &decoded[0];
                match found.iou >= enough && found.object_logit > options.min_object_logit() {
                    true => plan.clear(),
                    false => decoded.extend(try_out(&plan)),
                }
                plan.insert(0, first);
                decoded
            }
        };
        let order = search::rank(&decoded.iter().map(|d| d.iou).collect::<Vec<_>>());
        let candidates = (plan.iter().zip(&decoded))
            .map(|(c, d)| CandidateTrace { bank: c.bank, window: c.window, iou: d.iou, object_logit: d.object_logit })
            .collect();
        let best = &decoded[order[0]];
        let full_resolution = network.full_resolution(&best.logits);
        let absent = best.object_logit <= options.min_object_logit() || full_resolution.max().double_value(&[]) <= 0.0;
        if options.stop_when_absent && absent {
            return Step { candidates, order, best: None };
        }
        let survivors: Vec<usize> = order.iter().take(options.beams).copied().collect();
        let memories = network.remember_all(image, &survivors.iter().map(|&c| &decoded[c]).collect::<Vec<_>>());
        self.banks = (survivors.into_iter().zip(memories))
            .map(|(c, memory)| {
                let entry = Entry { slice, memory, logits: decoded[c].logits.shallow_clone() };
                self.banks[plan[c].bank].extended(entry, options.reach())
            })
            .collect();
        let best = Best { logits: best.logits.shallow_clone(), full_resolution, iou: best.iou };
        Step { candidates, order, best: Some(best) }
    }

    /// What some candidates make of a slice, as one batch.
    fn decoded(
        &self,
        network: &Sam2,
        image: &ImageEmbedding,
        plan: &[Candidate],
        (slice, slices_in_volume): (SliceIndex, usize),
        options: &SearchOptions,
        guide: Guide,
    ) -> Vec<Decoded> {
        let attending = |candidate: &Candidate| {
            let bank = &self.banks[candidate.bank];
            let (bank, slices) = (bank.entries(), bank.slices());
            let memories = (candidate.attended.iter())
                .map(|c| Attended { memory: &bank[c.entry].memory, slot: c.slot as i64 })
                .collect();
            let (entries, pointer_span) =
                search::pointers(&slices, &candidate.attended, slice, slices_in_volume, options.pointers);
            let pointers = entries.iter().map(|&e| (&bank[e].memory, slices[e].distance(slice))).collect();
            Attending { memories, pointers, pointer_span }
        };
        let features = network.with_memory(image, &plan.iter().map(attending).collect::<Vec<_>>());
        let priors: Option<Vec<Tensor>> =
            plan.iter().map(|candidate| guide.hint.prompt(&self.banks[candidate.bank].newest().logits)).collect();
        let priors = priors.map(|priors| Tensor::cat(&priors, 0));
        // Who does not want a run to stop says that the object is there.
        let presence = if options.stop_when_absent { Presence::Judged } else { Presence::Certain };
        let hints = DenseInputs { dense_prompt: priors.as_ref(), log_likelihood_ratio: guide.evidence };
        network.propagate(image, &features, hints, presence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::SearchOptions;
    use crate::model::config::{Config, Version};
    use crate::model::Precision;
    use crate::slices::region::Region;
    use ndarray::Array2;
    use tch::Device;

    const PIXELS: usize = 160;

    fn plane(slice: usize) -> Array2<f32> {
        Array2::from_shape_fn((PIXELS, PIXELS), |(r, c)| {
            let (y, x) = (r as f32 - 80.0, c as f32 - 75.0 - slice as f32);
            let bright = if y.hypot(x) < 30.0 { 0.4 } else { 0.0 };
            0.3 + 0.1 * (x / 17.0).sin() + 0.1 * (y / 13.0).cos() + bright
        })
    }

    fn seen(network: &Sam2, frame: &Frame, slice: usize) -> ImageEmbedding {
        let pixels = frame.to_network(plane(slice).view());
        network.encode_image(&tensors::image(&pixels, network.config().image_size))
    }

    #[test]
    fn further_candidates_are_tried_only_where_the_first_is_not_enough() {
        let network = Sam2::pseudo_random(&Config::toy(Version::V2_1), Device::Cpu, Precision::Fp32);
        let view = View::plain([PIXELS; 2]);
        let frame = Frame::new(view.region, [1.0, 1.0], 128);
        let given = SlicePrompt { mask: Some(plane(0).mapv(|value| value > 0.55)), ..SlicePrompt::default() };
        tch::no_grad(|| {
            let walk = |enough| {
                let image = seen(&network, &frame, 0);
                let Prompted { decoded, logits } = prompt(&network, &image, &frame, &given);
                let mut run = Run::new(view, SliceIndex(0), network.remember(&image, &decoded), logits);
                let options = SearchOptions { accept_iou: enough, stop_when_absent: false, ..SearchOptions::promem() };
                let steps = (1..4).map(|slice| {
                    let image = seen(&network, &frame, slice);
                    run.step(&network, &image, SliceIndex(slice), 9, &options, Guide::NONE)
                });
                steps.collect::<Vec<Step>>()
            };
            let tried = |steps: &[Step]| steps.iter().map(|step| step.candidates.len()).collect::<Vec<_>>();
            let (all, never, always) = (walk(None), walk(Some(1.0)), walk(Some(0.0)));
            assert_eq!(tried(&all), [1, 2, 4]);
            assert_eq!(tried(&never), tried(&all));
            assert_eq!(tried(&always), [1, 1, 1]);
            for (all, never) in all.iter().zip(&never) {
                let best = |step: &Step| step.best.as_ref().expect("it does not stop").iou;
                assert!((best(all) - best(never)).abs() < 1e-5, "the same candidates give the same best");
            }
        });
    }

    /// A run begun in one region and moved to another goes on as one that began there.
    #[test]
    fn memories_made_anew_are_those_of_the_other_region() {
        let network = Sam2::pseudo_random(&Config::toy(Version::V2_1), Device::Cpu, Precision::Fp32);
        let frame = |region| Frame::new(region, [1.0, 1.0], 128);
        let near = View { region: Region { first: [40, 35], size: [80, 80] }, ..View::plain([PIXELS; 2]) };
        let far = View::plain([PIXELS; 2]);
        let mask = plane(0).mapv(|value| value > 0.55);
        let given = SlicePrompt { mask: Some(mask), ..SlicePrompt::default() };
        tch::no_grad(|| {
            let begin = |view: View| {
                let frame = frame(view.region);
                let image = seen(&network, &frame, 0);
                let Prompted { decoded, logits } = prompt(&network, &image, &frame, &given);
                let memory = network.remember(&image, &decoded);
                Run::new(view, SliceIndex(0), memory, logits)
            };
            let options = SearchOptions { stop_when_absent: false, ..SearchOptions::promem() };
            let step = |run: &mut Run| {
                let image = seen(&network, &frame(run.view().region), 1);
                run.step(&network, &image, SliceIndex(1), 9, &options, Guide { hint: Hint::Mask, evidence: None })
            };
            let expected = step(&mut begin(far));
            let mut moved = begin(near);
            let untouched = step(&mut begin(near));
            let images = moved.remembered().into_iter().map(|s| (s, seen(&network, &frame(far.region), s.0)));
            moved.reframe(&network, &images.collect(), [&frame(near.region), &frame(far.region)]);
            assert_eq!(moved.view(), far);
            let found = step(&mut moved);
            let apart = |a: &Step, b: &Step| {
                let [a, b] = [a, b].map(|step| &step.best.as_ref().expect("it does not stop").logits);
                (a - b).abs().mean(tch::Kind::Float).double_value(&[])
            };
            // The pointer is the other region's, and borders are resampled: nearly the same, and far from what the old region shows.
            let (same, other) = (apart(&found, &expected), apart(&untouched, &expected));
            assert!(same < 0.1 * other, "{same} from the other region's, which is {other} from the first's");
        });
    }
}
