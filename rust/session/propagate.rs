//! From prompts to masks: the walk away from every prompted slice.

use crate::error::{Error, Result};
use crate::geometry::SliceIndex;
use crate::memory::{FieldOfView, MaskPrior, SearchOptions};
use crate::prompt::{ObjectId, SlicePrompt};
use crate::session::known::{Start, Walked};
use crate::session::leg::Leg;
use crate::session::run::{at_full_resolution, prompt, select, Guide, Hint, Prompted, Run};
use crate::session::trace::{SliceSink, SliceTrace};
use crate::session::walk::Walk;
use crate::session::{Assembly, CroppedMask, Session, View};
use crate::slices::intensity::{IntensityRange, Window};
use crate::slices::region::Region;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

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
    /// Walk for this object alone; `None`: for all.
    pub object: Option<ObjectId>,
}

impl PropagateOptions {
    /// Every object, both ways, through the whole volume.
    pub fn whole(search: SearchOptions) -> Self {
        Self { search, direction: Direction::Both, range: None, object_ranges: BTreeMap::new(), object: None }
    }
}

/// How every slice was decided: runs upwards by rising, downwards by falling slice number.
#[derive(Debug, Default, Serialize)]
pub struct Trace {
    pub up: Vec<SliceTrace>,
    pub down: Vec<SliceTrace>,
}

/// What is known after a propagation, what earlier ones found included.
#[derive(Debug)]
pub struct Outcome {
    pub assembly: Assembly,
    pub trace: Trace,
    /// True where the sink ended the walk.
    pub stopped: bool,
}

impl Session {
    /// Walks from every prompted slice and reports each slice to `sink` as it is made.
    ///
    /// A run ends at the next prompted slice of its object; on slices that two runs reach, the higher score counts. What an earlier call found
    /// from the same prompts with the same search is taken from there and reported, too: also other objects and the other direction, but
    /// nothing beyond the range.
    pub fn propagate(&mut self, options: &PropagateOptions, sink: &mut dyn SliceSink) -> Result<Outcome> {
        options.search.validate()?;
        self.prompts.validate()?;
        if let Some(object) = options.object.filter(|object| !self.prompts.objects().contains_key(object)) {
            return Err(Error::invalid(format!("object {object}: it has no prompt")));
        }
        let (first, last) = self.checked_range(options)?;
        self.known.keep_starts(&self.prompts, self.field_of_view(options.search.field_of_view));
        let mut options = options.clone();
        options.search.presence_threshold.get_or_insert(self.model.defaults().presence_threshold);
        options.search.intensity_weight.get_or_insert(self.model.defaults().intensity_weight);
        let options = &options;
        self.known.keep_courses(&options.search);
        let legs = self.legs(options, [first, last]);
        let expected = legs.iter().map(|leg| self.expected(leg)).sum::<usize>()
            + self.prompts.objects().values().map(|slices| slices.len()).sum::<usize>();
        let mut walk = Walk::new(expected, sink);
        self.start(options, &mut walk)?;
        let count = self.geometry().dims.along(self.axis());
        for upwards in [true, false] {
            let mut active: Vec<Leg> = legs.iter().filter(|leg| leg.key.upwards == upwards).copied().collect();
            let mut order: Vec<usize> = (0..count).collect();
            if !upwards {
                order.reverse();
            }
            for slice in order.into_iter().map(SliceIndex) {
                let mut index = 0;
                while index < active.len() {
                    let leg = active[index];
                    if !leg.covers(slice) || self.advance(leg, slice, options, &mut walk)? {
                        index += 1;
                    } else {
                        active.swap_remove(index);
                    }
                }
            }
        }
        Ok(walk.outcome)
    }

    /// What an object's prompts select on their slice: predicted IoU and mask. The next propagation begins with it.
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
        self.known.keep_starts(&self.prompts, self.field_of_view(field_of_view));
        self.begin(object, slice, &given, field_of_view)?;
        let start = &self.known.starts[&(object, slice)];
        Ok((start.prompted.decoded.iou, start.mask.clone()))
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
            if options.object.is_some_and(|only| only != *object) {
                continue;
            }
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

    fn legs(&self, options: &PropagateOptions, range: [SliceIndex; 2]) -> Vec<Leg> {
        let count = self.geometry().dims.along(self.axis());
        let mut legs = Vec::new();
        for (&object, prompted) in self.prompts.objects() {
            let chosen = options.object.is_none_or(|only| only == object);
            let within = match options.object_ranges.get(&object) {
                _ if !chosen => [SliceIndex(0), SliceIndex(count - 1)],
                Some(&(first, last)) => [first, last],
                None => range,
            };
            let slices: Vec<SliceIndex> = prompted.keys().copied().collect();
            for mut leg in Leg::of(object, &slices, within) {
                let way = if leg.key.upwards { Direction::Up } else { Direction::Down };
                leg.walks = chosen && (options.direction == Direction::Both || options.direction == way);
                legs.push(leg);
            }
        }
        legs
    }

    /// How many slices a leg will report, if its run does not end.
    fn expected(&self, leg: &Leg) -> usize {
        let known = self.known.courses.get(&leg.key).map_or(0, |course| course.walked.len());
        if leg.walks {
            leg.len()
        } else {
            leg.len().min(known)
        }
    }

    /// Turns every prompt into a mask and a memory.
    fn start(&mut self, options: &PropagateOptions, walk: &mut Walk) -> Result<()> {
        let prompts = self.prompts.objects().clone();
        for (&object, slices) in &prompts {
            for (&slice, given) in slices {
                let wanted = options.object.is_none_or(|only| only == object) && !walk.outcome.stopped;
                if !wanted && !self.known.starts.contains_key(&(object, slice)) {
                    walk.progress.expected -= 1;
                    continue;
                }
                self.begin(object, slice, given, options.search.field_of_view)?;
                self.remember_start(object, slice)?;
                let start = &self.known.starts[&(object, slice)];
                if start.mask.is_none() {
                    log::warn!("object {object}, slice {slice}: the prompt selects nothing");
                }
                let mask = start.mask.clone();
                walk.report(object, slice, start.prompted.decoded.iou, mask.as_ref())?;
            }
        }
        Ok(())
    }

    /// Sees to it that a prompt's start is known.
    fn begin(
        &mut self,
        object: ObjectId,
        slice: SliceIndex,
        given: &SlicePrompt,
        field_of_view: Option<FieldOfView>,
    ) -> Result<()> {
        if self.known.starts.contains_key(&(object, slice)) {
            return Ok(());
        }
        let view = self.view_of(slice, given, field_of_view)?;
        let (prompted, mask) = self.prompted(slice, view, given)?;
        let start = Start { given: given.clone(), view, prompted, memory: None, looks: None, mask: mask.map(Arc::new) };
        self.known.starts.insert((object, slice), start);
        Ok(())
    }

    /// Makes a prompt's mask the first memory of the runs that begin there.
    fn remember_start(&mut self, object: ObjectId, slice: SliceIndex) -> Result<()> {
        let start = &self.known.starts[&(object, slice)];
        if start.memory.is_some() {
            return Ok(());
        }
        let (image, _) = self.embedding(slice, start.view)?;
        let decoded = &self.known.starts[&(object, slice)].prompted.decoded;
        let memory = self.model.compute(|network| network.remember(&image, decoded))?;
        let looks = self.learned(object, slice)?;
        let start = self.known.starts.get_mut(&(object, slice)).expect("it is there above");
        (start.memory, start.looks) = (Some(memory), looks);
        Ok(())
    }

    /// How the network is shown a prompted slice, and the slices of the run that begins there.
    pub(super) fn view_of(
        &mut self,
        slice: SliceIndex,
        given: &SlicePrompt,
        field_of_view: Option<FieldOfView>,
    ) -> Result<View> {
        let mut view = self.whole_view();
        if self.field_of_view(field_of_view) == FieldOfView::Slice {
            return Ok(view);
        }
        let bounds = given.bounds_on(self.plane.size);
        if let Some(bounds) = &bounds {
            view.region = self.plane.around(bounds);
        }
        let mask = match &given.mask {
            Some(mask) => CroppedMask::new(mask.view()),
            // Points tell no extent and boxes no intensities: what they select does.
            None if bounds.is_some() => self.selected(slice, view, given)?.1,
            None => self.found_by_points(slice, view, given)?,
        };
        let Some(mask) = mask else { return Ok(view) };
        view.region = self.plane.around(&bounds.map_or(mask.bounds(), |bounds| bounds.joined(&mask.bounds())));
        if self.window == Window::Auto {
            let pixels = self.scan.slice(self.axis(), slice);
            let shown = self.frame(view.region).shown(pixels.view()).iter().copied().collect();
            let object = mask.pixels().map(|at| pixels[at]).collect();
            view.range = IntensityRange::around_object(object, shown, 1.0).unwrap_or(view.range);
        }
        Ok(view)
    }

    /// What points select, looked for in the whole slice and nearer and nearer: an object fills a frame of its own size best, and the predicted
    /// IoU says where it does.
    fn found_by_points(&mut self, slice: SliceIndex, view: View, given: &SlicePrompt) -> Result<Option<CroppedMask>> {
        let Some(points) = given.points_on(self.plane.size) else { return Ok(None) };
        let mut best: Option<(f64, CroppedMask)> = None;
        for region in self.plane.zooms(&points) {
            let (iou, mask) = self.selected(slice, View { region, ..view }, given)?;
            let Some(mask) = mask.filter(|mask| self.plane.shows_all(&region, &mask.bounds())) else { continue };
            if best.as_ref().is_none_or(|(highest, _)| iou > *highest) {
                best = Some((iou, mask));
            }
        }
        match best {
            Some((_, mask)) => Ok(Some(mask)),
            // It reaches out of every frame.
            None => Ok(self.selected(slice, view, given)?.1),
        }
    }

    /// What points and a box select on a slice as a view shows it, and its predicted IoU.
    fn selected(&mut self, slice: SliceIndex, view: View, given: &SlicePrompt) -> Result<(f64, Option<CroppedMask>)> {
        let (image, _) = self.embedding(slice, view)?;
        let frame = self.frame(view.region);
        let (iou, logits) = self.model.compute(|network| {
            let decoded = select(network, &image, &frame, given);
            (decoded.iou, at_full_resolution(network, &decoded.logits))
        })?;
        Ok((iou, self.mask_on_slice(&logits, &frame)?))
    }

    /// What a prompt makes of its slice.
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
            let logits = at_full_resolution(network, &prompted.decoded.logits);
            (prompted, logits)
        })?;
        let mask = match (&given.mask, given.points.is_empty() && given.bounds.is_none()) {
            (Some(mask), true) => CroppedMask::new(mask.view()),
            _ => self.mask_on_slice(&logits, &frame)?,
        };
        Ok((prompted, mask))
    }

    /// One slice of one leg; false where the leg goes no further.
    fn advance(&mut self, leg: Leg, slice: SliceIndex, options: &PropagateOptions, walk: &mut Walk) -> Result<bool> {
        let position = leg.position(slice);
        let (walked, ended) = match self.known.course(leg.key) {
            None => return Ok(false),
            Some(course) => match course.walked.get(position) {
                Some(walked) => (walked.clone(), course.run.is_none() && position + 1 == course.walked.len()),
                None if !leg.walks || walk.outcome.stopped || course.run.is_none() => return Ok(false),
                None => self.step(leg, slice, &options.search)?,
            },
        };
        walk.walked(leg, slice, &walked, ended && leg.walks)?;
        Ok(!ended)
    }

    /// Walks a leg's run one slice further; true where the run ended.
    fn step(&mut self, leg: Leg, slice: SliceIndex, options: &SearchOptions) -> Result<(Walked, bool)> {
        // A step that fails leaves no course behind: it is walked again from its prompt.
        let mut course = self.known.courses.remove(&leg.key).expect("a leg that walks has a course");
        let mut run = course.run.take().expect("a run that walks has not ended");
        let last = course.walked.last().and_then(|walked| walked.mask.clone());
        let walked = self.stepped(&mut run, leg, slice, last.as_deref(), options)?;
        let ended = !walked.trace.accepted;
        course.run = (!ended).then_some(run);
        course.walked.push(walked.clone());
        self.known.courses.insert(leg.key, course);
        Ok((walked, ended))
    }

    /// `last`: the mask of the slice before, where that is not the prompt's.
    fn stepped(
        &mut self,
        run: &mut Run,
        leg: Leg,
        slice: SliceIndex,
        last: Option<&CroppedMask>,
        options: &SearchOptions,
    ) -> Result<Walked> {
        if let (Some(mask), FieldOfView::Object) = (last, self.field_of_view(options.field_of_view)) {
            let next = self.plane.follow(run.view().region, &mask.bounds());
            if next != run.view().region {
                self.reframe(run, next)?;
            }
        }
        let count = self.geometry().dims.along(self.axis());
        let view = run.view();
        let (image, encode_ms) = self.embedding(slice, view)?;
        let begin = Instant::now();
        let displacement;
        let hint = match options.prior.unwrap_or(self.model.defaults().prior) {
            MaskPrior::None => Hint::Nothing,
            MaskPrior::Previous => Hint::Mask,
            MaskPrior::Registered => {
                displacement = self.displacement(slice, leg.before(slice), view)?;
                Hint::Moved(&displacement)
            }
        };
        let looks = self.known.starts[&(leg.key.object, leg.key.prompt_slice)].looks.as_ref();
        let evidence = match (looks, options.intensity_weight) {
            (Some(looks), Some(weight)) if weight > 0.0 => Some(self.evidence(looks, slice, view, weight)?),
            _ => None,
        };
        let guide = Guide { hint, evidence: evidence.as_ref() };
        let step = self.model.compute(|network| run.step(network, &image, slice, count, options, guide))?;
        let search_ms = begin.elapsed().as_secs_f64() * 1e3;
        let mask = match &step.best {
            Some(best) => self.mask_on_slice(&best.full_resolution, &self.frame(view.region))?,
            None => None,
        };
        let trace = SliceTrace {
            slice: slice.0,
            candidates: step.candidates,
            order: step.order,
            object: leg.key.object.label(),
            prompt_slice: leg.key.prompt_slice.0,
            accepted: step.best.is_some(),
            encode_ms,
            search_ms,
        };
        let score = step.best.as_ref().map_or(0.0, |best| best.iou);
        Ok(Walked { score, mask: mask.map(Arc::new), trace })
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
}
