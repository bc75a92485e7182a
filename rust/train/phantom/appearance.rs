//! Intensities: what each label looks like, and what a scanner makes of it.

use super::field::{blur, smooth};
use super::label_map::AIR;
use super::shapes::normal;
use super::texture::Weights;
use crate::slices::intensity::IntensityRange;
use crate::slices::resize::resize;
use crate::train::Rng;
use ndarray::{Array2, Array3, ArrayView2, Axis};
use rand::seq::IndexedRandom;
use rand::Rng as _;

/// Grey levels are drawn on 0..255.
const LEVELS: f32 = 255.0;

/// How often labels of one tissue look the same: nothing but shape tells the halves of a hippocampus or two vertebrae
/// apart.
const ALIKE: f64 = 0.75;

/// How often borders between tissues are lines of their own, as fat and capsules are, and the deviation of their
/// brightness.
const RIMS: f64 = 0.4;
const RIM: f32 = 25.0;
/// How bright or dark a line is that alone parts an object from a neighbour of its intensity, as the liver and the wall
/// of the body in MR.
const PARTING: std::ops::Range<f32> = 12.0..45.0;

/// How labels look in one clip.
pub struct Appearance {
    pub mean: [f32; 256],
    pub texture: Weights,
    /// Added where two labels meet; 0 where borders are bare.
    pub rim: f32,
}

impl Appearance {
    /// `target`: labels of the object; `near`: labels that touch it; `others`: labels of further objects; `alike`: labels of one tissue.
    pub fn random(rng: &mut Rng, target: &[u8], near: &[u8], others: &[u8], alike: &[Vec<u8>]) -> Self {
        let mut mean: [f32; 256] = match rng.random::<f32>() {
            // Soft tissue in CT: most are alike, some are bright or dark.
            u if u < 0.35 => {
                let (centre, spread) = (rng.random_range(60.0..190.0), rng.random_range(8.0..30.0));
                let mut all: [f32; 256] = std::array::from_fn(|_| centre + normal(rng) * spread);
                all.iter_mut().for_each(|m| {
                    if rng.random_bool(0.15) {
                        *m = rng.random_range(0.0..LEVELS);
                    }
                });
                all
            }
            // A few kinds of tissue.
            u if u < 0.6 => {
                let kinds: Vec<f32> = (0..rng.random_range(3..7)).map(|_| rng.random_range(20.0..235.0)).collect();
                let spread = rng.random_range(2.0..10.0);
                std::array::from_fn(|_| kinds.choose(rng).expect("not empty") + normal(rng) * spread)
            }
            _ => std::array::from_fn(|_| rng.random_range(25.0..225.0)),
        };
        mean[usize::from(AIR)] =
            if rng.random_bool(0.9) { rng.random_range(0.0..20.0) } else { rng.random_range(0.0..LEVELS) };
        let mut rim = if rng.random_bool(RIMS) { normal(rng) * RIM } else { 0.0 };
        if Self::set_contrast(rng, &mut mean, target, near, others) {
            rim = sign(rng) * rng.random_range(PARTING);
        }
        for tissue in alike {
            if rng.random_bool(ALIKE) {
                let of_tissue =
                    mean[usize::from(*tissue.iter().find(|label| target.contains(label)).unwrap_or(&tissue[0]))];
                for &label in tissue.iter().filter(|label| !target.contains(label)) {
                    mean[usize::from(label)] = of_tissue + normal(rng) * 2.0;
                }
                for &label in tissue.iter().filter(|label| target.contains(label)) {
                    mean[usize::from(label)] = of_tissue;
                }
            }
        }
        Self { mean, texture: Weights::random(rng), rim }
    }

    /// Look-alikes in some clips, hardly any contrast in others, else enough. Whether a neighbour of the object's
    /// intensity needs a line to part
    /// the two.
    fn set_contrast(rng: &mut Rng, mean: &mut [f32; 256], target: &[u8], near: &[u8], others: &[u8]) -> bool {
        let own = mean[usize::from(target[0])];
        // Parts of one object are mostly alike.
        for &part in &target[1..] {
            if rng.random_bool(0.5) {
                mean[usize::from(part)] = own + sign(rng) * rng.random_range(5.0..40.0);
            }
        }
        match rng.random::<f32>() {
            u if u < 0.30 => {
                for &other in others.choose_multiple(rng, 3).filter(|o| !target.contains(o)) {
                    mean[usize::from(other)] = own + normal(rng) * 3.0;
                }
            }
            u if u < 0.45 => {
                if let Some(&other) = near.choose(rng) {
                    mean[usize::from(other)] = own + sign(rng) * rng.random_range(5.0..14.0);
                }
            }
            u if u < 0.58 => {
                let alike = near.choose(rng);
                if let Some(&other) = alike {
                    mean[usize::from(other)] = own + normal(rng) * 3.0;
                }
                return alike.is_some();
            }
            _ => {
                for &other in near {
                    if (mean[usize::from(other)] - own).abs() < 10.0 {
                        mean[usize::from(other)] = own + sign(rng) * rng.random_range(10.0..60.0);
                    }
                }
            }
        }
        false
    }
}

fn sign(rng: &mut Rng) -> f32 {
    if rng.random_bool(0.5) {
        1.0
    } else {
        -1.0
    }
}

/// What the scanner does: bias field, resolution, noise, display window, gamma. In: 0..255, out: 0..1. `prompt`: the
/// object on the first slice; `around`: how often the window is the one around it.
pub fn acquire(rng: &mut Rng, images: &mut Array3<f32>, prompt: ArrayView2<bool>, around: f64) {
    let (count, side, _) = images.dim();
    let bias = *[0.0, 0.05, 0.1, 0.2].choose(rng).expect("not empty");
    if bias > 0.0 {
        *images *= &(smooth(rng, [2, 3, 3], [count, side, side]) * bias).mapv(f32::exp);
    }
    // What a region of a scan has in pixels, down to the smallest that inference shows (`slices::roi`).
    let share = match rng.random::<f32>() {
        u if u < 0.15 => rng.random_range(0.18..0.35f32),
        u if u < 0.75 => rng.random_range(0.3..1.0),
        _ => 1.0,
    };
    let native = ((side as f32 * share) as usize).max(24).min(side);
    let (softness, deviation) = (rng.random_range(0.3..1.0), 1.0 + 13.0 * rng.random_range(0.0..1.0f32).powi(2));
    let kind = rng.random::<f32>();
    for mut plane in images.outer_iter_mut() {
        let mut image = plane.to_owned();
        if native < side {
            image = resize(image.view(), [native, native]);
        }
        if softness > 0.5 {
            image = blur(&image, softness);
        }
        let mut noise = || Array2::from_shape_simple_fn(image.dim(), || normal(rng) * deviation);
        let first = noise();
        image = if kind < 0.6 {
            image + first // CT
        } else if kind < 0.85 {
            let second = noise(); // MR: the magnitude of a complex number
            ndarray::Zip::from(&image).and(&first).and(&second).map_collect(|v, a, b| (v + a).hypot(*b))
        } else {
            &image * &(blur(&first, 1.0) * 0.03 + 1.0) // ultrasound: speckle
        };
        plane.assign(&if native < side { resize(image.view(), [side, side]) } else { image });
    }
    display(rng, images, prompt, around);
}

/// How often a scan is augmented by a bias field, by a lower resolution, and by noise.
const SCAN_BIAS: f64 = 0.25;
const SCAN_BLUR: f64 = 0.3;
const SCAN_NOISE: f64 = 0.4;

/// What another scanner would have made of a scan: a little bias, blur and noise, then window and gamma. In: mostly
/// 0..255, out: 0..1.
pub fn augment(rng: &mut Rng, images: &mut Array3<f32>, prompt: ArrayView2<bool>, around: f64) {
    let (count, side, _) = images.dim();
    if rng.random_bool(SCAN_BIAS) {
        let bias = rng.random_range(0.05..0.2);
        *images *= &(smooth(rng, [2, 3, 3], [count, side, side]) * bias).mapv(f32::exp);
    }
    let softness = if rng.random_bool(SCAN_BLUR) { rng.random_range(0.4..1.2) } else { 0.0 };
    let deviation = if rng.random_bool(SCAN_NOISE) { 8.0 * rng.random_range(0.0..1.0f32).powi(2) } else { 0.0 };
    for mut plane in images.outer_iter_mut() {
        let mut image = blur(&plane.to_owned(), softness);
        if deviation > 0.0 {
            image.mapv_inplace(|value| value + normal(rng) * deviation);
        }
        plane.assign(&image);
    }
    display(rng, images, prompt, around);
}

fn display(rng: &mut Rng, images: &mut Array3<f32>, prompt: ArrayView2<bool>, around: f64) {
    let around = rng.random_bool(around);
    let margin = (normal(rng) * 0.35).exp();
    let whole = [rng.random_range(0.0..0.02), rng.random_range(0.98..1.0)];
    let gamma = (normal(rng) * if around { 0.12 } else { 0.25 }).exp();
    let inverted = rng.random_bool(0.1);
    let first = images.index_axis(Axis(0), 0);
    let object = first.iter().zip(prompt).filter(|(_, &inside)| inside).map(|(&value, _)| value).collect();
    let range = IntensityRange::around_object(object, first.iter().copied().collect(), margin).filter(|_| around);
    let range = range.unwrap_or_else(|| {
        let mut sample: Vec<f32> = images.iter().step_by(17).copied().collect();
        sample.sort_by(f32::total_cmp);
        let [low, high] = whole.map(|share: f32| sample[((sample.len() - 1) as f32 * share) as usize]);
        IntensityRange { low, high: high.max(low + 1.0) }
    });
    images.mapv_inplace(|value| {
        let shown = range.apply(value).powf(gamma);
        if inverted {
            1.0 - shown
        } else {
            shown
        }
    });
}
