//! How slices move against each other, for the flow prior. Objects of one walk share it.

use crate::geometry::SliceIndex;
use crate::slices::registration::{halve, quarter_displacement};
use ndarray::Array2;

/// The last displacement and the last slices' pictures: a walk asks for neighbours.
#[derive(Debug, Default)]
pub struct Displacements {
    last: Option<([SliceIndex; 2], [Array2<f32>; 2])>,
    pictures: Vec<(SliceIndex, Array2<f32>)>,
}

impl Displacements {
    /// Rows and columns of the displacement from `slice` to `before`, at a quarter of the frame; `square` gives a slice's frame.
    pub fn get(
        &mut self,
        slice: SliceIndex,
        before: SliceIndex,
        square: impl Fn(SliceIndex) -> Array2<f32>,
    ) -> &[Array2<f32>; 2] {
        let key = [slice, before];
        if self.last.as_ref().is_none_or(|(known, _)| *known != key) {
            for wanted in key {
                if !self.pictures.iter().any(|(known, _)| *known == wanted) {
                    self.pictures.retain(|(known, _)| key.contains(known));
                    self.pictures.push((wanted, halve(&square(wanted))));
                }
            }
            let picture = |wanted| self.pictures.iter().find(|(known, _)| *known == wanted).map(|(_, picture)| picture);
            let parts = match (picture(slice), picture(before)) {
                (Some(fixed), Some(moving)) => quarter_displacement(fixed, moving),
                _ => [Array2::zeros((0, 0)), Array2::zeros((0, 0))],
            };
            self.last = Some((key, parts));
        }
        &self.last.as_ref().expect("it was just computed").1
    }
}
