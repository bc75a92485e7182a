//! Where each pixel of a slice was on the slice before: dense registration, coarse to fine.
//!
//! At each level of a pyramid the moving slice is warped by what is known, and every pixel moves by the least-squares
//! solution of the
//! linearised difference in a window around it (Lucas and Kanade, 1981); the field is smoothed between steps. Ours, not
//! the paper's.

use ndarray::{Array2, ArrayView2, Zip};

/// Sides below this are not halved again.
const COARSEST: usize = 12;
/// Steps at each level.
const STEPS: usize = 3;
/// Half the side of the window, in pixels, and of the field's smoothing.
const WINDOW: usize = 3;
const SMOOTHING: usize = 2;
/// What a window's gradients are weighed against, for intensities of 0..1: flat windows stay where they are.
const STIFFNESS: f32 = 2e-3;
/// No step is longer, in pixels.
const LONGEST: f32 = 1.0;

/// For each pixel of `fixed` the displacement (rows, columns), in pixels, to the place on `moving` that it matches.
/// Both of one size, 0..1.
pub fn displacement(fixed: ArrayView2<f32>, moving: ArrayView2<f32>) -> [Array2<f32>; 2] {
    let mut levels = vec![(fixed.to_owned(), moving.to_owned())];
    while let Some((f, m)) = levels.last().filter(|(f, _)| f.nrows().min(f.ncols()) >= 2 * COARSEST) {
        let halved = (halve(f), halve(m));
        levels.push(halved);
    }
    let (coarse, _) = &levels[levels.len() - 1];
    let mut field = [Array2::zeros(coarse.dim()), Array2::zeros(coarse.dim())];
    for (fixed, moving) in levels.iter().rev() {
        if field[0].dim() != fixed.dim() {
            field = field.map(|part| enlarge(&part, fixed.dim()));
        }
        for _ in 0..STEPS {
            step(fixed, moving, &mut field);
        }
    }
    field
}

/// The displacement between two frames that were halved once, for masks of `stride` (2, 4, ...) frame pixels per cell,
/// in cells.
pub fn mask_displacement(fixed: &Array2<f32>, moving: &Array2<f32>, stride: usize) -> [Array2<f32>; 2] {
    let mut field = displacement(fixed.view(), moving.view());
    let mut reached = 2;
    while reached < stride {
        field = field.map(|part| halve(&part) * 0.5);
        reached *= 2;
    }
    field
}

fn step(fixed: &Array2<f32>, moving: &Array2<f32>, field: &mut [Array2<f32>; 2]) {
    let warped = warp(moving.view(), field);
    let (rows, columns) = gradients(&warped);
    let (fixed_rows, fixed_columns) = gradients(fixed);
    let mut sums: [Array2<f32>; 5] = std::array::from_fn(|_| Array2::zeros(fixed.dim()));
    for ((r, c), &target) in fixed.indexed_iter() {
        let y = 0.5 * (rows[(r, c)] + fixed_rows[(r, c)]);
        let x = 0.5 * (columns[(r, c)] + fixed_columns[(r, c)]);
        let difference = target - warped[(r, c)];
        for (sum, value) in sums.iter_mut().zip([y * y, x * x, y * x, y * difference, x * difference]) {
            sum[(r, c)] = value;
        }
    }
    let [yy, xx, yx, yd, xd] = sums.map(|sum| mean(&sum, WINDOW));
    let [down, right] = field;
    for ((r, c), &yy) in yy.indexed_iter() {
        let (yy, xx, yx) = (yy + STIFFNESS, xx[(r, c)] + STIFFNESS, yx[(r, c)]);
        let determinant = yy * xx - yx * yx;
        let (yd, xd) = (yd[(r, c)], xd[(r, c)]);
        down[(r, c)] += ((xx * yd - yx * xd) / determinant).clamp(-LONGEST, LONGEST);
        right[(r, c)] += ((yy * xd - yx * yd) / determinant).clamp(-LONGEST, LONGEST);
    }
    *down = mean(down, SMOOTHING);
    *right = mean(right, SMOOTHING);
}

/// `image` looked up at each pixel's own displacement, bilinear; the border is repeated.
pub fn warp(image: ArrayView2<f32>, [down, right]: &[Array2<f32>; 2]) -> Array2<f32> {
    let (rows, columns) = image.dim();
    let (last_row, last_column) = ((rows - 1) as f32, (columns - 1) as f32);
    Array2::from_shape_fn(down.dim(), |(r, c)| {
        let y = (r as f32 + down[(r, c)]).clamp(0.0, last_row);
        let x = (c as f32 + right[(r, c)]).clamp(0.0, last_column);
        let (y0, x0) = (y as usize, x as usize);
        let (y1, x1) = ((y0 + 1).min(rows - 1), (x0 + 1).min(columns - 1));
        let (fy, fx) = (y - y0 as f32, x - x0 as f32);
        let top = image[(y0, x0)] * (1.0 - fx) + image[(y0, x1)] * fx;
        let bottom = image[(y1, x0)] * (1.0 - fx) + image[(y1, x1)] * fx;
        top * (1.0 - fy) + bottom * fy
    })
}

fn gradients(image: &Array2<f32>) -> (Array2<f32>, Array2<f32>) {
    let (rows, columns) = image.dim();
    let mut down = Array2::zeros((rows, columns));
    let mut right = Array2::zeros((rows, columns));
    for r in 0..rows {
        let (above, below) = (r.saturating_sub(1), (r + 1).min(rows - 1));
        for c in 0..columns {
            let (before, after) = (c.saturating_sub(1), (c + 1).min(columns - 1));
            down[(r, c)] = 0.5 * (image[(below, c)] - image[(above, c)]);
            right[(r, c)] = 0.5 * (image[(r, after)] - image[(r, before)]);
        }
    }
    (down, right)
}

/// Mean over a square window, smaller at the border.
fn mean(image: &Array2<f32>, reach: usize) -> Array2<f32> {
    let (rows, columns) = image.dim();
    let mut across = Array2::zeros((rows, columns));
    let mut sums = vec![0f32; columns + 1];
    for (from, mut to) in image.rows().into_iter().zip(across.rows_mut()) {
        for (c, v) in from.iter().enumerate() {
            sums[c + 1] = sums[c] + v;
        }
        for (c, out) in to.iter_mut().enumerate() {
            let (low, high) = (c.saturating_sub(reach), (c + reach + 1).min(columns));
            *out = (sums[high] - sums[low]) / (high - low) as f32;
        }
    }
    let mut sum = ndarray::Array1::<f32>::zeros(columns);
    let mut out = Array2::zeros((rows, columns));
    (0..reach.min(rows)).for_each(|r| sum += &across.row(r));
    for r in 0..rows {
        if r + reach < rows {
            sum += &across.row(r + reach);
        }
        if r > reach {
            sum -= &across.row(r - reach - 1);
        }
        let count = ((r + reach + 1).min(rows) - r.saturating_sub(reach)) as f32;
        out.row_mut(r).assign(&(&sum / count));
    }
    out
}

/// Means of 2 x 2 pixels; an odd last row or column is dropped.
pub fn halve(image: &Array2<f32>) -> Array2<f32> {
    let (rows, columns) = (image.nrows() / 2, image.ncols() / 2);
    Array2::from_shape_fn((rows, columns), |(r, c)| {
        0.25 * (image[(2 * r, 2 * c)]
            + image[(2 * r + 1, 2 * c)]
            + image[(2 * r, 2 * c + 1)]
            + image[(2 * r + 1, 2 * c + 1)])
    })
}

/// A field at twice the resolution: twice the displacement.
fn enlarge(field: &Array2<f32>, size: (usize, usize)) -> Array2<f32> {
    let mut large = super::resize::resize(field.view(), [size.0, size.1]);
    let share = size.0 as f32 / field.nrows() as f32;
    Zip::from(&mut large).for_each(|v| *v *= share);
    large
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Smooth texture with structure in all directions.
    fn texture(shift: [f32; 2]) -> Array2<f32> {
        Array2::from_shape_fn((64, 72), |(r, c)| {
            let (y, x) = (r as f32 + shift[0], c as f32 + shift[1]);
            0.5 + 0.2 * (y / 5.0 + (x / 9.0).sin()).sin() + 0.2 * (x / 6.0 - (y / 11.0).cos()).cos()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn a_shift_is_found(down in -4.0f32..4.0, right in -4.0f32..4.0) {
            // fixed(p) = moving(p + d)
            let [y, x] = displacement(texture([down, right]).view(), texture([0.0, 0.0]).view());
            let inner = ndarray::s![12..52, 12..60];
            for (found, expected) in [(y.slice(inner), down), (x.slice(inner), right)] {
                let worst = found.iter().map(|v| (v - expected).abs()).sum::<f32>() / found.len() as f32;
                prop_assert!(worst < 0.25, "{worst} pixels from {expected}");
            }
        }
    }

    #[test]
    fn equal_and_empty_slices_stay_where_they_are() {
        let flat = Array2::from_elem((40, 40), 0.3);
        for image in [flat, texture([0.0, 0.0])] {
            let [y, x] = displacement(image.view(), image.view());
            assert!(y.iter().chain(&x).all(|d| d.abs() < 1e-3));
        }
    }

    #[test]
    fn windows_are_smaller_at_the_border() {
        let image = Array2::from_shape_fn((5, 4), |(r, c)| (r * 4 + c) as f32);
        let means = mean(&image, 1);
        assert_eq!((means[(0, 0)], means[(2, 1)], means[(4, 3)]), (2.5, 9.0, 16.5));
    }
}
