//! Masks that exist already: of a former result or of another tool. Each is a memory, and prompts correct it.

use crate::error::{Error, Result};
use crate::geometry::SliceIndex;
use crate::prompt::ObjectId;
use crate::session::masks::{CroppedMask, MaskSet};
use crate::session::track::{Heading, TrackKey};
use crate::session::Session;
use crate::slices::{self, SliceView};
use crate::tracking::{Entry, Phase, Tracker, MAX_WINDOW};
use ndarray::ArrayView3;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Session {
    /// Begins with the masks of a label map, [k, j, i]: its labels are objects. What was found before is dropped; an
    /// empty label map takes earlier masks back. Prompts stay.
    ///
    /// # Errors
    /// `InvalidInput` for another size than the scan's.
    pub fn set_initial(&mut self, labels: ArrayView3<u16>) -> Result<()> {
        let [i, j, k] = self.geometry().dims.0;
        if labels.dim() != (k, j, i) {
            let (found_k, found_j, found_i) = labels.dim();
            return Err(Error::invalid(format!(
                "initial masks: {found_i}x{found_j}x{found_k} voxels, expected the scan's {i}x{j}x{k}"
            )));
        }
        self.reset_found();
        self.initial.clear();
        for slice in (0..self.slice_count()).map(SliceIndex) {
            let plane = slices::extract(labels, self.axis(), slice);
            let found: BTreeSet<u16> = plane.iter().copied().filter(|&label| label > 0).collect();
            for label in found {
                let mask = CroppedMask::new(plane.mapv(|value| value == label).view());
                self.initial
                    .extend(mask.map(|mask| ((ObjectId::new(label).expect("it is above 0"), slice), Arc::new(mask))));
            }
        }
        Ok(())
    }

    /// The masks that are known from the start.
    pub fn initial(&self) -> MaskSet {
        let mut all = MaskSet::default();
        for (&(object, slice), mask) in &self.initial {
            all.replace(object, slice, Some((1.0, mask.clone())));
        }
        all
    }

    /// The known slices behind a prompted one, nearest last, as memories of a track.
    pub(super) fn known_behind(&mut self, key: TrackKey, view: SliceView) -> Result<Vec<Entry>> {
        let behind = |distance: usize| match key.heading {
            Heading::Up => key.prompt_slice.0.checked_sub(distance),
            Heading::Down => Some(key.prompt_slice.0 + distance),
        };
        let wanted: Vec<(SliceIndex, Arc<CroppedMask>)> = (1..MAX_WINDOW)
            .rev()
            .filter_map(behind)
            .filter_map(|slice| Some((SliceIndex(slice), self.initial.get(&(key.object, SliceIndex(slice)))?.clone())))
            .filter(|(slice, _)| self.prompts.at(key.object, *slice).is_none())
            .collect();
        let mut entries = Vec::new();
        for (slice, mask) in wanted {
            let output = self.accepted(slice, view, &mask.on_slice(self.slice_size()))?;
            let (image, _) = self.inputs.embedding(&self.model, (slice, view))?;
            let memory =
                self.model.compute(|network| Tracker::new(network, Phase::Inference).remember(&image, &output))?;
            entries.push(Entry { slice, memory, logits: output.logits });
        }
        Ok(entries)
    }
}
