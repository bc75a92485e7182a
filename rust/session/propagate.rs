//! A session: prompts on a volume, and the walk that turns them into masks.

use crate::error::{Error, Result};
use crate::geometry::{Axis, Geometry, SliceIndex};
use crate::memory::{FieldOfView, Prior, SearchOptions};
use crate::model::ImageEmbedding;
use crate::prompt::{ObjectId, Prompts, SlicePrompt};
use crate::session::displacements::Displacements;
use crate::session::embeddings::View;
use crate::session::run::{prompt, Hint, Prompted, Run, Step};
use crate::session::trace::{Flow, Progress, SliceReport, SliceSink, SliceTrace};
use crate::session::{tensors, Assembly, CroppedMask, EmbeddingCache, SharedModel};
use crate::slices;
use crate::slices::intensity::{IntensityRange, Window};
use crate::slices::region::{Plane, Region};
use crate::slices::resize::{resize, Frame};
use crate::volume::{LabelMap, Volume};
use ndarray::Array2;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;
use tch::Tensor;

/// Which way a run walks from its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Both,
    /// Rising slice numbers.
    Up,
    /// Falling slice numbers.
    Down,
}

/// How far and how a propagation goes.
#[derive(Debug, Clone)]
pub struct PropagateOptions {
    pub search: SearchOptions,
    pub direction: Direction,
    /// First and last slice, both inside; `None`: the whole volume.
    pub range: Option<(SliceIndex, SliceIndex)>,
    /// The same for single objects, within `range`.
    pub object_ranges: BTreeMap<ObjectId, (SliceIndex, SliceIndex)>,
}

/// How every slice was decided: runs upwards by rising, downwards by falling slice number.
#[derive(Debug, Default, Serialize)]
pub struct Trace {
    pub up: Vec<SliceTrace>,
    pub down: Vec<SliceTrace>,
}

/// What a propagation leaves.
#[derive(Debug)]
pub struct Outcome {
    pub assembly: Assembly,
    pub trace: Trace,
    /// True where the sink ended the walk.
    pub stopped: bool,
}

/// A volume seen along one axis through a model, with prompts.
#[derive(Debug)]
pub struct Session {
    model: SharedModel,
    image: Volume<f32>,
    window: Window,
    /// The whole volume's.
    range: IntensityRange,
    plane: Plane,
    side: i64,
    mask_stride: i64,
    cache: EmbeddingCache,
    displacements: Displacements,
    prompts: Prompts,
}

impl Session {
    /// `cache_bytes` bounds the embeddings that are kept.
    pub fn new(model: SharedModel, image: Volume<f32>, axis: Axis, window: Window, cache_bytes: usize) -> Result<Self> {
        let (side, mask_stride) =
            model.compute(|network| (network.config().image_size, network.config().mask_stride()))?;
        let geometry = image.geometry();
        let range = window.resolve(image.voxels());
        let plane = slices::plane(geometry, axis);
        let prompts = Prompts::new(geometry.dims, axis);
        Ok(Self {
            model,
            image,
            window,
            range,
            plane,
            side,
            mask_stride,
            cache: EmbeddingCache::new(cache_bytes),
            displacements: Displacements::default(),
            prompts,
        })
    }

    pub fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    pub fn prompts_mut(&mut self) -> &mut Prompts {
        &mut self.prompts
    }

    pub fn image(&self) -> &Volume<f32> {
        &self.image
    }

    pub fn cache(&self) -> &EmbeddingCache {
        &self.cache
    }

    fn axis(&self) -> Axis {
        self.prompts.axis()
    }

    fn geometry(&self) -> &Geometry {
        self.image.geometry()
    }

    /// Walks from every prompted slice and reports each slice to `sink` as it is made.
    ///
    /// A run ends at the next prompted slice of its object; on slices that two runs reach, the higher score counts.
    pub fn propagate(&mut self, options: &PropagateOptions, sink: &mut dyn SliceSink) -> Result<Outcome> {
        options.search.validate()?;
        self.prompts.validate()?;
        let (first, last) = self.checked_range(options)?;
        let legs = self.legs(options, (first, last));
        let expected = legs.iter().map(Leg::len).sum::<usize>()
            + self.prompts.objects().values().map(|slices| slices.len()).sum::<usize>();
        let mut walk = Walk {
            outcome: Outcome { assembly: Assembly::default(), trace: Trace::default(), stopped: false },
            progress: Progress { done: 0, expected },
            sink,
        };
        let started = self.start(&options.search, &mut walk)?;
        for upwards in [true, false] {
            let mut active: Vec<(Leg, Run)> = (legs.iter().filter(|leg| leg.upwards == upwards).copied())
                .filter_map(|leg| {
                    let start = started.iter().find(|s| (s.object, s.slice) == (leg.object, leg.prompt_slice))?;
                    let Prompted { memory, logits, .. } = &start.prompted;
                    Some((leg, Run::new(start.view, leg.prompt_slice, memory.clone(), logits.clone())))
                })
                .collect();
            let mut order: Vec<usize> = (first.0..=last.0).collect();
            if !upwards {
                order.reverse();
            }
            for slice in order.into_iter().map(SliceIndex) {
                self.advance(&mut active, slice, &options.search, &mut walk)?;
            }
        }
        Ok(walk.outcome)
    }

    /// The label map of an outcome on the image's grid.
    pub fn label_map(&self, outcome: &Outcome) -> LabelMap {
        let mut labels = LabelMap::empty_like(&self.image);
        outcome.assembly.write(self.axis(), labels.voxels_mut());
        labels
    }

    fn checked_range(&self, options: &PropagateOptions) -> Result<(SliceIndex, SliceIndex)> {
        let count = self.geometry().dims.along(self.axis());
        let (first, last) = options.range.unwrap_or((SliceIndex(0), SliceIndex(count - 1)));
        if first > last || last.0 >= count {
            return Err(Error::invalid(format!(
                "range {first},{last}: expected two rising slice numbers between 0 and {}",
                count - 1
            )));
        }
        for (object, prompted) in self.prompts.objects() {
            let (low, high) = options.object_ranges.get(object).copied().unwrap_or((first, last));
            if low > high || low < first || high > last {
                return Err(Error::invalid(format!(
                    "object {object}: range {low},{high}: expected two rising slice numbers within {first},{last}"
                )));
            }
            if let Some(slice) = prompted.keys().find(|&&slice| slice < low || slice > high) {
                return Err(Error::invalid(format!(
                    "object {object}: its prompt on slice {slice} lies outside the range {low},{high}"
                )));
            }
        }
        Ok((first, last))
    }

    fn legs(&self, options: &PropagateOptions, whole: (SliceIndex, SliceIndex)) -> Vec<Leg> {
        let mut legs = Vec::new();
        for (&object, prompted) in self.prompts.objects() {
            let (first, last) = options.object_ranges.get(&object).copied().unwrap_or(whole);
            let slices: Vec<SliceIndex> = prompted.keys().copied().collect();
            for (n, &prompt_slice) in slices.iter().enumerate() {
                let leg = |upwards, from: usize, to: usize| Leg { object, prompt_slice, upwards, from, to };
                if options.direction != Direction::Down {
                    let end = slices.get(n + 1).map_or(last.0 + 1, |next| next.0);
                    legs.push(leg(true, prompt_slice.0 + 1, end));
                }
                if options.direction != Direction::Up {
                    let begin = n.checked_sub(1).map_or(first.0, |before| slices[before].0 + 1);
                    legs.push(leg(false, begin, prompt_slice.0));
                }
            }
        }
        legs
    }

    /// Turns every prompt into a mask and a memory.
    fn start(&mut self, options: &SearchOptions, walk: &mut Walk) -> Result<Vec<Start>> {
        let prompts = self.prompts.objects().clone();
        let mut started = Vec::new();
        for (&object, slices) in &prompts {
            for (&slice, given) in slices {
                let view = self.view_of(slice, given, options)?;
                let (prompted, mask) = self.prompted(slice, view, given)?;
                if mask.is_none() {
                    log::warn!("object {object}, slice {slice}: the prompt selects nothing");
                }
                walk.report(object, slice, prompted.decoded.iou, mask)?;
                started.push(Start { object, slice, view, prompted });
            }
        }
        Ok(started)
    }

    /// How the network is shown a prompted slice, and the slices of the run that begins there.
    fn view_of(&mut self, slice: SliceIndex, given: &SlicePrompt, options: &SearchOptions) -> Result<View> {
        let mut view = View { region: self.plane.whole(), range: self.range };
        if self.field_of_view(options) == FieldOfView::Slice {
            return Ok(view);
        }
        let bounds = given.bounds_on(self.plane.size);
        if let Some(bounds) = &bounds {
            view.region = self.plane.around(bounds);
        }
        let mask = match &given.mask {
            Some(mask) => CroppedMask::new(mask.view()),
            // Points tell no extent and boxes no intensities: what they select does.
            None => self.prompted(slice, view, given)?.1,
        };
        let Some(mask) = mask else { return Ok(view) };
        view.region = self.plane.around(&bounds.map_or(mask.bounds(), |bounds| bounds.joined(&mask.bounds())));
        if self.window == Window::Auto {
            let pixels = slices::extract(self.image.voxels(), self.axis(), slice);
            let shown = self.frame(view.region).shown(pixels.view()).iter().copied().collect();
            let object = mask.pixels().map(|at| pixels[at]).collect();
            view.range = IntensityRange::around_object(object, shown, 1.0).unwrap_or(view.range);
        }
        Ok(view)
    }

    fn field_of_view(&self, options: &SearchOptions) -> FieldOfView {
        options.field_of_view.unwrap_or(self.model.trained().field_of_view)
    }

    /// What a prompt makes of its slice: memory and mask.
    fn prompted(
        &mut self,
        slice: SliceIndex,
        view: View,
        given: &SlicePrompt,
    ) -> Result<(Prompted, Option<CroppedMask>)> {
        let (image, _) = self.embedding(slice, view)?;
        let frame = self.frame(view.region);
        let (prompted, logits) = self.model.compute(|network| {
            let prompted = prompt(network, &image, &frame, given);
            let logits = match prompted.decoded.logits.size()[3] {
                n if n == network.config().image_size => prompted.decoded.logits.shallow_clone(),
                _ => network.full_resolution(&prompted.decoded.logits),
            };
            (prompted, logits)
        })?;
        let mask = match (&given.mask, given.points.is_empty() && given.bounds.is_none()) {
            (Some(mask), true) => CroppedMask::new(mask.view()),
            _ => self.mask_on_slice(&logits, &frame)?,
        };
        Ok((prompted, mask))
    }

    /// One slice for all runs that reach it; ended runs leave `active`.
    fn advance(
        &mut self,
        active: &mut Vec<(Leg, Run)>,
        slice: SliceIndex,
        options: &SearchOptions,
        walk: &mut Walk,
    ) -> Result<()> {
        let count = self.geometry().dims.along(self.axis());
        let mut index = 0;
        while index < active.len() {
            let (leg, run) = &mut active[index];
            let leg = *leg;
            if !leg.covers(slice) || walk.outcome.stopped {
                index += 1;
                continue;
            }
            let view = run.view();
            let (image, encode_ms) = self.embedding(slice, view)?;
            let begin = Instant::now();
            let displacement;
            let hint = match options.prior.unwrap_or(self.model.trained().prior) {
                Prior::None => Hint::Nothing,
                Prior::Mask => Hint::Mask,
                Prior::Flow => {
                    displacement = self.displacement(slice, leg.before(slice), view)?;
                    Hint::Moved(&displacement)
                }
            };
            let step = self.model.compute(|network| run.step(network, &image, slice, count, options, hint))?;
            let search_ms = begin.elapsed().as_secs_f64() * 1e3;
            let ended = step.best.is_none();
            let mask = match &step.best {
                Some(best) => self.mask_on_slice(&best.full_resolution, &self.frame(view.region))?,
                None => None,
            };
            if let (Some(mask), FieldOfView::Object) = (&mask, self.field_of_view(options)) {
                let next = self.plane.follow(view.region, &mask.bounds());
                if next != view.region && leg.left_after(slice) > 0 {
                    self.reframe(run, next)?;
                }
            }
            let score = step.best.as_ref().map_or(0.0, |best| best.iou);
            walk.record(leg, slice, step, [encode_ms, search_ms]);
            if ended {
                walk.progress.expected -= leg.left_after(slice);
                active.swap_remove(index);
            } else {
                index += 1;
            }
            walk.report(leg.object, slice, score, mask)?;
        }
        Ok(())
    }

    /// Lets a run see another region, as if it had seen it from the start.
    fn reframe(&mut self, run: &mut Run, region: Region) -> Result<()> {
        let view = View { region, ..run.view() };
        let (from, to) = (self.frame(run.view().region), self.frame(region));
        let images = (run.remembered().into_iter())
            .map(|slice| Ok((slice, self.embedding(slice, view)?.0)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        self.model.compute(|network| run.reframe(network, &images, [&from, &to]))
    }

    fn frame(&self, region: Region) -> Frame {
        Frame::new(region, self.plane.spacing, self.side as usize)
    }

    /// A slice's embedding, and the milliseconds it took; 0 if it was there.
    fn embedding(&mut self, slice: SliceIndex, view: View) -> Result<(ImageEmbedding, f64)> {
        let mut elapsed = 0.0;
        let frame = self.frame(view.region);
        let (image, model, side) = (&self.image, &self.model, self.side);
        let axis = self.prompts.axis();
        let embedding = self.cache.get((slice, view), || {
            let begin = Instant::now();
            let pixels = shown(image, axis, slice, view, &frame);
            let embedding = model.compute(|network| network.encode_image(&tensors::image(&pixels, side)));
            elapsed = begin.elapsed().as_secs_f64() * 1e3;
            embedding
        })?;
        Ok((embedding, elapsed))
    }

    /// Where each pixel of a slice was on the one before: [1, 2, m, m].
    fn displacement(&mut self, slice: SliceIndex, before: SliceIndex, view: View) -> Result<Tensor> {
        let frame = self.frame(view.region);
        let (image, axis) = (&self.image, self.prompts.axis());
        let parts = self.displacements.get(slice, before, view, self.mask_stride as usize, |slice| {
            frame.padded(&shown(image, axis, slice, view, &frame), 0.0)
        });
        let values: Vec<f32> = parts.iter().flatten().copied().collect();
        let m = self.side / self.mask_stride;
        self.model.compute(|network| Tensor::from_slice(&values).reshape([1, 2, m, m]).to_device(network.device()))
    }

    /// Logits [1, 1, S, S] of a frame -> mask on the slice's own pixels; `None` where it is empty.
    fn mask_on_slice(&self, logits: &Tensor, frame: &Frame) -> Result<Option<CroppedMask>> {
        let logits = self.model.compute(|_| tensors::array(logits))?;
        let inside = frame.logits_to_region(logits.view()).mapv(|logit| logit > 0.0);
        Ok(CroppedMask::placed(inside.view(), frame.region().first))
    }
}

/// A slice as a view shows it: the valid part of the network's square, 0..1.
fn shown(image: &Volume<f32>, axis: Axis, slice: SliceIndex, view: View, frame: &Frame) -> Array2<f32> {
    let slice = slices::extract(image.voxels(), axis, slice);
    resize(frame.shown(slice.view()).mapv(|value| view.range.apply(value)).view(), frame.valid())
}

/// What a prompt made of its slice.
struct Start {
    object: ObjectId,
    slice: SliceIndex,
    view: View,
    prompted: Prompted,
}

/// The slices between one prompted slice and where its run must end.
#[derive(Debug, Clone, Copy)]
struct Leg {
    object: ObjectId,
    prompt_slice: SliceIndex,
    upwards: bool,
    /// Slices from..to, whichever way they are walked.
    from: usize,
    to: usize,
}

impl Leg {
    fn len(&self) -> usize {
        self.to.saturating_sub(self.from)
    }

    fn covers(&self, slice: SliceIndex) -> bool {
        (self.from..self.to).contains(&slice.0)
    }

    /// The slice that is walked before.
    fn before(&self, slice: SliceIndex) -> SliceIndex {
        SliceIndex(if self.upwards { slice.0 - 1 } else { slice.0 + 1 })
    }

    fn left_after(&self, slice: SliceIndex) -> usize {
        if self.upwards {
            self.to - slice.0 - 1
        } else {
            slice.0 - self.from
        }
    }
}

/// What one propagation gathers.
struct Walk<'a> {
    outcome: Outcome,
    progress: Progress,
    sink: &'a mut dyn SliceSink,
}

impl Walk<'_> {
    fn report(&mut self, object: ObjectId, slice: SliceIndex, score: f64, mask: Option<CroppedMask>) -> Result<()> {
        self.progress.done += 1;
        let report = SliceReport { object, slice, mask: mask.as_ref(), score, progress: self.progress };
        if self.sink.slice(report)? == Flow::Stop {
            self.outcome.stopped = true;
        }
        if let Some(mask) = mask {
            self.outcome.assembly.offer(object, slice, score, mask);
        }
        Ok(())
    }

    fn record(&mut self, leg: Leg, slice: SliceIndex, step: Step, [encode_ms, search_ms]: [f64; 2]) {
        let entries = if leg.upwards { &mut self.outcome.trace.up } else { &mut self.outcome.trace.down };
        entries.push(SliceTrace {
            slice: slice.0,
            candidates: step.candidates,
            order: step.order,
            object: leg.object.label(),
            prompt_slice: leg.prompt_slice.0,
            accepted: step.best.is_some(),
            encode_ms,
            search_ms,
        });
    }
}
