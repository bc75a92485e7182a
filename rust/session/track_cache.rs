//! What earlier propagations found, so that a change computes no more than it can change.
//!
//! A track is decided by its prompt and by the options alone. A new prompt on another slice only cuts it short, so its
//! masks stay good; a range that widens, or a propagation that was cancelled, continues where it stands.

use crate::geometry::SliceIndex;
use crate::model::Memory;
use crate::prompt::{ObjectId, Prompts, StepId};
use crate::session::slice_state::{Reached, SliceState};
use crate::session::track::{Track, TrackKey};
use crate::slices::intensity_model::IntensityModel;
use crate::tracking::{FieldOfView, TrackingOptions};
use std::collections::{BTreeMap, VecDeque};

/// Bytes of what tracks attended to that are kept for corrections; beyond, a track is computed once more.
const KEPT_BYTES: usize = 256 << 20;

/// What a slice's prompts up to a step make of it.
#[derive(Debug)]
pub struct PromptedState {
    pub step: StepId,
    pub slice: SliceState,
    /// Made when the first track begins there: a preview does not wait for it.
    pub memory: Option<Memory>,
    /// Made with the memory, where there are pixels inside and around to learn from.
    pub intensity_model: Option<IntensityModel>,
}

/// A slice with prompts.
#[derive(Debug, Default)]
pub struct PromptedSlice {
    /// What was known of it before its first prompt.
    pub reached: Option<Reached>,
    /// One for each step, as far as they were computed.
    pub states: Vec<PromptedState>,
}

impl PromptedSlice {
    /// The state after a step.
    pub fn state(&self, step: StepId) -> Option<&PromptedState> {
        self.states.iter().find(|state| state.step == step)
    }
}

/// Everything found from the present prompts.
#[derive(Debug, Default)]
pub struct TrackCache {
    field_of_view: Option<FieldOfView>,
    options: Option<TrackingOptions>,
    pub prompted: BTreeMap<(ObjectId, SliceIndex), PromptedSlice>,
    pub tracks: BTreeMap<TrackKey, Track>,
    /// What tracks keep for corrections, oldest first: track, position, bytes.
    kept: VecDeque<(TrackKey, usize, usize)>,
    kept_bytes: usize,
}

impl TrackCache {
    /// Drops what the present prompts or another field of view contradict.
    ///
    /// States and tracks of steps that were taken back go; those of the steps before stay. A slice whose prompts began on
    /// what a track had found there begins anew where that track's prompt is gone.
    pub fn keep_prompted(&mut self, prompts: &Prompts, field_of_view: FieldOfView) {
        if self.field_of_view.replace(field_of_view).is_some_and(|before| before != field_of_view) {
            self.prompted.clear();
        }
        let given = |object: ObjectId, slice: SliceIndex, step: StepId| {
            prompts.at(object, slice).is_some_and(|prompt| prompt.steps().iter().any(|(id, _)| *id == step))
        };
        for (&(object, slice), known) in &mut self.prompted {
            known.states.retain(|state| given(object, slice, state.step));
        }
        self.prompted.retain(|(object, slice), _| prompts.at(*object, *slice).is_some());
        self.tracks.retain(|key, _| given(key.object, key.prompt_slice, key.step));
        loop {
            let lost: Vec<(ObjectId, SliceIndex)> = (self.prompted.iter())
                .filter(|((object, _), known)| {
                    let source = known.reached.as_ref().and_then(|reached| reached.source());
                    source.is_some_and(|(slice, step)| {
                        !given(*object, slice, step) || !self.prompted.contains_key(&(*object, slice))
                    })
                })
                .map(|(key, _)| *key)
                .collect();
            if lost.is_empty() {
                return;
            }
            for key in lost {
                self.prompted.remove(&key);
                self.tracks.retain(|track, _| (track.object, track.prompt_slice) != key);
            }
        }
    }

    /// Drops tracks of other options.
    pub fn keep_tracks(&mut self, options: &TrackingOptions) {
        if self.options.as_ref() != Some(options) {
            self.drop_tracks();
            self.options = Some(options.clone());
        }
    }

    /// The field of view of what is known.
    pub fn field_of_view(&self) -> Option<FieldOfView> {
        self.field_of_view
    }

    /// The options of the tracks.
    pub fn options(&self) -> Option<&TrackingOptions> {
        self.options.as_ref()
    }

    /// What the newest prompt of a slice made of it.
    pub fn newest(&self, object: ObjectId, slice: SliceIndex) -> Option<&PromptedState> {
        self.prompted.get(&(object, slice))?.states.last()
    }

    /// Notes that a step of a track keeps what it attended to, and lets the oldest go where all are too large.
    pub fn note_kept(&mut self, key: TrackKey, position: usize, bytes: usize) {
        self.kept.push_back((key, position, bytes));
        self.kept_bytes += bytes;
        while self.kept_bytes > KEPT_BYTES {
            let Some((key, position, bytes)) = self.kept.pop_front() else { return };
            self.kept_bytes -= bytes;
            if let Some(step) = self.tracks.get_mut(&key).and_then(|track| track.steps.get_mut(position)) {
                step.found = None;
            }
        }
    }

    /// Forgets what tracks found; what corrections began with stays.
    pub fn forget(&mut self) {
        for known in self.prompted.values_mut() {
            known.states.clear();
        }
        self.drop_tracks();
    }

    fn drop_tracks(&mut self) {
        self.tracks.clear();
        (self.kept, self.kept_bytes) = (VecDeque::new(), 0);
    }
}
