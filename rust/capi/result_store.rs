//! What is known of the result, readable while a propagation goes on.

use super::prompt_record::promem_prompt;
use crate::geometry::{Axis, Dims, SliceIndex};
use crate::prompt::ObjectId;
use crate::session::{CroppedMask, MaskSet, SliceReport};
use std::collections::BTreeSet;
use std::sync::Arc;

/// First and last index along each axis, both inside.
pub(super) type Extent = [[usize; 2]; 3];

#[derive(Debug)]
pub(super) struct ResultStore {
    axis: Axis,
    shown: MaskSet,
    /// Slices that the running propagation has reported.
    fresh: BTreeSet<(ObjectId, SliceIndex)>,
    changed: Option<Extent>,
    /// What is said, for reading at any time.
    pub prompts: Vec<promem_prompt>,
}

impl ResultStore {
    pub fn new(axis: Axis) -> Self {
        Self { axis, shown: MaskSet::default(), fresh: BTreeSet::new(), changed: None, prompts: Vec::new() }
    }

    /// The axis that the slices lie across.
    pub fn axis(&self) -> Axis {
        self.axis
    }

    pub fn shown(&self) -> &MaskSet {
        &self.shown
    }

    /// A propagation begins.
    pub fn begin(&mut self) {
        self.fresh.clear();
    }

    /// A slice of it. The first report of a slice replaces what an earlier propagation left there, later ones compete
    /// with it.
    pub fn report(&mut self, report: &SliceReport) {
        let (object, slice) = (report.object, report.slice);
        let before = self.shown.mask(object, slice).cloned();
        let found = report.mask.map(|mask| (report.score, mask.clone()));
        match (self.fresh.insert((object, slice)), found) {
            (true, found) => self.shown.replace(object, slice, found),
            (false, Some((score, mask))) => self.shown.offer(object, slice, score, mask),
            (false, None) => {}
        }
        let after = self.shown.mask(object, slice).cloned();
        self.note(slice, before.map(|(_, mask)| mask), after.map(|(_, mask)| mask));
    }

    /// A propagation has ended with this; what no run reaches any more goes away.
    pub fn finish(&mut self, outcome: MaskSet) {
        let before = std::mem::replace(&mut self.shown, outcome);
        let gone: Vec<_> = before.masks().map(|(object, slice, _, mask)| (object, slice, mask.clone())).collect();
        for (object, slice, mask) in gone {
            let after = self.shown.mask(object, slice).map(|(_, mask)| mask.clone());
            self.note(slice, Some(mask), after);
        }
        let new: Vec<_> = (self.shown.masks())
            .filter(|(object, slice, ..)| before.mask(*object, *slice).is_none())
            .map(|(_, slice, _, mask)| (slice, mask.clone()))
            .collect();
        for (slice, mask) in new {
            self.note(slice, None, Some(mask));
        }
    }

    /// Nothing is shown any more; what follows is across `axis`.
    pub fn clear(&mut self, axis: Axis) {
        self.finish(MaskSet::default());
        self.begin();
        self.axis = axis;
        self.prompts.clear();
    }

    /// The box of the voxels that have changed since this was last asked.
    pub fn take_changed(&mut self) -> Option<Extent> {
        self.changed.take()
    }

    fn note(&mut self, slice: SliceIndex, before: Option<Arc<CroppedMask>>, after: Option<Arc<CroppedMask>>) {
        if before == after {
            return;
        }
        let axis = self.axis;
        let (columns, rows) = axis.in_plane();
        for mask in [before, after].into_iter().flatten() {
            let bounds = mask.bounds();
            let mut extent = self.changed.unwrap_or([[usize::MAX, 0]; 3]);
            let spans = [
                (axis, [slice.0, slice.0]),
                (rows, [bounds.first[0], bounds.end(0) - 1]),
                (columns, [bounds.first[1], bounds.end(1) - 1]),
            ];
            for (axis, [first, last]) in spans {
                let known = &mut extent[axis.index()];
                *known = [known[0].min(first), known[1].max(last)];
            }
            self.changed = Some(extent);
        }
    }

    /// Writes what `value` makes of a slice's plane into `out`, which holds the extent contiguously, i fastest.
    pub fn read<T: Copy>(
        &self,
        dims: Dims,
        extent: Extent,
        out: &mut [T],
        value: impl Fn(SliceIndex) -> ndarray::Array2<T>,
    ) {
        debug_assert!((0..3).all(|axis| extent[axis][1] < dims.0[axis]));
        let size = extent.map(|[first, last]| last - first + 1);
        let strides = [1, size[0], size[0] * size[1]];
        let axis = self.axis;
        let (columns, rows) = axis.in_plane();
        let [first_row, first_column] = [rows, columns].map(|axis| extent[axis.index()][0]);
        let [count_rows, count_columns] = [rows, columns].map(|axis| size[axis.index()]);
        for n in 0..size[axis.index()] {
            let plane = value(SliceIndex(extent[axis.index()][0] + n));
            let begin = n * strides[axis.index()];
            for row in 0..count_rows {
                let begin = begin + row * strides[rows.index()];
                for column in 0..count_columns {
                    out[begin + column * strides[columns.index()]] = plane[(first_row + row, first_column + column)];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Progress;
    use ndarray::{arr2, Array2, Array3};

    fn object() -> ObjectId {
        ObjectId::new(3).unwrap()
    }

    fn mask(rows: [[u8; 3]; 2]) -> Option<Arc<CroppedMask>> {
        CroppedMask::new(arr2(&rows).mapv(|v| v > 0).view()).map(Arc::new)
    }

    fn report(results: &mut ResultStore, slice: usize, score: f64, mask: Option<&Arc<CroppedMask>>) {
        let progress = Progress { done: 0, expected: 0 };
        results.report(&SliceReport { object: object(), slice: SliceIndex(slice), mask, score, progress });
    }

    #[test]
    fn a_new_propagation_replaces_and_its_own_runs_compete() {
        let mut results = ResultStore::new(Axis::J);
        let (left, right) = (mask([[1, 0, 0], [0, 0, 0]]), mask([[0, 0, 1], [0, 0, 0]]));
        report(&mut results, 1, 0.9, left.as_ref());
        results.begin();
        report(&mut results, 1, 0.2, right.as_ref());
        assert_eq!(results.shown().mask(object(), SliceIndex(1)).unwrap().0, 0.2);
        report(&mut results, 1, 0.1, left.as_ref());
        assert_eq!(results.shown().mask(object(), SliceIndex(1)).unwrap().0, 0.2);
        report(&mut results, 1, 0.0, None);
        assert!(results.shown().mask(object(), SliceIndex(1)).is_some());
    }

    #[test]
    fn what_changed_is_told_once_and_exactly() {
        let mut results = ResultStore::new(Axis::J);
        assert_eq!(results.take_changed(), None);
        report(&mut results, 4, 0.9, mask([[0, 1, 1], [0, 0, 0]]).as_ref());
        // Across j: rows k, columns i.
        assert_eq!(results.take_changed(), Some([[1, 2], [4, 4], [0, 0]]));
        results.begin();
        report(&mut results, 4, 0.5, mask([[0, 1, 1], [0, 0, 0]]).as_ref());
        assert_eq!(results.take_changed(), None, "the same voxels");
        results.clear(Axis::J);
        assert_eq!(results.take_changed(), Some([[1, 2], [4, 4], [0, 0]]));
    }

    #[test]
    fn an_extent_is_cut_out_of_the_whole_along_every_axis() {
        let (i, j, k) = (4, 3, 2);
        let volume = Array3::from_shape_fn((k, j, i), |(k, j, i)| (100 * k + 10 * j + i) as u16);
        let extent = [[1, 3], [0, 1], [1, 1]];
        let expected: Vec<u16> = volume.slice(ndarray::s![1..2, 0..2, 1..4]).iter().copied().collect();
        for axis in [Axis::I, Axis::J, Axis::K] {
            let mut out = [0; 6];
            let plane = |slice| -> Array2<u16> { crate::slices::extract(volume.view(), axis, slice) };
            ResultStore::new(axis).read(Dims([i, j, k]), extent, &mut out, plane);
            assert_eq!(out[..], expected, "along {axis}");
        }
    }
}
