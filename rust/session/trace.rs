//! What a propagation tells while it goes on.

use crate::error::Result;
use crate::geometry::SliceIndex;
use crate::prompt::ObjectId;
use crate::session::masks::CroppedMask;
use crate::tracking::CandidateScores;
use serde::Serialize;
use std::sync::Arc;

/// How one slice was decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SliceTrace {
    pub slice: usize,
    /// Candidates in the order in which they were tried.
    pub candidates: Vec<CandidateScores>,
    /// Their indices from the best to the worst.
    pub order: Vec<usize>,
    pub object: u16,
    /// The slice from which this track started.
    pub prompt_slice: usize,
    /// False where the track ended before this slice.
    pub accepted: bool,
    /// Image embedding; 0 where it was there already.
    pub encode_ms: f64,
    /// Candidates and the memories of the survivors.
    pub search_ms: f64,
}

/// How far a propagation is, in slices times objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub done: usize,
    /// Falls when a track ends early.
    pub expected: usize,
}

/// One slice of one object, as soon as it is known.
#[derive(Debug)]
pub struct SliceReport<'a> {
    pub object: ObjectId,
    pub slice: SliceIndex,
    /// `None` where the track ended before this slice.
    pub mask: Option<&'a Arc<CroppedMask>>,
    /// Predicted IoU of the mask; 1 for a mask that the user gave.
    pub score: f64,
    pub progress: Progress,
}

/// Whether the propagation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// Ends the propagation; what is done is kept.
    Stop,
}

/// Receives slices as they are made; it may end the propagation.
pub trait SliceSink {
    fn slice(&mut self, report: SliceReport) -> Result<Flow>;
}

impl<F: FnMut(SliceReport) -> Result<Flow>> SliceSink for F {
    fn slice(&mut self, report: SliceReport) -> Result<Flow> {
        self(report)
    }
}
