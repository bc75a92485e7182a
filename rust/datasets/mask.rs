//! A binary mask of a volume; only its bounding box is stored.

use crate::geometry::{Axis, SliceIndex};
use crate::slices;
use ndarray::{s, Array2, Array3, ArrayView2, ArrayView3, Dimension};

/// Voxels [k, j, i] of a volume that belong to one structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryMask {
    dims: [usize; 3],
    origin: [usize; 3],
    inside: Array3<bool>,
}

impl BinaryMask {
    /// Crops `mask` [k, j, i] to its bounding box.
    pub fn new(mask: ArrayView3<bool>) -> Self {
        Self::from_condition(mask, |&inside| inside)
    }

    /// The voxels [k, j, i] for which `belongs` holds.
    pub fn from_condition<T>(voxels: ArrayView3<T>, belongs: impl Fn(&T) -> bool) -> Self {
        let (nk, nj, ni) = voxels.dim();
        let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
        for (index, voxel) in voxels.indexed_iter() {
            if belongs(voxel) {
                let index = [index.0, index.1, index.2];
                for axis in 0..3 {
                    low[axis] = low[axis].min(index[axis]);
                    high[axis] = high[axis].max(index[axis] + 1);
                }
            }
        }
        let dims = [nk, nj, ni];
        if high == [0; 3] {
            return Self { dims, origin: [0; 3], inside: Array3::from_elem((0, 0, 0), false) };
        }
        let inside = voxels.slice(s![low[0]..high[0], low[1]..high[1], low[2]..high[2]]).map(belongs);
        Self { dims, origin: low, inside }
    }

    /// Slices across `axis`, each as the row and column of its first pixel and a cropped plane [rows, columns].
    ///
    /// # Panics
    /// If a plane reaches beyond the volume.
    pub fn from_planes<'a>(
        dims: [usize; 3],
        axis: Axis,
        planes: impl Iterator<Item = (SliceIndex, [usize; 2], ArrayView2<'a, bool>)> + Clone,
    ) -> Self {
        let along = 2 - axis.index();
        let in_plane: Vec<usize> = (0..3).filter(|&n| n != along).collect();
        let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
        for (slice, first, plane) in planes.clone() {
            let begin = [slice.0, first[0], first[1]];
            let end = [slice.0 + 1, first[0] + plane.nrows(), first[1] + plane.ncols()];
            for (n, array_axis) in [along, in_plane[0], in_plane[1]].into_iter().enumerate() {
                low[array_axis] = low[array_axis].min(begin[n]);
                high[array_axis] = high[array_axis].max(end[n]);
            }
        }
        if high == [0; 3] {
            return Self::empty(dims);
        }
        assert!((0..3).all(|n| high[n] <= dims[n]), "planes lie within the volume");
        let mut inside = Array3::from_elem([0, 1, 2].map(|n| high[n] - low[n]), false);
        for (slice, first, plane) in planes {
            let mut whole = inside.view_mut();
            let mut target = whole.index_axis_mut(ndarray::Axis(along), slice.0 - low[along]);
            let [row, column] = [first[0] - low[in_plane[0]], first[1] - low[in_plane[1]]];
            target.slice_mut(s![row..row + plane.nrows(), column..column + plane.ncols()]).assign(&plane);
        }
        Self { dims, origin: low, inside }
    }

    /// The empty mask.
    pub fn empty(dims: [usize; 3]) -> Self {
        Self { dims, origin: [0; 3], inside: Array3::from_elem((0, 0, 0), false) }
    }

    /// Size of the volume, [k, j, i].
    pub fn dims(&self) -> [usize; 3] {
        self.dims
    }

    /// First voxel [k, j, i] of the stored box.
    pub fn origin(&self) -> [usize; 3] {
        self.origin
    }

    /// The stored box.
    pub fn inside(&self) -> ArrayView3<'_, bool> {
        self.inside.view()
    }

    /// Whether no voxel is inside.
    pub fn is_empty(&self) -> bool {
        self.inside.is_empty()
    }

    /// Voxels inside.
    pub fn count(&self) -> usize {
        self.inside.iter().filter(|&&inside| inside).count()
    }

    /// The whole volume, [k, j, i].
    pub fn full(&self) -> Array3<bool> {
        self.window([0; 3], self.dims)
    }

    /// The part `origin..origin + size` of the volume, [k, j, i]; it may reach beyond the stored box, not beyond the
    /// volume.
    pub fn window(&self, origin: [usize; 3], size: [usize; 3]) -> Array3<bool> {
        let mut out = Array3::from_elem(size, false);
        let shape = self.inside.raw_dim();
        let shape = shape.slice();
        let mut from = [0; 3];
        let mut to = [0; 3];
        for axis in 0..3 {
            from[axis] = origin[axis].max(self.origin[axis]);
            to[axis] = (origin[axis] + size[axis]).min(self.origin[axis] + shape[axis]);
            if from[axis] >= to[axis] {
                return out;
            }
        }
        let part = |start: [usize; 3]| {
            let range = |a: usize| from[a] - start[a]..to[a] - start[a];
            s![range(0), range(1), range(2)]
        };
        out.slice_mut(part(origin)).assign(&self.inside.slice(part(self.origin)));
        out
    }

    /// One slice, [rows, columns] of the whole plane.
    pub fn slice(&self, axis: Axis, SliceIndex(slice): SliceIndex) -> Array2<bool> {
        let along = 2 - axis.index();
        let (mut origin, mut size) = ([0; 3], self.dims);
        origin[along] = slice;
        size[along] = 1;
        slices::extract(self.window(origin, size).view(), axis, SliceIndex(0))
    }

    /// Voxels per slice along an axis, over the whole volume.
    pub fn areas(&self, axis: Axis) -> Vec<usize> {
        let along = 2 - axis.index();
        let mut areas = vec![0; self.dims[along]];
        for (n, plane) in self.inside.axis_iter(ndarray::Axis(along)).enumerate() {
            areas[self.origin[along] + n] = plane.iter().filter(|&&inside| inside).count();
        }
        areas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Array3<bool> {
        Array3::from_shape_fn((4, 5, 6), |(k, j, i)| (1..3).contains(&k) && j == 2 && (3..5).contains(&i) && k + i != 4)
    }

    #[test]
    fn cropped_mask_restores_the_full_volume() {
        let mask = BinaryMask::new(sample().view());
        assert_eq!(mask.full(), sample());
        assert_eq!(mask.origin(), [1, 2, 3]);
        assert_eq!(mask.count(), 3);
        let empty = BinaryMask::new(Array3::from_elem((2, 3, 4), false).view());
        assert!(empty.is_empty());
        assert_eq!(empty.full(), Array3::from_elem((2, 3, 4), false));
    }

    #[test]
    fn planes_assemble_to_the_volume() {
        let full = sample();
        for axis in [Axis::I, Axis::J, Axis::K] {
            let planes: Vec<_> = (0..full.shape()[2 - axis.index()])
                .map(|n| slices::extract(full.view(), axis, SliceIndex(n)))
                .collect();
            // The second half of the rows alone, so that the planes have an origin.
            let parts = planes.iter().enumerate().map(|(n, plane)| (SliceIndex(n), [1, 0], plane.slice(s![1.., ..])));
            assert_eq!(BinaryMask::from_planes([4, 5, 6], axis, parts).full(), full);
        }
    }

    #[test]
    fn windows_and_slices_equal_those_of_the_full_volume() {
        let (mask, full) = (BinaryMask::new(sample().view()), sample());
        assert_eq!(mask.window([0, 1, 2], [3, 4, 2]), full.slice(s![0..3, 1..5, 2..4]));
        for axis in [Axis::I, Axis::J, Axis::K] {
            let along = 2 - axis.index();
            for n in 0..full.shape()[along] {
                let expected = slices::extract(full.view(), axis, SliceIndex(n));
                assert_eq!(mask.slice(axis, SliceIndex(n)), expected);
                assert_eq!(mask.areas(axis)[n], expected.iter().filter(|&&v| v).count());
            }
        }
    }
}
