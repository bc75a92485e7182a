//! Summaries of scores, bootstrap intervals, Wilcoxon's signed-rank test, Holm's adjustment.
//!
//! The bootstrap draws patients, not objects: the objects of one patient are not independent.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Samples of a bootstrap.
const DRAWS: usize = 2000;
/// Coverage of an interval.
const COVERED: f64 = 0.95;
/// Largest number of differences for the exact test.
const EXACT: usize = 50;

/// Summary statistics of many values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of values.
    pub objects: usize,
    /// Number of patients that they belong to.
    pub patients: usize,
    /// The arithmetic mean of the values.
    pub mean: f64,
    /// 95% bootstrap interval of the mean over patients; `None` with fewer than two patients.
    pub interval: Option<(f64, f64)>,
    /// The median.
    pub median: f64,
    /// The first quartile.
    pub q1: f64,
    /// The third quartile.
    pub q3: f64,
}

impl Summary {
    /// Values with their patients; `None` if there are none.
    pub fn new(values: &[(&str, f64)]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let mut sorted: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
        sorted.sort_by(f64::total_cmp);
        let patients = by_patient(values.iter().copied());
        let groups: Vec<&[f64]> = patients.values().map(Vec::as_slice).collect();
        Some(Self {
            objects: sorted.len(),
            patients: groups.len(),
            mean: mean(&sorted),
            interval: bootstrap_mean(&groups),
            median: quantile_of_sorted(&sorted, 0.5),
            q1: quantile_of_sorted(&sorted, 0.25),
            q3: quantile_of_sorted(&sorted, 0.75),
        })
    }
}

/// Values of each patient.
pub fn by_patient<'a>(values: impl IntoIterator<Item = (&'a str, f64)>) -> BTreeMap<&'a str, Vec<f64>> {
    let mut patients: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (patient, value) in values {
        patients.entry(patient).or_default().push(value);
    }
    patients
}

/// The arithmetic mean; NaN for no values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The quantile of sorted values by linear interpolation, as numpy's default; NaN for no values.
pub fn quantile_of_sorted(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = p * last as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    if part == 0.0 {
        return sorted[low];
    }
    sorted[low] + (sorted[(low + 1).min(last)] - sorted[low]) * part
}

/// 95% percentile interval of the mean over all values by a cluster bootstrap: whole groups are drawn with replacement.
/// The same groups give the same interval.
pub fn bootstrap_mean(groups: &[&[f64]]) -> Option<(f64, f64)> {
    if groups.len() < 2 {
        return None;
    }
    let mut random = SplitMix::new(0x9E37_79B9_7F4A_7C15);
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let (mut sum, mut count) = (0.0, 0);
            for _ in 0..groups.len() {
                let group = groups[random.below(groups.len())];
                sum += group.iter().sum::<f64>();
                count += group.len();
            }
            sum / count as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let tail = (1.0 - COVERED) / 2.0;
    Some((quantile_of_sorted(&means, tail), quantile_of_sorted(&means, 1.0 - tail)))
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Debug)]
pub struct SplitMix(u64);

impl SplitMix {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0..n; the bias of a modulus is below n / 2^64.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Two-sided p of Wilcoxon's signed-rank test; differences of zero are left out, ties share their mean rank.
///
/// Exact, also with ties, for up to 50 differences; beyond, the normal approximation with correction for
/// ties and without one for continuity, as in `scipy.stats.wilcoxon`. `None` if no difference is left.
pub fn wilcoxon(differences: &[f64]) -> Option<f64> {
    let kept: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0 && d.is_finite()).collect();
    let n = kept.len();
    if n == 0 {
        return None;
    }
    let (ranks, tie_term) = mean_ranks(&kept.iter().map(|d| d.abs()).collect::<Vec<_>>());
    let positive: f64 = kept.iter().zip(&ranks).filter(|(d, _)| **d > 0.0).map(|(_, rank)| rank).sum();
    let total = (n * (n + 1)) as f64 / 2.0;
    if n <= EXACT {
        let doubled: Vec<usize> = ranks.iter().map(|rank| (2.0 * rank) as usize).collect();
        return Some((2.0 * exact_tail(&doubled, (2.0 * positive.min(total - positive)) as usize)).min(1.0));
    }
    let n = n as f64;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - tie_term / 48.0;
    if variance <= 0.0 {
        return Some(1.0);
    }
    let z = (positive - total / 2.0) / variance.sqrt();
    Some(libm::erfc(z.abs() / std::f64::consts::SQRT_2))
}

/// Ranks from 1, of which equal values share the mean, and the sum of t^3 - t over groups of t equal values.
fn mean_ranks(values: &[f64]) -> (Vec<f64>, f64) {
    let n = values.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let (mut ranks, mut tie_term, mut begin) = (vec![0.0; n], 0.0, 0);
    while begin < n {
        let same = |at: usize| values[order[at]] == values[order[begin]];
        let end = (begin..n).find(|&at| !same(at)).unwrap_or(n);
        let size = (end - begin) as f64;
        for &index in &order[begin..end] {
            ranks[index] = (begin + 1 + end) as f64 / 2.0;
        }
        tie_term += size * size * size - size;
        begin = end;
    }
    (ranks, tie_term)
}

/// Spearman's rank correlation of pairs, ties with their mean rank, as `scipy.stats.spearmanr`. `None` for fewer than
/// two pairs and where one side is constant.
pub fn spearman(pairs: &[(f64, f64)]) -> Option<f64> {
    let (x, _) = mean_ranks(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>());
    let (y, _) = mean_ranks(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>());
    let centre = (pairs.len() + 1) as f64 / 2.0;
    let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - centre) * (b - centre)).sum::<f64>();
    let spread = (sum(&x, &x) * sum(&y, &y)).sqrt();
    (spread > 0.0).then(|| sum(&x, &y) / spread)
}

/// The probability that the ranks with a positive sign sum to at most `sum`, each sign having probability 1/2. Ranks
/// and sum are doubled, so that shared ranks are whole numbers.
fn exact_tail(ranks: &[usize], sum: usize) -> f64 {
    let mut ways = vec![0.0; ranks.iter().sum::<usize>() + 1];
    ways[0] = 1.0;
    for &rank in ranks {
        for total in (rank..ways.len()).rev() {
            ways[total] += ways[total - rank];
        }
    }
    ways[..=sum].iter().sum::<f64>() / 2f64.powi(ranks.len() as i32)
}

/// Holm's step-down adjustment of several p values, in the order given.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut adjusted, mut largest) = (vec![0.0; p.len()], 0.0f64);
    for (step, &index) in order.iter().enumerate() {
        largest = largest.max(p[index] * (p.len() - step) as f64).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_between_neighbouring_values() {
        assert_eq!(quantile_of_sorted(&[1.0, 2.0, 4.0, 8.0], 0.5), 3.0);
        assert_eq!(quantile_of_sorted(&[1.0, 2.0, 4.0, 8.0], 0.25), 1.75);
        assert_eq!(quantile_of_sorted(&[7.0], 0.9), 7.0);
        assert!(quantile_of_sorted(&[], 0.5).is_nan());
    }

    #[test]
    fn interval_draws_patients_not_objects() {
        // A hundred objects of two patients are as uncertain as two objects.
        let many: Vec<(&str, f64)> = (0..100).map(|n| if n % 2 == 0 { ("a", 0.2) } else { ("b", 0.8) }).collect();
        let summary = Summary::new(&many).unwrap();
        assert_eq!((summary.objects, summary.patients), (100, 2));
        let (low, high) = summary.interval.unwrap();
        assert!((low - 0.2).abs() < 1e-12 && (high - 0.8).abs() < 1e-12, "{low} to {high}");
        let alone = Summary::new(&[("a", 0.2), ("a", 0.4)]).unwrap();
        assert_eq!((alone.mean, alone.interval), (0.30000000000000004, None));
    }

    #[test]
    fn interval_is_reproducible_and_contains_the_mean() {
        let values: Vec<Vec<f64>> = (0..12).map(|n| vec![f64::from(n) / 12.0]).collect();
        let groups: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
        let interval = bootstrap_mean(&groups).unwrap();
        assert_eq!(Some(interval), bootstrap_mean(&groups));
        let mean = 5.5 / 12.0;
        assert!(interval.0 < mean && mean < interval.1, "{interval:?}");
        // The standard error is 0.083; a percentile interval is about two of them each way.
        assert!((interval.1 - interval.0 - 4.0 * 0.083 * 0.98).abs() < 0.03, "{interval:?}");
    }

    #[test]
    fn wilcoxon_of_five_equal_signs_is_two_in_32() {
        assert_eq!(wilcoxon(&[1.0, 2.0, 3.0, 4.0, 5.0]), Some(2.0 / 32.0));
        assert_eq!(wilcoxon(&[0.0, 0.0]), None);
    }

    #[test]
    fn spearman_equals_that_of_scipy_also_with_ties() {
        let pairs = [(0.1, 5.0), (0.4, 5.0), (0.4, 1.0), (0.9, 7.0), (0.2, 2.0), (0.7, 2.0)];
        // scipy.stats.spearmanr([.1, .4, .4, .9, .2, .7], [5, 5, 1, 7, 2, 2])
        assert!((spearman(&pairs).unwrap() - 0.223_905_537_759_949_5).abs() < 1e-12, "{:?}", spearman(&pairs));
        assert_eq!(spearman(&[(1.0, 3.0), (2.0, 3.0)]), None);
        assert_eq!(spearman(&[]), None);
    }

    #[test]
    fn holm_multiplies_the_smallest_by_the_count_and_never_decreases() {
        let adjusted = holm(&[0.04, 0.01, 0.03]);
        for (found, expected) in adjusted.iter().zip([0.06, 0.03, 0.06]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
    }
}
