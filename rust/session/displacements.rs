//! How slices move against each other, for the registered mask prior. Objects of one propagation share it.

use crate::geometry::SliceIndex;
use crate::session::embedding_cache::SliceKey;
use crate::slices::registration::{halve, mask_displacement};
use crate::slices::SliceView;
use ndarray::Array2;

/// The last displacement and the last slices at half resolution: a propagation asks for neighbours.
#[derive(Debug, Default)]
pub struct Displacements {
    last: Option<([SliceKey; 2], [Array2<f32>; 2])>,
    halved: Vec<(SliceKey, Array2<f32>)>,
}

impl Displacements {
    /// Rows and columns of the displacement from `slice` to `before` in `view`, for masks of `stride` pixels per cell;
    /// `square` gives a slice in its
    /// frame's square.
    pub fn get(
        &mut self,
        slice: SliceIndex,
        before: SliceIndex,
        view: SliceView,
        stride: usize,
        mut square: impl FnMut(SliceIndex) -> Array2<f32>,
    ) -> &[Array2<f32>; 2] {
        let key = [(slice, view), (before, view)];
        if self.last.as_ref().is_none_or(|(known, _)| *known != key) {
            for wanted in key {
                if !self.halved.iter().any(|(known, _)| *known == wanted) {
                    self.halved.retain(|(known, _)| key.contains(known));
                    self.halved.push((wanted, halve(&square(wanted.0))));
                }
            }
            let at_half = |wanted| self.halved.iter().find(|(known, _)| *known == wanted).map(|(_, at_half)| at_half);
            let parts = match (at_half(key[0]), at_half(key[1])) {
                (Some(fixed), Some(moving)) => mask_displacement(fixed, moving, stride),
                _ => [Array2::zeros((0, 0)), Array2::zeros((0, 0))],
            };
            self.last = Some((key, parts));
        }
        &self.last.as_ref().expect("it was just computed").1
    }
}
