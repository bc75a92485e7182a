//! A volume seen along one axis: slices out, slices back.
//!
//! In: voxels [k, j, i]. Out: planes [rows, columns], where columns and rows are the two in-plane axes in rising order
//! (across k: columns i, rows j; across j: columns i, rows k; across i: columns j, rows k). Knows nothing of files or
//! tensors.

pub mod intensity;
pub mod intensity_model;
pub mod near;
pub mod registration;
pub mod resize;
pub mod roi;
mod scan;
mod view;

use crate::geometry::{Axis, Geometry, SliceIndex};
use ndarray::{Array2, ArrayView3, ArrayViewMut2, ArrayViewMut3};
use resize::NetworkFrame;
use roi::SlicePlane;

pub use scan::Scan;
pub use view::SliceView;

/// The array axis of voxels [k, j, i] that belongs to an index axis.
fn array_axis(axis: Axis) -> ndarray::Axis {
    ndarray::Axis(2 - axis.index())
}

/// A slice's voxels, [rows, columns].
///
/// # Panics
/// If the slice is not in the volume.
pub fn extract<T: Clone>(voxels: ArrayView3<T>, axis: Axis, slice: SliceIndex) -> Array2<T> {
    voxels.index_axis(array_axis(axis), slice.0).to_owned()
}

/// A slice's voxels for writing, [rows, columns].
///
/// # Panics
/// If the slice is not in the volume.
pub fn plane_mut<'a, T>(voxels: &'a mut ArrayViewMut3<T>, axis: Axis, slice: SliceIndex) -> ArrayViewMut2<'a, T> {
    voxels.index_axis_mut(array_axis(axis), slice.0)
}

/// The pixels of a volume's slices across `axis`.
pub fn plane(geometry: &Geometry, axis: Axis) -> SlicePlane {
    let (columns, rows) = axis.in_plane();
    let spacing = geometry.spacing().0;
    SlicePlane {
        size: [geometry.dims.along(rows), geometry.dims.along(columns)],
        spacing: [spacing[rows.index()], spacing[columns.index()]],
    }
}

/// How a volume's whole slices across `axis` fit the network's square of `size` pixels.
pub fn frame(geometry: &Geometry, axis: Axis, size: usize) -> NetworkFrame {
    let plane = plane(geometry, axis);
    NetworkFrame::new(plane.whole(), plane.spacing, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_volume_taken_apart_and_put_together_is_the_same(
            (i, j, k) in (1usize..5, 1usize..6, 1usize..7), axis in 0usize..3
        ) {
            let axis = Axis::ALL[axis];
            let volume = Array3::from_shape_fn((k, j, i), |(k, j, i)| 100 * k + 10 * j + i);
            let mut copy = Array3::zeros((k, j, i));
            for slice in (0..[i, j, k][axis.index()]).map(SliceIndex) {
                let plane = extract(volume.view(), axis, slice);
                plane_mut(&mut copy.view_mut(), axis, slice).assign(&plane);
            }
            prop_assert_eq!(copy, volume);
        }
    }

    #[test]
    fn rows_and_columns_are_the_in_plane_axes_in_rising_order() {
        let volume = Array3::from_shape_fn((4, 3, 2), |(k, j, i)| 100 * k + 10 * j + i);
        assert_eq!(extract(volume.view(), Axis::K, SliceIndex(3))[(2, 1)], 321);
        assert_eq!(extract(volume.view(), Axis::J, SliceIndex(2))[(3, 1)], 321);
        assert_eq!(extract(volume.view(), Axis::I, SliceIndex(1))[(3, 2)], 321);
    }
}
