//! From prompts to masks: propagation away from every prompted slice.

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::model::at_mask_resolution;
use crate::prompt::StepId;
use crate::session::collector::{Collector, PropagationResult};
use crate::session::masks::{dice, CroppedMask};
use crate::session::request::{PastRequest, PropagateOptions, Request};
use crate::session::slice_state::{SliceState, Tracked};
use crate::session::trace::{SliceSink, SliceTrace};
use crate::session::track::{Heading, Track, TrackKey, TrackSpan, TrackStep};
use crate::session::Session;
use crate::slices::intensity_model::IntensityModel;
use crate::slices::roi::Roi;
use crate::slices::SliceView;
use crate::tracking::{
    tensors, FieldOfView, MaskPrior, Phase, PriorInput, SliceContext, Tracker, TrackingOptions, AGREEING_DICE,
    AGREEING_SLICES,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tch::Tensor;

/// How many propagations are remembered, for corrections of what they reached.
const MAX_REQUESTS: usize = 256;

impl Session {
    /// Propagates from every prompted slice and reports each slice to `sink` as it is made.
    ///
    /// A track ends at the next prompted slice of its object; on slices that two tracks reach, the higher score counts.
    /// What an earlier call
    /// found from the same prompts with the same options is taken from there and reported, too: also other objects and
    /// the other direction,
    /// but nothing beyond the range.
    ///
    /// # Errors
    /// `InvalidInput` without prompts or for an option; `Compute` where the network fails; what `sink` answers.
    pub fn propagate(&mut self, options: &PropagateOptions, sink: &mut dyn SliceSink) -> Result<PropagationResult> {
        let count = self.slice_count();
        let known = !self.initial.is_empty();
        let request = Request::resolve(options, &self.prompts, count, known, &self.model.defaults())?;
        self.settle(request.tracking.field_of_view)?;
        self.known.keep_tracks(&request.tracking);
        let call = self.prompts.next_call();
        if self.requests.len() == MAX_REQUESTS {
            self.requests.remove(0);
        }
        self.requests.push(PastRequest { call, request: request.clone(), completed: false });
        let expected = request.spans.iter().map(|span| self.expected(span)).sum::<usize>()
            + self.prompts.objects().values().map(|slices| slices.len()).sum::<usize>();
        let mut collector = Collector::new(expected, self.initial(), sink);
        self.report_prompted(&request, &mut collector)?;
        for heading in [Heading::Up, Heading::Down] {
            let mut active: Vec<TrackSpan> =
                request.spans.iter().filter(|span| span.key.heading == heading).copied().collect();
            let mut order: Vec<usize> = (0..count).collect();
            if heading == Heading::Down {
                order.reverse();
            }
            for slice in order.into_iter().map(SliceIndex) {
                let mut index = 0;
                while index < active.len() {
                    let span = active[index];
                    if !span.covers(slice) || self.advance(span, slice, (&request.tracking, call), &mut collector)? {
                        index += 1;
                    } else {
                        active.swap_remove(index);
                    }
                }
            }
        }
        if let Some(past) = self.requests.last_mut() {
            past.completed = !collector.result.stopped;
        }
        Ok(collector.result)
    }

    /// How many slices of a span will be reported, if its track does not end.
    fn expected(&self, span: &TrackSpan) -> usize {
        let known = self.known.tracks.get(&span.key).map_or(0, |track| track.steps.len());
        if span.extends {
            span.len()
        } else {
            span.len().min(known)
        }
    }

    /// Turns every prompt into a mask and a memory.
    fn report_prompted(&mut self, request: &Request, collector: &mut Collector) -> Result<()> {
        let prompts = self.prompts.objects().clone();
        for (&object, slices) in &prompts {
            for (&slice, given) in slices {
                let wanted = request.includes(object) && !collector.result.stopped;
                let computed = self.known.newest(object, slice).map(|state| state.step) == given.newest();
                if !wanted && !computed {
                    collector.progress.expected -= 1;
                    continue;
                }
                self.segment_prompted(object, slice, given, request.tracking.field_of_view)?;
                if let Some(newest) = given.newest() {
                    self.remember_prompted(object, slice, newest)?;
                }
                let state = &self.known.newest(object, slice).expect("it was just segmented").slice;
                if state.mask.is_none() {
                    log::warn!("object {object}, slice {slice}: the prompt selects nothing");
                }
                collector.report(object, slice, state.score, state.mask.as_ref())?;
            }
        }
        Ok(())
    }

    /// One slice of one track; false where it goes no further.
    fn advance(
        &mut self,
        span: TrackSpan,
        slice: SliceIndex,
        (options, call): (&TrackingOptions, StepId),
        collector: &mut Collector,
    ) -> Result<bool> {
        let position = span.key.position(slice).expect("a span lies ahead of its prompted slice");
        if !self.known.tracks.contains_key(&span.key) {
            let Some(track) = self.begun(span.key, options.field_of_view)? else { return Ok(false) };
            self.known.tracks.insert(span.key, track);
        }
        let track = self.known.tracks.get_mut(&span.key).expect("it is known or begun");
        let ended_at = track.beam.is_none().then_some(track.steps.len());
        let (step, ended) = match track.steps.get_mut(position) {
            Some(step) => {
                step.reported = call;
                (step.shown(), ended_at == Some(position + 1))
            }
            None if !span.extends || collector.result.stopped || ended_at.is_some() => return Ok(false),
            None => self.extend(span, slice, (options, call))?,
        };
        collector.tracked(span, slice, &step, ended && span.extends)?;
        Ok(!ended)
    }

    /// Computes one slice more of a track; true where the track ended.
    fn extend(
        &mut self,
        span: TrackSpan,
        slice: SliceIndex,
        (options, call): (&TrackingOptions, StepId),
    ) -> Result<(TrackStep, bool)> {
        // A step that fails leaves no track behind: it is computed again from its prompt.
        let mut track = self.known.tracks.remove(&span.key).expect("a track that extends is known");
        let step = TrackStep { reported: call, ..self.track_slice(&mut track, span.key, slice, options)? };
        let known = self.initial.get(&(span.key.object, slice));
        let agrees = known.is_some_and(|known| dice(Some(known), step.mask.as_deref()) >= AGREEING_DICE);
        track.agreeing = if agrees { track.agreeing + 1 } else { 0 };
        let ended = !step.trace.accepted || track.agreeing == AGREEING_SLICES;
        if ended {
            track.beam = None;
        }
        let (shown, bytes) = (step.shown(), step.found.as_ref().map_or(0, |found| found.bytes()));
        track.steps.push(step);
        let position = track.steps.len() - 1;
        self.known.tracks.insert(span.key, track);
        self.known.note_kept(span.key, position, bytes);
        Ok((shown, ended))
    }

    pub(super) fn track_slice(
        &mut self,
        track: &mut Track,
        key: TrackKey,
        slice: SliceIndex,
        options: &TrackingOptions,
    ) -> Result<TrackStep> {
        if let (Some(mask), FieldOfView::Object) = (last_mask(track), options.field_of_view) {
            let next = self.inputs.plane().follow(track.view.roi, &mask.bounds());
            if next != track.view.roi {
                self.reframe(track, next)?;
            }
        }
        let view = track.view;
        let (image, encode_ms) = self.inputs.embedding(&self.model, (slice, view))?;
        let begin = Instant::now();
        let displacement;
        let prior = match options.prior {
            MaskPrior::None => PriorInput::None,
            MaskPrior::Previous => PriorInput::Previous,
            MaskPrior::Registered => {
                displacement = self.displacement(slice, key.previous(slice), view)?;
                PriorInput::Registered(&displacement)
            }
        };
        let prompted = self.known.prompted.get(&(key.object, key.prompt_slice)).and_then(|known| known.state(key.step));
        let ratio = match prompted.and_then(|state| state.intensity_model.clone()) {
            Some(model) if options.intensity_weight > 0.0 => {
                Some(self.log_likelihood_ratio(&model, slice, view, options.intensity_weight)?)
            }
            _ => None,
        };
        let context = SliceContext {
            slice,
            slices_in_volume: self.slice_count(),
            image: &image,
            prior,
            log_likelihood_ratio: ratio.as_ref(),
        };
        let beam = track.beam.as_mut().expect("a track that extends has not ended");
        let found =
            self.model.compute(|network| beam.search(&Tracker::new(network, Phase::Inference), &context, options))?;
        let search_ms = begin.elapsed().as_secs_f64() * 1e3;
        let mask = match &found.best {
            Some(best) => self.mask_on_slice(&best.full_resolution, &self.inputs.frame(view.roi))?,
            None => None,
        };
        let mask = mask.map(Arc::new);
        let trace = SliceTrace {
            slice: slice.0,
            candidates: found.candidates,
            order: found.order,
            object: key.object.label(),
            prompt_slice: key.prompt_slice.0,
            accepted: found.best.is_some(),
            encode_ms,
            search_ms,
        };
        let score = found.best.as_ref().map_or(0.0, |best| best.iou);
        let found = found.best.map(|best| {
            let state = SliceState { view, output: best.output, score, mask: mask.clone() };
            Box::new(Tracked { state, attended: best.attended })
        });
        Ok(TrackStep { score, mask, trace, found, reported: 0 })
    }

    /// Moves a track to another region, as if it had been there from the start.
    fn reframe(&mut self, track: &mut Track, roi: Roi) -> Result<()> {
        let view = SliceView { roi, ..track.view };
        let (from, to) = (self.inputs.frame(track.view.roi), self.inputs.frame(roi));
        let beam = track.beam.as_mut().expect("a track that extends has not ended");
        let images = (beam.remembered().into_iter())
            .map(|slice| Ok((slice, self.inputs.embedding(&self.model, (slice, view))?.0)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        self.model.compute(|network| {
            beam.reframe(&Tracker::new(network, Phase::Inference), &images, [&from, &to]);
        })?;
        track.view = view;
        Ok(())
    }

    /// Where each pixel of a slice was on the previous one: [1, 2, m, m].
    fn displacement(&mut self, slice: SliceIndex, previous: SliceIndex, view: SliceView) -> Result<Tensor> {
        let inputs = &mut self.inputs;
        let parts = self.displacements.get(slice, previous, view, self.mask_stride as usize, |slice| {
            let input = inputs.pixels((slice, view));
            input.frame.padded(&input.pixels, 0.0)
        });
        let m = parts[0].nrows() as i64;
        let values: Vec<f32> = parts.iter().flatten().copied().collect();
        self.model.compute(|network| Tensor::from_slice(&values).reshape([1, 2, m, m]).to_device(network.device()))
    }

    /// The weighted log-likelihood ratios of a slice's intensities, [1, 1, m, m].
    fn log_likelihood_ratio(
        &mut self,
        model: &IntensityModel,
        slice: SliceIndex,
        view: SliceView,
        weight: f64,
    ) -> Result<Tensor> {
        let input = self.inputs.pixels((slice, view));
        let ratio = tensors::plane(&input.frame.padded(&model.log_likelihood_ratio(input.pixels.view()), 0.0));
        self.model.compute(|network| at_mask_resolution(&ratio.to_device(network.device()), self.mask_stride) * weight)
    }
}

/// The mask of the slice that was tracked last.
fn last_mask(track: &Track) -> Option<&CroppedMask> {
    track.steps.last().and_then(|step| step.mask.as_deref())
}
