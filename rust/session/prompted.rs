//! Prompted slices: which part of the slice the network gets, and what the prompt selects there.

use crate::error::{Error, Result};
use crate::geometry::SliceIndex;
use crate::model::prompt_encoder::{Point, PointKind};
use crate::model::ImageEmbedding;
use crate::prompt::{ObjectId, PointLabel, SlicePrompt};
use crate::session::masks::CroppedMask;
use crate::session::track_cache::PromptedSlice;
use crate::session::Session;
use crate::slices::intensity::{IntensityRange, Window};
use crate::slices::intensity_model::IntensityModel;
use crate::slices::resize::NetworkFrame;
use crate::slices::SliceView;
use crate::tracking::{tensors, CorrectionRule, FieldOfView, Phase, SliceOutput, Tracker};
use ndarray::s;
use std::sync::Arc;
use tch::Tensor;

/// How inference decodes clicks on a slice that has a mask already. Training refines the mask.
const CORRECTIONS: CorrectionRule = CorrectionRule::DecodeAnew;

/// What a prompt selects in one view of its slice.
struct Selection {
    output: SliceOutput,
    /// Logits at the network's own resolution, [1, 1, S, S].
    full_resolution: Tensor,
    /// Predicted IoU.
    score: f64,
}

impl Session {
    /// What an object's prompts select on their slice: predicted IoU and mask. The next propagation begins with it.
    ///
    /// # Errors
    /// `InvalidInput` without a foreground point, box or mask there; `Compute` where the network fails.
    pub fn predict(
        &mut self,
        object: ObjectId,
        slice: SliceIndex,
        field_of_view: Option<FieldOfView>,
    ) -> Result<(f64, Option<Arc<CroppedMask>>)> {
        let Some(given) = self.prompts.at(object, slice).filter(|given| given.is_positive()).cloned() else {
            return Err(Error::invalid(format!(
                "object {object}, slice {slice}: no foreground point, box or mask to predict from"
            )));
        };
        let field_of_view = self.field_of_view(field_of_view);
        self.known.keep_prompted(&self.prompts, field_of_view);
        self.segment_prompted(object, slice, &given, field_of_view)?;
        let prompted = &self.known.prompted[&(object, slice)];
        Ok((prompted.score, prompted.mask.clone()))
    }

    /// Sees to it that a prompted slice is segmented.
    pub(super) fn segment_prompted(
        &mut self,
        object: ObjectId,
        slice: SliceIndex,
        given: &SlicePrompt,
        field_of_view: FieldOfView,
    ) -> Result<()> {
        if self.known.prompted.contains_key(&(object, slice)) {
            return Ok(());
        }
        let view = self.view_of(slice, given, field_of_view)?;
        let Selection { output, full_resolution, score } = self.select(slice, view, given)?;
        let mask = match (&given.mask, given.points.is_empty() && given.bounds.is_none()) {
            (Some(mask), true) => CroppedMask::new(mask.view()),
            _ => self.mask_on_slice(&full_resolution, &self.inputs.frame(view.roi))?,
        };
        let prompted = PromptedSlice {
            given: given.clone(),
            view,
            output,
            score,
            mask: mask.map(Arc::new),
            memory: None,
            intensity_model: None,
        };
        self.known.prompted.insert((object, slice), prompted);
        Ok(())
    }

    /// Makes a prompted slice's mask the first memory of the tracks that begin there.
    pub(super) fn remember_prompted(&mut self, object: ObjectId, slice: SliceIndex) -> Result<()> {
        let prompted = &self.known.prompted[&(object, slice)];
        if prompted.memory.is_some() {
            return Ok(());
        }
        let view = prompted.view;
        let (image, _) = self.inputs.embedding(&self.model, (slice, view))?;
        let input = self.inputs.pixels((slice, view));
        let output = &self.known.prompted[&(object, slice)].output;
        let (memory, logits) = self.model.compute(|network| {
            let tracker = Tracker::new(network, Phase::Inference);
            (tracker.remember(&image, output), tensors::array(&tracker.full_resolution(output)))
        })?;
        let [rows, columns] = input.frame.valid();
        let mask = logits.slice(s![..rows, ..columns]).mapv(|logit| logit > 0.0);
        let prompted = self.known.prompted.get_mut(&(object, slice)).expect("it is there above");
        prompted.memory = Some(memory);
        prompted.intensity_model = IntensityModel::learn(input.pixels.view(), mask.view());
        Ok(())
    }

    /// How a prompted slice is presented to the network, and the slices of the tracks that begin there.
    pub(super) fn view_of(
        &mut self,
        slice: SliceIndex,
        given: &SlicePrompt,
        field_of_view: FieldOfView,
    ) -> Result<SliceView> {
        let mut view = self.whole_view();
        if field_of_view == FieldOfView::Slice {
            return Ok(view);
        }
        let plane = self.inputs.plane();
        let bounds = given.bounds_on(plane.size);
        if let Some(bounds) = &bounds {
            view.roi = plane.around(bounds);
        }
        let mask = match &given.mask {
            Some(mask) => CroppedMask::new(mask.view()),
            // Points tell no extent and boxes no intensities: what they select does.
            None if bounds.is_some() => self.selected(slice, view, given)?.1,
            None => self.found_by_points(slice, view, given)?,
        };
        let Some(mask) = mask else { return Ok(view) };
        view.roi = plane.around(&bounds.map_or(mask.bounds(), |bounds| bounds.joined(&mask.bounds())));
        if self.window == Window::Auto {
            let pixels = self.inputs.scan().slice(self.axis(), slice);
            let visible = self.inputs.frame(view.roi).crop(pixels.view()).iter().copied().collect();
            let object = mask.pixels().map(|at| pixels[at]).collect();
            view.range = IntensityRange::around_object(object, visible, 1.0).unwrap_or(view.range);
        }
        Ok(view)
    }

    /// What points select, looked for in the whole slice and nearer and nearer: an object fills a frame of its own size
    /// best, and the predicted
    /// IoU says where it does.
    fn found_by_points(
        &mut self,
        slice: SliceIndex,
        view: SliceView,
        given: &SlicePrompt,
    ) -> Result<Option<CroppedMask>> {
        let plane = self.inputs.plane();
        let Some(points) = given.points_on(plane.size) else { return Ok(None) };
        let mut best: Option<(f64, CroppedMask)> = None;
        for roi in plane.zooms(&points) {
            let (score, mask) = self.selected(slice, SliceView { roi, ..view }, given)?;
            let Some(mask) = mask.filter(|mask| plane.shows_all(&roi, &mask.bounds())) else { continue };
            if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, mask));
            }
        }
        match best {
            Some((_, mask)) => Ok(Some(mask)),
            // It reaches out of every frame.
            None => Ok(self.selected(slice, view, given)?.1),
        }
    }

    /// What a prompt selects in a view: predicted IoU and mask.
    fn selected(
        &mut self,
        slice: SliceIndex,
        view: SliceView,
        given: &SlicePrompt,
    ) -> Result<(f64, Option<CroppedMask>)> {
        let selection = self.select(slice, view, given)?;
        let mask = self.mask_on_slice(&selection.full_resolution, &self.inputs.frame(view.roi))?;
        Ok((selection.score, mask))
    }

    fn select(&mut self, slice: SliceIndex, view: SliceView, given: &SlicePrompt) -> Result<Selection> {
        let (image, _) = self.inputs.embedding(&self.model, (slice, view))?;
        let frame = self.inputs.frame(view.roi);
        self.model.compute(|network| {
            let tracker = Tracker::new(network, Phase::Inference);
            let output = select(&tracker, &image, &frame, given, None);
            let score = output.iou.double_value(&[0, 0]);
            Selection { full_resolution: tracker.full_resolution(&output), score, output }
        })
    }
}

/// What a prompt selects on a slice; `present`: the mask that the slice has, logits [1, 1, m, m].
///
/// A mask alone is taken as the output. Points and boxes are decoded; a mask beside them is their dense prompt.
fn select(
    tracker: &Tracker,
    image: &ImageEmbedding,
    frame: &NetworkFrame,
    prompt: &SlicePrompt,
    present: Option<&Tensor>,
) -> SliceOutput {
    let network = tracker.network();
    let side = network.config().image_size;
    let mask = prompt.mask.as_ref().map(|mask| tensors::mask(&frame.mask_to_network(mask.view()), side));
    let points = network_points(frame, prompt);
    if let (Some(mask), true) = (&mask, points.is_empty()) {
        return tracker.accept_mask(image, mask);
    }
    let features = network.without_memory(image);
    let step = match (CORRECTIONS, present) {
        (CorrectionRule::RefineMask, Some(present)) => tracker.correct(image, &features, &[&points], present),
        _ => {
            let dense_prompt = mask.map(|mask| network.mask_prompt(&mask));
            tracker.prompt_with(image, &features, &[&points], dense_prompt.as_ref())
        }
    };
    step.output
}

/// The box's corners first, then the points, as SAM 2's video predictor orders them.
fn network_points(frame: &NetworkFrame, prompt: &SlicePrompt) -> Vec<Point> {
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
