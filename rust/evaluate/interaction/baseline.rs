//! Masks from clicks by methods that learn nothing.
//!
//! In: a slice's intensities, clicks, a box. Out: a mask. A click stands for the pixels around it; with a box alone its
//! middle is a foreground click, and nothing outside the box is segmented.

use super::user::Click;
use crate::evaluate::statistics::mean;
use crate::prompt::PointLabel;
use ndarray::{Array2, ArrayView2};
use serde::Serialize;

/// Rows and columns around a click that stand for what was clicked on.
const REACH: usize = 2;
/// Standard deviations that region growing accepts, and how often it measures its region anew (the defaults of ITK's
/// `ConfidenceConnectedImageFilter`).
const MULTIPLIER: f64 = 2.5;
const ITERATIONS: usize = 4;

/// A method that learns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The pixels whose intensity is nearer to a foreground click's than to a background click's or the slice's mean
    Threshold,
    /// Grows from the foreground clicks over similar intensities; background clicks claim the pixels nearest to them
    RegionGrowing,
}

impl Baseline {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::RegionGrowing => "region growing",
        }
    }

    /// The mask of a slice. `bounds`: first and last row and column of a box.
    pub fn segment(
        self,
        pixels: ArrayView2<f32>,
        clicks: &[Click],
        bounds: Option<([usize; 2], [usize; 2])>,
    ) -> Array2<bool> {
        let of = |label: PointLabel| clicks.iter().filter(move |click| click.label == label).map(|c| (c.row, c.column));
        let mut seeds: Vec<(usize, usize)> = of(PointLabel::Foreground).collect();
        if let (Some((first, last)), true) = (bounds, seeds.is_empty()) {
            seeds.push(((first[0] + last[0]) / 2, (first[1] + last[1]) / 2));
        }
        let others: Vec<(usize, usize)> = of(PointLabel::Background).collect();
        let mut mask = match self {
            Self::Threshold => threshold(pixels, &seeds, &others),
            Self::RegionGrowing => region_growing(pixels, &seeds, &others),
        };
        if let Some((first, last)) = bounds {
            let inside = |at: [usize; 2]| (0..2).all(|n| (first[n]..=last[n]).contains(&at[n]));
            mask.indexed_iter_mut().for_each(|((row, column), value)| *value &= inside([row, column]));
        }
        mask
    }
}

/// Values of the pixels around some places.
fn around(pixels: ArrayView2<f32>, places: &[(usize, usize)]) -> Vec<f64> {
    let (rows, columns) = pixels.dim();
    let mut values = Vec::new();
    for &(row, column) in places {
        for r in row.saturating_sub(REACH)..(row + REACH + 1).min(rows) {
            let near = column.saturating_sub(REACH)..(column + REACH + 1).min(columns);
            values.extend(near.map(|c| f64::from(pixels[(r, c)])));
        }
    }
    values
}

fn threshold(pixels: ArrayView2<f32>, seeds: &[(usize, usize)], others: &[(usize, usize)]) -> Array2<bool> {
    let of = |places: &[(usize, usize)]| -> Vec<f64> {
        places.iter().map(|&place| mean(&around(pixels, &[place]))).collect()
    };
    let (inside, mut beside) = (of(seeds), of(others));
    beside.push(mean(&pixels.iter().map(|&value| f64::from(value)).collect::<Vec<_>>()));
    let away = |value: f64, from: &[f64]| from.iter().map(|known| (value - known).abs()).fold(f64::INFINITY, f64::min);
    pixels.mapv(|value| away(f64::from(value), &inside) < away(f64::from(value), &beside))
}

fn region_growing(pixels: ArrayView2<f32>, seeds: &[(usize, usize)], others: &[(usize, usize)]) -> Array2<bool> {
    let nearest = |at: (usize, usize), places: &[(usize, usize)]| {
        places.iter().map(|place| place.0.abs_diff(at.0).pow(2) + place.1.abs_diff(at.1).pow(2)).min()
    };
    let claimed = |at: (usize, usize)| match (nearest(at, others), nearest(at, seeds)) {
        (Some(other), Some(seed)) => other < seed,
        (other, _) => other.is_some(),
    };
    let mut values = around(pixels, seeds);
    let mut region = Array2::from_elem(pixels.dim(), false);
    for _ in 0..=ITERATIONS {
        let centre = mean(&values);
        let spread = mean(&values.iter().map(|value| (value - centre).powi(2)).collect::<Vec<_>>()).sqrt();
        let similar = |at: (usize, usize)| (f64::from(pixels[at]) - centre).abs() <= MULTIPLIER * spread;
        region = grown(pixels.dim(), seeds, |at| similar(at) && !claimed(at));
        values = (region.indexed_iter().filter(|(_, &inside)| inside)).map(|(at, _)| f64::from(pixels[at])).collect();
        if values.is_empty() {
            break;
        }
    }
    region
}

/// What is connected with the seeds over edges of accepted pixels; a seed that is not accepted starts nothing.
fn grown(
    (rows, columns): (usize, usize),
    seeds: &[(usize, usize)],
    accepts: impl Fn((usize, usize)) -> bool,
) -> Array2<bool> {
    let mut region = Array2::from_elem((rows, columns), false);
    let mut open: Vec<(usize, usize)> = seeds.to_vec();
    while let Some((row, column)) = open.pop() {
        if region[(row, column)] || !accepts((row, column)) {
            continue;
        }
        region[(row, column)] = true;
        let below = (row + 1 < rows).then_some((row + 1, column));
        let right = (column + 1 < columns).then_some((row, column + 1));
        let above = row.checked_sub(1).map(|row| (row, column));
        let left = column.checked_sub(1).map(|column| (row, column));
        open.extend([below, right, above, left].into_iter().flatten());
    }
    region
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two bright discs on a dark slice.
    fn pixels() -> Array2<f32> {
        Array2::from_shape_fn((40, 60), |(r, c)| {
            let near = |centre: f32| (r as f32 - 20.0).hypot(c as f32 - centre) < 9.0;
            let noise = ((r * 31 + c * 17) % 11) as f32;
            if near(15.0) || near(44.0) {
                100.0 + noise
            } else {
                20.0 + noise
            }
        })
    }

    fn click(row: usize, column: usize, label: PointLabel) -> Click {
        Click { row, column, label }
    }

    #[test]
    fn region_growing_takes_the_clicked_disc_and_the_threshold_both() {
        let clicks = [click(20, 15, PointLabel::Foreground)];
        let disc = pixels().indexed_iter().filter(|((_, c), &value)| value > 60.0 && *c < 30).count();
        let found = |baseline: Baseline| baseline.segment(pixels().view(), &clicks, None);
        assert_eq!(found(Baseline::RegionGrowing).iter().filter(|&&inside| inside).count(), disc);
        assert_eq!(found(Baseline::Threshold).iter().filter(|&&inside| inside).count(), 2 * disc);
    }

    #[test]
    fn threshold_keeps_the_background_out_when_a_brighter_part_is_excluded() {
        let mut brighter = pixels();
        brighter.indexed_iter_mut().filter(|((_, c), value)| **value > 60.0 && *c > 30).for_each(|(_, v)| *v = 200.0);
        let clicks = [click(20, 15, PointLabel::Foreground), click(20, 44, PointLabel::Background)];
        let found = Baseline::Threshold.segment(brighter.view(), &clicks, None);
        assert!(found[(20, 15)] && !found[(20, 44)] && !found[(2, 2)]);
    }

    #[test]
    fn background_clicks_claim_what_lies_nearest_to_them() {
        let clicks = [click(20, 15, PointLabel::Foreground), click(20, 21, PointLabel::Background)];
        let found = Baseline::RegionGrowing.segment(pixels().view(), &clicks, None);
        assert!(found[(20, 17)] && !found[(20, 19)] && !found[(20, 21)]);
    }

    #[test]
    fn a_box_alone_is_a_click_in_its_middle_and_bounds_the_mask() {
        for baseline in [Baseline::Threshold, Baseline::RegionGrowing] {
            let found = baseline.segment(pixels().view(), &[], Some(([10, 8], [30, 17])));
            assert!(found[(20, 12)] && !found[(20, 18)] && !found[(20, 44)], "{baseline:?}");
        }
    }
}
