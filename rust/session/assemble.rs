//! Masks of many runs become one label map.
//!
//! Where two runs of an object meet on a slice, the higher score wins; where two objects claim a voxel, too.

use crate::geometry::{Axis, SliceIndex};
use crate::prompt::ObjectId;
use crate::session::CroppedMask;
use crate::slices;
use ndarray::{ArrayViewMut2, ArrayViewMut3};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The best mask so far of every object on every slice.
#[derive(Debug, Default)]
pub struct Assembly {
    masks: BTreeMap<SliceIndex, BTreeMap<ObjectId, (f64, Arc<CroppedMask>)>>,
}

impl Assembly {
    /// Every mask: object, slice, score, mask.
    pub fn masks(&self) -> impl Iterator<Item = (ObjectId, SliceIndex, f64, &Arc<CroppedMask>)> {
        (self.masks.iter()).flat_map(|(&slice, objects)| {
            objects.iter().map(move |(&object, (score, mask))| (object, slice, *score, mask))
        })
    }

    /// Takes a mask whatever was there, or takes away what was there.
    pub fn replace(&mut self, object: ObjectId, slice: SliceIndex, found: Option<(f64, Arc<CroppedMask>)>) {
        let of_slice = self.masks.entry(slice).or_default();
        match found {
            Some(found) => of_slice.insert(object, found),
            None => of_slice.remove(&object),
        };
        if of_slice.is_empty() {
            self.masks.remove(&slice);
        }
    }

    /// Takes a mask if the object has none on this slice, or one of a lower score.
    pub fn offer(&mut self, object: ObjectId, slice: SliceIndex, score: f64, mask: Arc<CroppedMask>) {
        let of_slice = self.masks.entry(slice).or_default();
        if of_slice.get(&object).is_none_or(|(known, _)| score > *known) {
            of_slice.insert(object, (score, mask));
        }
    }

    /// Slices that hold a mask, rising.
    pub fn slices(&self) -> impl Iterator<Item = SliceIndex> + '_ {
        self.masks.keys().copied()
    }

    /// Score and mask of an object on a slice.
    pub fn mask(&self, object: ObjectId, slice: SliceIndex) -> Option<&(f64, Arc<CroppedMask>)> {
        self.masks.get(&slice)?.get(&object)
    }

    /// Writes all slices into `labels` [k, j, i]; voxels without an object are left as they are.
    ///
    /// A voxel that several objects claim goes to the highest score, at a tie to the lowest object number.
    pub fn write(&self, axis: Axis, mut labels: ArrayViewMut3<u16>) {
        for &slice in self.masks.keys() {
            self.write_slice(slice, slices::plane_mut(&mut labels, axis, slice));
        }
    }

    /// The same for one slice, [rows, columns].
    pub fn write_slice(&self, slice: SliceIndex, mut plane: ArrayViewMut2<u16>) {
        let Some(objects) = self.masks.get(&slice) else { return };
        let mut by_score: Vec<_> = objects.iter().collect();
        by_score.sort_by(|(a, (low, _)), (b, (high, _))| low.total_cmp(high).then(b.cmp(a)));
        for (object, (_, mask)) in by_score {
            mask.pixels().for_each(|at| plane[at] = object.label());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr2, Array3};

    fn id(label: u16) -> ObjectId {
        ObjectId::new(label).unwrap()
    }

    fn mask(rows: [[u8; 3]; 2]) -> Arc<CroppedMask> {
        Arc::new(CroppedMask::new(arr2(&rows).mapv(|v| v > 0).view()).unwrap())
    }

    #[test]
    fn the_higher_score_wins_between_runs_and_between_objects() {
        let mut all = Assembly::default();
        all.offer(id(1), SliceIndex(1), 0.5, mask([[1, 1, 1], [0, 0, 0]]));
        all.offer(id(1), SliceIndex(1), 0.8, mask([[1, 1, 0], [0, 0, 0]]));
        all.offer(id(1), SliceIndex(1), 0.6, mask([[0, 0, 0], [1, 1, 1]]));
        all.offer(id(2), SliceIndex(1), 0.7, mask([[0, 1, 1], [0, 0, 1]]));
        let mut labels = Array3::zeros((3, 2, 3));
        all.write(Axis::K, labels.view_mut());
        assert_eq!(labels.index_axis(ndarray::Axis(0), 1), arr2(&[[1, 1, 2], [0, 0, 2]]));
        assert_eq!(labels.iter().filter(|&&l| l > 0).count(), 4);
    }
}
