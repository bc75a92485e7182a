//! Surface distances between two masks, in mm.
//!
//! A border voxel is one inside whose 6-neighbourhood is not all inside; beyond the volume is outside. Distances go
//! from voxel centre to voxel centre. The definitions are those of MONAI's `compute_surface_dice` (without subvoxels)
//! and `compute_hausdorff_distance`, with which `tests/metrics.rs` compares.

use crate::datasets::BinaryMask;
use crate::evaluate::statistics::quantile_of_sorted;
use ndarray::{Array3, ArrayView3, ArrayViewMut1, Axis, Zip};

/// Distances in mm from each border voxel of one mask to the nearest border voxel of the other, both ways, rising.
#[derive(Debug, Clone, PartialEq)]
pub struct SurfaceDistances {
    /// From the ground truth's border.
    pub truth_to_prediction: Vec<f64>,
    /// From the prediction's border.
    pub prediction_to_truth: Vec<f64>,
}

impl SurfaceDistances {
    /// `spacing` in mm along [k, j, i]. `None` where either mask is empty.
    pub fn new(truth: &BinaryMask, prediction: &BinaryMask, spacing: [f64; 3]) -> Option<Self> {
        if truth.is_empty() || prediction.is_empty() {
            return None;
        }
        let (origin, size) = union(truth, prediction);
        let [truth, prediction] = [truth, prediction].map(|mask| border(mask, origin, size));
        let measure = |from: &Array3<bool>, to: &Array3<bool>| {
            let squared = squared_distance(to.view(), spacing);
            let mut found = Vec::new();
            Zip::from(from).and(&squared).for_each(|&on_border, &d| {
                if on_border {
                    found.push(d.sqrt());
                }
            });
            found.sort_by(f64::total_cmp);
            found
        };
        Some(Self {
            truth_to_prediction: measure(&truth, &prediction),
            prediction_to_truth: measure(&prediction, &truth),
        })
    }

    /// Normalised surface Dice: the share of both borders that lies within `tolerance` mm of the other.
    pub fn surface_dice(&self, tolerance: f64) -> f64 {
        let near = |d: &[f64]| d.partition_point(|&d| d <= tolerance);
        let all = self.truth_to_prediction.len() + self.prediction_to_truth.len();
        (near(&self.truth_to_prediction) + near(&self.prediction_to_truth)) as f64 / all as f64
    }

    /// HD95 in mm: the 95th percentile of the distances each way, the larger of the two.
    pub fn hausdorff_95(&self) -> f64 {
        quantile_of_sorted(&self.truth_to_prediction, 0.95).max(quantile_of_sorted(&self.prediction_to_truth, 0.95))
    }

    /// Average symmetric surface distance (ASSD) in mm: the mean over all border voxels of both.
    pub fn average(&self) -> f64 {
        let all = self.truth_to_prediction.len() + self.prediction_to_truth.len();
        self.truth_to_prediction.iter().chain(&self.prediction_to_truth).sum::<f64>() / all as f64
    }
}

/// Origin and size of the smallest box that holds both masks, [k, j, i].
fn union(a: &BinaryMask, b: &BinaryMask) -> ([usize; 3], [usize; 3]) {
    let origin = [0, 1, 2].map(|n| a.origin()[n].min(b.origin()[n]));
    let end = |m: &BinaryMask, n: usize| m.origin()[n] + m.inside().shape()[n];
    (origin, [0, 1, 2].map(|n| end(a, n).max(end(b, n)) - origin[n]))
}

/// Border voxels within a box. A mask ends at its own box, so what lies beyond is outside.
fn border(mask: &BinaryMask, origin: [usize; 3], size: [usize; 3]) -> Array3<bool> {
    let inside = mask.window(origin, size);
    let held = |index: [usize; 3], n: usize, up: bool| {
        let mut next = index;
        next[n] = if up { index[n] + 1 } else { index[n].wrapping_sub(1) };
        inside.get(next).copied().unwrap_or(false)
    };
    Array3::from_shape_fn(size, |(k, j, i)| {
        let index = [k, j, i];
        inside[index] && (0..3).any(|n| !held(index, n, true) || !held(index, n, false))
    })
}

/// Squared distance in mm² of every voxel to the nearest `true` one, infinite where there is none.
///
/// Exact, one axis after another (Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions", 2012).
pub fn squared_distance(features: ArrayView3<bool>, spacing: [f64; 3]) -> Array3<f64> {
    let mut distance = features.mapv(|feature| if feature { 0.0 } else { f64::INFINITY });
    for (n, step) in spacing.into_iter().enumerate() {
        let mut envelope = Envelope::default();
        for lane in distance.lanes_mut(Axis(n)) {
            envelope.transform(lane, step);
        }
    }
    distance
}

/// The lower envelope of parabolas, with its working space.
#[derive(Default)]
struct Envelope {
    values: Vec<f64>,
    /// Vertices of the parabolas, and where each begins to be the lowest.
    places: Vec<usize>,
    begins: Vec<f64>,
}

impl Envelope {
    fn transform(&mut self, mut lane: ArrayViewMut1<f64>, step: f64) {
        let Self { values, places, begins } = self;
        values.clear();
        values.extend(lane.iter());
        places.clear();
        begins.clear();
        let position = |n: usize| n as f64 * step;
        for n in (0..values.len()).filter(|&n| values[n].is_finite()) {
            let height = |m: usize| values[m] + position(m) * position(m);
            let begin = loop {
                let Some(&last) = places.last() else { break f64::NEG_INFINITY };
                let cross = (height(n) - height(last)) / (2.0 * (position(n) - position(last)));
                if begins.last().is_some_and(|&b| cross > b) {
                    break cross;
                }
                places.pop();
                begins.pop();
            };
            places.push(n);
            begins.push(begin);
        }
        if places.is_empty() {
            return;
        }
        let mut current = 0;
        for (n, out) in lane.iter_mut().enumerate() {
            while begins.get(current + 1).is_some_and(|&begin| begin < position(n)) {
                current += 1;
            }
            let away = position(n) - position(places[current]);
            *out = away * away + values[places[current]];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cuboid(dims: [usize; 3], from: [usize; 3], to: [usize; 3]) -> BinaryMask {
        let full = Array3::from_shape_fn(dims, |(k, j, i)| {
            [k, j, i].iter().zip(from.iter().zip(&to)).all(|(n, (a, b))| (a..b).contains(&n))
        });
        BinaryMask::new(full.view())
    }

    #[test]
    fn box_shifted_by_one_voxel_is_one_step_away() {
        let dims = [12, 13, 14];
        for axis in 0..3 {
            let (mut from, mut to) = ([3; 3], [8; 3]);
            let still = cuboid(dims, from, to);
            from[axis] += 1;
            to[axis] += 1;
            let spacing = [2.0, 3.0, 5.0];
            let d = SurfaceDistances::new(&still, &cuboid(dims, from, to), spacing).unwrap();
            assert_eq!(d.truth_to_prediction.last(), Some(&spacing[axis]), "axis {axis}");
            assert_eq!(d.hausdorff_95(), spacing[axis]);
            assert_eq!(d.surface_dice(spacing[axis]), 1.0);
            // A border has 5^3 - 3^3 = 98 voxels. Both masks have the side walls of the four common layers, 16 voxels
            // each; the plates at the ends lie in the other's inside, save for their rims, which are walls.
            let shared = 64.0;
            assert!((d.surface_dice(0.0) - shared / 98.0).abs() < 1e-12, "{}", d.surface_dice(0.0));
        }
    }

    #[test]
    fn volume_edge_is_a_border() {
        let all = cuboid([4, 4, 4], [0; 3], [4; 3]);
        let d = SurfaceDistances::new(&all, &all, [1.0; 3]).unwrap();
        assert_eq!(d.truth_to_prediction.len(), 64 - 8);
    }

    #[test]
    fn distance_to_an_empty_mask_is_undefined() {
        let some = cuboid([4, 4, 4], [1; 3], [2; 3]);
        assert_eq!(SurfaceDistances::new(&some, &BinaryMask::empty([4, 4, 4]), [1.0; 3]), None);
    }

    proptest! {
        #[test]
        fn distance_transform_equals_brute_force(
            seeds in proptest::collection::vec(0usize..6 * 5 * 7, 0..9),
            spacing in [0.3f64..4.0, 0.3f64..4.0, 0.3f64..4.0],
        ) {
            let mut features = Array3::from_elem((6, 5, 7), false);
            for seed in &seeds {
                features[(seed / 35, seed / 7 % 5, seed % 7)] = true;
            }
            let found = squared_distance(features.view(), spacing);
            for (here, &value) in found.indexed_iter() {
                let expected = features.indexed_iter().filter(|(_, &f)| f).map(|(there, _)| {
                    let d = |a: usize, b: usize, s: f64| (a.abs_diff(b) as f64 * s).powi(2);
                    d(here.0, there.0, spacing[0]) + d(here.1, there.1, spacing[1]) + d(here.2, there.2, spacing[2])
                }).fold(f64::INFINITY, f64::min);
                prop_assert!(value == expected || (value - expected).abs() < 1e-9, "{here:?}: {value}, expected {expected}");
            }
        }
    }
}
