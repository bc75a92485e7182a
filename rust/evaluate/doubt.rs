//! Whether a slice's score tells its true Dice: the program's doubt, beside the truth.
//!
//! In: score and Dice of the slices that a model segmented without a prompt. Out: rank correlation, calibration, and
//! how often the lowest score points at one of the worst slices.

use crate::evaluate::statistics::{mean, spearman};
use serde::{Deserialize, Serialize};

/// Slices among which the lowest score is to be.
pub const WORST: usize = 3;
/// Points of a calibration curve.
const BINS: usize = 10;

/// A segmented slice without a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SliceScore {
    pub slice: usize,
    /// Predicted IoU.
    pub score: f64,
    pub dice: f64,
}

impl SliceScore {
    fn iou(&self) -> f64 {
        self.dice / (2.0 - self.dice)
    }
}

/// The doubt of a method on one data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Doubt {
    /// Slices of all objects.
    pub slices: usize,
    /// Spearman's rank correlation of score and Dice over all slices; `None` where one of them is constant.
    pub correlation: Option<f64>,
    /// The same within each object, mean over the objects where it is defined.
    pub correlation_within: Option<f64>,
    /// Objects with more than [`WORST`] slices.
    pub objects: usize,
    /// Share of those objects whose slice of the lowest score is one of the [`WORST`] slices of the lowest Dice.
    pub found_worst: Option<f64>,
    /// The share that a random slice would reach.
    pub found_by_chance: Option<f64>,
    /// Mean predicted and mean true IoU in groups of equally many slices, rising by score.
    pub calibration: Vec<(f64, f64)>,
}

impl Doubt {
    /// From the slices of each object; `None` without a slice.
    pub fn new(objects: &[&[SliceScore]]) -> Option<Self> {
        let mut all: Vec<SliceScore> = objects.iter().flat_map(|slices| slices.iter().copied()).collect();
        if all.is_empty() {
            return None;
        }
        let within: Vec<f64> = objects.iter().filter_map(|slices| correlation(slices)).collect();
        let large: Vec<&[SliceScore]> = objects.iter().copied().filter(|slices| slices.len() > WORST).collect();
        let share = |of: &dyn Fn(&[SliceScore]) -> f64| {
            (!large.is_empty()).then(|| mean(&large.iter().map(|slices| of(slices)).collect::<Vec<_>>()))
        };
        all.sort_by(|a, b| a.score.total_cmp(&b.score));
        Some(Self {
            slices: all.len(),
            correlation: correlation(&all),
            correlation_within: (!within.is_empty()).then(|| mean(&within)),
            objects: large.len(),
            found_worst: share(&|slices| f64::from(u8::from(lowest_score_is_among_the_worst(slices)))),
            found_by_chance: share(&|slices| WORST as f64 / slices.len() as f64),
            calibration: calibration(&all),
        })
    }
}

fn correlation(slices: &[SliceScore]) -> Option<f64> {
    spearman(&slices.iter().map(|slice| (slice.score, slice.dice)).collect::<Vec<_>>())
}

/// Slices that share the Dice of the third worst are among the worst, too.
fn lowest_score_is_among_the_worst(slices: &[SliceScore]) -> bool {
    let lowest = slices.iter().min_by(|a, b| a.score.total_cmp(&b.score).then(a.slice.cmp(&b.slice)));
    let mut dice: Vec<f64> = slices.iter().map(|slice| slice.dice).collect();
    dice.sort_by(f64::total_cmp);
    lowest.is_some_and(|lowest| lowest.dice <= dice[WORST.min(dice.len()) - 1])
}

fn calibration(sorted: &[SliceScore]) -> Vec<(f64, f64)> {
    let bins = BINS.min(sorted.len());
    let of = |bin: usize| &sorted[bin * sorted.len() / bins..(bin + 1) * sorted.len() / bins];
    let point = |slices: &[SliceScore]| {
        let of = |value: fn(&SliceScore) -> f64| mean(&slices.iter().map(value).collect::<Vec<_>>());
        (of(|slice| slice.score), of(SliceScore::iou))
    };
    (0..bins).map(of).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(pairs: &[(f64, f64)]) -> Vec<SliceScore> {
        pairs.iter().enumerate().map(|(slice, &(score, dice))| SliceScore { slice, score, dice }).collect()
    }

    #[test]
    fn scores_that_rank_as_the_dice_are_trusted() {
        let trusted = slices(&[(0.9, 0.95), (0.5, 0.6), (0.7, 0.8), (0.6, 0.7), (0.8, 0.9)]);
        let misled = slices(&[(0.9, 0.1), (0.5, 0.6), (0.7, 0.4), (0.6, 0.5), (0.8, 0.3)]);
        let doubt = |objects: &[&[SliceScore]]| Doubt::new(objects).unwrap();
        let of = doubt(&[&trusted]);
        assert!((of.correlation.unwrap() - 1.0).abs() < 1e-12 && of.found_worst == Some(1.0), "{of:?}");
        assert_eq!(of.found_by_chance, Some(0.6));
        let of = doubt(&[&misled]);
        assert!((of.correlation.unwrap() + 1.0).abs() < 1e-12 && of.found_worst == Some(0.0), "{of:?}");
        let both = doubt(&[&trusted, &misled]);
        assert!(both.correlation_within.unwrap().abs() < 1e-12);
        assert_eq!((both.slices, both.objects, both.found_worst), (10, 2, Some(0.5)));
    }

    #[test]
    fn calibration_compares_predicted_with_true_iou() {
        let perfect: Vec<(f64, f64)> =
            (1..=40).map(|n| f64::from(n) / 40.0).map(|j| (j, 2.0 * j / (1.0 + j))).collect();
        let doubt = Doubt::new(&[&slices(&perfect)]).unwrap();
        assert_eq!(doubt.calibration.len(), BINS);
        assert!(doubt.calibration.iter().all(|(predicted, found)| (predicted - found).abs() < 1e-12));
    }

    #[test]
    fn objects_of_three_slices_say_nothing_about_the_worst_three() {
        let doubt = Doubt::new(&[&slices(&[(0.9, 0.1), (0.5, 0.6), (0.7, 0.4)])]).unwrap();
        assert_eq!((doubt.objects, doubt.found_worst, doubt.found_by_chance), (0, None, None));
        assert!(Doubt::new(&[&[], &[]]).is_none());
    }
}
