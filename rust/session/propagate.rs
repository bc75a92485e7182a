//! A session: prompts on a volume, and the walk that turns them into masks.

use crate::error::{Error, Result};
use crate::geometry::{Axis, Geometry, SliceIndex};
use crate::memory::{Prior, SearchOptions};
use crate::model::config::{PIXEL_MEAN, PIXEL_STD};
use crate::model::ImageEmbedding;
use crate::prompt::{ObjectId, Prompts};
use crate::session::displacements::Displacements;
use crate::session::run::{prompt, Hint, Prompted, Run, Step};
use crate::session::trace::{Flow, Progress, SliceReport, SliceSink, SliceTrace};
use crate::session::{Assembly, CroppedMask, EmbeddingCache, SharedModel};
use crate::slices::intensity::IntensityRange;
use crate::slices::{self, resize::Frame};
use crate::volume::{LabelMap, Volume};
use ndarray::Array2;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;
use tch::{Kind, Tensor};

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
    range: IntensityRange,
    frame: Frame,
    side: i64,
    cache: EmbeddingCache,
    displacements: Displacements,
    prompts: Prompts,
}

impl Session {
    /// `cache_bytes` bounds the embeddings that are kept.
    pub fn new(
        model: SharedModel,
        image: Volume<f32>,
        axis: Axis,
        range: IntensityRange,
        cache_bytes: usize,
    ) -> Result<Self> {
        let side = model.compute(|network| network.config().image_size)?;
        let geometry = image.geometry();
        let frame = slices::frame(geometry, axis, side as usize);
        let prompts = Prompts::new(geometry.dims, axis);
        Ok(Self {
            model,
            image,
            range,
            frame,
            side,
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
        let started = self.start(&mut walk)?;
        for upwards in [true, false] {
            let mut active: Vec<(Leg, Run)> = (legs.iter().filter(|leg| leg.upwards == upwards).copied())
                .filter_map(|leg| {
                    let start = started.iter().find(|(o, s, _)| (*o, *s) == (leg.object, leg.prompt_slice))?;
                    Some((leg, Run::new(leg.prompt_slice, start.2.memory.clone(), start.2.logits.clone())))
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
    fn start(&mut self, walk: &mut Walk) -> Result<Vec<Start>> {
        let prompts = self.prompts.objects().clone();
        let mut memories = Vec::new();
        for (&object, slices) in &prompts {
            for (&slice, given) in slices {
                let (image, _) = self.embedding(slice)?;
                let frame = &self.frame;
                let (prompted, logits) = self.model.compute(|network| {
                    let prompted = prompt(network, &image, frame, given);
                    let logits = match prompted.decoded.logits.size()[3] {
                        n if n == network.config().image_size => prompted.decoded.logits.shallow_clone(),
                        _ => network.full_resolution(&prompted.decoded.logits),
                    };
                    (prompted, logits)
                })?;
                let mask = match (&given.mask, given.points.is_empty() && given.bounds.is_none()) {
                    (Some(mask), true) => CroppedMask::new(mask.view()),
                    _ => self.slice_mask(&logits)?,
                };
                if mask.is_none() {
                    log::warn!("object {object}, slice {slice}: the prompt selects nothing");
                }
                walk.report(object, slice, prompted.decoded.iou, mask)?;
                memories.push((object, slice, prompted));
            }
        }
        Ok(memories)
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
            let (image, encode_ms) = self.embedding(slice)?;
            let begin = Instant::now();
            let displacement;
            let hint = match options.prior.unwrap_or(self.model.prior()) {
                Prior::None => Hint::Nothing,
                Prior::Mask => Hint::Mask,
                Prior::Flow => {
                    displacement = self.displacement(slice, leg.before(slice))?;
                    Hint::Moved(&displacement)
                }
            };
            let step = self.model.compute(|network| run.step(network, &image, slice, count, options, hint))?;
            let search_ms = begin.elapsed().as_secs_f64() * 1e3;
            let ended = step.best.is_none();
            let mask = match &step.best {
                Some(best) => self.slice_mask(&best.full_resolution)?,
                None => None,
            };
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

    /// A slice's embedding, and the milliseconds it took; 0 if it was there.
    fn embedding(&mut self, slice: SliceIndex) -> Result<(ImageEmbedding, f64)> {
        let mut elapsed = 0.0;
        let (image, range, frame, model, side) = (&self.image, &self.range, &self.frame, &self.model, self.side);
        let axis = self.prompts.axis();
        let embedding = self.cache.get(slice, || {
            let begin = Instant::now();
            let pixels = slices::extract(image.voxels(), axis, slice);
            let pixels = frame.to_network(pixels.mapv(|v| range.apply(v)).view());
            let embedding = model.compute(|network| network.encode_image(&image_tensor(&pixels, side)));
            elapsed = begin.elapsed().as_secs_f64() * 1e3;
            embedding
        })?;
        Ok((embedding, elapsed))
    }

    /// Where each pixel of a slice was on the one before: [1, 2, S / 4, S / 4].
    fn displacement(&mut self, slice: SliceIndex, before: SliceIndex) -> Result<Tensor> {
        let (image, range, frame, side) = (&self.image, &self.range, &self.frame, self.side as usize);
        let axis = self.prompts.axis();
        let parts = self.displacements.get(slice, before, |slice| {
            let pixels = slices::extract(image.voxels(), axis, slice).mapv(|v| range.apply(v));
            frame.to_square(pixels.view())
        });
        let values: Vec<f32> = parts.iter().flatten().copied().collect();
        let quarter = (side / 4) as i64;
        self.model.compute(|network| {
            Tensor::from_slice(&values).reshape([1, 2, quarter, quarter]).to_device(network.device())
        })
    }

    /// Logits [1, 1, S, S] -> mask on the slice's own pixels; `None` where it is empty.
    fn slice_mask(&self, logits: &Tensor) -> Result<Option<CroppedMask>> {
        let side = self.side as usize;
        let logits = self.model.compute(|_| {
            let flat = logits.to_device(tch::Device::Cpu).to_kind(Kind::Float).contiguous().flatten(0, 3);
            Vec::<f32>::try_from(&flat).map(|values| Array2::from_shape_vec((side, side), values))
        })?;
        let logits = logits
            .map_err(|e| Error::new(crate::ErrorKind::Compute, "cannot read mask logits").with_source(e))?
            .map_err(|e| Error::new(crate::ErrorKind::Compute, "mask logits have a wrong size").with_source(e))?;
        let on_slice = self.frame.logits_to_slice(logits.view());
        Ok(CroppedMask::new(on_slice.mapv(|logit| logit > 0.0).view()))
    }
}

/// What a prompt made of its slice.
type Start = (ObjectId, SliceIndex, Prompted);

/// Pixels of 0..1, [h, w] -> normalised image [1, 3, S, S], padded with zeros at the bottom and right.
fn image_tensor(pixels: &Array2<f32>, side: i64) -> Tensor {
    let (h, w) = (pixels.nrows() as i64, pixels.ncols() as i64);
    let values: Vec<f32> = pixels.iter().copied().collect();
    let grey = Tensor::from_slice(&values).reshape([1, 1, h, w]);
    let per_channel = |values: &[f32; 3]| Tensor::from_slice(values).reshape([1, 3, 1, 1]);
    ((grey - per_channel(&PIXEL_MEAN)) / per_channel(&PIXEL_STD)).constant_pad_nd([0, side - w, 0, side - h])
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
