//! A scan whose slices can be had as numbers, wherever its voxels lie.

use crate::geometry::{Axis, Geometry, SliceIndex};
use crate::slices;
use crate::volume::raw::RawVolume;
use crate::volume::Volume;
use ndarray::Array2;
use std::fmt::Debug;
use std::sync::Arc;

/// What a session needs of a scan.
pub trait Scan: Debug + Send + Sync {
    /// Size and place of the scan.
    fn geometry(&self) -> &Geometry;

    /// A slice across `axis`, [rows, columns].
    ///
    /// # Panics
    /// If the slice is not in the volume.
    fn slice(&self, axis: Axis, slice: SliceIndex) -> Array2<f32>;

    /// Finite values, at most about `count`, evenly spread.
    fn sample(&self, count: usize) -> Vec<f32>;
}

impl Scan for Volume<f32> {
    fn geometry(&self) -> &Geometry {
        self.geometry()
    }

    fn slice(&self, axis: Axis, slice: SliceIndex) -> Array2<f32> {
        slices::extract(self.voxels(), axis, slice)
    }

    fn sample(&self, count: usize) -> Vec<f32> {
        let step = self.voxels().len().div_ceil(count.max(1)).max(1);
        self.voxels().iter().copied().step_by(step).filter(|value| value.is_finite()).collect()
    }
}

impl Scan for RawVolume {
    fn geometry(&self) -> &Geometry {
        self.geometry()
    }

    fn slice(&self, axis: Axis, slice: SliceIndex) -> Array2<f32> {
        self.slice(axis, slice)
    }

    fn sample(&self, count: usize) -> Vec<f32> {
        self.sample(count)
    }
}

impl<S: Scan> Scan for Arc<S> {
    fn geometry(&self) -> &Geometry {
        (**self).geometry()
    }

    fn slice(&self, axis: Axis, slice: SliceIndex) -> Array2<f32> {
        (**self).slice(axis, slice)
    }

    fn sample(&self, count: usize) -> Vec<f32> {
        (**self).sample(count)
    }
}
