//! Lines and polygons of voxels, as a mouse draws them: rasterised, and thinned to the points that a network gets.

use crate::geometry::VoxelIndex;
use ndarray::Array2;

/// The most points that a network gets of one line on one slice.
const MAX_POINTS: usize = 6;

/// The voxels along a polyline, in its order and without repetition; neighbours differ by one along each axis at most.
pub fn line(corners: &[VoxelIndex]) -> Vec<VoxelIndex> {
    let mut all: Vec<VoxelIndex> = corners.first().copied().into_iter().collect();
    for pair in corners.windows(2) {
        let [from, to] = [pair[0].0, pair[1].0];
        let steps = (0..3).map(|axis| from[axis].abs_diff(to[axis])).max().unwrap_or(0);
        for step in 1..=steps {
            let share = step as f64 / steps as f64;
            let at = |axis: usize| (from[axis] as f64 + share * (to[axis] as f64 - from[axis] as f64)).round() as usize;
            all.push(VoxelIndex([at(0), at(1), at(2)]));
        }
    }
    all.dedup();
    all
}

/// Some of the pixels of a line, spread evenly: the middles of as many equal parts, at most [`MAX_POINTS`].
pub fn spread<T: Copy>(line: &[T]) -> Vec<T> {
    let count = line.len().min(MAX_POINTS);
    (0..count).map(|n| line[(2 * n + 1) * line.len() / (2 * count)]).collect()
}

/// The pixels inside a closed polygon with corners (row, column) and on its border, [rows, columns] of `size`; inside
/// is where a ray crosses the border an odd number of times.
pub fn filled(corners: &[[usize; 2]], size: [usize; 2]) -> Array2<bool> {
    let mut mask = Array2::from_elem(size, false);
    let edges: Vec<[[usize; 2]; 2]> =
        (0..corners.len()).map(|n| [corners[n], corners[(n + 1) % corners.len()]]).collect();
    for row in 0..size[0] {
        let y = row as f64;
        let mut crossings: Vec<f64> = Vec::new();
        for [a, b] in &edges {
            let ([y0, x0], [y1, x1]) = (a.map(|v| v as f64), b.map(|v| v as f64));
            if (y0 <= y) != (y1 <= y) {
                crossings.push(x0 + (y - y0) / (y1 - y0) * (x1 - x0));
            }
        }
        crossings.sort_by(f64::total_cmp);
        for pair in crossings.chunks_exact(2) {
            let (first, last) = (pair[0].ceil() as usize, (pair[1].floor() as usize).min(size[1] - 1));
            for column in first..=last {
                mask[(row, column)] = true;
            }
        }
    }
    for [a, b] in edges {
        for VoxelIndex([column, row, _]) in line(&[VoxelIndex([a[1], a[0], 0]), VoxelIndex([b[1], b[0], 0])]) {
            mask[(row, column)] = true;
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_has_no_gaps_and_keeps_its_corners() {
        let corners = [[0, 0, 0], [5, 2, 0], [5, 2, 3]].map(VoxelIndex);
        let all = line(&corners);
        assert!(corners.iter().all(|corner| all.contains(corner)));
        assert_eq!(all.len(), 9);
        for pair in all.windows(2) {
            assert!((0..3).all(|axis| pair[0].0[axis].abs_diff(pair[1].0[axis]) <= 1));
        }
        assert_eq!(line(&corners[..1]), [corners[0]]);
    }

    #[test]
    fn few_points_stand_for_a_long_line() {
        assert_eq!(spread(&[4]), [4]);
        assert_eq!(spread(&[1, 2, 3]), [1, 2, 3]);
        let long: Vec<usize> = (0..60).collect();
        assert_eq!(spread(&long), [5, 15, 25, 35, 45, 55]);
    }

    #[test]
    fn a_polygon_holds_its_border_and_what_is_inside() {
        let square = filled(&[[1, 1], [1, 4], [4, 4], [4, 1]], [6, 7]);
        assert_eq!(square.iter().filter(|&&inside| inside).count(), 16);
        let line = filled(&[[2, 1], [2, 5]], [6, 7]);
        assert_eq!(line.iter().filter(|&&inside| inside).count(), 5);
        let bow_tie = filled(&[[0, 0], [4, 6], [4, 0], [0, 6]], [6, 7]);
        assert!(bow_tie[(1, 1)] && bow_tie[(2, 3)] && !bow_tie[(2, 0)], "crossing borders are even-odd");
    }

    proptest! {
        #[test]
        fn a_convex_polygon_holds_the_pixels_between_its_corners(
            (r0, c0) in (0usize..20, 0usize..20), (r1, c1) in (0usize..20, 0usize..20), (r2, c2) in (0usize..20, 0usize..20)
        ) {
            let corners = [[r0, c0], [r1, c1], [r2, c2]];
            let mask = filled(&corners, [20, 20]);
            for (row, column) in corners.map(|[r, c]| (r, c)) {
                prop_assert!(mask[(row, column)]);
            }
            let middle = [(r0 + r1 + r2) as f64 / 3.0, (c0 + c1 + c2) as f64 / 3.0];
            let near = (middle[0].round() as usize, middle[1].round() as usize);
            let around = (near.0.saturating_sub(1)..=near.0 + 1)
                .flat_map(|r| (near.1.saturating_sub(1)..=near.1 + 1).map(move |c| (r, c)));
            prop_assert!(around.filter_map(|at| mask.get(at)).any(|&inside| inside));
            let outside = |row: usize, column: usize| {
                row < r0.min(r1).min(r2) || row > r0.max(r1).max(r2) || column < c0.min(c1).min(c2) || column > c0.max(c1).max(c2)
            };
            prop_assert!(mask.indexed_iter().all(|((row, column), &inside)| !(inside && outside(row, column))));
        }
    }
}
