//! The metrics of one object: overlap, surface distances, volume, and overlap along the slices.
//!
//! In: the ground-truth mask and the prediction. Out: [`Scores`].

use crate::datasets::BinaryMask;
use crate::evaluate::surface::SurfaceDistances;
use crate::geometry::{Axis, SliceIndex, Spacing};
use ndarray::{ArrayView2, Zip};
use serde::{Deserialize, Serialize};

/// Overlap where both masks are empty. One empty mask against a non-empty one is always 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum EmptyRule {
    /// The object is left out
    Skip,
    /// The overlap is 0
    Zero,
    /// The overlap is 1
    One,
}

/// How objects are scored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricOptions {
    /// Tolerance of the normalised surface Dice, in mm.
    pub tolerance_mm: f64,
    /// What the overlap of two empty masks is.
    pub empty: EmptyRule,
}

impl Default for MetricOptions {
    /// 3 mm, as in TotalSegmentator's own evaluation; an empty prediction of an empty mask counts as correct.
    fn default() -> Self {
        Self { tolerance_mm: 3.0, empty: EmptyRule::One }
    }
}

/// An object's scores. `None` where a metric is undefined: both masks empty under [`EmptyRule::Skip`], a distance to an
/// empty mask, mm in a data set without spacing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Dice coefficient, 0 to 1.
    pub dice: Option<f64>,
    /// Dice with the prompt slice removed from both masks.
    pub dice_without_prompt: Option<f64>,
    /// Intersection over union, 0 to 1.
    pub iou: Option<f64>,
    /// Normalised surface Dice: share of both surfaces within the tolerance of the other; 0 if one mask is empty.
    pub surface_dice: Option<f64>,
    /// 95th percentile of the Hausdorff distance (HD95).
    pub hausdorff_95_mm: Option<f64>,
    /// Average symmetric surface distance (ASSD).
    pub average_surface_mm: Option<f64>,
    /// (predicted - true) / true.
    pub volume_error: Option<f64>,
    /// Voxels of the ground truth.
    pub truth_voxels: usize,
    /// Voxels of the prediction.
    pub predicted_voxels: usize,
    /// Predicted slices outside the ground-truth range.
    pub over_slices: usize,
    /// Slices of the ground truth outside the predicted range.
    pub under_slices: usize,
    /// Dice at each distance in slices from the prompt slice, both sides together; slices that are empty in both masks
    /// are left out.
    pub by_distance: Vec<(usize, f64)>,
}

/// Voxels inside each mask and inside both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Voxels of the ground truth.
    pub truth: usize,
    /// Voxels of the prediction.
    pub predicted: usize,
    /// Voxels of both.
    pub both: usize,
}

impl Overlap {
    /// Of two masks of one shape.
    pub fn of(truth: ArrayView2<bool>, predicted: ArrayView2<bool>) -> Self {
        let mut found = Self::default();
        Zip::from(truth).and(predicted).for_each(|&truth, &predicted| {
            found.truth += usize::from(truth);
            found.predicted += usize::from(predicted);
            found.both += usize::from(truth && predicted);
        });
        found
    }

    /// Of several slices together.
    pub fn total<'a>(slices: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        slices.for_each(|slice| all.add(*slice));
        all
    }

    fn add(&mut self, other: Self) {
        self.truth += other.truth;
        self.predicted += other.predicted;
        self.both += other.both;
    }

    fn without(self, other: Self) -> Self {
        Self {
            truth: self.truth - other.truth,
            predicted: self.predicted - other.predicted,
            both: self.both - other.both,
        }
    }

    /// Dice coefficient, 0 to 1; `None` where both masks are empty and `empty` leaves them out.
    pub fn dice(self, empty: EmptyRule) -> Option<f64> {
        match self.truth + self.predicted {
            0 => overlap_of_empty(empty),
            sum => Some(2.0 * self.both as f64 / sum as f64),
        }
    }

    /// Intersection over union, 0 to 1; `None` where both masks are empty and `empty` leaves them out.
    pub fn iou(self, empty: EmptyRule) -> Option<f64> {
        match self.truth + self.predicted - self.both {
            0 => overlap_of_empty(empty),
            either => Some(self.both as f64 / either as f64),
        }
    }
}

fn overlap_of_empty(rule: EmptyRule) -> Option<f64> {
    match rule {
        EmptyRule::Skip => None,
        EmptyRule::Zero => Some(0.0),
        EmptyRule::One => Some(1.0),
    }
}

/// Overlap slice by slice across `axis`.
pub fn overlaps(truth: &BinaryMask, prediction: &BinaryMask, axis: Axis) -> Vec<Overlap> {
    let counts = truth.areas(axis).into_iter().zip(prediction.areas(axis));
    let mut found: Vec<Overlap> = counts.map(|(truth, predicted)| Overlap { truth, predicted, both: 0 }).collect();
    let begin = [0, 1, 2].map(|n| truth.origin()[n].max(prediction.origin()[n]));
    let end = |m: &BinaryMask, n: usize| m.origin()[n] + m.inside().shape()[n];
    let end = [0, 1, 2].map(|n| end(truth, n).min(end(prediction, n)));
    if (0..3).any(|n| begin[n] >= end[n]) {
        return found;
    }
    let size = [0, 1, 2].map(|n| end[n] - begin[n]);
    let [a, b] = [truth, prediction].map(|mask| mask.window(begin, size));
    let along = 2 - axis.index();
    let planes = a.axis_iter(ndarray::Axis(along)).zip(b.axis_iter(ndarray::Axis(along)));
    for (n, (a, b)) in planes.enumerate() {
        let mut both = 0;
        Zip::from(a).and(b).for_each(|&a, &b| both += usize::from(a && b));
        found[begin[along] + n].both = both;
    }
    found
}

/// Scores a prediction; `spacing` in mm along the index axes i, j, k, or `None` where the data set has none.
///
/// # Panics
/// If the masks are of different volumes.
pub fn score(
    truth: &BinaryMask,
    prediction: &BinaryMask,
    spacing: Option<Spacing>,
    axis: Axis,
    prompt: SliceIndex,
    options: MetricOptions,
) -> Scores {
    assert_eq!(truth.dims(), prediction.dims(), "masks of one volume");
    let slices = overlaps(truth, prediction, axis);
    let all = Overlap::total(slices.iter());
    let without_prompt = all.without(slices[prompt.0]);
    let surfaces = spacing.and_then(|Spacing([i, j, k])| SurfaceDistances::new(truth, prediction, [k, j, i]));
    let surface_dice = match (spacing, &surfaces) {
        (None, _) => None,
        (_, Some(distances)) => Some(distances.surface_dice(options.tolerance_mm)),
        (_, None) if all.truth + all.predicted == 0 => overlap_of_empty(options.empty),
        (_, None) => Some(0.0),
    };
    let (over_slices, under_slices) = outside_range(&slices);
    Scores {
        dice: all.dice(options.empty),
        dice_without_prompt: without_prompt.dice(options.empty),
        iou: all.iou(options.empty),
        surface_dice,
        hausdorff_95_mm: surfaces.as_ref().map(SurfaceDistances::hausdorff_95),
        average_surface_mm: surfaces.as_ref().map(SurfaceDistances::average),
        volume_error: (all.truth > 0).then(|| all.predicted as f64 / all.truth as f64 - 1.0),
        truth_voxels: all.truth,
        predicted_voxels: all.predicted,
        over_slices,
        under_slices,
        by_distance: by_distance(&slices, prompt),
    }
}

/// Predicted slices outside the ground-truth range, and ground-truth slices outside the predicted range.
fn outside_range(slices: &[Overlap]) -> (usize, usize) {
    let ends = |inside: &dyn Fn(&Overlap) -> bool| slices.iter().position(inside).zip(slices.iter().rposition(inside));
    let true_ends = ends(&|slice| slice.truth > 0);
    let predicted_ends = ends(&|slice| slice.predicted > 0);
    let outside = |inside: &dyn Fn(&Overlap) -> bool, ends: Option<(usize, usize)>| {
        let held = slices.iter().enumerate().filter(|(_, slice)| inside(slice));
        held.filter(|(n, _)| ends.is_none_or(|(first, last)| *n < first || *n > last)).count()
    };
    (outside(&|slice| slice.predicted > 0, true_ends), outside(&|slice| slice.truth > 0, predicted_ends))
}

fn by_distance(slices: &[Overlap], prompt: SliceIndex) -> Vec<(usize, f64)> {
    let farthest = prompt.0.max(slices.len() - 1 - prompt.0);
    let at = |distance: usize| {
        let mut both = Overlap::default();
        let sides = [prompt.0.checked_sub(distance), prompt.0.checked_add(distance).filter(|_| distance > 0)];
        for slice in sides.into_iter().flatten().filter_map(|n| slices.get(n)) {
            both.add(*slice);
        }
        both.dice(EmptyRule::Skip).map(|dice| (distance, dice))
    };
    (0..=farthest).filter_map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    const DIMS: (usize, usize, usize) = (30, 24, 26);

    fn cuboid(k: std::ops::Range<usize>) -> BinaryMask {
        let full =
            Array3::from_shape_fn(DIMS, |(z, y, x)| k.contains(&z) && (5..15).contains(&y) && (4..12).contains(&x));
        BinaryMask::new(full.view())
    }

    fn scored(truth: &BinaryMask, prediction: &BinaryMask) -> Scores {
        let spacing = Some(Spacing([1.0, 2.0, 4.0]));
        score(truth, prediction, spacing, Axis::K, SliceIndex(15), MetricOptions::default())
    }

    #[test]
    fn perfect_prediction_has_perfect_scores() {
        let s = scored(&cuboid(10..20), &cuboid(10..20));
        assert_eq!([s.dice, s.dice_without_prompt, s.iou, s.surface_dice], [Some(1.0); 4]);
        assert_eq!([s.hausdorff_95_mm, s.average_surface_mm, s.volume_error], [Some(0.0); 3]);
        assert_eq!((s.over_slices, s.under_slices), (0, 0));
        assert_eq!(s.by_distance, (0..=5).map(|d| (d, 1.0)).collect::<Vec<_>>());
    }

    #[test]
    fn empty_prediction_scores_zero_and_has_no_distance() {
        let empty = BinaryMask::empty([30, 24, 26]);
        let s = scored(&cuboid(10..20), &empty);
        assert_eq!([s.dice, s.dice_without_prompt, s.iou, s.surface_dice], [Some(0.0); 4]);
        assert_eq!([s.hausdorff_95_mm, s.average_surface_mm], [None; 2]);
        assert_eq!(s.volume_error, Some(-1.0));
        assert_eq!((s.over_slices, s.under_slices), (0, 10));
    }

    #[test]
    fn two_empty_masks_score_by_the_rule() {
        let empty = BinaryMask::empty([30, 24, 26]);
        for (rule, expected) in [(EmptyRule::Skip, None), (EmptyRule::Zero, Some(0.0)), (EmptyRule::One, Some(1.0))] {
            let options = MetricOptions { empty: rule, ..MetricOptions::default() };
            let s = score(&empty, &empty, Some(Spacing([1.0; 3])), Axis::K, SliceIndex(3), options);
            assert_eq!([s.dice, s.iou, s.surface_dice], [expected; 3]);
        }
    }

    #[test]
    fn box_shifted_along_the_slices_loses_its_ends() {
        // 10 slices each, 7 in both; the prompt slice is one of them.
        let s = scored(&cuboid(10..20), &cuboid(13..23));
        assert_eq!(s.dice, Some(0.7));
        assert_eq!(s.dice_without_prompt, Some(12.0 / 18.0));
        assert!((s.iou.unwrap() - 7.0 / 13.0).abs() < 1e-12);
        assert_eq!((s.over_slices, s.under_slices), (3, 3));
        assert_eq!(s.hausdorff_95_mm, Some(12.0), "three slices of 4 mm");
        // Slices 12 and 18 are three from slice 15: one is missed, one is right.
        assert_eq!(s.by_distance[3], (3, 2.0 / 3.0));
        assert_eq!(s.by_distance[5], (5, 0.0));
        assert_eq!(s.volume_error, Some(0.0));
    }

    #[test]
    fn shifted_balls_overlap_as_two_caps() {
        let (radius, shift) = (10.0f64, 6.0f64);
        let ball = |centre: f64| {
            let full = Array3::from_shape_fn((48, 48, 60), |(k, j, i)| {
                let d = [k as f64 - 24.0, j as f64 - 24.0, i as f64 - centre];
                d.iter().map(|d| d * d).sum::<f64>() <= radius * radius
            });
            BinaryMask::new(full.view())
        };
        let s = score(
            &ball(24.0),
            &ball(24.0 + shift),
            Some(Spacing([1.0; 3])),
            Axis::K,
            SliceIndex(24),
            MetricOptions::default(),
        );
        let lens = 1.0 - 0.75 * shift / radius + (shift / radius).powi(3) / 16.0;
        assert!((s.dice.unwrap() - lens).abs() < 0.01, "{:?}, expected {lens}", s.dice);
        // The farthest point of each ball is `shift` away from the other.
        let d = SurfaceDistances::new(&ball(24.0), &ball(24.0 + shift), [1.0; 3]).unwrap();
        assert_eq!(d.truth_to_prediction.last(), Some(&shift));
    }

    #[test]
    fn distances_are_undefined_without_spacing() {
        let s = score(&cuboid(10..20), &cuboid(11..20), None, Axis::K, SliceIndex(15), MetricOptions::default());
        assert_eq!([s.surface_dice, s.hausdorff_95_mm, s.average_surface_mm], [None; 3]);
        assert!(s.dice.is_some());
    }
}
