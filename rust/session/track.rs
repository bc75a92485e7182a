//! Tracks: one object from one prompted slice in one direction, as far as it was computed.

use crate::geometry::{SliceIndex, SliceRange};
use crate::prompt::ObjectId;
use crate::session::masks::CroppedMask;
use crate::session::trace::SliceTrace;
use crate::slices::SliceView;
use crate::tracking::Beam;
use std::sync::Arc;

/// Which way a track goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Heading {
    /// Rising slice numbers.
    Up,
    /// Falling slice numbers.
    Down,
}

/// Which track: of which object, from which prompted slice, which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrackKey {
    pub object: ObjectId,
    pub prompt_slice: SliceIndex,
    pub heading: Heading,
}

/// One slice of a track.
#[derive(Debug, Clone)]
pub struct TrackStep {
    /// Predicted IoU.
    pub score: f64,
    pub mask: Option<Arc<CroppedMask>>,
    pub trace: SliceTrace,
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
    pub fn of(object: ObjectId, prompted: &[SliceIndex], range: SliceRange) -> Vec<TrackSpan> {
        let mut spans = Vec::new();
        for (n, &prompt_slice) in prompted.iter().enumerate() {
            let span = |heading, from: usize, to: usize| TrackSpan {
                key: TrackKey { object, prompt_slice, heading },
                from,
                to,
                extends: true,
            };
            let end = prompted.get(n + 1).map_or(range.last.0 + 1, |next| next.0);
            let begin = n.checked_sub(1).map_or(range.first.0, |before| prompted[before].0 + 1);
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

    /// The index of a slice among the track's steps.
    pub fn position(&self, slice: SliceIndex) -> usize {
        slice.distance(self.key.prompt_slice) - 1
    }

    /// The slice before, in the order of propagation.
    pub fn previous(&self, slice: SliceIndex) -> SliceIndex {
        match self.key.heading {
            Heading::Up => SliceIndex(slice.0 - 1),
            Heading::Down => SliceIndex(slice.0 + 1),
        }
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
        let spans = TrackSpan::of(ObjectId::new(1).unwrap(), &[SliceIndex(3), SliceIndex(7)], range);
        let found: Vec<_> = spans.iter().map(|s| (s.key.prompt_slice.0, s.key.heading, s.from, s.to)).collect();
        let expected =
            [(3, Heading::Up, 4, 7), (3, Heading::Down, 0, 3), (7, Heading::Up, 8, 10), (7, Heading::Down, 4, 7)];
        assert_eq!(found, expected);
        assert_eq!((spans[3].position(SliceIndex(6)), spans[3].position(SliceIndex(4))), (0, 2));
        assert_eq!((spans[3].left_after(SliceIndex(6)), spans[3].previous(SliceIndex(6))), (2, SliceIndex(7)));
    }
}
