//! A block of a volume across one of its axes, on square pixels: what clips are cut from.
//!
//! In: voxels, spacing, and where the block lies. Out: the block, [slices, rows, columns].

use crate::geometry::{Axis, Geometry};
use ndarray::{Array3, ArrayView3};

/// A volume whose first array axis is the axis across which slices lie.
pub struct Across<'a, T> {
    pub voxels: ArrayView3<'a, T>,
    /// Millimetres between slices, rows and columns.
    pub spacing: [f32; 3],
}

/// Voxels [k, j, i] as slices across `axis`; rows and columns as in [`crate::slices`].
pub fn across<'a, T>(voxels: ArrayView3<'a, T>, geometry: &Geometry, axis: Axis) -> Across<'a, T> {
    let [i, j, k] = geometry.spacing().0.map(|mm| mm as f32);
    let (order, spacing) = match axis {
        Axis::K => ([0, 1, 2], [k, j, i]),
        Axis::J => ([1, 0, 2], [j, k, i]),
        Axis::I => ([2, 0, 1], [i, k, j]),
    };
    Across { voxels: voxels.permuted_axes(order), spacing }
}

/// Where a block lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// Its middle, in voxels of the volume: slice, row, column.
    pub centre: [f32; 3],
    /// Millimetres between its slices, and of its pixels.
    pub step: f32,
    pub pixel: f32,
    /// Slices, and pixels of a side.
    pub slices: usize,
    pub side: usize,
}

impl Block {
    pub fn dims(&self) -> [usize; 3] {
        [self.slices, self.side, self.side]
    }

    /// Millimetres of a block's voxel from its middle.
    pub fn offset(&self, at: [usize; 3]) -> [f32; 3] {
        let scale = [self.step, self.pixel, self.pixel];
        let dims = self.dims();
        [0, 1, 2].map(|axis| (at[axis] as f32 + 0.5 - dims[axis] as f32 / 2.0) * scale[axis])
    }
}

/// The volume's values on a block, trilinear; `outside` beyond the volume.
pub fn interpolate<T: Copy>(volume: &Across<T>, block: &Block, outside: f32, value: impl Fn(T) -> f32) -> Array3<f32> {
    let size = volume.voxels.dim();
    let taps: [Vec<Option<(usize, usize, f32)>>; 3] = [0, 1, 2].map(|axis| {
        let count = [size.0, size.1, size.2][axis];
        (0..block.dims()[axis])
            .map(|n| {
                let mut place = [0; 3];
                place[axis] = n;
                let at = block.centre[axis] + block.offset(place)[axis] / volume.spacing[axis];
                (at > -0.5 && at < count as f32 - 0.5).then(|| {
                    let at = at.clamp(0.0, count as f32 - 1.0);
                    let low = at as usize;
                    (low, (low + 1).min(count - 1), at - low as f32)
                })
            })
            .collect()
    });
    let mut out = Array3::from_elem(block.dims(), outside);
    for (k, z) in taps[0].iter().enumerate() {
        let Some((z0, z1, fz)) = *z else { continue };
        for (j, y) in taps[1].iter().enumerate() {
            let Some((y0, y1, fy)) = *y else { continue };
            for (i, x) in taps[2].iter().enumerate() {
                let Some((x0, x1, fx)) = *x else { continue };
                let along = |z: usize, y: usize| {
                    value(volume.voxels[[z, y, x0]]) * (1.0 - fx) + value(volume.voxels[[z, y, x1]]) * fx
                };
                let in_plane = |z: usize| along(z, y0) * (1.0 - fy) + along(z, y1) * fy;
                out[[k, j, i]] = match fz > 0.0 {
                    true => in_plane(z0) * (1.0 - fz) + in_plane(z1) * fz,
                    false => in_plane(z0),
                };
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Dims, IjkToRas, Spacing};

    /// A volume whose values say where they are, in millimetres.
    fn ramp() -> (Geometry, Array3<f32>) {
        let spacing = [0.5, 1.0, 2.0];
        let geometry = Geometry { dims: Dims([20, 12, 8]), ijk_to_ras: IjkToRas::from_spacing(Spacing(spacing)) };
        let voxels = Array3::from_shape_fn((8, 12, 20), |(k, j, i)| {
            i as f32 * 0.5 + 100.0 * j as f32 + 10_000.0 * (k as f32 * 2.0)
        });
        (geometry, voxels)
    }

    #[test]
    fn a_block_across_any_axis_has_the_values_of_its_places() {
        let (geometry, voxels) = ramp();
        // Where slices, rows and columns of a volume across an axis are along i, j and k.
        for (axis, names) in [(Axis::K, [2, 1, 0]), (Axis::J, [1, 2, 0]), (Axis::I, [0, 2, 1])] {
            let volume = across(voxels.view(), &geometry, axis);
            let size = volume.voxels.dim();
            let centre = [size.0, size.1, size.2].map(|n| (n as f32 - 1.0) / 2.0);
            let block = Block { centre, step: 0.8, pixel: 0.6, slices: 3, side: 5 };
            let found = interpolate(&volume, &block, -1.0, |v| v);
            for ((z, y, x), &value) in found.indexed_iter() {
                let offset = block.offset([z, y, x]);
                let expected: f32 = (0..3)
                    .map(|n| (centre[n] * volume.spacing[n] + offset[n]) * [1.0, 100.0, 10_000.0][names[n]])
                    .sum();
                assert!((value - expected).abs() < 0.5, "{axis}: [{z}, {y}, {x}] {value}, expected {expected}");
            }
        }
        let volume = across(voxels.view(), &geometry, Axis::K);
        let block = Block { centre: [0.0; 3], step: 2.0, pixel: 1.0, slices: 3, side: 3 };
        assert_eq!(interpolate(&volume, &block, -1.0, |v| v)[[0, 1, 1]], -1.0, "a slice before the first");
    }
}
