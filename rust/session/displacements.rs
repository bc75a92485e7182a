//! How slices move against each other, for the flow prior. Objects of one walk share it.

use crate::geometry::SliceIndex;
use crate::session::embeddings::{Shown, View};
use crate::slices::registration::{halve, mask_displacement};
use ndarray::Array2;

/// The last displacement and the last slices' pictures: a walk asks for neighbours.
#[derive(Debug, Default)]
pub struct Displacements {
    last: Option<([Shown; 2], [Array2<f32>; 2])>,
    pictures: Vec<(Shown, Array2<f32>)>,
}

impl Displacements {
    /// Rows and columns of the displacement from `slice` to `before` in `view`, for masks of `stride` pixels per cell; `square` gives a slice as its frame shows it.
    pub fn get(
        &mut self,
        slice: SliceIndex,
        before: SliceIndex,
        view: View,
        stride: usize,
        square: impl Fn(SliceIndex) -> Array2<f32>,
    ) -> &[Array2<f32>; 2] {
        let key = [(slice, view), (before, view)];
        if self.last.as_ref().is_none_or(|(known, _)| *known != key) {
            for wanted in key {
                if !self.pictures.iter().any(|(known, _)| *known == wanted) {
                    self.pictures.retain(|(known, _)| key.contains(known));
                    self.pictures.push((wanted, halve(&square(wanted.0))));
                }
            }
            let picture = |wanted| self.pictures.iter().find(|(known, _)| *known == wanted).map(|(_, picture)| picture);
            let parts = match (picture(key[0]), picture(key[1])) {
                (Some(fixed), Some(moving)) => mask_displacement(fixed, moving, stride),
                _ => [Array2::zeros((0, 0)), Array2::zeros((0, 0))],
            };
            self.last = Some((key, parts));
        }
        &self.last.as_ref().expect("it was just computed").1
    }
}
