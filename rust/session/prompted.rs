//! Prompted slices: each prompt refines the mask that is there, in the order in which the prompts were given.
//!
//! Source: `SAM2VideoPredictor.add_new_points_or_box` and `add_new_mask` of `sam2==1.1.0`; what is beyond SAM 2 (frames,
//! regions) is in docs/method.md.

use crate::error::{Error, Result};
use crate::geometry::SliceIndex;
use crate::model::prompt_encoder::{Point, PointKind};
use crate::prompt::{ObjectId, PointLabel, PromptStep, SliceBox, SlicePoint, SlicePrompt, StepId};
use crate::session::masks::CroppedMask;
use crate::session::slice_state::SliceState;
use crate::session::track_cache::PromptedState;
use crate::session::Session;
use crate::slices::intensity_model::IntensityModel;
use crate::slices::resize::NetworkFrame;
use crate::slices::roi::Roi;
use crate::slices::SliceView;
use crate::tracking::{reframed, tensors, AttendedBank, FieldOfView, Phase, SliceOutput, Tracker};
use ndarray::{s, Array2};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a frame may follow a mask that reaches its border.
const MAX_REFRAMES: usize = 2;

impl Session {
    /// What an object's prompts select on their slice: predicted IoU and mask. The next propagation begins with it.
    ///
    /// # Errors
    /// `InvalidInput` without a prompt there, or where the first one only says where the object is not and there is no
    /// mask; `Compute` where the network fails.
    pub fn predict(
        &mut self,
        object: ObjectId,
        slice: SliceIndex,
        field_of_view: Option<FieldOfView>,
    ) -> Result<(f64, Option<Arc<CroppedMask>>)> {
        let Some(given) = self.prompts.at(object, slice).cloned() else {
            return Err(Error::invalid(format!("object {object}, slice {slice}: no prompt to predict from")));
        };
        let field_of_view = self.field_of_view(field_of_view);
        self.settle(field_of_view)?;
        self.segment_prompted(object, slice, &given, field_of_view)?;
        let state = self.known.newest(object, slice).expect("it was just segmented");
        Ok((state.slice.score, state.slice.mask.clone()))
    }

    /// Sees to it that all steps of a prompted slice are taken.
    pub(super) fn segment_prompted(
        &mut self,
        object: ObjectId,
        slice: SliceIndex,
        given: &SlicePrompt,
        field_of_view: FieldOfView,
    ) -> Result<()> {
        let known = self.known.prompted.entry((object, slice)).or_default();
        let reached = known.reached.clone();
        let begin = known.states.len();
        if begin == 0 && reached.is_none() && !given.is_positive() {
            return Err(Error::invalid(format!(
                "object {object}, slice {slice}: the first prompt says where the object is not and there is no mask; \
                 expected a foreground point, a box or a mask before it"
            )));
        }
        for n in begin..given.steps().len() {
            let known = &self.known.prompted[&(object, slice)];
            let before = known.states.last().map(|state| state.slice.clone());
            let before = before.or_else(|| reached.as_ref().map(|reached| reached.state().clone()));
            let attended = reached.as_ref().and_then(|reached| reached.attended());
            let taken = self.take_step(slice, before, attended, (given, n), field_of_view)?;
            let state = PromptedState { step: given.steps()[n].0, slice: taken, memory: None, intensity_model: None };
            self.known.prompted.entry((object, slice)).or_default().states.push(state);
        }
        Ok(())
    }

    /// Makes a prompted slice's mask after a step the first memory of the tracks that begin with it.
    pub(super) fn remember_prompted(&mut self, object: ObjectId, slice: SliceIndex, step: StepId) -> Result<()> {
        let state = self.known.prompted.get(&(object, slice)).and_then(|known| known.state(step));
        let Some(state) = state.filter(|state| state.memory.is_none()) else { return Ok(()) };
        let (view, output) = (state.slice.view, state.slice.output.shallow_clone());
        let (image, _) = self.inputs.embedding(&self.model, (slice, view))?;
        let input = self.inputs.pixels((slice, view));
        let (memory, logits) = self.model.compute(|network| {
            let tracker = Tracker::new(network, Phase::Inference);
            (tracker.remember(&image, &output), tensors::array(&tracker.full_resolution(&output)))
        })?;
        let [rows, columns] = input.frame.valid();
        let mask = logits.slice(s![..rows, ..columns]).mapv(|logit| logit > 0.0);
        let states = &mut self.known.prompted.entry((object, slice)).or_default().states;
        if let Some(state) = states.iter_mut().find(|state| state.step == step) {
            state.memory = Some(memory);
            state.intensity_model = IntensityModel::learn(input.pixels.view(), mask.view());
        }
        Ok(())
    }

    /// The mask after step `n` of a slice's prompts; `before`: the mask that it refines.
    fn take_step(
        &mut self,
        slice: SliceIndex,
        before: Option<SliceState>,
        attended: Option<(&AttendedBank, SliceView)>,
        (given, n): (&SlicePrompt, usize),
        field_of_view: FieldOfView,
    ) -> Result<SliceState> {
        let step = &given.steps()[n].1;
        match (step, before) {
            (PromptStep::Mask(mask), _) => self.painted(slice, mask, field_of_view),
            (PromptStep::Region(region, label), Some(before)) => {
                self.edited(slice, before, region, *label, field_of_view)
            }
            (PromptStep::Region(region, _), None) => self.outlined(slice, region, field_of_view),
            (_, before) => {
                let (points, bounds) = given.decoded_at(n);
                let rounds = match step {
                    PromptStep::Clicks(clicks) if self.sequential_clicks()? => clicks.len(),
                    _ => 1,
                };
                let mut state = before;
                for round in 1..=rounds {
                    let pointed = Pointed { points: &points[..points.len() + round - rounds], bounds };
                    state = Some(match state {
                        Some(state) => self.corrected(slice, state, attended, pointed, field_of_view)?,
                        None => self.first_look(slice, pointed, field_of_view)?,
                    });
                }
                state.ok_or_else(|| Error::invalid("points: none given, expected at least one"))
            }
        }
    }

    /// Whether the network was trained to take several clicks one after the other.
    fn sequential_clicks(&self) -> Result<bool> {
        self.model.compute(|network| network.config().sequential_clicks)
    }

    /// A mask that the user painted, or that is known.
    pub(super) fn painted(
        &mut self,
        slice: SliceIndex,
        mask: &Array2<bool>,
        field_of_view: FieldOfView,
    ) -> Result<SliceState> {
        let cropped = CroppedMask::new(mask.view());
        let view = match &cropped {
            Some(mask) => self.view_around(slice, mask, None, field_of_view),
            None => self.whole_view(),
        };
        let output = self.accepted(slice, view, mask)?;
        Ok(SliceState { view, output, score: 1.0, mask: cropped.map(Arc::new) })
    }

    /// A mask to which a region is added, or from which it is taken away, to the pixel.
    fn edited(
        &mut self,
        slice: SliceIndex,
        before: SliceState,
        region: &Array2<bool>,
        label: PointLabel,
        field_of_view: FieldOfView,
    ) -> Result<SliceState> {
        let size = self.slice_size();
        let mut mask = before.mask.as_ref().map_or_else(|| Array2::from_elem(size, false), |mask| mask.on_slice(size));
        let inside = label == PointLabel::Foreground;
        region.indexed_iter().filter(|(_, &selected)| selected).for_each(|(at, _)| mask[at] = inside);
        let cropped = CroppedMask::new(mask.view());
        let plane = self.inputs.plane();
        let fits = |mask: &CroppedMask| plane.shows_all(&before.view.roi, &mask.bounds());
        let view = match cropped.as_ref().filter(|mask| inside && !fits(mask)) {
            Some(mask) => self.view_around(slice, mask, None, field_of_view),
            None => before.view,
        };
        let output = self.accepted(slice, view, &mask)?;
        Ok(SliceState { view, output, score: before.score, mask: cropped.map(Arc::new) })
    }

    /// A mask as a step's output, in a view.
    pub(super) fn accepted(&mut self, slice: SliceIndex, view: SliceView, mask: &Array2<bool>) -> Result<SliceOutput> {
        let (image, _) = self.inputs.embedding(&self.model, (slice, view))?;
        let on_network = self.inputs.frame(view.roi).mask_to_network(mask.view());
        self.model.compute(|network| {
            let mask = tensors::mask(&on_network, network.config().image_size);
            Tracker::new(network, Phase::Inference).accept_mask(&image, &mask)
        })
    }

    /// A region that the user drew around an object on a slice without a mask: a rough mask with its box.
    fn outlined(&mut self, slice: SliceIndex, region: &Array2<bool>, field_of_view: FieldOfView) -> Result<SliceState> {
        let rough = self.painted(slice, region, field_of_view)?;
        let Some(bounds) = Roi::of_mask(region.view()) else { return Ok(rough) };
        let corner = |at: usize| bounds.first[at] as f64;
        let bounds =
            SliceBox { first: [corner(0), corner(1)], last: [bounds.end(0) as f64 - 1.0, bounds.end(1) as f64 - 1.0] };
        self.corrected(slice, rough, None, Pointed { points: &[], bounds: Some(bounds) }, field_of_view)
    }

    /// A mask that points or a box refine. The frame stays unless the mask reaches its border.
    pub(super) fn corrected(
        &mut self,
        slice: SliceIndex,
        mut before: SliceState,
        attended: Option<(&AttendedBank, SliceView)>,
        pointed: Pointed,
        field_of_view: FieldOfView,
    ) -> Result<SliceState> {
        let plane = self.inputs.plane();
        let object = field_of_view == FieldOfView::Object;
        if let Some(shown) = pointed.extent(plane.size).filter(|_| object) {
            let known = before.mask.as_ref().map_or(shown, |mask| mask.bounds().joined(&shown));
            if before.view.roi.joined(&shown) != before.view.roi {
                before = self.refit(before, plane.around(&known))?;
            }
        }
        for _ in 0..MAX_REFRAMES {
            let found = self.decode(slice, before.view, Some(&before.output), attended, &pointed)?;
            let Some(mask) = found.mask.as_ref().filter(|_| object) else { return Ok(found) };
            if plane.shows_all(&before.view.roi, &mask.bounds()) {
                return Ok(found);
            }
            before = self.refit(before, plane.around(&mask.bounds()))?;
        }
        self.decode(slice, before.view, Some(&before.output), attended, &pointed)
    }

    /// The same mask in another frame.
    pub(super) fn refit(&mut self, state: SliceState, roi: Roi) -> Result<SliceState> {
        if state.view.roi == roi {
            return Ok(state);
        }
        let (from, to) = (self.inputs.frame(state.view.roi), self.inputs.frame(roi));
        let output = self.model.compute(|network| {
            let tracker = Tracker::new(network, Phase::Inference);
            reframed(&tracker, &state.output.logits, &state.output.pointer, [&from, &to])
        })?;
        Ok(SliceState { view: SliceView { roi, ..state.view }, output, ..state })
    }

    /// What points and a box select in a view of a slice; `present`: the mask that they refine.
    pub(super) fn decode(
        &mut self,
        slice: SliceIndex,
        view: SliceView,
        present: Option<&SliceOutput>,
        attended: Option<(&AttendedBank, SliceView)>,
        pointed: &Pointed,
    ) -> Result<SliceState> {
        let (image, _) = self.inputs.embedding(&self.model, (slice, view))?;
        let frame = self.inputs.frame(view.roi);
        let attended = attended.map(|(bank, seen)| self.attended_in(bank, seen, view)).transpose()?;
        let points = pointed.network_points(&frame);
        let (output, full_resolution, score) = self.model.compute(|network| {
            let tracker = Tracker::new(network, Phase::Inference);
            let features = match &attended {
                Some(attended) => attended.features(&tracker, &image),
                None => network.without_memory(&image),
            };
            let step = match present {
                Some(present) => tracker.correct(&image, &features, &[&points], &tracker.present_logits(present)),
                None => tracker.prompt(&image, &features, &[&points]),
            };
            let (full, score) = (tracker.full_resolution(&step.output), step.output.iou.double_value(&[0, 0]));
            (step.output, full, score)
        })?;
        let mask = self.mask_on_slice(&full_resolution, &frame)?;
        Ok(SliceState { view, output, score, mask: mask.map(Arc::new) })
    }

    /// What a slice attended to, as `view` shows it.
    fn attended_in(&mut self, bank: &AttendedBank, seen: SliceView, view: SliceView) -> Result<AttendedBank> {
        if seen == view {
            return Ok(bank.clone());
        }
        let (from, to) = (self.inputs.frame(seen.roi), self.inputs.frame(view.roi));
        let images = (bank.remembered().into_iter())
            .map(|slice| Ok((slice, self.inputs.embedding(&self.model, (slice, view))?.0)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        self.model.compute(|network| bank.reframed(&Tracker::new(network, Phase::Inference), &images, [&from, &to]))
    }
}

/// Points and a box on a slice, as the network decodes them together.
#[derive(Debug, Clone, Copy)]
pub struct Pointed<'a> {
    pub points: &'a [SlicePoint],
    pub bounds: Option<SliceBox>,
}

impl Pointed<'_> {
    /// What box and foreground points span on a slice of `size` rows and columns.
    pub fn extent(&self, size: [usize; 2]) -> Option<Roi> {
        let bounds = self.bounds.map(|bounds| bounds.pixels(size));
        let points = self.foreground(size);
        bounds.into_iter().chain(points).reduce(|a, b| a.joined(&b))
    }

    /// What foreground points span.
    pub fn foreground(&self, size: [usize; 2]) -> Option<Roi> {
        let inside: Vec<SlicePoint> =
            self.points.iter().filter(|point| point.label == PointLabel::Foreground).copied().collect();
        crate::prompt::spanned(&inside, size)
    }

    /// The box's corners first, then the points, as SAM 2's video predictor orders them.
    fn network_points(&self, frame: &NetworkFrame) -> Vec<Point> {
        let at = |row: f64, column: f64, kind: PointKind| {
            let (x, y) = frame.point_to_network(row, column);
            Point { x: x as f32, y: y as f32, kind }
        };
        let corners = self.bounds.iter().flat_map(|b| {
            [at(b.first[0], b.first[1], PointKind::BoxStart), at(b.last[0], b.last[1], PointKind::BoxEnd)]
        });
        let points = self.points.iter().map(|p| {
            let kind = match p.label {
                PointLabel::Foreground => PointKind::Foreground,
                PointLabel::Background => PointKind::Background,
            };
            at(p.row, p.column, kind)
        });
        corners.chain(points).collect()
    }
}
