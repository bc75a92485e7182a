//! What one propagation gathers and tells.

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::prompt::ObjectId;
use crate::session::known::Walked;
use crate::session::leg::Leg;
use crate::session::propagate::{Outcome, Trace};
use crate::session::trace::{Flow, Progress, SliceReport, SliceSink};
use crate::session::{Assembly, CroppedMask};
use std::sync::Arc;

pub struct Walk<'a> {
    pub outcome: Outcome,
    pub progress: Progress,
    sink: &'a mut dyn SliceSink,
}

impl<'a> Walk<'a> {
    pub fn new(expected: usize, sink: &'a mut dyn SliceSink) -> Self {
        let outcome = Outcome { assembly: Assembly::default(), trace: Trace::default(), stopped: false };
        Self { outcome, progress: Progress { done: 0, expected }, sink }
    }

    pub fn report(
        &mut self,
        object: ObjectId,
        slice: SliceIndex,
        score: f64,
        mask: Option<&Arc<CroppedMask>>,
    ) -> Result<()> {
        self.progress.done += 1;
        if let Some(mask) = mask {
            self.outcome.assembly.offer(object, slice, score, mask.clone());
        }
        if self.outcome.stopped {
            return Ok(()); // what is known is kept; nobody listens any more
        }
        let report = SliceReport { object, slice, mask, score, progress: self.progress };
        if self.sink.slice(report)? == Flow::Stop {
            self.outcome.stopped = true;
        }
        Ok(())
    }

    /// A slice of a leg; `ended`: no further one follows.
    pub fn walked(&mut self, leg: Leg, slice: SliceIndex, walked: &Walked, ended: bool) -> Result<()> {
        let entries = if leg.key.upwards { &mut self.outcome.trace.up } else { &mut self.outcome.trace.down };
        entries.push(walked.trace.clone());
        if ended {
            self.progress.expected -= leg.left_after(slice);
        }
        self.report(leg.key.object, slice, walked.score, walked.mask.as_ref())
    }
}
