//! Tracks: one object from one prompted slice in one direction, as far as it was computed.

use crate::geometry::{SliceIndex, SliceRange};
use crate::model::Memory;
use crate::prompt::{ObjectId, StepId};
use crate::session::masks::CroppedMask;
use crate::session::slice_state::Tracked;
use crate::session::trace::SliceTrace;
use crate::slices::SliceView;
use crate::tracking::{Beam, Entry};
use std::sync::Arc;
use tch::Tensor;

/// Which way a track goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Heading {
    /// Rising slice numbers.
    Up,
    /// Falling slice numbers.
    Down,
}

/// Which track: of which object, from which prompted slice as which of its prompts made it, which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrackKey {
    pub object: ObjectId,
    pub prompt_slice: SliceIndex,
    /// The newest step of the prompted slice.
    pub step: StepId,
    pub heading: Heading,
}

impl TrackKey {
    /// The index of a slice among the track's steps; `None` where it lies the other way.
    pub fn position(&self, slice: SliceIndex) -> Option<usize> {
        let ahead = match self.heading {
            Heading::Up => slice.0.checked_sub(self.prompt_slice.0),
            Heading::Down => self.prompt_slice.0.checked_sub(slice.0),
        };
        ahead?.checked_sub(1)
    }

    /// The slice before, in the order of propagation.
    pub fn previous(&self, slice: SliceIndex) -> SliceIndex {
        match self.heading {
            Heading::Up => SliceIndex(slice.0 - 1),
            Heading::Down => SliceIndex(slice.0 + 1),
        }
    }

    /// The slices of the track as far as `slice`, in the order of propagation.
    pub fn slices_to(&self, slice: SliceIndex) -> Vec<SliceIndex> {
        let from = self.prompt_slice.0;
        match self.heading {
            Heading::Up => (from + 1..=slice.0).map(SliceIndex).collect(),
            Heading::Down => (slice.0..from).rev().map(SliceIndex).collect(),
        }
    }
}

/// One slice of a track.
#[derive(Debug)]
pub struct TrackStep {
    /// Predicted IoU.
    pub score: f64,
    pub mask: Option<Arc<CroppedMask>>,
    pub trace: SliceTrace,
    /// What a correction would begin with; it may be let go to save memory.
    pub found: Option<Box<Tracked>>,
    /// The newest propagation that reported it.
    pub reported: StepId,
}

impl TrackStep {
    /// What is reported of it.
    pub fn shown(&self) -> Self {
        Self { mask: self.mask.clone(), trace: self.trace.clone(), found: None, ..*self }
    }
}

/// A track as far as it was computed.
#[derive(Debug)]
pub struct Track {
    /// How its slices are presented to the network; the region follows the object.
    pub view: SliceView,
    /// Slices by their distance from the prompted one.
    pub steps: Vec<TrackStep>,
    /// Its memories; `None`: the track has ended.
    pub beam: Option<Beam>,
    /// Slices in a row whose mask is nearly the known one.
    pub agreeing: usize,
}

impl Track {
    /// A track that begins at a prompted slice; `known`: slices behind it whose masks are known.
    pub fn new(slice: SliceIndex, view: SliceView, memory: Memory, logits: Tensor, known: Vec<Entry>) -> Self {
        let beam = Beam::beside(Entry { slice, memory, logits }, known);
        Self { view, steps: Vec::new(), beam: Some(beam), agreeing: 0 }
    }

    /// Its step on a slice.
    pub fn step(&self, key: TrackKey, slice: SliceIndex) -> Option<&TrackStep> {
        self.steps.get(key.position(slice)?)
    }
}

/// The slices of a track that a request wants.
#[derive(Debug, Clone, Copy)]
pub struct TrackSpan {
    pub key: TrackKey,
    /// Slices from..to, whichever way the track goes.
    pub from: usize,
    pub to: usize,
    /// Whether the track may be computed further than it is.
    pub extends: bool,
}

impl TrackSpan {
    /// The two tracks of every prompted slice of an object: each ends before the next prompted slice, and within
    /// `range`.
    pub fn of(object: ObjectId, prompted: &[(SliceIndex, StepId)], range: SliceRange) -> Vec<TrackSpan> {
        let mut spans = Vec::new();
        for (n, &(prompt_slice, step)) in prompted.iter().enumerate() {
            let span = |heading, from: usize, to: usize| TrackSpan {
                key: TrackKey { object, prompt_slice, step, heading },
                from,
                to,
                extends: true,
            };
            let end = prompted.get(n + 1).map_or(range.last.0 + 1, |next| next.0 .0);
            let begin = n.checked_sub(1).map_or(range.first.0, |before| prompted[before].0 .0 + 1);
            spans.push(span(Heading::Up, prompt_slice.0 + 1, end));
            spans.push(span(Heading::Down, begin, prompt_slice.0));
        }
        spans
    }

    pub fn len(&self) -> usize {
        self.to.saturating_sub(self.from)
    }

    pub fn covers(&self, slice: SliceIndex) -> bool {
        (self.from..self.to).contains(&slice.0)
    }

    /// How many slices of the span follow this one.
    pub fn left_after(&self, slice: SliceIndex) -> usize {
        match self.key.heading {
            Heading::Up => self.to - slice.0 - 1,
            Heading::Down => slice.0 - self.from,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_meet_between_two_prompts_and_end_before_them() {
        let range = SliceRange::whole(10);
        let spans = TrackSpan::of(ObjectId::new(1).unwrap(), &[(SliceIndex(3), 1), (SliceIndex(7), 2)], range);
        let found: Vec<_> = spans.iter().map(|s| (s.key.prompt_slice.0, s.key.heading, s.from, s.to)).collect();
        let expected =
            [(3, Heading::Up, 4, 7), (3, Heading::Down, 0, 3), (7, Heading::Up, 8, 10), (7, Heading::Down, 4, 7)];
        assert_eq!(found, expected);
        let key = spans[3].key;
        assert_eq!([6, 4, 8].map(|slice| key.position(SliceIndex(slice))), [Some(0), Some(2), None]);
        assert_eq!((spans[3].left_after(SliceIndex(6)), key.previous(SliceIndex(6))), (2, SliceIndex(7)));
        assert_eq!(key.slices_to(SliceIndex(5)), [SliceIndex(6), SliceIndex(5)]);
    }
}
