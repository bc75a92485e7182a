//! Generated hearts: a cup of muscle around a cavity that contracts from slice to slice, the crescent of the right
//! ventricle beside it, papillary muscles, and an atrium behind the base.
//!
//! In: draws. Out: a volume of labels across the heart's long axis. No scan of a patient is involved.

use super::tissue::paint_tissue;
use super::VolumeSource;
use crate::error::Result;
use crate::train::phantom::field::smooth;
use crate::train::phantom::shapes::normal;
use crate::train::phantom::{Kind, LabelVolume, Object, AIR};
use crate::train::Rng;
use ndarray::Array3;
use rand::Rng as _;

const WALL: u8 = 1;
const CAVITY: u8 = 2;
const PAPILLARY: u8 = 3;
const RIGHT_CAVITY: u8 = 4;
const RIGHT_WALL: u8 = 5;
const ATRIUM: u8 = 6;
const LUNG: u8 = 7;
/// How often lungs are beside the heart, and papillary muscles in it.
const LUNGS: f64 = 0.6;
const PAPILLARIES: f64 = 0.6;

/// The shape of one heart; lengths in pixels, `s` is 0 at the base of the left ventricle and 1 at its apex.
struct Heart {
    /// Outer radius of the left ventricle at its base, and how blunt the apex is.
    radius: f32,
    bluntness: f32,
    /// Radius of the cavity at the base as a share of the outer one, and where along the axis it closes.
    cavity: f32,
    closes: f32,
    /// Longer to shorter diameter, and amplitude and phase of the waves of the border with two and three periods.
    aspect: f32,
    waves: [[f32; 2]; 2],
    /// Middle at the base and at the apex.
    base: [f32; 2],
    apex: [f32; 2],
    /// Direction of the right ventricle; its distance, radii, wall, and where it ends.
    right: f32,
    right_distance: f32,
    right_radii: [f32; 2],
    right_wall: f32,
    right_ends: f32,
    /// Angles and radii of the papillary muscles, as shares of the cavity's radius.
    papillary: Vec<[f32; 3]>,
    /// Radius of the atrium.
    atrium: f32,
}

impl Heart {
    fn random(side: f32, rng: &mut Rng) -> Self {
        let radius = side * rng.random_range(0.10..0.24);
        let mut place = |spread: f32| [0, 1].map(|_| side / 2.0 + normal(rng) * spread * side);
        let base = place(0.06);
        let tilt = place(0.05).map(|c| c - side / 2.0);
        let papillary = match rng.random_bool(PAPILLARIES) {
            true => (0..rng.random_range(1..4))
                .map(|_| {
                    let angle = rng.random_range(0.0..std::f32::consts::TAU);
                    [angle, rng.random_range(0.4..0.75), rng.random_range(0.12..0.28)]
                })
                .collect(),
            false => Vec::new(),
        };
        Self {
            radius,
            bluntness: rng.random_range(0.35..0.8),
            cavity: rng.random_range(0.4..0.85),
            closes: rng.random_range(0.75..0.97),
            aspect: (normal(rng) * 0.1).exp(),
            waves: std::array::from_fn(|_| [normal(rng) * 0.04, rng.random_range(0.0..std::f32::consts::TAU)]),
            base,
            apex: [0, 1].map(|c| base[c] + tilt[c]),
            right: rng.random_range(0.0..std::f32::consts::TAU),
            right_distance: radius * rng.random_range(0.7..1.1),
            right_radii: [radius * rng.random_range(0.8..1.3), radius * rng.random_range(1.0..1.6)],
            right_wall: rng.random_range(0.06..0.16),
            right_ends: rng.random_range(0.6..0.95),
            papillary,
            atrium: radius * rng.random_range(0.7..1.2),
        }
    }

    /// The label at a place, `AIR` beside the heart.
    fn label(&self, s: f32, row: f32, column: f32) -> u8 {
        let middle = [0, 1].map(|c| self.base[c] + (self.apex[c] - self.base[c]) * s);
        let (y, x) = ((row - middle[0]) * self.aspect, column - middle[1]);
        let (distance, angle) = (y.hypot(x), y.atan2(x));
        if s < 0.0 {
            // Above the valves there is an atrium.
            let size = self.atrium * (1.0 - (s * 2.5 + 0.6).powi(2)).max(0.0).sqrt();
            return if distance < size { ATRIUM } else { AIR };
        }
        let [two, three] = self.waves;
        let wave = 1.0 + two[0] * (2.0 * angle + two[1]).cos() + three[0] * (3.0 * angle + three[1]).cos();
        let taper = |end: f32| (1.0 - (s / end).powi(2)).max(0.0).powf(self.bluntness);
        let outer = self.radius * wave * taper(1.0);
        let inner = self.radius * self.cavity * wave * taper(self.closes);
        if distance < inner {
            let inside = |&[at, far, size]: &[f32; 3]| {
                let (dy, dx) = (y - at.sin() * far * inner, x - at.cos() * far * inner);
                dy.hypot(dx) < size * inner
            };
            return if s > 0.15 && self.papillary.iter().any(inside) { PAPILLARY } else { CAVITY };
        }
        if distance < outer {
            return WALL;
        }
        // The right ventricle: an ellipse beside the left one, which covers a part of it.
        let size = (1.0 - (s / self.right_ends).powi(2)).max(0.0).sqrt();
        let (sin, cos) = self.right.sin_cos();
        let (along, across) = (x * cos + y * sin - self.right_distance * size, y * cos - x * sin);
        let value = (along / self.right_radii[0]).hypot(across / self.right_radii[1]);
        match value {
            v if v < size * (1.0 - self.right_wall) => RIGHT_CAVITY,
            v if v < size => RIGHT_WALL,
            _ => AIR,
        }
    }
}

/// Hearts without end.
pub struct Hearts;

impl VolumeSource for Hearts {
    fn volume(&self, rng: &mut Rng) -> Result<LabelVolume> {
        let slices: usize = rng.random_range(36..64);
        let side: usize = [128, 160][rng.random_range(0..2)];
        let dims = [slices, side, side];
        let heart = Heart::random(side as f32, rng);
        let margin = rng.random_range(0.1..0.3) * slices as f32;
        let amplitude = rng.random_range(0.5..4.0);
        let waves: [Array3<f32>; 2] = std::array::from_fn(|_| smooth(rng, [5, 7, 7], dims));
        let long = slices as f32 - 2.0 * margin;
        let mut labels = Array3::from_shape_fn(dims, |(z, r, c)| {
            let s = (z as f32 - margin) / long;
            let [y, x] = [r, c].map(|n| n as f32);
            if s > 1.0 {
                return AIR;
            }
            heart.label(s, y + amplitude * waves[0][[z, r, c]], x + amplitude * waves[1][[z, r, c]])
        });
        if rng.random_bool(LUNGS) {
            let far = [0, 1].map(|_| heart.radius * rng.random_range(1.8..3.0));
            for ((z, r, c), label) in labels.indexed_iter_mut() {
                let x = c as f32 - heart.base[1] + amplitude * waves[0][[z, r, c]];
                let high = (r as f32 - side as f32 / 2.0).abs() < 0.4 * side as f32;
                if *label == AIR && high && (x < -far[0] || x > far[1]) {
                    *label = LUNG;
                }
            }
        }
        paint_tissue(&mut labels, rng);
        let blood: Vec<u8> = if heart.papillary.is_empty() { vec![CAVITY] } else { vec![CAVITY, PAPILLARY] };
        let objects = [
            vec![WALL],
            blood.clone(),
            [&[WALL][..], &blood].concat(),
            vec![RIGHT_CAVITY],
            vec![RIGHT_CAVITY, RIGHT_WALL],
            vec![ATRIUM],
        ];
        let objects = objects.into_iter().map(|labels| Object { kind: Kind::Shell, labels }).collect();
        let alike = vec![vec![CAVITY, RIGHT_CAVITY, ATRIUM], vec![WALL, PAPILLARY, RIGHT_WALL]];
        Ok(LabelVolume { labels, objects, alike, grey: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{rng, Purpose};
    use ndarray::Axis;

    #[test]
    fn muscle_surrounds_a_cavity_that_contracts_to_the_apex() {
        for number in 0..12 {
            let volume = Hearts.volume(&mut rng(4, Purpose::LabelMap, number)).unwrap();
            let areas = |wanted: &[u8]| -> Vec<usize> {
                let of = |plane: ndarray::ArrayView2<u8>| plane.iter().filter(|label| wanted.contains(label)).count();
                volume.labels.axis_iter(Axis(0)).map(of).collect()
            };
            let (wall, blood) = (areas(&[WALL]), areas(&[CAVITY, PAPILLARY]));
            let present: Vec<usize> = (0..wall.len()).filter(|&z| blood[z] > 0).collect();
            let (base, end) = (present[0], present[present.len() - 1]);
            assert!(present.len() > 10, "heart {number}: a cavity on {} slices", present.len());
            assert!(
                blood[end] * 4 < blood[base],
                "heart {number}: {} at the base, {} at its end",
                blood[base],
                blood[end]
            );
            assert!(wall[end + 1] > 0, "heart {number}: muscle closes the cavity");
            // No pixel of the cavity touches what is beyond the muscle.
            let plane = volume.labels.index_axis(Axis(0), (base + end) / 2);
            for ((r, c), _) in plane.indexed_iter().filter(|(_, &label)| label == CAVITY) {
                let beside = [(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)].map(|at| plane[at]);
                assert!(beside.iter().all(|label| [CAVITY, PAPILLARY, WALL].contains(label)), "{number}: {beside:?}");
            }
        }
    }
}
