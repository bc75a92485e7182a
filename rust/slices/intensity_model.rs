//! What an object's intensities are beside those of its surroundings, learned on the slice where its mask is known.
//! Beyond the paper
//! (docs/method.md).
//!
//! In: pixels of 0..1 and a mask. Out: for each pixel, how much likelier its intensity is inside than around.

use crate::slices::near::near;
use ndarray::{Array2, ArrayView2, Zip};

const BINS: usize = 64;
/// Standard deviation of the Gaussian that smooths the histograms, in bins.
const SMOOTHING: f32 = 1.5;
/// What every bin holds beside its share of the pixels, so that an intensity that was not seen says nothing.
const UNSEEN: f32 = 1e-3;
/// Logarithms of likelihood ratios are bounded by this.
const MAX_LOG_RATIO: f32 = 3.0;
/// How far around an object its surroundings reach, in radii of a disc of its area, and at least in pixels.
const REACH: f64 = 1.0;
const MIN_REACH: usize = 3;

/// The histograms inside and around an object, as the logarithm of their ratio.
///
/// ```
/// use ndarray::Array2;
/// use promem::slices::intensity_model::IntensityModel;
///
/// let mask = Array2::from_shape_fn((32, 32), |(row, column)| row.abs_diff(16) < 5 && column.abs_diff(16) < 5);
/// let pixels = mask.mapv(|inside| if inside { 0.8 } else { 0.3 });
/// let model = IntensityModel::learn(pixels.view(), mask.view()).expect("object and surroundings are there");
/// let ratio = model.log_likelihood_ratio(pixels.view());
/// assert!(ratio[(16, 16)] > 2.0 && ratio[(2, 2)] < -2.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct IntensityModel {
    log_likelihood_ratio: [f32; BINS],
}

impl IntensityModel {
    /// From a slice's pixels, 0..1, and the object's mask on it. `None` where the mask or its surroundings are empty.
    pub fn learn(pixels: ArrayView2<f32>, mask: ArrayView2<bool>) -> Option<Self> {
        let area = mask.iter().filter(|&&inside| inside).count();
        let reach = (REACH * (area as f64 / std::f64::consts::PI).sqrt()) as usize;
        let around = near(mask, reach.max(MIN_REACH));
        let [mut inside, mut outside] = [[0.0; BINS]; 2];
        Zip::from(pixels).and(mask).and(&around).for_each(|&value, &mask, &around| match (mask, around) {
            (true, _) => inside[bin(value)] += 1.0,
            (false, true) => outside[bin(value)] += 1.0,
            (false, false) => {}
        });
        if [&inside, &outside].iter().any(|counts| counts.iter().sum::<f32>() == 0.0) {
            return None;
        }
        let [inside, outside] = [inside, outside].map(likelihoods);
        let log_likelihood_ratio =
            std::array::from_fn(|bin| (inside[bin] / outside[bin]).ln().clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO));
        Some(Self { log_likelihood_ratio })
    }

    /// The logarithm of the likelihoods of each pixel, 0..1, inside over around: positive where it looks like the
    /// object.
    pub fn log_likelihood_ratio(&self, pixels: ArrayView2<f32>) -> Array2<f32> {
        pixels.mapv(|value| self.log_likelihood_ratio[bin(value)])
    }
}

fn bin(value: f32) -> usize {
    ((value * BINS as f32) as usize).min(BINS - 1)
}

/// Counts as likelihoods: smoothed, none of them zero.
fn likelihoods(counts: [f32; BINS]) -> [f32; BINS] {
    let reach = (4.0 * SMOOTHING) as isize;
    let weight = |offset: isize| (-(offset as f32 / SMOOTHING).powi(2) / 2.0).exp();
    let total: f32 = (-reach..=reach).map(weight).sum();
    let smooth: [f32; BINS] = std::array::from_fn(|bin| {
        let near = |offset| counts.get(bin.wrapping_add_signed(offset)).map_or(0.0, |count| count * weight(offset));
        (-reach..=reach).map(near).sum::<f32>() / total
    });
    let sum: f32 = smooth.iter().sum();
    smooth.map(|count| count / sum + UNSEEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disc of 0.6 in surroundings of 0.3, each with some noise; a bright stripe far away.
    fn scene() -> (Array2<f32>, Array2<bool>) {
        let mask = Array2::from_shape_fn((64, 64), |(r, c)| (r as f32 - 30.0).hypot(c as f32 - 30.0) < 9.0);
        let pixels = Array2::from_shape_fn((64, 64), |(r, c)| {
            let noise = ((r * 31 + c * 17) % 11) as f32 / 100.0;
            match (mask[(r, c)], c > 60) {
                (_, true) => 0.95,
                (true, _) => 0.6 + noise,
                (false, _) => 0.3 + noise,
            }
        });
        (pixels, mask)
    }

    #[test]
    fn what_looks_like_the_object_speaks_for_it_and_what_looks_like_its_surroundings_against() {
        let (pixels, mask) = scene();
        let learned = IntensityModel::learn(pixels.view(), mask.view()).expect("both are there");
        let ratio = learned.log_likelihood_ratio(pixels.view());
        assert!(mask.indexed_iter().filter(|(at, _)| at.1 <= 60).all(|(at, &inside)| inside == (ratio[at] > 0.0)));
        assert!((ratio[(30, 30)], ratio[(30, 50)]) > (2.0, -3.1) && ratio[(30, 50)] < -2.0);
    }

    #[test]
    fn an_intensity_that_was_not_seen_says_nothing() {
        let (pixels, mask) = scene();
        let learned = IntensityModel::learn(pixels.view(), mask.view()).expect("both are there");
        assert_eq!(learned.log_likelihood_ratio(pixels.view())[(30, 62)], 0.0);
    }

    #[test]
    fn without_an_object_or_without_surroundings_nothing_is_learned() {
        let (pixels, _) = scene();
        let filled = |inside| Array2::from_elem(pixels.dim(), inside);
        assert_eq!(IntensityModel::learn(pixels.view(), filled(false).view()), None);
        assert_eq!(IntensityModel::learn(pixels.view(), filled(true).view()), None);
    }
}
