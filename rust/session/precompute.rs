//! Embeddings ahead of need, while the user still looks and points.

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::session::trace::{Flow, Progress};
use crate::session::Session;
use crate::slices::SliceView;
use crate::tracking::FieldOfView;
use std::collections::HashSet;

impl Session {
    /// Encodes the slices that a propagation will need, those next to prompts first, until all are there, the cache is
    /// full or `watch` ends
    /// it. True where it was not ended by `watch`.
    ///
    /// Where the field of view is the object, only the surroundings of prompts can be known; without prompts there is
    /// nothing to do.
    pub fn precompute(
        &mut self,
        field_of_view: Option<FieldOfView>,
        watch: &mut dyn FnMut(Progress) -> Flow,
    ) -> Result<bool> {
        let count = self.slice_count();
        let mut order: Vec<(usize, SliceIndex, SliceView)> = Vec::new();
        for (centre, view) in self.wanted(field_of_view)? {
            order.extend((0..count).map(SliceIndex).map(|slice| (slice.distance(centre), slice, view)));
        }
        order.sort_by_key(|(distance, slice, _)| (*distance, *slice));
        let mut seen = HashSet::new(); // prompts that share a view share its slices
        order.retain(|&(_, slice, view)| seen.insert((slice, view)));
        let mut progress = Progress { done: 0, expected: order.len() };
        for (_, slice, view) in order {
            let before = self.cache().bytes();
            self.inputs.embedding(&self.model, (slice, view))?;
            progress.done += 1;
            let added = self.cache().bytes().saturating_sub(before);
            if watch(progress) == Flow::Stop {
                return Ok(false);
            }
            if added > 0 && self.cache().bytes() + added > self.cache().limit() {
                break; // a further one would push out one that is needed sooner
            }
        }
        Ok(true)
    }

    /// Slices to begin at, and how they and their neighbours will be shown.
    fn wanted(&mut self, field_of_view: Option<FieldOfView>) -> Result<Vec<(SliceIndex, SliceView)>> {
        let prompts = self.prompts.objects().clone();
        let given = prompts.values().flatten().filter(|(_, given)| given.is_positive());
        let field_of_view = self.field_of_view(field_of_view);
        let whole = field_of_view == FieldOfView::Slice;
        let mut wanted = Vec::new();
        for (&slice, given) in given {
            wanted.push((slice, self.view_of(slice, given, field_of_view)?));
        }
        if whole && wanted.is_empty() {
            let middle = self.slice_count() / 2;
            wanted.push((SliceIndex(middle), self.whole_view()));
        }
        Ok(wanted)
    }
}
