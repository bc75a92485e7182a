//! Regions of a mask: how deep inside a pixel lies, and the largest connected piece.

use ndarray::{Array2, ArrayView2};

/// Steps of the chamfer distance to a neighbour beside and to one across the corner, in thirds of a pixel.
const BESIDE: u32 = 3;
const ACROSS: u32 = 4;

/// Distance of each pixel of a mask to the nearest pixel that is not of it, in pixels; 0 outside. What lies beyond the
/// frame counts as inside: an object that the frame cuts has no border there.
pub fn depth(mask: ArrayView2<bool>) -> Array2<f32> {
    let (rows, columns) = mask.dim();
    let far = (rows + columns) as u32 * ACROSS;
    let mut distance = mask.mapv(|inside| if inside { far } else { 0 });
    let before = [(-1i64, -1i64, ACROSS), (-1, 0, BESIDE), (-1, 1, ACROSS), (0, -1, BESIDE)];
    let mut relax = |r: usize, c: usize, sign: i64| {
        for (dr, dc, step) in before {
            let (y, x) = (r as i64 + sign * dr, c as i64 + sign * dc);
            if y >= 0 && x >= 0 && (y as usize) < rows && (x as usize) < columns {
                let other = distance[(y as usize, x as usize)] + step;
                let own = &mut distance[(r, c)];
                *own = (*own).min(other);
            }
        }
    };
    for r in 0..rows {
        (0..columns).for_each(|c| relax(r, c, 1));
    }
    for r in (0..rows).rev() {
        (0..columns).rev().for_each(|c| relax(r, c, -1));
    }
    distance.mapv(|value| value as f32 / BESIDE as f32)
}

/// The largest 4-connected piece of `mask` in which `class` has one value, and that value; `None` of an empty mask.
pub fn largest_component(mask: ArrayView2<bool>, class: ArrayView2<bool>) -> Option<(Array2<bool>, bool)> {
    let (rows, columns) = mask.dim();
    let mut seen = Array2::from_elem((rows, columns), false);
    let mut largest: Vec<(usize, usize)> = Vec::new();
    for start in mask.indexed_iter().filter(|(_, &inside)| inside).map(|(at, _)| at) {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        let mut piece = vec![start];
        let mut next = 0;
        while let Some(&(r, c)) = piece.get(next) {
            next += 1;
            for at in [(r.wrapping_sub(1), c), (r + 1, c), (r, c.wrapping_sub(1)), (r, c + 1)] {
                let same = mask.get(at).is_some_and(|&inside| inside) && class[at] == class[start];
                if same && !seen[at] {
                    seen[at] = true;
                    piece.push(at);
                }
            }
        }
        if piece.len() > largest.len() {
            largest = piece;
        }
    }
    let class = class[*largest.first()?];
    let mut of_it = Array2::from_elem((rows, columns), false);
    largest.into_iter().for_each(|at| of_it[at] = true);
    Some((of_it, class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_pixels_to_the_outside_and_not_to_the_frame() {
        let mask = Array2::from_shape_fn((9, 20), |(r, c)| (2..7).contains(&r) && c < 12);
        let depth = depth(mask.view());
        assert_eq!([depth[(1, 3)], depth[(2, 3)], depth[(4, 3)], depth[(4, 0)]], [0.0, 1.0, 3.0, 3.0]);
        assert_eq!([depth[(4, 11)], depth[(4, 10)]], [1.0, 2.0]);
    }

    #[test]
    fn errors_of_two_kinds_that_touch_are_two_pieces() {
        let mask = Array2::from_shape_fn((4, 10), |(_, c)| c >= 2);
        let class = Array2::from_shape_fn((4, 10), |(_, c)| c < 5);
        let (piece, missing) = largest_component(mask.view(), class.view()).unwrap();
        assert!(!missing && piece.indexed_iter().all(|((_, c), &of_it)| of_it == (c >= 5)));
        assert_eq!(
            largest_component(Array2::from_elem((3, 3), false).view(), Array2::from_elem((3, 3), false).view()),
            None
        );
    }
}
