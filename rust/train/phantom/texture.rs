//! What tissue looks like inside its outline: fields that a clip's labels share, each label with weights of its own.
//!
//! Organs are not even: without vessels, spots and mottle in its targets a network takes every line inside an organ for
//! its border.

use super::field::{normal as normal_field, smooth};
use super::shapes::normal;
use crate::slices::resize::resize;
use crate::train::Rng;
use ndarray::{Array3, Axis};
use rand::Rng as _;

/// Coarse and middle mottle, fine grain, vessels, spots.
const FIELDS: usize = 5;

/// Grey levels that the fields add in each label.
pub struct Weights([[f32; FIELDS]; 256]);

impl Weights {
    pub fn random(rng: &mut Rng) -> Self {
        let strength = if rng.random_bool(0.3) { 0.3 } else { 1.0 };
        Self(std::array::from_fn(|_| {
            let mut some = |share: f64, most: f32| match rng.random_bool(share) {
                true => (if rng.random_bool(0.6) { 1.0 } else { -1.0 }) * rng.random_range(0.1..1.0) * most,
                false => 0.0,
            };
            [some(1.0, 14.0), some(1.0, 10.0), some(1.0, 10.0), some(0.4, 70.0), some(0.25, 60.0)].map(|w| w * strength)
        }))
    }
}

/// The fields of a clip, each [T, S, S].
pub struct Textures([Array3<f32>; FIELDS]);

impl Textures {
    pub fn random(rng: &mut Rng, count: usize, side: usize) -> Self {
        let dims = [count, side, side];
        let coherent = |rng: &mut Rng, slices: usize, cells: std::ops::Range<usize>| {
            let cells = rng.random_range(cells);
            smooth(rng, [slices, cells, cells], dims)
        };
        let coarse = coherent(rng, count, 8..24);
        let middle = coherent(rng, count, 20..40);
        let grain = rng.random_range(32..100usize).min(side);
        let mut fine = Array3::zeros(dims);
        for mut plane in fine.outer_iter_mut() {
            let noise = normal_field(rng, [1, grain, grain]);
            plane.assign(&resize(noise.index_axis(Axis(0), 0), [side, side]));
        }
        // Where a smooth field passes through nothing, its cross-section is a winding line.
        let width = rng.random_range(0.08..0.22);
        let vessels = coherent(rng, count.div_ceil(2) + 1, 6..18).mapv(|f| (-(f / width).powi(2)).exp());
        let rare = rng.random_range(0.6..1.2);
        let spots = coherent(rng, count, 16..44).mapv(|f| (f - rare).clamp(0.0, 0.5) * 2.0);
        // Vessels come and go: not every line of a field is one.
        let there = coherent(rng, count.div_ceil(2) + 1, 4..9).mapv(|f| (0.5 + f).clamp(0.0, 1.0));
        let jitter = normal(rng).abs().min(1.0) * 0.5 + 0.5;
        Self([coarse, middle, fine, vessels * there * jitter, spots])
    }

    /// What a pixel of `label` has in addition to its label's mean.
    pub fn at(&self, weights: &Weights, label: u8, place: [usize; 3]) -> f32 {
        self.0.iter().zip(weights.0[usize::from(label)]).map(|(field, weight)| weight * field[place]).sum()
    }
}
