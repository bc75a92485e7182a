//! The evaluation protocol: prompt slice, prompt kind, stop rule.
//!
//! In: the ground-truth mask of an object. Out: its prompt slice, its first and last slice, a prompt. Source:
//! SAM2-ProMem, section 3; choices that the paper leaves open are marked as ours.

use crate::datasets::BinaryMask;
use crate::error::{Error, Result};
use crate::evaluate::interaction::{user, Interaction};
use crate::geometry::{Axis, SliceIndex, SliceRange, Spacing, VoxelIndex};
use crate::prompt::{ObjectId, PointLabel, Prompts};
use crate::session::Direction;
use crate::tracking::SearchOptions;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// The prompt on the prompt slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum PromptKind {
    /// The ground-truth mask
    Mask,
    /// The mask's bounding box
    Box,
    /// The pixel of the mask that is farthest from its border
    Point,
}

/// How far a method propagates from the prompt slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopRule {
    /// At most to the volume's ends; the method stops by itself.
    Free,
    /// To the object's first and last slice (the paper's 'ground-truth range').
    GroundTruthRange,
}

impl std::fmt::Display for StopRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Free => "free stop",
            Self::GroundTruthRange => "ground-truth range",
        })
    }
}

/// How a method is tested.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Protocol {
    /// `None`: the data set's, else the axis of the largest spacing, else k.
    pub axis: Option<Axis>,
    /// 0 is the object's first slice, 1 its last.
    pub position: f64,
    /// What the model is prompted with.
    pub prompt: PromptKind,
    /// Where a propagation ends.
    pub stop_rule: StopRule,
    /// Which way it goes from the prompt slice.
    pub direction: Direction,
    /// How memory is searched.
    pub search: SearchOptions,
    /// The simulated user; `None`: the prompt alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interaction: Option<Interaction>,
}

impl Default for Protocol {
    /// The paper's: the mask of the middle slice, both directions, free stop, memory window search.
    fn default() -> Self {
        Self {
            axis: None,
            position: 0.5,
            prompt: PromptKind::Mask,
            stop_rule: StopRule::Free,
            direction: Direction::Both,
            search: SearchOptions::promem(),
            interaction: None,
        }
    }
}

/// The prompt slice and the ground-truth range of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The slice that the prompt lies on.
    pub prompt_slice: usize,
    /// First slice of the ground-truth mask.
    pub first: usize,
    /// Last slice of the ground-truth mask, included.
    pub last: usize,
}

impl Task {
    /// `None` for an empty mask. A position between two slices takes the lower one (ours). Where the object is absent
    /// from that slice, the nearest slice that contains it is taken, the lower one at a tie (ours).
    pub fn new(truth: &BinaryMask, axis: Axis, position: f64) -> Option<Self> {
        let areas = truth.areas(axis);
        let first = areas.iter().position(|&area| area > 0)?;
        let last = areas.iter().rposition(|&area| area > 0)?;
        // 0.3 * 10 is a hair above 3 and 0.7 * 10 a hair below 7: slice numbers must not depend on that.
        let wanted = first + (position * (last - first) as f64 + 1e-9).floor() as usize;
        let prompt_slice = (first..=last)
            .filter(|&slice| areas[slice] > 0)
            .min_by_key(|&slice| (slice.abs_diff(wanted), slice))
            .unwrap_or(first);
        Some(Self { prompt_slice, first, last })
    }

    /// The slices that a method may segment, of a volume of `count` slices.
    pub fn allowed(&self, stop_rule: StopRule, count: usize) -> SliceRange {
        match stop_rule {
            StopRule::Free => SliceRange::whole(count),
            StopRule::GroundTruthRange => SliceRange { first: SliceIndex(self.first), last: SliceIndex(self.last) },
        }
    }
}

/// Adds the object's prompt on its prompt slice.
pub fn add_prompt(
    prompts: &mut Prompts,
    object: ObjectId,
    truth: &BinaryMask,
    slice: SliceIndex,
    kind: PromptKind,
) -> Result<()> {
    let axis = prompts.axis();
    let mask = truth.slice(axis, slice);
    let voxel = |row: usize, column: usize| voxel_on_slice(axis, slice, row, column);
    match kind {
        PromptKind::Mask => prompts.add_mask(object, slice, mask),
        PromptKind::Box => {
            let (first, last) = bounds_of(&mask).ok_or_else(|| empty(object, slice))?;
            prompts.add_box(object, voxel(first[0], first[1]), voxel(last[0], last[1]))
        }
        PromptKind::Point => {
            let (row, column) = innermost(&mask).ok_or_else(|| empty(object, slice))?;
            prompts.add_point(object, voxel(row, column), PointLabel::Foreground)
        }
    }
}

/// The voxel at a row and column of a slice.
pub fn voxel_on_slice(axis: Axis, slice: SliceIndex, row: usize, column: usize) -> VoxelIndex {
    let (columns, rows) = axis.in_plane();
    let mut index = [0; 3];
    index[axis.index()] = slice.0;
    index[rows.index()] = row;
    index[columns.index()] = column;
    VoxelIndex(index)
}

/// First and last row and column of a mask, both inside; `None` for an empty mask.
pub fn bounds_of(mask: &Array2<bool>) -> Option<([usize; 2], [usize; 2])> {
    let mut inside = mask.indexed_iter().filter(|(_, &inside)| inside).map(|((row, column), _)| [row, column]);
    let start = inside.next()?;
    let wider = |(first, last): ([usize; 2], [usize; 2]), at: [usize; 2]| {
        ([0, 1].map(|n| first[n].min(at[n])), [0, 1].map(|n| last[n].max(at[n])))
    };
    Some(inside.fold((start, start), wider))
}

fn empty(object: ObjectId, slice: SliceIndex) -> Error {
    Error::invalid(format!("object {object}: its mask on the prompt slice {slice} is empty"))
}

/// The pixel with the largest distance to the background; pixels beyond the image border count as background. The first
/// one at a tie.
fn innermost(mask: &Array2<bool>) -> Option<(usize, usize)> {
    let inside: Vec<_> = mask.indexed_iter().filter(|(_, &inside)| inside).map(|(at, _)| at).collect();
    (!inside.is_empty()).then(|| user::innermost(&inside, mask.dim()))
}

/// Non-learning baseline: copies the mask of the prompt slice to its neighbours.
///
/// Free stop: to the radius of the ball whose largest cross section has the mask's area.
pub fn copy(truth: &BinaryMask, axis: Axis, task: Task, stop_rule: StopRule, spacing: Spacing) -> BinaryMask {
    let count = truth.dims()[2 - axis.index()];
    let mask = truth.slice(axis, SliceIndex(task.prompt_slice));
    let (columns, rows) = axis.in_plane();
    let pixel = spacing.0[columns.index()] * spacing.0[rows.index()];
    let area = mask.iter().filter(|&&inside| inside).count() as f64 * pixel;
    let radius = ((area / std::f64::consts::PI).sqrt() / spacing.0[axis.index()]).round() as usize;
    let (first, last) = match stop_rule {
        StopRule::Free => (task.prompt_slice.saturating_sub(radius), (task.prompt_slice + radius).min(count - 1)),
        StopRule::GroundTruthRange => (task.first, task.last),
    };
    let planes = (first..=last).map(|slice| (SliceIndex(slice), [0, 0], mask.view()));
    BinaryMask::from_planes(truth.dims(), axis, planes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    /// A bar along k on slices 4..=13, missing on slice 8.
    fn bar() -> BinaryMask {
        let inside =
            |k: usize, j: usize, i: usize| (4..14).contains(&k) && k != 8 && (2..5).contains(&j) && (3..8).contains(&i);
        BinaryMask::new(Array3::from_shape_fn((20, 9, 10), |(k, j, i)| inside(k, j, i)).view())
    }

    #[test]
    fn position_selects_from_first_to_last_slice_and_never_a_gap() {
        let at = |position| Task::new(&bar(), Axis::K, position).unwrap().prompt_slice;
        assert_eq!([0.0, 0.1, 0.3, 0.9, 1.0].map(at), [4, 4, 6, 12, 13]);
        assert_eq!(at(0.5), 7, "slice 8 shows nothing; 7 and 9 are as near, the lower one counts");
        assert_eq!(Task::new(&BinaryMask::empty([3, 3, 3]), Axis::K, 0.5), None);
    }

    #[test]
    fn box_and_point_prompts_lie_on_the_mask() {
        let mut prompts = Prompts::new(crate::geometry::Dims([10, 9, 20]), Axis::K);
        let object = ObjectId::new(1).unwrap();
        for kind in [PromptKind::Box, PromptKind::Point] {
            add_prompt(&mut prompts, object, &bar(), SliceIndex(5), kind).unwrap();
        }
        let given = &prompts.objects()[&object][&SliceIndex(5)];
        let bounds = given.bounds().unwrap();
        assert_eq!((bounds.first, bounds.last), ([2.0, 3.0], [4.0, 7.0]));
        assert_eq!((given.points()[0].row, given.points()[0].column), (3.0, 4.0));
    }

    #[test]
    fn copy_extends_to_the_radius_of_a_ball_with_the_masks_area() {
        let task = Task::new(&bar(), Axis::K, 0.0).unwrap();
        // 15 pixels of 2 x 3 mm: a radius of 5.35 mm, 2.7 slices of 2 mm.
        let copied = copy(&bar(), Axis::K, task, StopRule::Free, Spacing([2.0, 3.0, 2.0]));
        let slices: Vec<usize> =
            copied.areas(Axis::K).iter().enumerate().filter(|(_, &a)| a > 0).map(|(n, _)| n).collect();
        assert_eq!(slices, [1, 2, 3, 4, 5, 6, 7]);
        let given = copy(&bar(), Axis::K, task, StopRule::GroundTruthRange, Spacing([2.0, 3.0, 2.0]));
        assert_eq!(given.areas(Axis::K)[4..14], [15; 10]);
    }
}
