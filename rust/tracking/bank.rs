//! One path of the search: the prompted slice's memory and those of the slices that led here.

use crate::geometry::SliceIndex;
use crate::model::Memory;
use tch::Tensor;

/// A remembered slice. Banks share entries' tensors, which never change.
#[derive(Debug)]
pub struct Entry {
    /// Tells the entries of a beam apart; banks that share an entry share its number.
    pub number: usize,
    pub slice: SliceIndex,
    pub memory: Memory,
    /// The mask that it was made of, as the next slice's mask prior: logits [1, 1, m, m].
    pub logits: Tensor,
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        Self { memory: self.memory.clone(), logits: self.logits.shallow_clone(), ..*self }
    }
}

/// The prompted slice's entry first, then the path in the order of propagation.
#[derive(Debug, Clone)]
pub struct Bank {
    entries: Vec<Entry>,
}

impl Bank {
    /// A path that begins at the prompted slice.
    pub fn new(prompt: Entry) -> Self {
        Self { entries: vec![prompt] }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The same path with other entries.
    pub fn map(&self, change: &mut impl FnMut(&Entry) -> Entry) -> Self {
        Self { entries: self.entries.iter().map(change).collect() }
    }

    /// The slice that was segmented last.
    pub fn newest(&self) -> &Entry {
        self.entries.last().unwrap_or(&self.entries[0])
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
        Self { entries }
    }
}
