//! What was found on one slice, small enough to keep for every object of every slice.

use crate::slices::region::Region;
use fixedbitset::FixedBitSet;
use ndarray::{s, Array2, ArrayView2};

/// A slice's mask, of which only the rows and columns that hold something are stored, a bit a pixel: 1,000 slices of 20 large objects are
/// gigabytes otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CroppedMask {
    bounds: Region,
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
        let within = Region::of_mask(mask)?;
        let pixels = mask.slice(s![within.first[0]..within.end(0), within.first[1]..within.end(1)]);
        let mut inside = FixedBitSet::with_capacity(pixels.len());
        inside.extend(pixels.iter().enumerate().filter(|(_, &inside)| inside).map(|(at, _)| at));
        let first = [0, 1].map(|axis| origin[axis] + within.first[axis]);
        Some(Self { bounds: Region { first, ..within }, inside })
    }

    /// The smallest region that holds it.
    pub fn bounds(&self) -> Region {
        self.bounds
    }

    /// Rows and columns of the pixels inside.
    pub fn pixels(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (first, columns) = (self.bounds.first, self.bounds.size[1]);
        self.inside.ones().map(move |at| (first[0] + at / columns, first[1] + at % columns))
    }

    /// The pixels of its bounds, [rows, columns].
    pub fn inside(&self) -> Array2<bool> {
        let columns = self.bounds.size[1];
        Array2::from_shape_fn(self.bounds.size, |(row, column)| self.inside[row * columns + column])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

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
    fn masks_of_other_places_or_shapes_differ() {
        let mask = |rows: [[u8; 3]; 2]| CroppedMask::new(arr2(&rows).mapv(|v| v > 0).view()).unwrap();
        assert_eq!(mask([[0, 0, 0], [0, 1, 0]]), mask([[0, 0, 0], [0, 1, 0]]));
        assert_ne!(mask([[0, 0, 0], [0, 1, 0]]), mask([[0, 0, 0], [1, 0, 0]]));
        assert_ne!(mask([[1, 1, 0], [0, 0, 0]]), mask([[1, 0, 0], [1, 0, 0]]));
    }
}
