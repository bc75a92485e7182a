//! What is known of one slice of an object: its mask, how it was seen, and what it attended to.

use crate::geometry::SliceIndex;
use crate::prompt::StepId;
use crate::session::masks::CroppedMask;
use crate::slices::SliceView;
use crate::tracking::{AttendedBank, SliceOutput};
use std::sync::Arc;

/// A slice's mask, and how the slice was shown to the network for it.
#[derive(Debug)]
pub struct SliceState {
    pub view: SliceView,
    pub output: SliceOutput,
    /// Predicted IoU.
    pub score: f64,
    pub mask: Option<Arc<CroppedMask>>,
}

impl Clone for SliceState {
    fn clone(&self) -> Self {
        Self { output: self.output.shallow_clone(), mask: self.mask.clone(), ..*self }
    }
}

/// What a track found on a slice, with what it attended to.
#[derive(Debug, Clone)]
pub struct Tracked {
    pub state: SliceState,
    pub attended: AttendedBank,
}

impl Tracked {
    /// What keeping it costs: its newest memory and its logits; the others belong to the steps before, too.
    pub fn bytes(&self) -> usize {
        self.attended.newest_bytes() + 4 * self.state.output.logits.numel()
    }
}

/// What was known of a slice before its first prompt.
#[derive(Debug, Clone)]
pub enum Reached {
    /// A track had been there. Its prompted slice, with the step that it began with.
    Tracked(Box<Tracked>, (SliceIndex, StepId)),
    /// The mask was given with all others of a volume.
    Known(SliceState),
}

impl Reached {
    /// The mask there.
    pub fn state(&self) -> &SliceState {
        match self {
            Self::Tracked(tracked, _) => &tracked.state,
            Self::Known(state) => state,
        }
    }

    /// What corrections attend to, and the view that it was seen in.
    pub fn attended(&self) -> Option<(&AttendedBank, SliceView)> {
        match self {
            Self::Tracked(tracked, _) => Some((&tracked.attended, tracked.state.view)),
            Self::Known(_) => None,
        }
    }

    /// The prompted slice that it depends on.
    pub fn source(&self) -> Option<(SliceIndex, StepId)> {
        match self {
            Self::Tracked(_, source) => Some(*source),
            Self::Known(_) => None,
        }
    }
}
