//! Masks of slices: one, small enough to keep for every object of every slice, and all of a result.
//!
//! Where two tracks of an object meet on a slice, the higher score counts; where two objects claim a voxel, too.

use crate::geometry::{Axis, SliceIndex};
use crate::prompt::ObjectId;
use crate::slices;
use crate::slices::roi::Roi;
use fixedbitset::FixedBitSet;
use ndarray::{s, Array2, ArrayView2, ArrayViewMut2, ArrayViewMut3};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A slice's mask, of which only the rows and columns that hold something are stored, a bit a pixel: 1,000 slices of 20
/// large objects are
/// gigabytes otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CroppedMask {
    bounds: Roi,
    /// Row by row.
    inside: FixedBitSet,
}

impl CroppedMask {
    /// `None` for an empty mask.
    pub fn new(mask: ArrayView2<bool>) -> Option<Self> {
        Self::placed(mask, [0, 0])
    }

    /// A mask of a part of the slice that begins at `origin`.
    pub fn placed(mask: ArrayView2<bool>, origin: [usize; 2]) -> Option<Self> {
        let within = Roi::of_mask(mask)?;
        let pixels = mask.slice(s![within.first[0]..within.end(0), within.first[1]..within.end(1)]);
        let mut inside = FixedBitSet::with_capacity(pixels.len());
        inside.extend(pixels.iter().enumerate().filter(|(_, &inside)| inside).map(|(at, _)| at));
        let first = [0, 1].map(|axis| origin[axis] + within.first[axis]);
        Some(Self { bounds: Roi { first, ..within }, inside })
    }

    /// The smallest roi that holds it.
    pub fn bounds(&self) -> Roi {
        self.bounds
    }

    /// Rows and columns of the pixels inside.
    pub fn pixels(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (first, columns) = (self.bounds.first, self.bounds.size[1]);
        self.inside.ones().map(move |at| (first[0] + at / columns, first[1] + at % columns))
    }

    /// Whether a pixel of the slice, (row, column), lies inside.
    pub fn contains(&self, (row, column): (usize, usize)) -> bool {
        let Roi { first, size: [rows, columns] } = self.bounds;
        let (row, column) = (row.wrapping_sub(first[0]), column.wrapping_sub(first[1]));
        row < rows && column < columns && self.inside[row * columns + column]
    }

    /// The whole slice's pixels, [rows, columns] of `size`.
    pub fn on_slice(&self, size: [usize; 2]) -> Array2<bool> {
        let mut slice = Array2::from_elem(size, false);
        self.pixels().for_each(|at| slice[at] = true);
        slice
    }

    /// The pixels of its bounds, [rows, columns].
    pub fn inside(&self) -> Array2<bool> {
        let columns = self.bounds.size[1];
        Array2::from_shape_fn(self.bounds.size, |(row, column)| self.inside[row * columns + column])
    }
}

/// Dice of two masks of a slice; 1 where both are empty.
pub fn dice(a: Option<&CroppedMask>, b: Option<&CroppedMask>) -> f64 {
    let count = |mask: Option<&CroppedMask>| mask.map_or(0, |mask| mask.inside.count_ones(..));
    let common = a.zip(b).map_or(0, |(a, b)| a.pixels().filter(|&at| b.contains(at)).count());
    match count(a) + count(b) {
        0 => 1.0,
        both => 2.0 * common as f64 / both as f64,
    }
}

/// Masks that exist from the start, by object and slice.
pub type InitialMasks = BTreeMap<(ObjectId, SliceIndex), Arc<CroppedMask>>;

/// The best mask so far of every object on every slice.
///
/// ```
/// use ndarray::{array, Array3};
/// use promem::geometry::{Axis, SliceIndex};
/// use promem::prompt::ObjectId;
/// use promem::session::{CroppedMask, MaskSet};
/// use std::sync::Arc;
///
/// let left = CroppedMask::new(array![[true, true, false]].view()).expect("it is not empty");
/// let right = CroppedMask::new(array![[false, true, true]].view()).expect("it is not empty");
/// let mut masks = MaskSet::default();
/// masks.offer(ObjectId::new(1)?, SliceIndex(0), 0.9, Arc::new(left));
/// masks.offer(ObjectId::new(2)?, SliceIndex(0), 0.7, Arc::new(right));
/// let mut labels = Array3::zeros((1, 1, 3)); // [k, j, i]
/// masks.write(Axis::K, labels.view_mut());
/// assert_eq!(labels, array![[[1, 1, 2]]]); // both claim the middle: the higher score has it
/// # Ok::<(), promem::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct MaskSet {
    masks: BTreeMap<SliceIndex, BTreeMap<ObjectId, (f64, Arc<CroppedMask>)>>,
}

impl MaskSet {
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

    #[test]
    fn an_empty_mask_is_none() {
        assert_eq!(CroppedMask::new(Array2::from_elem((3, 3), false).view()), None);
    }

    #[test]
    fn a_mask_comes_back_from_its_bits_where_it_was() {
        let mask = Array2::from_shape_fn((40, 50), |(row, column)| {
            row > 7 && row < 33 && (row * 31 + column * column) % 7 == 0
        });
        for origin in [[0, 0], [5, 9]] {
            let kept = CroppedMask::placed(mask.view(), origin).unwrap();
            let mut back = Array2::from_elem((45, 59), false);
            kept.pixels().for_each(|at| back[at] = true);
            assert_eq!(back.slice(s![origin[0]..origin[0] + 40, origin[1]..origin[1] + 50]), mask);
            assert_eq!(kept.pixels().count(), mask.iter().filter(|&&inside| inside).count());
            let bounds = kept.bounds();
            assert_eq!(bounds.first[0], origin[0] + 8);
            assert_eq!(kept.inside(), back.slice(s![bounds.first[0]..bounds.end(0), bounds.first[1]..bounds.end(1)]));
        }
    }

    #[test]
    fn dice_counts_common_pixels_wherever_the_masks_lie() {
        let mask = |rows: [[u8; 4]; 2]| CroppedMask::new(arr2(&rows).mapv(|v| v > 0).view());
        let (a, b) = (mask([[1, 1, 0, 0], [1, 1, 0, 0]]), mask([[0, 1, 1, 0], [0, 1, 1, 0]]));
        let of = |a: &Option<CroppedMask>, b: &Option<CroppedMask>| dice(a.as_ref(), b.as_ref());
        assert_eq!((of(&a, &b), of(&a, &a), of(&a, &None), of(&None, &None)), (0.5, 1.0, 0.0, 1.0));
        assert_eq!(of(&a, &mask([[0, 0, 0, 1], [0, 0, 0, 1]])), 0.0);
        assert_eq!(b.unwrap().on_slice([2, 4]), arr2(&[[0, 1, 1, 0], [0, 1, 1, 0]]).mapv(|v| v > 0));
    }

    #[test]
    fn masks_of_other_places_or_shapes_differ() {
        let mask = |rows: [[u8; 3]; 2]| CroppedMask::new(arr2(&rows).mapv(|v| v > 0).view()).unwrap();
        assert_eq!(mask([[0, 0, 0], [0, 1, 0]]), mask([[0, 0, 0], [0, 1, 0]]));
        assert_ne!(mask([[0, 0, 0], [0, 1, 0]]), mask([[0, 0, 0], [1, 0, 0]]));
        assert_ne!(mask([[1, 1, 0], [0, 0, 0]]), mask([[1, 0, 0], [1, 0, 0]]));
    }

    fn id(label: u16) -> ObjectId {
        ObjectId::new(label).unwrap()
    }

    fn shared_mask(rows: [[u8; 3]; 2]) -> Arc<CroppedMask> {
        Arc::new(CroppedMask::new(arr2(&rows).mapv(|v| v > 0).view()).unwrap())
    }

    #[test]
    fn the_higher_score_wins_between_runs_and_between_objects() {
        let mut all = MaskSet::default();
        all.offer(id(1), SliceIndex(1), 0.5, shared_mask([[1, 1, 1], [0, 0, 0]]));
        all.offer(id(1), SliceIndex(1), 0.8, shared_mask([[1, 1, 0], [0, 0, 0]]));
        all.offer(id(1), SliceIndex(1), 0.6, shared_mask([[0, 0, 0], [1, 1, 1]]));
        all.offer(id(2), SliceIndex(1), 0.7, shared_mask([[0, 1, 1], [0, 0, 1]]));
        let mut labels = Array3::zeros((3, 2, 3));
        all.write(Axis::K, labels.view_mut());
        assert_eq!(labels.index_axis(ndarray::Axis(0), 1), arr2(&[[1, 1, 2], [0, 0, 2]]));
        assert_eq!(labels.iter().filter(|&&l| l > 0).count(), 4);
    }
}
