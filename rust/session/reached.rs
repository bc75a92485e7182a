//! What was known of a slice before its first prompt: a correction begins with it.

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::prompt::{ObjectId, StepId};
use crate::session::request::PastRequest;
use crate::session::slice_state::{Reached, Tracked};
use crate::session::track::{Track, TrackKey};
use crate::session::Session;
use crate::tracking::{FieldOfView, TrackingOptions};

impl Session {
    /// Drops what the present prompts contradict, and keeps for every slice with a first prompt what is known of it.
    pub(super) fn settle(&mut self, field_of_view: FieldOfView) -> Result<()> {
        self.known.keep_prompted(&self.prompts, field_of_view);
        // What is known of a slice depends on slices that were prompted before it.
        let mut unsettled: Vec<(StepId, ObjectId, SliceIndex)> = (self.prompts.objects().iter())
            .flat_map(|(&object, slices)| slices.iter().map(move |(&slice, given)| (object, slice, given)))
            .filter(|(object, slice, _)| !self.known.prompted.contains_key(&(*object, *slice)))
            .map(|(object, slice, given)| (given.steps()[0].0, object, slice))
            .collect();
        unsettled.sort();
        for (first, object, slice) in unsettled {
            let reached = self.reached(object, slice, first, field_of_view)?;
            self.known.prompted.entry((object, slice)).or_default().reached = reached;
        }
        Ok(())
    }

    /// Whether an object has a mask on a slice: from a prompt, a track or a known mask.
    ///
    /// # Errors
    /// `Compute` where the network fails.
    pub fn has_mask(&mut self, object: ObjectId, slice: SliceIndex) -> Result<bool> {
        if self.prompts.at(object, slice).is_some() {
            return Ok(true);
        }
        let field_of_view = self.known.field_of_view().unwrap_or(self.model.defaults().field_of_view);
        self.settle(field_of_view)?;
        let reached = self.reached(object, slice, StepId::MAX, field_of_view)?;
        Ok(reached.is_some_and(|reached| reached.state().mask.is_some()))
    }

    /// What is known of a slice before the call `first`: what the newest propagation found that reached it.
    fn reached(
        &mut self,
        object: ObjectId,
        slice: SliceIndex,
        first: StepId,
        field_of_view: FieldOfView,
    ) -> Result<Option<Reached>> {
        for past in (0..self.requests.len()).rev() {
            let PastRequest { call, request, completed } = &self.requests[past];
            let (call, completed, options) = (*call, *completed, request.tracking.clone());
            if call >= first || options.field_of_view != field_of_view {
                continue;
            }
            let spans = request.spans_at(object, &self.prompts, call);
            let mut best: Option<(TrackKey, Box<Tracked>)> = None;
            for span in spans.into_iter().filter(|span| span.covers(slice)) {
                let found = self.found_by(span.key, slice, &options, (!completed).then_some(call))?;
                if let Some(found) = found {
                    if best.as_ref().is_none_or(|(_, best)| found.state.score > best.state.score) {
                        best = Some((span.key, found));
                    }
                }
            }
            if let Some((key, found)) = best {
                return Ok(Some(Reached::Tracked(found, (key.prompt_slice, key.step))));
            }
        }
        let Some(mask) = self.initial.get(&(object, slice)).cloned() else { return Ok(None) };
        let mask = mask.on_slice(self.slice_size());
        Ok(Some(Reached::Known(self.painted(slice, &mask, field_of_view)?)))
    }

    /// What a track finds on a slice, computed where it is not kept; `reported`: only what this call reported.
    fn found_by(
        &mut self,
        key: TrackKey,
        slice: SliceIndex,
        options: &TrackingOptions,
        reported: Option<StepId>,
    ) -> Result<Option<Box<Tracked>>> {
        let same = self.known.options() == Some(options);
        let known =
            self.known.tracks.get(&key).filter(|_| same).and_then(|track| Some((track, track.step(key, slice)?)));
        if let Some((_, step)) = known {
            let wanted = reported.is_none_or(|call| step.reported >= call);
            match &step.found {
                _ if !wanted || !step.trace.accepted => return Ok(None),
                Some(found) => return Ok(Some(found.clone())),
                None => {}
            }
        } else if reported.is_some() {
            return Ok(None);
        }
        if self.known.tracks.get(&key).is_some_and(|track| same && known.is_none() && track.beam.is_none()) {
            return Ok(None); // it ended before
        }
        let Some(mut track) = self.begun(key, options.field_of_view)? else { return Ok(None) };
        for at in key.slices_to(slice) {
            let step = self.track_slice(&mut track, key, at, options)?;
            if at == slice || !step.trace.accepted {
                return Ok(step.found.filter(|_| at == slice));
            }
            track.steps.push(step);
        }
        Ok(None)
    }

    /// A track that begins at its prompted slice.
    pub(super) fn begun(&mut self, key: TrackKey, field_of_view: FieldOfView) -> Result<Option<Track>> {
        let Some(given) = self.prompts.at(key.object, key.prompt_slice).cloned() else { return Ok(None) };
        self.segment_prompted(key.object, key.prompt_slice, &given, field_of_view)?;
        self.remember_prompted(key.object, key.prompt_slice, key.step)?;
        let Some(state) = self.known.prompted.get(&(key.object, key.prompt_slice)).and_then(|p| p.state(key.step))
        else {
            return Ok(None);
        };
        let Some(memory) = state.memory.clone() else { return Ok(None) };
        let (view, logits) = (state.slice.view, state.slice.output.logits.shallow_clone());
        let known = self.known_behind(key, view)?;
        Ok(Some(Track::new(key.prompt_slice, view, memory, logits, known)))
    }
}
