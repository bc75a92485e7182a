//! What earlier propagations found, so that a change computes no more than it can change.
//!
//! A run is decided by its prompt and by the search alone. A new prompt on another slice only cuts it short, so its masks stay good; a range that
//! widens, or a walk that was cancelled, goes on where it stands.

use crate::geometry::SliceIndex;
use crate::memory::{FieldOfView, SearchOptions};
use crate::model::Memory;
use crate::prompt::{ObjectId, Prompts, SlicePrompt};
use crate::session::leg::LegKey;
use crate::session::run::{Prompted, Run};
use crate::session::{CroppedMask, SliceTrace, View};
use crate::slices::intensity_model::IntensityModel;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a prompt made of its slice.
#[derive(Debug)]
pub struct Start {
    pub given: SlicePrompt,
    pub view: View,
    pub prompted: Prompted,
    /// Made when the first run begins there: who only looks at a preview does not wait for it.
    pub memory: Option<Memory>,
    /// Made with the memory, where there is something to learn from.
    pub looks: Option<IntensityModel>,
    pub mask: Option<Arc<CroppedMask>>,
}

/// One slice of a run.
#[derive(Debug, Clone)]
pub struct Walked {
    pub score: f64,
    pub mask: Option<Arc<CroppedMask>>,
    pub trace: SliceTrace,
}

/// A run as far as it was walked.
#[derive(Debug)]
pub struct Course {
    /// Slices by their distance from the prompt.
    pub walked: Vec<Walked>,
    /// Where it stands; `None`: it has ended.
    pub run: Option<Run>,
}

/// Everything found from the present prompts.
#[derive(Debug, Default)]
pub struct Known {
    field_of_view: Option<FieldOfView>,
    search: Option<SearchOptions>,
    pub starts: BTreeMap<(ObjectId, SliceIndex), Start>,
    pub courses: BTreeMap<LegKey, Course>,
}

impl Known {
    /// Drops what the present prompts or another field of view contradict.
    pub fn keep_starts(&mut self, prompts: &Prompts, field_of_view: FieldOfView) {
        if self.field_of_view.replace(field_of_view).is_some_and(|before| before != field_of_view) {
            self.starts.clear();
        }
        self.starts.retain(|(object, slice), start| prompts.at(*object, *slice) == Some(&start.given));
        let starts = &self.starts;
        self.courses.retain(|key, _| starts.contains_key(&(key.object, key.prompt_slice)));
    }

    /// Drops courses of another search.
    pub fn keep_courses(&mut self, search: &SearchOptions) {
        if self.search.as_ref() != Some(search) {
            self.courses.clear();
            self.search = Some(search.clone());
        }
    }

    /// The course of a leg whose start is known and remembered.
    pub fn course(&mut self, key: LegKey) -> Option<&mut Course> {
        let start = self.starts.get(&(key.object, key.prompt_slice))?;
        let memory = start.memory.as_ref()?;
        Some(self.courses.entry(key).or_insert_with(|| {
            let logits = start.prompted.logits.shallow_clone();
            let run = Run::new(start.view, key.prompt_slice, memory.clone(), logits);
            Course { walked: Vec::new(), run: Some(run) }
        }))
    }
}
