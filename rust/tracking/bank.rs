//! One path of the search: the prompted slice's memory and those of the slices that led here.

use crate::geometry::SliceIndex;
use crate::model::Memory;
use tch::Tensor;

/// A remembered slice. Banks share entries' tensors, which never change.
#[derive(Debug)]
pub struct Entry {
    /// The remembered slice.
    pub slice: SliceIndex,
    /// Features and object pointer.
    pub memory: Memory,
    /// The mask that it was made of, as the next slice's mask prior: logits [1, 1, m, m].
    pub logits: Tensor,
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        Self { memory: self.memory.clone(), logits: self.logits.shallow_clone(), ..*self }
    }
}

/// The prompted slice's entry first, then slices that were known behind it, then the path in the order of propagation.
#[derive(Debug, Clone)]
pub struct Bank {
    entries: Vec<Entry>,
    newest: Entry,
}

impl Bank {
    /// A path that begins at the prompted slice; `known`: slices behind it whose masks are known.
    pub fn new(prompt: Entry, known: Vec<Entry>) -> Self {
        Self { newest: prompt.clone(), entries: std::iter::once(prompt).chain(known).collect() }
    }

    /// The prompted slice's entry, then the path's.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The same path with other entries.
    pub fn map(&self, change: &mut impl FnMut(&Entry) -> Entry) -> Self {
        Self { newest: change(&self.newest), entries: self.entries.iter().map(change).collect() }
    }

    /// The slice that was segmented last.
    pub fn newest(&self) -> &Entry {
        &self.newest
    }

    /// Slice numbers, as [`super::candidates`] wants them.
    pub fn slices(&self) -> Vec<SliceIndex> {
        self.entries.iter().map(|e| e.slice).collect()
    }

    /// The path with one more slice. Entries more than `reach` slices away are dropped; the prompted slice's stays.
    pub fn extended(&self, entry: Entry, reach: usize) -> Self {
        let newest = entry.slice;
        let path = self.entries[1..].iter().filter(|e| e.slice.distance(newest) < reach);
        let entries = self.entries[..1].iter().chain(path).chain(std::iter::once(&entry)).cloned().collect();
        Self { entries, newest: entry }
    }
}
