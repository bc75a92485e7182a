//! Which part of a slice the network is shown: all of it, or an object and what is around it.
//!
//! Beyond the paper. A small network on an ordinary CPU sees an object better when it fills the frame, and needs fewer
//! pixels for it.

use ndarray::ArrayView2;

/// Side of a roi in longer sides of its object: half of the frame is the object, so it may grow and move for some
/// slices.
const SURROUNDINGS: f64 = 2.0;
/// No side is shorter, in pixels of the coarser spacing: tiny objects keep their context.
const MIN_SIDE: f64 = 24.0;
/// An object's longer side, as a share of the roi's, outside of which another roi is due.
const FITTING: (f64, f64) = (0.22, 0.80);
/// Where only points are known, an object is looked for in squares of these shares of the slice's longer side, too.
const ZOOMS: [f64; 2] = [0.5, 0.25];
/// How near to a roi's border an object may come, as a share of the roi's side, where the slice goes on beyond.
const MARGIN: f64 = 0.04;

/// A rectangle of a slice, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Roi {
    /// First row and column.
    pub first: [usize; 2],
    /// Rows and columns.
    pub size: [usize; 2],
}

impl Roi {
    /// The smallest roi that holds what is inside; `None` for an empty mask.
    pub fn of_mask(mask: ArrayView2<bool>) -> Option<Self> {
        let (mut low, mut high) = ([usize::MAX; 2], [0; 2]);
        for ((row, column), _) in mask.indexed_iter().filter(|(_, &inside)| inside) {
            low = [low[0].min(row), low[1].min(column)];
            high = [high[0].max(row + 1), high[1].max(column + 1)];
        }
        (low[0] < high[0]).then(|| Self { first: low, size: [high[0] - low[0], high[1] - low[1]] })
    }

    /// The row (axis 0) or column (axis 1) after the last one.
    pub fn end(&self, axis: usize) -> usize {
        self.first[axis] + self.size[axis]
    }

    /// The smallest roi that holds both.
    pub fn joined(&self, other: &Self) -> Self {
        let first = [0, 1].map(|a| self.first[a].min(other.first[a]));
        Self { first, size: [0, 1].map(|a| self.end(a).max(other.end(a)) - first[a]) }
    }
}

/// A slice's pixels, and how rois of it are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlicePlane {
    /// Rows and columns.
    pub size: [usize; 2],
    /// Millimetres between rows and between columns.
    pub spacing: [f64; 2],
}

impl SlicePlane {
    /// The whole slice.
    pub fn whole(&self) -> Roi {
        Roi { first: [0, 0], size: self.size }
    }

    /// The square around an object's bounds, moved into the slice; a slice that is narrower is taken in its whole
    /// width.
    pub fn around(&self, object: &Roi) -> Roi {
        self.square(object, self.longer_side(object) * SURROUNDINGS)
    }

    /// Regions in which to look for an object of which only points are known, spanned by `points`: the whole slice,
    /// then nearer and nearer.
    pub fn zooms(&self, points: &Roi) -> Vec<Roi> {
        let sides = ZOOMS.iter().map(|share| share * self.longer_side(&self.whole()));
        let near = sides.map(|side| self.square(points, side.max(self.longer_side(points) * SURROUNDINGS)));
        let mut rois: Vec<Roi> = std::iter::once(self.whole()).chain(near).collect();
        rois.dedup();
        rois
    }

    /// A square of at least `side` millimetres around an object's middle, moved into the slice.
    fn square(&self, object: &Roi, side: f64) -> Roi {
        let side = side.max(MIN_SIDE * self.spacing[0].max(self.spacing[1]));
        let mut roi = self.whole();
        for axis in [0, 1] {
            let size = ((side / self.spacing[axis]).round() as usize).clamp(1, self.size[axis]);
            let middle = object.first[axis] as f64 + object.size[axis] as f64 / 2.0;
            let first = (middle - size as f64 / 2.0).round().max(0.0) as usize;
            roi.first[axis] = first.min(self.size[axis] - size);
            roi.size[axis] = size;
        }
        roi
    }

    /// The roi for the slices after one where an object was found: the same while the object fits it, else one around
    /// it.
    pub fn follow(&self, roi: Roi, object: &Roi) -> Roi {
        let share = self.longer_side(object) / self.longer_side(&roi);
        match self.shows_all(&roi, object) && (FITTING.0..FITTING.1).contains(&share) {
            true => roi,
            false => self.around(object),
        }
    }

    /// Whether an object seems to lie in a roi as a whole: it keeps away from borders behind which the slice goes on.
    pub fn shows_all(&self, roi: &Roi, object: &Roi) -> bool {
        let margin = MARGIN * self.longer_side(roi);
        [0, 1].iter().all(|&axis| {
            let gap = |pixels: usize| pixels as f64 * self.spacing[axis];
            let before = roi.first[axis] == 0 || gap(object.first[axis] - roi.first[axis]) > margin;
            let after = roi.end(axis) == self.size[axis] || gap(roi.end(axis) - object.end(axis)) > margin;
            before && after
        })
    }

    /// In millimetres.
    fn longer_side(&self, roi: &Roi) -> f64 {
        (roi.size[0] as f64 * self.spacing[0]).max(roi.size[1] as f64 * self.spacing[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;

    fn roi(first: [usize; 2], size: [usize; 2]) -> Roi {
        Roi { first, size }
    }

    const PLANE: SlicePlane = SlicePlane { size: [200, 300], spacing: [2.0, 1.0] };

    #[test]
    fn a_region_is_square_in_millimetres_with_its_object_in_the_middle() {
        let around = PLANE.around(&roi([80, 140], [20, 40])); // 40 mm by 40 mm
        assert_eq!(around, roi([70, 120], [40, 80]));
    }

    #[test]
    fn at_the_border_it_moves_into_the_slice() {
        assert_eq!(PLANE.around(&roi([190, 0], [10, 30])), roi([170, 0], [30, 60]));
    }

    #[test]
    fn an_object_of_the_slices_size_is_seen_in_the_whole_slice() {
        assert_eq!(PLANE.around(&roi([10, 10], [180, 280])), PLANE.whole());
    }

    #[test]
    fn a_region_stays_until_its_object_outgrows_it_leaves_it_or_is_lost_in_it() {
        let start = roi([70, 120], [40, 80]);
        assert_eq!(PLANE.follow(start, &roi([75, 125], [28, 50])), start);
        let grown = roi([71, 125], [36, 70]);
        assert_eq!(PLANE.follow(start, &grown), PLANE.around(&grown));
        let moved = roi([71, 121], [10, 20]);
        assert_eq!(PLANE.follow(start, &moved), PLANE.around(&moved));
        let shrunk = roi([88, 158], [4, 6]);
        assert_eq!(PLANE.follow(start, &shrunk), PLANE.around(&shrunk));
    }

    #[test]
    fn points_are_looked_at_from_nearer_and_nearer() {
        let zooms = PLANE.zooms(&roi([100, 150], [1, 1])); // the slice is 400 mm by 300 mm
        assert_eq!(zooms, [PLANE.whole(), roi([51, 51], [100, 200]), roi([76, 101], [50, 100])]);
        let apart = PLANE.zooms(&roi([10, 10], [180, 280]));
        assert_eq!(apart, [PLANE.whole()], "points that are far apart need all of it");
    }

    #[test]
    fn an_object_at_a_border_behind_which_the_slice_goes_on_is_not_shown_as_a_whole() {
        let seen = roi([0, 100], [100, 100]);
        assert!(PLANE.shows_all(&seen, &roi([0, 120], [50, 50])), "at the slice's own border");
        assert!(!PLANE.shows_all(&seen, &roi([20, 100], [50, 50])));
    }

    #[test]
    fn bounds_of_masks_are_tight() {
        let mut mask = Array2::from_elem((9, 9), false);
        assert_eq!(Roi::of_mask(mask.view()), None);
        mask[(2, 3)] = true;
        mask[(5, 4)] = true;
        assert_eq!(Roi::of_mask(mask.view()), Some(roi([2, 3], [4, 2])));
    }

    proptest! {
        #[test]
        fn regions_lie_in_the_slice_and_hold_their_object(
            (rows, columns) in (1usize..90, 1usize..90), r in 0.0f64..1.0, c in 0.0f64..1.0, h in 0.0f64..1.0, w in 0.0f64..1.0
        ) {
            let plane = SlicePlane { size: [rows, columns], spacing: [0.7, 1.9] };
            let first = [(r * rows as f64) as usize, (c * columns as f64) as usize];
            let left = [rows - first[0], columns - first[1]];
            let size = [1 + (h * (left[0] - 1) as f64) as usize, 1 + (w * (left[1] - 1) as f64) as usize];
            let object = roi(first, size);
            let around = plane.around(&object);
            for axis in [0, 1] {
                prop_assert!(around.end(axis) <= plane.size[axis]);
                prop_assert!(around.first[axis] <= object.first[axis] && object.end(axis) <= around.end(axis));
            }
        }
    }
}
