//! From prompts in voxels, on any plane, to steps on the slices that they cross.

use super::object::ObjectId;
use super::shapes::{filled, line, spread};
use super::step::{PointLabel, PromptStep, SliceBox, SlicePoint};
use crate::error::{Error, Result};
use crate::geometry::{Axis, Dims, SliceIndex, SliceRange, VoxelIndex};
use ndarray::{s, Array2};
use std::collections::BTreeMap;

/// What a user says of an object in one call, in voxels.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Clicks at voxels' centres.
    Clicks(Vec<(VoxelIndex, PointLabel)>),
    /// A line through voxels, on any plane or across planes: points along it on every slice that it crosses.
    Scribble(Vec<VoxelIndex>, PointLabel),
    /// The corners of a closed polygon on a plane of voxels. On a slice: a region around the object, or one that is added
    /// to its mask (foreground) or taken away from it (background). On another plane: points inside it, on every slice
    /// that it crosses.
    Lasso(Vec<VoxelIndex>, PointLabel),
    /// A box between two corners, both inside.
    ///
    /// Foreground: on one slice, a box around the object there. Over several slices: a box on the middle one, and the
    /// object lies on these slices only. Flat on another plane: a click in its middle, and the object lies on the slices
    /// that it crosses. Background: what lies in the box is taken away from the object's masks.
    Box([VoxelIndex; 2], PointLabel),
    /// A slice's mask, [rows, columns]; it replaces the object's mask there.
    Mask(SliceIndex, Array2<bool>),
}

/// A prompt on its slices.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// One step for each slice, by rising slice.
    pub steps: Vec<(SliceIndex, PromptStep)>,
    /// The slices on which the object lies, where the prompt says so.
    pub range: Option<SliceRange>,
}

/// The slices of a volume across an axis.
#[derive(Debug, Clone, Copy)]
pub struct Planes {
    pub dims: Dims,
    pub axis: Axis,
}

impl Planes {
    /// What a prompt becomes on the slices that it crosses.
    ///
    /// # Errors
    /// `InvalidInput` for what lies outside the volume or says nothing.
    pub fn map(&self, object: ObjectId, prompt: &Prompt) -> Result<Mapped> {
        match prompt {
            Prompt::Clicks(clicks) => self.clicks(clicks),
            Prompt::Scribble(corners, label) => self.scribble(corners, *label),
            Prompt::Lasso(corners, label) => self.lasso(corners, *label),
            Prompt::Box(corners, PointLabel::Foreground) => self.bounds(*corners),
            Prompt::Box(corners, PointLabel::Background) => self.excluded(*corners),
            Prompt::Mask(slice, mask) => self.mask(object, *slice, mask),
        }
    }

    fn clicks(&self, clicks: &[(VoxelIndex, PointLabel)]) -> Result<Mapped> {
        let mut by_slice: BTreeMap<SliceIndex, Vec<SlicePoint>> = BTreeMap::new();
        for &(voxel, label) in clicks {
            let (slice, row, column) = self.locate("point", voxel)?;
            by_slice.entry(slice).or_default().push(point([row, column], label));
        }
        if by_slice.is_empty() {
            return Err(Error::invalid("points: none given, expected at least one"));
        }
        Ok(Mapped {
            steps: by_slice.into_iter().map(|(at, points)| (at, PromptStep::Clicks(points))).collect(),
            range: None,
        })
    }

    fn scribble(&self, corners: &[VoxelIndex], label: PointLabel) -> Result<Mapped> {
        let mut by_slice: BTreeMap<SliceIndex, Vec<[usize; 2]>> = BTreeMap::new();
        for &corner in corners {
            self.locate("scribble", corner)?;
        }
        for voxel in line(corners) {
            let (slice, row, column) = self.locate("scribble", voxel)?;
            by_slice.entry(slice).or_default().push([row, column]);
        }
        if by_slice.is_empty() {
            return Err(Error::invalid("scribble: no voxel given, expected at least one"));
        }
        Ok(Mapped { steps: strokes(by_slice, label), range: None })
    }

    fn lasso(&self, corners: &[VoxelIndex], label: PointLabel) -> Result<Mapped> {
        if corners.len() < 3 {
            return Err(Error::invalid(format!("lasso: {} corners, expected at least 3", corners.len())));
        }
        for &corner in corners {
            self.locate("lasso", corner)?;
        }
        let flat = |axis: Axis| corners.iter().all(|corner| corner.0[axis.index()] == corners[0].0[axis.index()]);
        if flat(self.axis) {
            let on_slice: Vec<[usize; 2]> = corners.iter().map(|&corner| self.in_slice(corner)).collect();
            let slice = SliceIndex(corners[0].0[self.axis.index()]);
            let region = filled(&on_slice, self.size());
            return Ok(Mapped { steps: vec![(slice, PromptStep::Region(region, label))], range: None });
        }
        let Some(across) = Axis::ALL.into_iter().find(|&axis| flat(axis)) else {
            return Err(Error::invalid("lasso: its corners lie on several planes, expected one plane of voxels"));
        };
        let other = Self { axis: across, ..*self };
        let on_plane: Vec<[usize; 2]> = corners.iter().map(|&corner| other.in_slice(corner)).collect();
        let mut by_slice: BTreeMap<SliceIndex, Vec<[usize; 2]>> = BTreeMap::new();
        for (at, _) in filled(&on_plane, other.size()).indexed_iter().filter(|(_, &inside)| inside) {
            let voxel = other.voxel(SliceIndex(corners[0].0[across.index()]), [at.0, at.1]);
            by_slice.entry(SliceIndex(voxel.0[self.axis.index()])).or_default().push(self.in_slice(voxel));
        }
        Ok(Mapped { steps: strokes(by_slice, label), range: None })
    }

    fn bounds(&self, corners: [VoxelIndex; 2]) -> Result<Mapped> {
        let [low, high] = self.sorted(corners)?;
        let [first, last] = [low, high].map(|corner| SliceIndex(corner.0[self.axis.index()]));
        let middle = SliceIndex((first.0 + last.0) / 2);
        let range = (first < last).then_some(SliceRange { first, last });
        let (columns, rows) = self.axis.in_plane();
        let flat = |axis: Axis| low.0[axis.index()] == high.0[axis.index()];
        let [from, to] = [low, high].map(|corner| self.in_slice(corner));
        let step = match range.is_some() && (flat(columns) || flat(rows)) {
            true => PromptStep::Clicks(vec![point([0, 1].map(|a| (from[a] + to[a]) / 2), PointLabel::Foreground)]),
            false => PromptStep::Box(SliceBox { first: from.map(|v| v as f64), last: to.map(|v| v as f64) }),
        };
        Ok(Mapped { steps: vec![(middle, step)], range })
    }

    fn excluded(&self, corners: [VoxelIndex; 2]) -> Result<Mapped> {
        let [low, high] = self.sorted(corners)?;
        let ([r0, c0], [r1, c1]) = (self.in_slice(low), self.in_slice(high));
        let mut region = Array2::from_elem(self.size(), false);
        region.slice_mut(s![r0..=r1, c0..=c1]).fill(true);
        let slices = low.0[self.axis.index()]..=high.0[self.axis.index()];
        let step = PromptStep::Region(region, PointLabel::Background);
        Ok(Mapped { steps: slices.map(|slice| (SliceIndex(slice), step.clone())).collect(), range: None })
    }

    fn mask(&self, object: ObjectId, slice: SliceIndex, mask: &Array2<bool>) -> Result<Mapped> {
        let expected = self.size();
        if mask.dim() != (expected[0], expected[1]) {
            return Err(Error::invalid(format!(
                "mask of slice {slice}: {:?} rows and columns, expected {expected:?}",
                mask.dim()
            )));
        }
        let count = self.dims.along(self.axis);
        if slice.0 >= count {
            return Err(Error::invalid(format!(
                "slice {slice}: the volume has slices 0 to {} along {}",
                count - 1,
                self.axis
            )));
        }
        if !mask.iter().any(|&inside| inside) {
            return Err(Error::invalid(format!("mask of object {object} on slice {slice}: it is empty")));
        }
        Ok(Mapped { steps: vec![(slice, PromptStep::Mask(mask.clone()))], range: None })
    }

    /// Rows and columns of a slice.
    fn size(&self) -> [usize; 2] {
        let (columns, rows) = self.axis.in_plane();
        [self.dims.along(rows), self.dims.along(columns)]
    }

    /// Row and column of a voxel.
    fn in_slice(&self, voxel: VoxelIndex) -> [usize; 2] {
        let (columns, rows) = self.axis.in_plane();
        [voxel.0[rows.index()], voxel.0[columns.index()]]
    }

    fn voxel(&self, slice: SliceIndex, [row, column]: [usize; 2]) -> VoxelIndex {
        let (columns, rows) = self.axis.in_plane();
        let mut index = [0; 3];
        (index[self.axis.index()], index[rows.index()], index[columns.index()]) = (slice.0, row, column);
        VoxelIndex(index)
    }

    /// The corners of a box with the smallest and the largest indices.
    fn sorted(&self, corners: [VoxelIndex; 2]) -> Result<[VoxelIndex; 2]> {
        for corner in corners {
            self.locate("box corner", corner)?;
        }
        let [a, b] = corners.map(|corner| corner.0);
        let low = [0, 1, 2].map(|axis| a[axis].min(b[axis]));
        let high = [0, 1, 2].map(|axis| a[axis].max(b[axis]));
        Ok([VoxelIndex(low), VoxelIndex(high)])
    }

    /// Slice, row and column of a voxel.
    fn locate(&self, what: &str, voxel: VoxelIndex) -> Result<(SliceIndex, usize, usize)> {
        if !self.dims.contains(voxel) {
            let VoxelIndex([i, j, k]) = voxel;
            return Err(Error::invalid(format!("{what} {i},{j},{k}: outside the volume of {} voxels", self.dims)));
        }
        let [row, column] = self.in_slice(voxel);
        Ok((SliceIndex(voxel.0[self.axis.index()]), row, column))
    }
}

fn point([row, column]: [usize; 2], label: PointLabel) -> SlicePoint {
    SlicePoint { row: row as f64, column: column as f64, label }
}

/// A few of the pixels on each slice, as points of one scribble.
fn strokes(by_slice: BTreeMap<SliceIndex, Vec<[usize; 2]>>, label: PointLabel) -> Vec<(SliceIndex, PromptStep)> {
    let points = |pixels: Vec<[usize; 2]>| spread(&pixels).into_iter().map(|at| point(at, label)).collect();
    by_slice.into_iter().map(|(slice, pixels)| (slice, PromptStep::Scribble(points(pixels)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANES: Planes = Planes { dims: Dims([40, 50, 10]), axis: Axis::K };

    fn map(prompt: &Prompt) -> Result<Mapped> {
        PLANES.map(ObjectId::new(1).unwrap(), prompt)
    }

    #[test]
    fn a_coronal_scribble_becomes_points_on_the_axial_slices_that_it_crosses() {
        let line = vec![VoxelIndex([10, 20, 2]), VoxelIndex([16, 20, 4])];
        let mapped = map(&Prompt::Scribble(line, PointLabel::Background)).unwrap();
        assert_eq!(mapped.steps.iter().map(|(slice, _)| slice.0).collect::<Vec<_>>(), [2, 3, 4]);
        for (_, step) in &mapped.steps {
            let PromptStep::Scribble(points) = step else { panic!("{step:?}") };
            assert!(points.iter().all(|p| p.row == 20.0 && (10.0..=16.0).contains(&p.column)));
            assert!(points.iter().all(|p| p.label == PointLabel::Background));
        }
    }

    #[test]
    fn a_lasso_on_a_slice_is_a_region_and_on_another_plane_points_inside_it() {
        let corners = |at: [[usize; 3]; 4]| at.map(VoxelIndex).to_vec();
        let axial = corners([[5, 5, 3], [9, 5, 3], [9, 9, 3], [5, 9, 3]]);
        let mapped = map(&Prompt::Lasso(axial, PointLabel::Foreground)).unwrap();
        let [(SliceIndex(3), PromptStep::Region(region, PointLabel::Foreground))] = &mapped.steps[..] else {
            panic!("{mapped:?}")
        };
        assert_eq!(region.iter().filter(|&&inside| inside).count(), 25);
        let coronal = corners([[5, 20, 3], [9, 20, 3], [9, 20, 6], [5, 20, 6]]);
        let mapped = map(&Prompt::Lasso(coronal, PointLabel::Foreground)).unwrap();
        assert_eq!(mapped.steps.len(), 4);
        assert!(mapped.steps.iter().all(|(_, step)| matches!(step, PromptStep::Scribble(points) if points.len() == 5)));
        let askew = corners([[5, 20, 3], [9, 21, 3], [9, 20, 6], [5, 20, 6]]);
        assert!(map(&Prompt::Lasso(askew, PointLabel::Foreground)).unwrap_err().to_string().contains("several planes"));
    }

    #[test]
    fn a_coronal_box_is_a_click_in_its_middle_and_a_range_of_slices() {
        let corners = [VoxelIndex([10, 20, 2]), VoxelIndex([20, 20, 6])];
        let mapped = map(&Prompt::Box(corners, PointLabel::Foreground)).unwrap();
        assert_eq!(mapped.range, Some(SliceRange { first: SliceIndex(2), last: SliceIndex(6) }));
        let [(SliceIndex(4), PromptStep::Clicks(points))] = &mapped.steps[..] else { panic!("{mapped:?}") };
        assert_eq!((points[0].row, points[0].column), (20.0, 15.0));
    }

    #[test]
    fn a_box_that_excludes_lies_on_all_of_its_slices() {
        let corners = [VoxelIndex([10, 20, 2]), VoxelIndex([20, 24, 6])];
        let mapped = map(&Prompt::Box(corners, PointLabel::Background)).unwrap();
        assert_eq!((mapped.steps.len(), mapped.range), (5, None));
        assert!(mapped.steps.iter().all(|(_, step)| !step.is_positive()));
    }
}
