//! What is said of one object on one slice, in the order in which it was said.

use crate::slices::roi::Roi;
use ndarray::Array2;
use std::fmt;

/// Whether something lies on the object or beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointLabel {
    /// It lies on the object.
    Foreground,
    /// It does not lie on the object.
    Background,
}

/// A point on a slice, in pixels; whole numbers are pixel centres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlicePoint {
    /// Row of the slice.
    pub row: f64,
    /// Column of the slice.
    pub column: f64,
    /// On the object or beside it.
    pub label: PointLabel,
}

/// A box on a slice, from (row, column) to (row, column), both inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SliceBox {
    /// Smallest row and column.
    pub first: [f64; 2],
    /// Largest row and column.
    pub last: [f64; 2],
}

impl SliceBox {
    /// The pixels of the box on a slice of `size` rows and columns.
    pub fn pixels(&self, size: [usize; 2]) -> Roi {
        pixels(self.first, self.last, size)
    }
}

/// The number of a step: rising in the order of all calls of a session.
pub type StepId = u64;

/// One prompt on one slice.
#[derive(Debug, Clone, PartialEq)]
pub enum PromptStep {
    /// Clicks of one call. Published networks decode them together; a network that is trained for it one after the
    /// other, each on the mask of those before.
    Clicks(Vec<SlicePoint>),
    /// Points along a line that was drawn; they are decoded together.
    Scribble(Vec<SlicePoint>),
    /// A box around the object.
    Box(SliceBox),
    /// The slice's mask, [rows, columns]; it replaces what was there.
    Mask(Array2<bool>),
    /// A region, [rows, columns], that is added to the mask or taken away from it.
    Region(Array2<bool>, PointLabel),
}

impl PromptStep {
    /// Whether it says where the object is, so that a slice without a mask can begin with it.
    pub fn is_positive(&self) -> bool {
        match self {
            Self::Clicks(points) | Self::Scribble(points) => {
                points.first().is_some_and(|point| point.label == PointLabel::Foreground)
            }
            Self::Box(_) | Self::Mask(_) => true,
            Self::Region(_, label) => *label == PointLabel::Foreground,
        }
    }
}

impl fmt::Display for PromptStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clicks(_) => "point",
            Self::Scribble(_) => "scribble",
            Self::Box(_) => "box",
            Self::Mask(_) => "mask",
            Self::Region(..) => "region",
        })
    }
}

/// Everything said of one object on one slice, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SlicePrompt {
    pub(super) steps: Vec<(StepId, PromptStep)>,
}

impl SlicePrompt {
    /// Steps with their numbers, oldest first.
    pub fn steps(&self) -> &[(StepId, PromptStep)] {
        &self.steps
    }

    /// The number of the newest step; `None` where nothing is said.
    pub fn newest(&self) -> Option<StepId> {
        self.steps.last().map(|(id, _)| *id)
    }

    /// What is decoded at step `n`: all points and the newest box since the newest mask, without points that a later
    /// region contradicts.
    pub fn decoded_at(&self, n: usize) -> (Vec<SlicePoint>, Option<SliceBox>) {
        let (mut points, mut bounds) = (Vec::new(), None);
        for (_, step) in &self.steps[..(n + 1).min(self.steps.len())] {
            match step {
                PromptStep::Clicks(more) | PromptStep::Scribble(more) => points.extend(more),
                PromptStep::Box(newest) => bounds = Some(*newest),
                PromptStep::Mask(_) => (points, bounds) = (Vec::new(), None),
                PromptStep::Region(region, label) => {
                    let inside = |p: &SlicePoint| region.get((p.row.round() as usize, p.column.round() as usize));
                    points.retain(|point: &SlicePoint| point.label == *label || inside(point) != Some(&true));
                }
            }
        }
        (points, bounds)
    }

    /// The points that count at the newest step.
    pub fn points(&self) -> Vec<SlicePoint> {
        self.decoded_at(self.steps.len()).0
    }

    /// The box that counts at the newest step.
    pub fn bounds(&self) -> Option<SliceBox> {
        self.decoded_at(self.steps.len()).1
    }

    /// The newest mask.
    pub fn newest_mask(&self) -> Option<&Array2<bool>> {
        self.steps.iter().rev().find_map(|(_, step)| match step {
            PromptStep::Mask(mask) => Some(mask),
            _ => None,
        })
    }

    /// Whether a mask is given.
    pub fn has_mask(&self) -> bool {
        self.newest_mask().is_some()
    }

    /// Whether a slice without a mask can begin with it.
    pub fn is_positive(&self) -> bool {
        self.steps.first().is_some_and(|(_, step)| step.is_positive())
    }
}

/// The pixels between two corners, moved into a slice of `size`.
fn pixels(first: [f64; 2], last: [f64; 2], size: [usize; 2]) -> Roi {
    let pixel = |at: [f64; 2]| [0, 1].map(|axis| (at[axis].round().max(0.0) as usize).min(size[axis] - 1));
    let (first, last) = (pixel(first), pixel(last));
    Roi { first, size: [0, 1].map(|axis| last[axis].saturating_sub(first[axis]) + 1) }
}

/// What points span on a slice of `size` rows and columns; `None` without one.
pub fn spanned(points: &[SlicePoint], size: [usize; 2]) -> Option<Roi> {
    let at = points.iter().map(|point| [point.row, point.column]).map(|at| pixels(at, at, size));
    at.reduce(|a, b| a.joined(&b))
}
