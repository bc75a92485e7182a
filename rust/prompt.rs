//! What the user points at: points, boxes and masks on slices, per object.
//!
//! In: voxel indices and masks. Out: prompts in slice coordinates, checked against the volume. Knows nothing of networks.

use crate::error::{Error, Result};
use crate::geometry::{Axis, Dims, SliceIndex, VoxelIndex};
use crate::slices::roi::Roi;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::fmt;

/// An object's number, which is also its label in the label map; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(u16);

impl ObjectId {
    pub fn new(label: u16) -> Result<Self> {
        match label {
            0 => Err(Error::invalid("object 0: label 0 is the background, expected 1 to 65535")),
            label => Ok(Self(label)),
        }
    }

    pub fn label(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a point lies on the object or beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointLabel {
    Foreground,
    Background,
}

/// A point on a slice, in pixels; whole numbers are pixel centres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlicePoint {
    pub row: f64,
    pub column: f64,
    pub label: PointLabel,
}

/// A box on a slice, from (row, column) to (row, column), both inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SliceBox {
    pub first: [f64; 2],
    pub last: [f64; 2],
}

/// Everything said of one object on one slice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SlicePrompt {
    pub points: Vec<SlicePoint>,
    pub bounds: Option<SliceBox>,
    /// [rows, columns]
    pub mask: Option<Array2<bool>>,
}

impl SlicePrompt {
    /// What mask, box and points span on a slice of `size` rows and columns; `None` without a mask or a box, which alone tell an extent.
    pub fn bounds_on(&self, size: [usize; 2]) -> Option<Roi> {
        let mask = self.mask.as_ref().and_then(|mask| Roi::of_mask(mask.view()));
        let bounds = self.bounds.map(|bounds| pixels(bounds.first, bounds.last, size));
        let extent = [mask, bounds].into_iter().flatten().reduce(|a, b| a.joined(&b))?;
        Some(self.points_on(size).map_or(extent, |points| extent.joined(&points)))
    }

    /// What the points inside the object span on a slice of `size` rows and columns; `None` without one.
    pub fn points_on(&self, size: [usize; 2]) -> Option<Roi> {
        let inside = self.points.iter().filter(|point| point.label == PointLabel::Foreground);
        let at = inside.map(|point| [point.row, point.column]).map(|at| pixels(at, at, size));
        at.reduce(|a, b| a.joined(&b))
    }

    /// Whether it says where the object is, not only where it is not.
    pub fn is_positive(&self) -> bool {
        self.bounds.is_some() || self.mask.is_some() || self.points.iter().any(|p| p.label == PointLabel::Foreground)
    }
}

/// The pixels between two corners, moved into a slice of `size`.
fn pixels(first: [f64; 2], last: [f64; 2], size: [usize; 2]) -> Roi {
    let pixel = |at: [f64; 2]| [0, 1].map(|axis| (at[axis].round().max(0.0) as usize).min(size[axis] - 1));
    let (first, last) = (pixel(first), pixel(last));
    Roi { first, size: [0, 1].map(|axis| last[axis].saturating_sub(first[axis]) + 1) }
}

/// All prompts of a volume seen along one axis.
#[derive(Debug, Clone)]
pub struct Prompts {
    dims: Dims,
    axis: Axis,
    objects: BTreeMap<ObjectId, BTreeMap<SliceIndex, SlicePrompt>>,
}

impl Prompts {
    pub fn new(dims: Dims, axis: Axis) -> Self {
        Self { dims, axis, objects: BTreeMap::new() }
    }

    pub fn axis(&self) -> Axis {
        self.axis
    }

    /// Prompts by object, then by slice, both rising.
    pub fn objects(&self) -> &BTreeMap<ObjectId, BTreeMap<SliceIndex, SlicePrompt>> {
        &self.objects
    }

    /// What is said of an object on a slice.
    pub fn at(&self, object: ObjectId, slice: SliceIndex) -> Option<&SlicePrompt> {
        self.objects.get(&object)?.get(&slice)
    }

    /// Takes back the newest point of an object on a slice; false where there is none.
    pub fn remove_last_point(&mut self, object: ObjectId, slice: SliceIndex) -> bool {
        let Some(prompt) = self.objects.get_mut(&object).and_then(|slices| slices.get_mut(&slice)) else {
            return false;
        };
        let removed = prompt.points.pop().is_some();
        if *prompt == SlicePrompt::default() {
            self.remove_slice(object, slice);
        }
        removed
    }

    /// Takes back everything said of an object on a slice; false where there is nothing.
    pub fn remove_slice(&mut self, object: ObjectId, slice: SliceIndex) -> bool {
        let Some(slices) = self.objects.get_mut(&object) else { return false };
        let removed = slices.remove(&slice).is_some();
        if slices.is_empty() {
            self.objects.remove(&object);
        }
        removed
    }

    /// Takes back everything said of an object; false where there is nothing.
    pub fn remove_object(&mut self, object: ObjectId) -> bool {
        self.objects.remove(&object).is_some()
    }

    /// Takes back everything.
    pub fn clear(&mut self) {
        self.objects.clear();
    }

    /// A point at a voxel's centre.
    pub fn add_point(&mut self, object: ObjectId, voxel: VoxelIndex, label: PointLabel) -> Result<()> {
        let (slice, row, column) = self.locate("point", voxel)?;
        let point = SlicePoint { row: row as f64, column: column as f64, label };
        self.entry(object, slice).points.push(point);
        Ok(())
    }

    /// A box between two voxels of one slice, both inside; it replaces an earlier box of that slice.
    pub fn add_box(&mut self, object: ObjectId, corner: VoxelIndex, opposite: VoxelIndex) -> Result<()> {
        let (slice, row_a, column_a) = self.locate("box corner", corner)?;
        let (other, row_b, column_b) = self.locate("box corner", opposite)?;
        if slice != other {
            return Err(Error::invalid(format!("box: corners on slices {slice} and {other}, expected one slice")));
        }
        let first = [row_a.min(row_b) as f64, column_a.min(column_b) as f64];
        let last = [row_a.max(row_b) as f64, column_a.max(column_b) as f64];
        self.entry(object, slice).bounds = Some(SliceBox { first, last });
        Ok(())
    }

    /// A mask [rows, columns] of a slice; it replaces an earlier mask of that slice. An empty one is refused.
    pub fn add_mask(&mut self, object: ObjectId, slice: SliceIndex, mask: Array2<bool>) -> Result<()> {
        let (columns, rows) = self.axis.in_plane();
        let expected = (self.dims.along(rows), self.dims.along(columns));
        if mask.dim() != expected {
            return Err(Error::invalid(format!(
                "mask of slice {slice}: {:?} rows and columns, expected {expected:?}",
                mask.dim()
            )));
        }
        self.check_slice(slice)?;
        if !mask.iter().any(|&inside| inside) {
            return Err(Error::invalid(format!("mask of object {object} on slice {slice}: it is empty")));
        }
        self.entry(object, slice).mask = Some(mask);
        Ok(())
    }

    /// Refuses a set of prompts from which nothing can start.
    pub fn validate(&self) -> Result<()> {
        if self.objects.is_empty() {
            return Err(Error::invalid("no prompt: expected a mask, a point or a box on some slice"));
        }
        for (object, slices) in &self.objects {
            for (slice, prompt) in slices {
                if !prompt.is_positive() {
                    return Err(Error::invalid(format!(
                        "object {object}, slice {slice}: only background points, expected a foreground point, a box or a mask as well"
                    )));
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, object: ObjectId, slice: SliceIndex) -> &mut SlicePrompt {
        self.objects.entry(object).or_default().entry(slice).or_default()
    }

    fn check_slice(&self, slice: SliceIndex) -> Result<()> {
        let count = self.dims.along(self.axis);
        if slice.0 < count {
            return Ok(());
        }
        Err(Error::invalid(format!("slice {slice}: the volume has slices 0 to {} along {}", count - 1, self.axis)))
    }

    /// Slice, row and column of a voxel.
    fn locate(&self, what: &str, voxel: VoxelIndex) -> Result<(SliceIndex, usize, usize)> {
        if !self.dims.contains(voxel) {
            let VoxelIndex([i, j, k]) = voxel;
            return Err(Error::invalid(format!("{what} {i},{j},{k}: outside the volume of {} voxels", self.dims)));
        }
        let (columns, rows) = self.axis.in_plane();
        let at = |axis: Axis| voxel.0[axis.index()];
        Ok((SliceIndex(at(self.axis)), at(rows), at(columns)))
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
            assert_eq!((slice.0, prompt.points[0].row, prompt.points[0].column), expected, "axis {axis}");
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
        let bounds = all.objects()[&object()][&SliceIndex(2)].bounds.unwrap();
        assert_eq!(bounds, SliceBox { first: [1., 1.], last: [4., 3.] });
        assert!(all.add_box(object(), VoxelIndex([0, 0, 0]), VoxelIndex([1, 1, 1])).is_err());
    }

    #[test]
    fn prompts_that_only_exclude_are_refused() {
        let mut all = prompts(Axis::K);
        assert!(all.validate().is_err());
        all.add_point(object(), VoxelIndex([1, 2, 3]), PointLabel::Background).unwrap();
        assert!(all.validate().unwrap_err().to_string().contains("only background points"));
        all.add_point(object(), VoxelIndex([2, 2, 3]), PointLabel::Foreground).unwrap();
        assert!(all.validate().is_ok());
    }

    #[test]
    fn what_is_taken_back_leaves_nothing_behind() {
        let mut all = prompts(Axis::K);
        for at in [[1, 1, 2], [2, 2, 2], [1, 2, 3]] {
            all.add_point(object(), VoxelIndex(at), PointLabel::Foreground).unwrap();
        }
        assert!(all.remove_last_point(object(), SliceIndex(2)));
        assert_eq!(all.at(object(), SliceIndex(2)).unwrap().points.len(), 1);
        assert!(all.remove_last_point(object(), SliceIndex(2)));
        assert!(!all.remove_last_point(object(), SliceIndex(2)));
        assert_eq!(all.at(object(), SliceIndex(2)), None);
        assert!(all.remove_slice(object(), SliceIndex(3)) && !all.remove_slice(object(), SliceIndex(3)));
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
