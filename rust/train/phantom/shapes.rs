//! Implicit shapes: positive inside. Coordinates (z, y, x) in pixels from the shape's centre.

use crate::train::Rng;
use rand::Rng as _;
use rand_distr::StandardNormal;

/// A point or a vector, (z, y, x).
pub type Vector = [f32; 3];

pub fn normal(rng: &mut Rng) -> f32 {
    rng.sample(StandardNormal)
}

pub fn random_vector(rng: &mut Rng) -> Vector {
    std::array::from_fn(|_| normal(rng))
}

pub fn dot(a: Vector, b: Vector) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub fn unit(v: Vector) -> Vector {
    let length = dot(v, v).sqrt().max(1e-6);
    v.map(|c| c / length)
}

pub fn log_uniform(rng: &mut Rng, low: f32, high: f32) -> f32 {
    rng.random_range(low.ln()..high.ln()).exp()
}

/// A superquadric with axes of its own.
#[derive(Debug, Clone)]
struct Lobe {
    /// Rows: its axes, divided by its radii.
    axes: [Vector; 3],
    offset: Vector,
    /// 2 is an ellipsoid, 4 nearly a box.
    power: i32,
}

impl Lobe {
    fn value(&self, point: Vector) -> f32 {
        let at = [0, 1, 2].map(|c| point[c] - self.offset[c]);
        let sum: f32 = (self.axes.iter())
            .map(|axis| {
                let u = dot(*axis, at).abs();
                match self.power {
                    2 => u * u,
                    3 => u * u * u,
                    _ => u * u * u * u,
                }
            })
            .sum();
        1.0 - sum
    }
}

/// Lobes that overlap: an organ.
#[derive(Debug, Clone)]
pub struct Organ {
    lobes: Vec<Lobe>,
    /// Reaches no farther from its centre.
    pub reach: f32,
    /// -1 mirrors it along x.
    mirror: f32,
}

impl Organ {
    /// `radius` in pixels; `flat` lets the three radii differ a lot.
    pub fn random(rng: &mut Rng, radius: f32, lobes: usize, flat: bool) -> Self {
        let mut reach = 0f32;
        let lobes = (0..lobes)
            .map(|n| {
                let first = unit(random_vector(rng));
                let other = random_vector(rng);
                let second = unit([0, 1, 2].map(|c| other[c] - first[c] * dot(first, other)));
                let third = [
                    first[1] * second[2] - first[2] * second[1],
                    first[2] * second[0] - first[0] * second[2],
                    first[0] * second[1] - first[1] * second[0],
                ];
                let share = if flat { 0.45..1.15 } else { 0.8..1.1 };
                let radii: Vector = std::array::from_fn(|_| radius * rng.random_range(share.clone()));
                let offset = if n == 0 { [0.0; 3] } else { random_vector(rng).map(|c| c * radius * 0.6) };
                let largest = radii.iter().copied().fold(0.0, f32::max);
                reach = reach.max(dot(offset, offset).sqrt() + largest * 1.3);
                let axes = [(first, radii[0]), (second, radii[1]), (third, radii[2])].map(|(a, r)| a.map(|c| c / r));
                Lobe { axes, offset, power: rng.random_range(2..=4) }
            })
            .collect();
        Self { lobes, reach, mirror: 1.0 }
    }

    pub fn mirrored(&self) -> Self {
        Self { mirror: -self.mirror, ..self.clone() }
    }

    pub fn value(&self, [z, y, x]: Vector) -> f32 {
        let point = [z, y, x * self.mirror];
        self.lobes.iter().map(|lobe| lobe.value(point)).fold(f32::NEG_INFINITY, f32::max)
    }
}

/// A ball of a tube or a branching tree.
#[derive(Debug, Clone, Copy)]
pub struct Ball {
    pub centre: Vector,
    pub radius: f32,
}

/// Balls along a wandering line that may branch; radii decay. `extent` bounds |coordinates|.
pub fn tree(rng: &mut Rng, start: Vector, radius: f32, extent: Vector) -> Vec<Ball> {
    let mut balls: Vec<Ball> = Vec::new();
    let mut direction = random_vector(rng);
    if rng.random_bool(0.5) {
        direction[0] *= 3.0; // vessels and tubes mostly run across the slices
    }
    let bend = rng.random_range(0.03..0.35);
    let steps = rng.random_range(25..80);
    let mut starts = vec![(start, unit(direction), radius)];
    for branch in 0..*[1, 1, 2, 3].get(rng.random_range(0..4)).unwrap_or(&1) {
        let (mut at, mut direction, mut radius) = starts[rng.random_range(0..starts.len())];
        if branch > 0 {
            let turn = random_vector(rng);
            direction = unit([0, 1, 2].map(|c| direction[c] + turn[c] * 0.8));
            radius *= 0.75;
        }
        for step in 0..steps {
            let turn = random_vector(rng);
            direction = unit([0, 1, 2].map(|c| direction[c] + turn[c] * bend));
            at = [0, 1, 2].map(|c| at[c] + direction[c] * radius.max(1.0) * 0.7);
            radius = (radius * rng.random_range(0.985..1.012)).max(1.2);
            if (0..3).any(|c| at[c].abs() > extent[c] + radius) {
                break;
            }
            balls.push(Ball { centre: at, radius });
            if step % 12 == 0 {
                starts.push((at, direction, radius));
            }
        }
    }
    balls
}
