//! What the user points at: points, scribbles, lassos, boxes and masks, per object, in the order in which they are given.
//!
//! In: voxel indices and masks. Out: prompts in slice coordinates, checked against the volume. Knows nothing of networks.

mod mapping;
mod object;
mod shapes;
mod step;

pub use mapping::Prompt;
pub use object::ObjectId;
pub use step::{spanned, PointLabel, PromptStep, SliceBox, SlicePoint, SlicePrompt, StepId};

use crate::error::Result;
use crate::geometry::{Axis, Dims, SliceIndex, SliceRange, VoxelIndex};
use mapping::{Mapped, Planes};
use ndarray::Array2;
use std::collections::BTreeMap;

/// All prompts of a volume seen along one axis.
///
/// ```
/// use promem::geometry::{Axis, Dims, SliceIndex, VoxelIndex};
/// use promem::prompt::{ObjectId, PointLabel, Prompts};
///
/// let mut prompts = Prompts::new(Dims([512, 512, 60]), Axis::K);
/// let liver = ObjectId::new(1)?;
/// prompts.add_point(liver, VoxelIndex([200, 240, 30]), PointLabel::Foreground)?;
/// prompts.add_box(liver, VoxelIndex([150, 180, 42]), VoxelIndex([260, 300, 42]))?;
/// assert!(prompts.at(liver, SliceIndex(42)).is_some_and(|slice| slice.bounds().is_some()));
///
/// assert!(prompts.undo(liver)); // the box
/// assert!(prompts.at(liver, SliceIndex(42)).is_none());
///
/// let outside = prompts.add_point(liver, VoxelIndex([512, 0, 0]), PointLabel::Foreground);
/// assert_eq!(outside.unwrap_err().to_string(), "point 512,0,0: outside the volume of 512x512x60 voxels");
/// # Ok::<(), promem::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Prompts {
    planes: Planes,
    objects: BTreeMap<ObjectId, BTreeMap<SliceIndex, SlicePrompt>>,
    /// Slices that boxes in three dimensions span.
    ranges: BTreeMap<ObjectId, Vec<(StepId, SliceRange)>>,
    /// The number of the newest call.
    calls: StepId,
}

impl Prompts {
    /// No prompts yet.
    pub fn new(dims: Dims, axis: Axis) -> Self {
        Self { planes: Planes { dims, axis }, objects: BTreeMap::new(), ranges: BTreeMap::new(), calls: 0 }
    }

    /// The axis across which the slices lie.
    pub fn axis(&self) -> Axis {
        self.planes.axis
    }

    /// Prompts by object, then by slice, both rising.
    pub fn objects(&self) -> &BTreeMap<ObjectId, BTreeMap<SliceIndex, SlicePrompt>> {
        &self.objects
    }

    /// What is said of an object on a slice.
    pub fn at(&self, object: ObjectId, slice: SliceIndex) -> Option<&SlicePrompt> {
        self.objects.get(&object)?.get(&slice)
    }

    /// The slices that the newest box in three dimensions spans, and those of the object's other prompts; `None` without
    /// such a box.
    pub fn range(&self, object: ObjectId) -> Option<SliceRange> {
        self.range_at(object, StepId::MAX)
    }

    /// The same from the prompts given before the call `call`.
    pub(crate) fn range_at(&self, object: ObjectId, call: StepId) -> Option<SliceRange> {
        let (_, range) = self.ranges.get(&object)?.iter().rev().find(|(id, _)| *id < call)?;
        let before = self.objects.get(&object)?.iter().filter(|(_, given)| given.steps()[0].0 < call);
        let slices = || before.clone().map(|(&slice, _)| slice);
        let first = slices().next().map_or(range.first, |slice| slice.min(range.first));
        let last = slices().next_back().map_or(range.last, |slice| slice.max(range.last));
        Some(SliceRange { first, last })
    }

    /// Adds a prompt; it becomes the newest step of every slice that it lies on.
    ///
    /// # Errors
    /// `InvalidInput` for what lies outside the volume or says nothing.
    pub fn add(&mut self, object: ObjectId, prompt: &Prompt) -> Result<()> {
        let mapped = self.planes.map(object, prompt)?;
        self.push(object, mapped);
        Ok(())
    }

    /// The slices that a prompt lies on, with what it becomes there.
    pub(crate) fn map(&self, object: ObjectId, prompt: &Prompt) -> Result<Mapped> {
        self.planes.map(object, prompt)
    }

    /// Adds what [`Prompts::map`] gave.
    pub(crate) fn push(&mut self, object: ObjectId, mapped: Mapped) {
        let id = self.next_call();
        if let Some(range) = mapped.range {
            self.ranges.entry(object).or_default().push((id, range));
        }
        let slices = self.objects.entry(object).or_default();
        for (slice, step) in mapped.steps {
            slices.entry(slice).or_default().steps.push((id, step));
        }
    }

    /// The number of a call that is made now.
    pub(crate) fn next_call(&mut self) -> StepId {
        self.calls += 1;
        self.calls
    }

    /// A click at a voxel's centre.
    ///
    /// # Errors
    /// As [`Prompts::add`].
    pub fn add_point(&mut self, object: ObjectId, voxel: VoxelIndex, label: PointLabel) -> Result<()> {
        self.add(object, &Prompt::Clicks(vec![(voxel, label)]))
    }

    /// A box between two voxels, both inside; see [`Prompt::Box`].
    ///
    /// # Errors
    /// As [`Prompts::add`].
    pub fn add_box(&mut self, object: ObjectId, corner: VoxelIndex, opposite: VoxelIndex) -> Result<()> {
        self.add(object, &Prompt::Box([corner, opposite], PointLabel::Foreground))
    }

    /// A mask [rows, columns] of a slice. An empty one is refused.
    ///
    /// # Errors
    /// As [`Prompts::add`].
    pub fn add_mask(&mut self, object: ObjectId, slice: SliceIndex, mask: Array2<bool>) -> Result<()> {
        self.add(object, &Prompt::Mask(slice, mask))
    }

    /// Takes back the newest prompt of an object, on all slices that it lies on; false where there is none.
    pub fn undo(&mut self, object: ObjectId) -> bool {
        let newest =
            (self.objects.get(&object)).and_then(|slices| slices.values().filter_map(SlicePrompt::newest).max());
        let Some(newest) = newest else { return false };
        self.retain(object, |_, id| id != newest);
        true
    }

    /// Takes back everything said of an object on a slice; false where there is nothing.
    pub fn remove_slice(&mut self, object: ObjectId, slice: SliceIndex) -> bool {
        let removed = self.at(object, slice).is_some();
        self.retain(object, |at, _| at != slice);
        removed
    }

    /// Takes back everything said of an object; false where there is nothing.
    pub fn remove_object(&mut self, object: ObjectId) -> bool {
        self.ranges.remove(&object);
        self.objects.remove(&object).is_some()
    }

    /// Takes back everything.
    pub fn clear(&mut self) {
        self.objects.clear();
        self.ranges.clear();
    }

    /// Keeps the steps of an object that `wanted` wants, and what belongs to them.
    fn retain(&mut self, object: ObjectId, wanted: impl Fn(SliceIndex, StepId) -> bool) {
        let Some(slices) = self.objects.get_mut(&object) else { return };
        for (&slice, prompt) in slices.iter_mut() {
            prompt.steps.retain(|(id, _)| wanted(slice, *id));
        }
        slices.retain(|_, prompt| !prompt.steps.is_empty());
        let alive = |id: StepId| slices.values().any(|prompt| prompt.steps.iter().any(|(step, _)| *step == id));
        if let Some(ranges) = self.ranges.get_mut(&object) {
            ranges.retain(|(id, _)| alive(*id));
        }
        if slices.is_empty() {
            self.objects.remove(&object);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(axis: Axis) -> Prompts {
        Prompts::new(Dims([4, 5, 6]), axis)
    }

    fn object() -> ObjectId {
        ObjectId::new(1).unwrap()
    }

    #[test]
    fn a_voxel_lands_on_the_slice_of_each_axis() {
        for (axis, expected) in [(Axis::I, (1, 3., 2.)), (Axis::J, (2, 3., 1.)), (Axis::K, (3, 2., 1.))] {
            let mut all = prompts(axis);
            all.add_point(object(), VoxelIndex([1, 2, 3]), PointLabel::Foreground).unwrap();
            let (slice, prompt) = all.objects()[&object()].iter().next().unwrap();
            assert_eq!((slice.0, prompt.points()[0].row, prompt.points()[0].column), expected, "axis {axis}");
        }
    }

    #[test]
    fn a_point_outside_is_refused_with_the_volumes_size() {
        let error = prompts(Axis::K).add_point(object(), VoxelIndex([4, 0, 0]), PointLabel::Foreground).unwrap_err();
        assert_eq!(error.to_string(), "point 4,0,0: outside the volume of 4x5x6 voxels");
    }

    #[test]
    fn a_box_may_be_given_by_any_two_opposite_corners() {
        let mut all = prompts(Axis::K);
        all.add_box(object(), VoxelIndex([3, 1, 2]), VoxelIndex([1, 4, 2])).unwrap();
        let bounds = all.objects()[&object()][&SliceIndex(2)].bounds().unwrap();
        assert_eq!(bounds, SliceBox { first: [1., 1.], last: [4., 3.] });
        assert_eq!(all.range(object()), None);
    }

    #[test]
    fn a_box_in_three_dimensions_is_a_box_on_its_middle_slice_and_a_range_of_slices() {
        let mut all = prompts(Axis::K);
        all.add_box(object(), VoxelIndex([3, 1, 1]), VoxelIndex([1, 4, 5])).unwrap();
        let (slice, prompt) = all.objects()[&object()].iter().next().unwrap();
        assert_eq!((slice.0, prompt.bounds()), (3, Some(SliceBox { first: [1., 1.], last: [4., 3.] })));
        assert_eq!(all.range(object()), Some(SliceRange { first: SliceIndex(1), last: SliceIndex(5) }));
        all.add_point(object(), VoxelIndex([1, 1, 0]), PointLabel::Foreground).unwrap();
        assert_eq!(all.range(object()).unwrap().first, SliceIndex(0), "a prompt beyond it widens the range");
        assert!(all.undo(object()) && all.undo(object()));
        assert_eq!((all.range(object()), all.undo(object())), (None, false));
    }

    #[test]
    fn a_mask_takes_the_place_of_the_points_before_it_and_points_after_it_refine_it() {
        let mut all = prompts(Axis::K);
        let voxel = VoxelIndex([1, 1, 2]);
        all.add_point(object(), voxel, PointLabel::Foreground).unwrap();
        all.add_mask(object(), SliceIndex(2), Array2::from_elem((5, 4), true)).unwrap();
        assert_eq!(all.at(object(), SliceIndex(2)).unwrap().points().len(), 0);
        all.add_point(object(), voxel, PointLabel::Background).unwrap();
        let prompt = all.at(object(), SliceIndex(2)).unwrap();
        assert_eq!((prompt.points().len(), prompt.steps().len(), prompt.is_positive()), (1, 3, true));
    }

    #[test]
    fn undo_takes_prompts_back_newest_first_whatever_they_are() {
        let mut all = prompts(Axis::K);
        let before = [
            Prompt::Clicks(vec![(VoxelIndex([1, 1, 2]), PointLabel::Foreground)]),
            Prompt::Scribble(vec![VoxelIndex([1, 1, 0]), VoxelIndex([1, 1, 5])], PointLabel::Foreground),
            Prompt::Mask(SliceIndex(3), Array2::from_elem((5, 4), true)),
            Prompt::Box([VoxelIndex([0, 0, 1]), VoxelIndex([2, 2, 4])], PointLabel::Foreground),
        ];
        let mut states = vec![all.objects().clone()];
        for prompt in &before {
            all.add(object(), prompt).unwrap();
            states.push(all.objects().clone());
        }
        assert_eq!(states[2][&object()].len(), 6, "the scribble lies on every slice");
        while let Some(state) = states.pop() {
            assert_eq!(all.objects(), &state);
            assert_eq!(all.undo(object()), !states.is_empty());
        }
    }

    #[test]
    fn what_is_taken_back_leaves_nothing_behind() {
        let mut all = prompts(Axis::K);
        for at in [[1, 1, 2], [2, 2, 2], [1, 2, 3]] {
            all.add_point(object(), VoxelIndex(at), PointLabel::Foreground).unwrap();
        }
        assert!(all.undo(object()));
        assert_eq!(all.at(object(), SliceIndex(3)), None);
        assert!(all.remove_slice(object(), SliceIndex(2)) && !all.remove_slice(object(), SliceIndex(2)));
        assert!(all.objects().is_empty() && !all.remove_object(object()));
    }

    #[test]
    fn a_mask_must_fit_and_hold_something() {
        let mut all = prompts(Axis::J); // slices of 6 rows (k) and 4 columns (i)
        assert!(all.add_mask(object(), SliceIndex(0), Array2::from_elem((4, 6), true)).is_err());
        assert!(all.add_mask(object(), SliceIndex(5), Array2::from_elem((6, 4), true)).is_err());
        assert!(all.add_mask(object(), SliceIndex(0), Array2::from_elem((6, 4), false)).is_err());
        assert!(all.add_mask(object(), SliceIndex(0), Array2::from_elem((6, 4), true)).is_ok());
    }
}
