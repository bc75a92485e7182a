//! What earlier propagations found, so that a change computes no more than it can change.
//!
//! A track is decided by its prompt and by the options alone. A new prompt on another slice only cuts it short, so its
//! masks stay good; a
//! range that widens, or a propagation that was cancelled, continues where it stands.

use crate::geometry::SliceIndex;
use crate::model::Memory;
use crate::prompt::{ObjectId, Prompts, SlicePrompt};
use crate::session::masks::CroppedMask;
use crate::session::track::{Track, TrackKey};
use crate::slices::intensity_model::IntensityModel;
use crate::slices::SliceView;
use crate::tracking::{Beam, FieldOfView, SliceOutput, TrackingOptions};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a prompt made of its slice.
#[derive(Debug)]
pub struct PromptedSlice {
    pub given: SlicePrompt,
    pub view: SliceView,
    pub output: SliceOutput,
    /// Predicted IoU.
    pub score: f64,
    pub mask: Option<Arc<CroppedMask>>,
    /// Made when the first track begins there: a preview does not wait for it.
    pub memory: Option<Memory>,
    /// Made with the memory, where there are pixels inside and around to learn from.
    pub intensity_model: Option<IntensityModel>,
}

/// Everything found from the present prompts.
#[derive(Debug, Default)]
pub struct TrackCache {
    field_of_view: Option<FieldOfView>,
    options: Option<TrackingOptions>,
    pub prompted: BTreeMap<(ObjectId, SliceIndex), PromptedSlice>,
    pub tracks: BTreeMap<TrackKey, Track>,
}

impl TrackCache {
    /// Drops what the present prompts or another field of view contradict.
    pub fn keep_prompted(&mut self, prompts: &Prompts, field_of_view: FieldOfView) {
        if self.field_of_view.replace(field_of_view).is_some_and(|before| before != field_of_view) {
            self.prompted.clear();
        }
        self.prompted.retain(|(object, slice), known| prompts.at(*object, *slice) == Some(&known.given));
        let prompted = &self.prompted;
        self.tracks.retain(|key, _| prompted.contains_key(&(key.object, key.prompt_slice)));
    }

    /// Drops tracks of other options.
    pub fn keep_tracks(&mut self, options: &TrackingOptions) {
        if self.options.as_ref() != Some(options) {
            self.tracks.clear();
            self.options = Some(options.clone());
        }
    }

    /// The track of a prompted slice that is known and remembered.
    pub fn track(&mut self, key: TrackKey) -> Option<&mut Track> {
        let prompted = self.prompted.get(&(key.object, key.prompt_slice))?;
        let memory = prompted.memory.as_ref()?;
        Some(self.tracks.entry(key).or_insert_with(|| {
            let logits = prompted.output.logits.shallow_clone();
            let beam = Beam::new(key.prompt_slice, memory.clone(), logits);
            Track { view: prompted.view, steps: Vec::new(), beam: Some(beam) }
        }))
    }
}
