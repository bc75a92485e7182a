//! What was known of a slice before its first prompt: a correction begins with it.

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::prompt::{ObjectId, StepId};
use crate::session::prompted::SliceState;
use crate::session::track::{Track, TrackKey, TrackStep};
use crate::session::Session;
use crate::slices::SliceView;
use crate::tracking::{AttendedBank, FieldOfView};
use ndarray::Array2;

/// What a track found on a slice, with what it attended to.
#[derive(Debug, Clone)]
pub struct Tracked {
    pub state: SliceState,
    pub attended: AttendedBank,
}

impl Tracked {
    /// What keeping it costs: its newest memory and its logits; the others belong to the steps before, too.
    pub fn bytes(&self) -> usize {
        self.attended.newest_bytes() + 4 * self.state.output.logits.numel()
    }
}

/// What was known of a slice before its first prompt.
#[derive(Debug, Clone)]
pub enum Reached {
    /// A track had been there. Its prompted slice, with the step that it began with.
    Tracked(Box<Tracked>, (SliceIndex, StepId)),
    /// The mask was given with all others of a volume.
    Known(SliceState),
}

impl Reached {
    /// The mask there.
    pub fn state(&self) -> &SliceState {
        match self {
            Self::Tracked(tracked, _) => &tracked.state,
            Self::Known(state) => state,
        }
    }

    /// What corrections attend to, and the view that it was seen in.
    pub fn attended(&self) -> Option<(&AttendedBank, SliceView)> {
        match self {
            Self::Tracked(tracked, _) => Some((&tracked.attended, tracked.state.view)),
            Self::Known(_) => None,
        }
    }

    /// The prompted slice that it depends on.
    pub fn source(&self) -> Option<(SliceIndex, StepId)> {
        match self {
            Self::Tracked(_, source) => Some(*source),
            Self::Known(_) => None,
        }
    }
}

impl Session {
    /// Drops what the present prompts contradict, and keeps for every slice with a first prompt what is known of it.
    pub(super) fn settle(&mut self, field_of_view: FieldOfView) -> Result<()> {
        self.known.keep_prompted(&self.prompts, field_of_view);
        let prompts = self.prompts.objects().clone();
        for (&object, slices) in &prompts {
            for (&slice, given) in slices {
                if !self.known.prompted.contains_key(&(object, slice)) {
                    let first = given.steps()[0].0;
                    let reached = self.reached(object, slice, first, field_of_view)?;
                    self.known.prompted.entry((object, slice)).or_default().reached = reached;
                }
            }
        }
        Ok(())
    }

    /// Whether an object has a mask on a slice: from a prompt, a track or a known mask.
    pub fn has_mask(&self, object: ObjectId, slice: SliceIndex) -> bool {
        self.prompts.at(object, slice).is_some()
            || self.initial.contains_key(&(object, slice))
            || self.newest_track(object, slice, StepId::MAX).is_some_and(|(_, step)| step.mask.is_some())
    }

    /// What is known of a slice before the call `first`.
    fn reached(
        &mut self,
        object: ObjectId,
        slice: SliceIndex,
        first: StepId,
        field_of_view: FieldOfView,
    ) -> Result<Option<Reached>> {
        if let Some((key, step)) = self.newest_track(object, slice, first) {
            let found = match step.found.clone() {
                Some(found) => Some(found),
                None => self.track_again(key, slice)?,
            };
            return Ok(found.map(|found| Reached::Tracked(found, (key.prompt_slice, key.step))));
        }
        let Some(mask) = self.initial.get(&(object, slice)).cloned() else { return Ok(None) };
        let [rows, columns] = self.slice_size();
        let mut pixels = Array2::from_elem((rows, columns), false);
        mask.pixels().for_each(|at| pixels[at] = true);
        Ok(Some(Reached::Known(self.painted(slice, &pixels, field_of_view)?)))
    }

    /// The track that was the last to reach a slice before the call `first`; of those of one propagation the one with
    /// the highest score.
    fn newest_track(&self, object: ObjectId, slice: SliceIndex, first: StepId) -> Option<(TrackKey, &TrackStep)> {
        let tracks = self.known.tracks.iter().filter(|(key, _)| key.object == object);
        let steps = tracks.filter_map(|(key, track)| {
            let step = track.step(*key, slice)?;
            (step.trace.accepted && step.reported < first).then_some((*key, step))
        });
        steps.max_by(|(a_key, a), (b_key, b)| {
            (a.reported.cmp(&b.reported)).then(a.score.total_cmp(&b.score)).then(b_key.cmp(a_key))
        })
    }

    /// What a track found on a slice, where it was not kept: the track is computed once more.
    fn track_again(&mut self, key: TrackKey, slice: SliceIndex) -> Result<Option<Box<Tracked>>> {
        let Some(options) = self.known.options().cloned() else { return Ok(None) };
        let Some(mut track) = self.begun(key)? else { return Ok(None) };
        for step in key.slices_to(slice) {
            let found = self.track_slice(&mut track, key, step, &options)?;
            if step == slice || !found.trace.accepted {
                return Ok(found.found);
            }
            track.steps.push(found);
        }
        Ok(None)
    }

    /// A track that begins at its prompted slice.
    pub(super) fn begun(&mut self, key: TrackKey) -> Result<Option<Track>> {
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
