//! A mask and what lies around it.

use ndarray::{Array2, ArrayView2, Axis};

/// Pixels with one of the mask at most `reach` rows and columns away.
pub fn near(mask: ArrayView2<bool>, reach: usize) -> Array2<bool> {
    let mut wide = mask.to_owned();
    for axis in [Axis(1), Axis(0)] {
        for mut lane in wide.lanes_mut(axis) {
            let mut before = vec![0usize; lane.len() + 1]; // how many lie before each position
            for (at, &inside) in lane.iter().enumerate() {
                before[at + 1] = before[at] + usize::from(inside);
            }
            let count = lane.len();
            for (at, value) in lane.iter_mut().enumerate() {
                *value = before[(at + reach + 1).min(count)] > before[at.saturating_sub(reach)];
            }
        }
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn near_is_what_a_search_around_every_pixel_finds(
            bits in proptest::collection::vec(proptest::bool::weighted(0.1), 9 * 7), reach in 0usize..12
        ) {
            let mask = Array2::from_shape_vec((9, 7), bits).unwrap();
            let found = near(mask.view(), reach);
            for ((r, c), &is_near) in found.indexed_iter() {
                let expected = mask
                    .indexed_iter()
                    .any(|((y, x), &inside)| inside && y.abs_diff(r) <= reach && x.abs_diff(c) <= reach);
                prop_assert_eq!(is_near, expected);
            }
        }
    }
}
