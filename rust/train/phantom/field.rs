//! Smooth random fields.

use crate::train::Rng;
use ndarray::{Array2, Array3};
use rand::Rng as _;
use rand_distr::StandardNormal;

/// Positions between coarse samples: (lower, share of the upper).
fn taps(from: usize, to: usize) -> Vec<(usize, f32)> {
    let step = if to > 1 { (from - 1) as f32 / (to - 1) as f32 } else { 0.0 };
    (0..to)
        .map(|n| {
            let at = n as f32 * step;
            let low = (at as usize).min(from.saturating_sub(2));
            (low, at - low as f32)
        })
        .collect()
}

/// Trilinear, corner samples on corner samples; every side of `coarse` is at least 2.
pub fn stretch(coarse: &Array3<f32>, [d, h, w]: [usize; 3]) -> Array3<f32> {
    let (cd, ch, cw) = coarse.dim();
    let (z, y, x) = (taps(cd, d), taps(ch, h), taps(cw, w));
    let mut wide = Array3::<f32>::zeros((cd, ch, w));
    for a in 0..cd {
        for b in 0..ch {
            for (c, &(low, share)) in x.iter().enumerate() {
                wide[[a, b, c]] = coarse[[a, b, low]] * (1.0 - share) + coarse[[a, b, low + 1]] * share;
            }
        }
    }
    let mut high = Array3::<f32>::zeros((cd, h, w));
    for a in 0..cd {
        for (b, &(low, share)) in y.iter().enumerate() {
            let (from, to) = (wide.slice(ndarray::s![a, low, ..]), wide.slice(ndarray::s![a, low + 1, ..]));
            let mut out = high.slice_mut(ndarray::s![a, b, ..]);
            ndarray::Zip::from(&mut out).and(&from).and(&to).for_each(|o, f, t| *o = f * (1.0 - share) + t * share);
        }
    }
    let mut deep = Array3::<f32>::zeros((d, h, w));
    for (a, &(low, share)) in z.iter().enumerate() {
        let (from, to) = (high.slice(ndarray::s![low, .., ..]), high.slice(ndarray::s![low + 1, .., ..]));
        let mut out = deep.slice_mut(ndarray::s![a, .., ..]);
        ndarray::Zip::from(&mut out).and(&from).and(&to).for_each(|o, f, t| *o = f * (1.0 - share) + t * share);
    }
    deep
}

/// Independent normal values.
pub fn normal(rng: &mut Rng, dims: [usize; 3]) -> Array3<f32> {
    Array3::from_shape_simple_fn(dims, || rng.sample(StandardNormal))
}

/// Normal values on a grid of `coarse` points, stretched.
pub fn smooth(rng: &mut Rng, coarse: [usize; 3], dims: [usize; 3]) -> Array3<f32> {
    stretch(&normal(rng, coarse.map(|n| n.max(2))), dims)
}

/// Gaussian blur of a plane; edges are repeated.
pub fn blur(plane: &Array2<f32>, sigma: f32) -> Array2<f32> {
    if sigma < 0.2 {
        return plane.clone();
    }
    let reach = (3.0 * sigma).ceil() as isize;
    let weights: Vec<f32> = (-reach..=reach).map(|n| (-0.5 * (n as f32 / sigma).powi(2)).exp()).collect();
    let total: f32 = weights.iter().sum();
    let (rows, columns) = plane.dim();
    let clamp = |n: isize, size: usize| n.clamp(0, size as isize - 1) as usize;
    let mut across = Array2::<f32>::zeros((rows, columns));
    for (from, mut to) in plane.rows().into_iter().zip(across.rows_mut()) {
        let from = from.to_vec();
        for (c, out) in to.iter_mut().enumerate() {
            let inside = c as isize >= reach && c + (reach as usize) < columns;
            *out = if inside {
                let start = c - reach as usize;
                weights.iter().zip(&from[start..]).map(|(w, v)| w * v).sum::<f32>()
            } else {
                weights.iter().zip(-reach..).map(|(w, n)| w * from[clamp(c as isize + n, columns)]).sum()
            } / total;
        }
    }
    let mut out = Array2::<f32>::zeros((rows, columns));
    for r in 0..rows {
        let mut line = out.row_mut(r);
        for (w, n) in weights.iter().zip(-reach..) {
            line.scaled_add(w / total, &across.row(clamp(r as isize + n, rows)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretching_keeps_corners_and_is_linear_between() {
        let coarse = Array3::from_shape_fn((2, 2, 3), |(a, b, c)| (100 * a + 10 * b + c) as f32);
        let fine = stretch(&coarse, [3, 5, 5]);
        assert_eq!((fine[[0, 0, 0]], fine[[2, 4, 4]]), (0.0, 112.0));
        assert_eq!(fine[[1, 2, 1]], 50.0 + 5.0 + 0.5);
    }

    #[test]
    fn blurring_keeps_a_constant_and_spreads_a_point() {
        let flat = Array2::from_elem((9, 12), 3.0);
        assert!(blur(&flat, 1.5).iter().all(|v| (v - 3.0).abs() < 1e-5));
        let mut point = Array2::zeros((15, 15));
        point[(7, 7)] = 1.0;
        let spread = blur(&point, 1.0);
        assert!((spread.sum() - 1.0).abs() < 1e-4 && (spread[(7, 7)] - 0.159).abs() < 2e-3, "{}", spread[(7, 7)]);
    }
}
