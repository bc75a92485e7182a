//! Gathers what one propagation finds, and reports it.

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::prompt::ObjectId;
use crate::session::masks::{CroppedMask, MaskSet};
use crate::session::trace::{Flow, Progress, SliceReport, SliceSink, SliceTrace};
use crate::session::track::{Heading, TrackSpan, TrackStep};
use serde::Serialize;
use std::sync::Arc;

/// How every slice was decided: upward tracks by rising, downward ones by falling slice number.
#[derive(Debug, Default, Serialize)]
pub struct Trace {
    pub up: Vec<SliceTrace>,
    pub down: Vec<SliceTrace>,
}

/// What is known after a propagation, what earlier ones found included.
#[derive(Debug, Default)]
pub struct PropagationResult {
    pub masks: MaskSet,
    pub trace: Trace,
    /// True where the sink ended the propagation.
    pub stopped: bool,
}

/// A result in the making.
pub struct Collector<'a> {
    pub result: PropagationResult,
    pub progress: Progress,
    sink: &'a mut dyn SliceSink,
}

impl<'a> Collector<'a> {
    pub fn new(expected: usize, sink: &'a mut dyn SliceSink) -> Self {
        Self { result: PropagationResult::default(), progress: Progress { done: 0, expected }, sink }
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
            self.result.masks.offer(object, slice, score, mask.clone());
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
