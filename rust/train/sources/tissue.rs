//! Tissue where nothing is labelled.

use crate::train::phantom::field::smooth;
use crate::train::phantom::shapes::normal;
use crate::train::phantom::AIR;
use crate::train::Rng;
use ndarray::Array3;
use rand::Rng as _;

/// The first label of painted tissue.
pub const TISSUE: u8 = 200;
/// How many there are.
const KINDS: std::ops::Range<u8> = 2..8;

/// Paints tissues over what is [`AIR`]: at each voxel the smooth field that is largest.
pub fn paint_tissue(labels: &mut Array3<u8>, rng: &mut Rng) {
    let (d, h, w) = labels.dim();
    let fine = rng.random_range(3..12);
    let deep = rng.random_range(2..6);
    let mut best = Array3::from_elem((d, h, w), f32::NEG_INFINITY);
    let mut tissue = Array3::from_elem((d, h, w), TISSUE);
    for label in TISSUE..TISSUE + rng.random_range(KINDS) {
        let offset = normal(rng) * 0.5;
        let field = smooth(rng, [deep, fine, fine], [d, h, w]);
        ndarray::Zip::from(&mut tissue).and(&mut best).and(&field).for_each(|t, b, &f| {
            if f + offset > *b {
                (*t, *b) = (label, f + offset);
            }
        });
    }
    labels.zip_mut_with(&tissue, |label, &tissue| {
        if *label == AIR {
            *label = tissue;
        }
    });
}
