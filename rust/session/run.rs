//! One object's walk away from one prompted slice: the beam of banks, slice by slice.

use crate::geometry::SliceIndex;
use crate::memory::{search, Bank, Entry, SearchOptions};
use crate::model::prompt_encoder::{Point, PointKind};
use crate::model::{Attended, Decoded, ImageEmbedding, MaskChoice, Memory, Sam2};
use crate::prompt::{PointLabel, SlicePrompt};
use crate::session::trace::CandidateTrace;
use crate::slices::resize::Frame;
use ndarray::Array2;
use std::rc::Rc;
use tch::Tensor;

/// What a prompt made of its slice.
#[derive(Debug)]
pub struct Prompted {
    pub decoded: Decoded,
    pub memory: Rc<Memory>,
    /// [1, 1, S / 4, S / 4]
    pub logits: Rc<Tensor>,
}

/// Turns one slice's prompt into a mask and the first memory.
///
/// A mask alone is taken as the output. Points and boxes are decoded; a mask beside them guides the decoder.
pub fn prompt(network: &Sam2, image: &ImageEmbedding, frame: &Frame, prompt: &SlicePrompt) -> Prompted {
    let side = network.config().image_size;
    let mask = prompt.mask.as_ref().map(|mask| mask_tensor(&frame.mask_to_network(mask.view()), side));
    let points = network_points(frame, prompt);
    let decoded = match (&mask, points.as_slice()) {
        (Some(mask), []) => network.accept_mask(image, mask),
        _ => {
            let dense = mask.map(|mask| network.mask_prompt(&mask));
            let features = network.without_memory(image);
            network.decode(image, &features, &points, dense.as_ref(), MaskChoice::for_points(points.len()))
        }
    };
    let memory = Rc::new(network.remember(image, &decoded));
    let logits = match decoded.logits.size()[3] == side {
        true => decoded.logits.avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None::<i64>),
        false => decoded.logits.shallow_clone(),
    };
    Prompted { decoded, memory, logits: Rc::new(logits) }
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

/// A mask of the valid part [h, w] -> [1, 1, S, S] of 0 and 1, padded at the bottom and right.
fn mask_tensor(mask: &Array2<bool>, side: i64) -> Tensor {
    let (h, w) = mask.dim();
    let values: Vec<f32> = mask.iter().map(|&inside| f32::from(inside)).collect();
    let (h, w) = (h as i64, w as i64);
    Tensor::from_slice(&values).reshape([1, 1, h, w]).constant_pad_nd([0, side - w, 0, side - h])
}

/// What the decoder is told of the slice before.
#[derive(Debug, Clone, Copy)]
pub enum Hint<'a> {
    Nothing,
    Mask,
    /// The mask moved by a displacement, [1, 2, S / 4, S / 4].
    Moved(&'a Tensor),
}

impl Hint<'_> {
    /// The dense prompt: logits [1, 1, S / 4, S / 4].
    fn prompt(self, before: &Tensor) -> Option<Tensor> {
        match self {
            Hint::Nothing => None,
            Hint::Mask => Some(Sam2::prior(before)),
            Hint::Moved(displacement) => Some(Sam2::warped(&Sam2::prior(before), displacement)),
        }
    }
}

/// A beam of banks walking away from its prompt.
#[derive(Debug)]
pub struct Run {
    banks: Vec<Bank>,
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
    /// [1, 1, S / 4, S / 4]
    pub logits: Tensor,
    /// The same at [1, 1, S, S].
    pub full_resolution: Tensor,
    pub iou: f64,
}

impl Run {
    /// `logits` [1, 1, S / 4, S / 4] of the prompt slice's mask, for a prior.
    pub fn new(slice: SliceIndex, memory: Rc<Memory>, logits: Rc<Tensor>) -> Self {
        Self { banks: vec![Bank::new(Entry { slice, memory, logits })] }
    }

    /// Tries all candidates on `slice`, keeps the best `beams` as the banks of the next.
    pub fn step(
        &mut self,
        network: &Sam2,
        image: &ImageEmbedding,
        slice: SliceIndex,
        slices_in_volume: usize,
        options: &SearchOptions,
        hint: Hint,
    ) -> Step {
        let known: Vec<Vec<SliceIndex>> = self.banks.iter().map(Bank::slices).collect();
        let plan = search::candidates(&known, slice, options);
        let decoded: Vec<Decoded> = plan
            .iter()
            .map(|candidate| {
                let bank = self.banks[candidate.bank].entries();
                let attended: Vec<Attended> = (candidate.attended.iter())
                    .map(|c| Attended { memory: &bank[c.entry].memory, slot: c.slot as i64 })
                    .collect();
                let slices = &known[candidate.bank];
                let (entries, span) =
                    search::pointers(slices, &candidate.attended, slice, slices_in_volume, options.pointers);
                let pointers: Vec<(&Memory, usize)> =
                    entries.iter().map(|&e| (&*bank[e].memory, slices[e].distance(slice))).collect();
                let features = network.with_memory(image, &attended, &pointers, span);
                let prior = hint.prompt(&self.banks[candidate.bank].newest().logits);
                network.propagate(image, &features, prior.as_ref())
            })
            .collect();

        let order = search::rank(&decoded.iter().map(|d| d.iou).collect::<Vec<_>>());
        let candidates = (plan.iter().zip(&decoded))
            .map(|(c, d)| CandidateTrace { bank: c.bank, window: c.window, iou: d.iou, object_logit: d.object_logit })
            .collect();
        let best = &decoded[order[0]];
        let full_resolution = network.full_resolution(&best.logits);
        let absent = best.object_logit <= 0.0 || full_resolution.max().double_value(&[]) <= 0.0;
        if options.stop_when_absent && absent {
            return Step { candidates, order, best: None };
        }
        self.banks = (order.iter().take(options.beams))
            .map(|&c| {
                let memory = Rc::new(network.remember(image, &decoded[c]));
                let logits = Rc::new(decoded[c].logits.shallow_clone());
                self.banks[plan[c].bank].extended(Entry { slice, memory, logits }, options.reach())
            })
            .collect();
        let best = Best { logits: best.logits.shallow_clone(), full_resolution, iou: best.iou };
        Step { candidates, order, best: Some(best) }
    }
}
