//! Gathers what one propagation finds, and reports it.

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::prompt::ObjectId;
use crate::session::masks::{CroppedMask, MaskSet};
use crate::session::trace::{Flow, Progress, SliceReport, SliceSink, SliceTrace};
use crate::session::track::{Heading, TrackSpan, TrackStep};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How every slice was decided: upward tracks by rising, downward ones by falling slice number.
#[derive(Debug, Default, Serialize)]
pub struct Trace {
    /// Tracks towards rising slice numbers.
    pub up: Vec<SliceTrace>,
    /// Tracks towards falling slice numbers.
    pub down: Vec<SliceTrace>,
}

/// What is known after a propagation, what earlier ones found included.
#[derive(Debug, Default)]
pub struct PropagationResult {
    /// The masks of all objects.
    pub masks: MaskSet,
    /// The scores of all candidates.
    pub trace: Trace,
    /// True where the sink ended the propagation.
    pub stopped: bool,
}

/// A result in the making.
pub struct Collector<'a> {
    pub result: PropagationResult,
    pub progress: Progress,
    /// What was reported: it takes the place of masks that were known before.
    reported: BTreeSet<(ObjectId, SliceIndex)>,
    sink: &'a mut dyn SliceSink,
}

impl<'a> Collector<'a> {
    /// `initial`: masks that are known from the start.
    pub fn new(expected: usize, initial: MaskSet, sink: &'a mut dyn SliceSink) -> Self {
        let result = PropagationResult { masks: initial, ..PropagationResult::default() };
        Self { result, progress: Progress { done: 0, expected }, reported: BTreeSet::new(), sink }
    }

    /// A slice of an object, prompted or tracked.
    pub fn report(
        &mut self,
        object: ObjectId,
        slice: SliceIndex,
        score: f64,
        mask: Option<&Arc<CroppedMask>>,
    ) -> Result<()> {
        self.progress.done += 1;
        if let Some(mask) = mask {
            match self.reported.insert((object, slice)) {
                true => self.result.masks.replace(object, slice, Some((score, mask.clone()))),
                false => self.result.masks.offer(object, slice, score, mask.clone()),
            }
        }
        if self.result.stopped {
            return Ok(()); // what is known is kept; nobody listens any more
        }
        let report = SliceReport { object, slice, mask, score, progress: self.progress };
        if self.sink.slice(report)? == Flow::Stop {
            self.result.stopped = true;
        }
        Ok(())
    }

    /// A slice of a track; `ended`: no further one follows.
    pub fn tracked(&mut self, span: TrackSpan, slice: SliceIndex, step: &TrackStep, ended: bool) -> Result<()> {
        let trace = &mut self.result.trace;
        let entries = if span.key.heading == Heading::Up { &mut trace.up } else { &mut trace.down };
        entries.push(step.trace.clone());
        if ended {
            self.progress.expected -= span.left_after(slice);
        }
        self.report(span.key.object, slice, step.score, step.mask.as_ref())
    }
}
