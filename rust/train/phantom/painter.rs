//! Paints a volume of labels: a background of tissue, organs, tubes, look-alikes, walls, lesions, and air around.

use super::field::{smooth, stretch};
use super::label_map::{Kind, LabelVolume, Object, AIR};
use super::shapes::{dot, log_uniform, normal, random_vector, tree, unit, Organ, Vector};
use crate::train::Rng;
use ndarray::{s, Array3};
use rand::seq::IndexedRandom;
use rand::Rng as _;

/// Labels fit a byte, and a few are left.
const MOST_LABELS: u8 = 120;
/// The corners of a shape that is nearly a box lie a little beyond its reach.
const CORNER: f32 = 1.02;

impl LabelVolume {
    /// Draws a label map.
    pub fn generate(rng: &mut Rng) -> Self {
        let mut painter = Painter::new(rng);
        painter.background(rng);
        for _ in 0..rng.random_range(9..24) {
            painter.object(rng);
        }
        painter.body(rng);
        Self { labels: painter.labels, objects: painter.objects, alike: painter.alike, grey: None }
    }
}

struct Painter {
    labels: Array3<u8>,
    objects: Vec<Object>,
    alike: Vec<Vec<u8>>,
    /// Where each voxel is, warped, in pixels from the middle: z, y, x.
    places: [Array3<f32>; 3],
    /// Pixels between slices.
    step: f32,
    half: f32,
    depth: f32,
    /// How far warping moves a voxel.
    warp: f32,
    next: u8,
}

impl Painter {
    fn new(rng: &mut Rng) -> Self {
        let depth: usize = rng.random_range(48..96);
        let side: usize = *[128, 160, 192].choose(rng).expect("not empty");
        let step = side as f32 / 2.0 / (depth as f32 * rng.random_range(0.5..1.1));
        let warp = rng.random_range(2.0..10.0) * side as f32 / 160.0;
        let dims = [depth, side, side];
        let mut places = [0, 1, 2].map(|axis| {
            let coarse = [rng.random_range(3..6), rng.random_range(3..8), rng.random_range(3..8)];
            let mut place = smooth(rng, coarse, dims);
            let scale = if axis == 0 { step } else { 1.0 };
            for ((k, j, i), v) in place.indexed_iter_mut() {
                let n = [k, j, i][axis] as f32 - dims[axis] as f32 / 2.0;
                *v = *v * warp + n * scale;
            }
            place
        });
        if rng.random_bool(0.6) {
            // Fine waves in the plane, so that borders differ from slice to slice.
            let amplitude = rng.random_range(0.5..2.0);
            for place in &mut places[1..] {
                place.scaled_add(amplitude, &smooth(rng, [(depth / 4).max(3), 12, 12], dims));
            }
        }
        let [half, depth] = [side as f32 / 2.0, depth as f32];
        let labels = Array3::zeros(dims);
        Self { labels, objects: Vec::new(), alike: Vec::new(), places, step, half, depth, warp, next: 1 }
    }

    fn dims(&self) -> [usize; 3] {
        let (d, h, w) = self.labels.dim();
        [d, h, w]
    }

    /// Tissue: at each voxel the field that is largest.
    fn background(&mut self, rng: &mut Rng) {
        let dims = self.dims();
        let tissues = rng.random_range(3..9);
        let fine = rng.random_range(4..12);
        let deep = (fine as f32 * self.depth * self.step / (2.0 * self.half) * rng.random_range(0.6..1.2)).round();
        let mut best = Array3::from_elem(dims, f32::NEG_INFINITY);
        for _ in 0..tissues {
            let label = self.next;
            self.next += 1;
            let offset = normal(rng) * 0.5;
            let field = smooth(rng, [(deep as usize).max(2), fine, fine], dims);
            ndarray::Zip::from(&mut self.labels).and(&mut best).and(&field).for_each(|l, b, &f| {
                if f + offset > *b {
                    (*l, *b) = (label, f + offset);
                }
            });
            self.objects.push(Object { kind: Kind::Region, labels: vec![label] });
        }
    }

    /// Sets `label` where `value` is positive, within `reach` of `centre`; `within` bounds it to another label.
    fn paint(&mut self, centre: Vector, reach: f32, label: u8, within: Option<u8>, value: impl Fn(Vector) -> f32) {
        let dims = self.dims();
        let farthest = (CORNER * reach).powi(2);
        let reach = reach + 2.2 * self.warp;
        let bounds = [0, 1, 2].map(|axis| {
            let scale = if axis == 0 { self.step } else { 1.0 };
            let middle = centre[axis] / scale + dims[axis] as f32 / 2.0;
            let low = (middle - reach / scale).floor().clamp(0.0, dims[axis] as f32) as usize;
            let high = (middle + reach / scale).ceil().clamp(0.0, dims[axis] as f32) as usize;
            low..high.max(low)
        });
        let window = s![bounds[0].clone(), bounds[1].clone(), bounds[2].clone()];
        let [z, y, x] = self.places.each_ref().map(|place| place.slice(window));
        let labels = self.labels.slice_mut(window);
        ndarray::Zip::from(labels).and(z).and(y).and(x).for_each(|l, &z, &y, &x| {
            let at = [z - centre[0], y - centre[1], x - centre[2]];
            if dot(at, at) <= farthest && within.is_none_or(|w| *l == w) && value(at) > 0.0 {
                *l = label;
            }
        });
    }

    fn take(&mut self) -> u8 {
        self.next += 1;
        self.next - 1
    }

    /// Labels of one tissue, which together are a class, too: one that is discontinuous along most sequences.
    fn add_alike(&mut self, kind: Kind, labels: Vec<u8>) {
        labels.iter().for_each(|&label| self.add(kind, &[label]));
        if matches!(kind, Kind::Pair | Kind::Row) {
            self.add(kind, &labels);
        }
        self.alike.push(labels);
    }

    fn add(&mut self, kind: Kind, labels: &[u8]) {
        self.objects.push(Object { kind, labels: labels.to_vec() });
    }

    fn object(&mut self, rng: &mut Rng) {
        if self.next > MOST_LABELS {
            return;
        }
        let height = self.depth * self.step;
        let spread = |rng: &mut Rng, share: f32, size: f32| rng.random_range(-share..share) * size;
        let centre = [spread(rng, 0.5, height), spread(rng, 0.75, self.half), spread(rng, 0.75, self.half)];
        match rng.random::<f32>() {
            u if u < 0.60 => self.organ(rng, centre),
            u if u < 0.82 => self.tree(rng, centre),
            u if u < 0.92 => self.patch(rng, centre),
            _ => self.sheet(rng, centre),
        }
    }

    fn organ(&mut self, rng: &mut Rng, centre: Vector) {
        let radius = log_uniform(rng, 0.07, 0.55) * self.half;
        let lobes = *[1, 1, 2, 3, 4].choose(rng).expect("not empty");
        let shape = Organ::random(rng, radius, lobes, true);
        match rng.random::<f32>() {
            u if u < 0.18 => self.shell(rng, centre, &shape),
            u if u < 0.26 => self.pair(centre, radius, &shape),
            u if u < 0.36 => self.row(rng, centre, radius, &shape),
            u if u < 0.48 => self.neighbours(rng, centre, radius, &shape),
            u => {
                let label = self.take();
                self.paint(centre, shape.reach, label, None, |p| shape.value(p));
                match u {
                    u if u < 0.60 => self.twin(rng, centre, radius, &shape, label),
                    u if u < 0.74 => {
                        // Vessels or cysts that belong to the organ.
                        let inside = self.take();
                        self.inclusions(rng, centre, radius, inside, label);
                        self.add(Kind::Organ, &[label, inside]);
                        self.add(Kind::Organ, &[label, inside]);
                    }
                    u => {
                        self.add(Kind::Organ, &[label]);
                        if u < 0.84 {
                            self.lesion(rng, centre, radius, label);
                        }
                    }
                }
            }
        }
    }

    fn shell(&mut self, rng: &mut Rng, centre: Vector, shape: &Organ) {
        let (wall, core) = (self.take(), self.take());
        let depth = rng.random_range(0.12..0.5);
        self.paint(centre, shape.reach, wall, None, |p| shape.value(p));
        self.paint(centre, shape.reach, core, None, |p| shape.value(p) - depth);
        self.add(Kind::Shell, &[wall]);
        self.add(Kind::Shell, &[core]);
        // An organ with a core of another intensity, as a kidney with its sinus.
        self.add(Kind::Organ, &[wall, core]);
        self.add(Kind::Organ, &[wall, core]);
    }

    fn pair(&mut self, centre: Vector, radius: f32, shape: &Organ) {
        let x = -centre[2].abs() - radius * 0.5;
        let mirrored = shape.mirrored();
        let labels = [(shape, x), (&mirrored, -x)].map(|(shape, x)| {
            let label = self.take();
            self.paint([centre[0], centre[1], x], shape.reach, label, None, |p| shape.value(p));
            label
        });
        self.add_alike(Kind::Pair, labels.to_vec());
    }

    fn row(&mut self, rng: &mut Rng, centre: Vector, radius: f32, shape: &Organ) {
        let distance = radius * rng.random_range(1.4..2.6);
        let way = unit(random_vector(rng)).map(|c| c * distance);
        let labels = (0..rng.random_range(2..5)).map(|n| {
            let label = self.take();
            let at = [0, 1, 2].map(|c| centre[c] + way[c] * n as f32);
            self.paint(at, shape.reach, label, None, |p| shape.value(p));
            label
        });
        let labels = labels.collect();
        self.add_alike(Kind::Row, labels);
    }

    /// One goes on beside or behind the other, as a kidney below the spleen does.
    fn neighbours(&mut self, rng: &mut Rng, centre: Vector, radius: f32, shape: &Organ) {
        let other_radius = radius * rng.random_range(0.5..1.3);
        let lobes = *[1, 1, 2].choose(rng).expect("not empty");
        let other = Organ::random(rng, other_radius, lobes, true);
        let mut way = random_vector(rng);
        way[0] *= 2.0; // mostly on other slices
        let distance = (radius + other_radius) * rng.random_range(0.7..1.05);
        let way = unit(way).map(|c| c * distance);
        let (first, second) = (self.take(), self.take());
        self.paint(centre, shape.reach, first, None, |p| shape.value(p));
        self.paint([0, 1, 2].map(|c| centre[c] + way[c]), other.reach, second, None, |p| other.value(p));
        self.add_alike(Kind::Neighbour, vec![first, second]);
    }

    /// Cuts an organ of `label` in two.
    fn twin(&mut self, rng: &mut Rng, centre: Vector, radius: f32, shape: &Organ, label: u8) {
        let (way, offset) = (unit(random_vector(rng)), radius * rng.random_range(-0.3..0.3));
        let twin = self.take();
        self.paint(centre, shape.reach, twin, Some(label), |p| dot(way, p) - offset);
        self.add_alike(Kind::Twin, vec![label, twin]);
    }

    fn lesion(&mut self, rng: &mut Rng, centre: Vector, radius: f32, label: u8) {
        let small = radius * rng.random_range(0.2..0.5);
        let lobes = *[1, 1, 2].choose(rng).expect("not empty");
        let lesion = Organ::random(rng, small, lobes, true);
        let shift = random_vector(rng).map(|c| c * radius * 0.3);
        let at = [0, 1, 2].map(|c| centre[c] + shift[c]);
        let (number, within) = (self.take(), rng.random_bool(0.7).then_some(label));
        self.paint(at, lesion.reach, number, within, |p| lesion.value(p));
        self.add(Kind::Lesion, &[number]);
    }

    /// A vessel tree or a few blobs of `inside`, within an organ of `label`.
    fn inclusions(&mut self, rng: &mut Rng, centre: Vector, radius: f32, inside: u8, label: u8) {
        if rng.random_bool(0.5) {
            let width = (radius * rng.random_range(0.05..0.15)).max(1.2);
            return self.paint_tree(rng, centre, width, inside, Some(label));
        }
        for _ in 0..rng.random_range(1..5) {
            let small = radius * rng.random_range(0.1..0.3);
            let blob = Organ::random(rng, small, 1, true);
            let shift = random_vector(rng).map(|c| c * radius * 0.4);
            let at = [0, 1, 2].map(|c| centre[c] + shift[c]);
            self.paint(at, blob.reach, inside, Some(label), |p| blob.value(p));
        }
    }

    fn tree(&mut self, rng: &mut Rng, centre: Vector) {
        let radius = log_uniform(rng, 0.02, 0.1) * self.half;
        let label = self.take();
        self.paint_tree(rng, centre, radius, label, None);
        self.add(Kind::Tree, &[label]);
    }

    /// Trees are thin: painted unwarped, ball by ball.
    fn paint_tree(&mut self, rng: &mut Rng, start: Vector, radius: f32, label: u8, within: Option<u8>) {
        let dims = self.dims();
        let scale = [self.step, 1.0, 1.0];
        let extent = [self.depth * self.step / 2.0, self.half, self.half];
        for ball in tree(rng, start, radius, extent) {
            let place = |n: usize, c: usize| (n as f32 - dims[c] as f32 / 2.0) * scale[c] - ball.centre[c];
            let [slices, rows, columns] = [0, 1, 2].map(|c| {
                let middle = ball.centre[c] / scale[c] + dims[c] as f32 / 2.0;
                let reach = ball.radius / scale[c];
                let low = (middle - reach).floor().max(0.0) as usize;
                low.min(dims[c])..((middle + reach).ceil().max(0.0) as usize + 1).min(dims[c]).max(low.min(dims[c]))
            });
            for k in slices {
                let z = place(k, 0).powi(2);
                for j in rows.clone() {
                    let zy = z + place(j, 1).powi(2);
                    for i in columns.clone() {
                        let voxel = &mut self.labels[[k, j, i]];
                        let inside = zy + place(i, 2).powi(2) <= ball.radius * ball.radius;
                        if inside && within.is_none_or(|within| *voxel == within) {
                            *voxel = label;
                        }
                    }
                }
            }
        }
    }

    /// Ragged tissue inside an organ's outline.
    fn patch(&mut self, rng: &mut Rng, centre: Vector) {
        let radius = rng.random_range(0.15..0.5) * self.half;
        let shape = Organ::random(rng, radius, 2, true);
        let rough = stretch(&super::field::normal(rng, [4, 6, 6]), [24, 24, 24]);
        let threshold = rng.random_range(-0.3..0.6);
        let label = self.take();
        let reach = shape.reach;
        self.paint(centre, reach, label, None, |p| {
            let cell = p.map(|c| (((c / reach + 1.0) * 12.0) as usize).min(23));
            if shape.value(p) > 0.0 {
                rough[cell] - threshold
            } else {
                -1.0
            }
        });
        self.add(Kind::Region, &[label]);
    }

    /// Between two nearly parallel surfaces, within an outline.
    fn sheet(&mut self, rng: &mut Rng, centre: Vector) {
        let radius = rng.random_range(0.2..0.6) * self.half;
        let outline = Organ::random(rng, radius, 1, true);
        let way = unit(random_vector(rng));
        let thickness = rng.random_range(0.05..0.16) * radius + 1.5;
        let (bend, curl) = (rng.random_range(0.0..0.5) / radius, unit(random_vector(rng)));
        let label = self.take();
        self.paint(centre, outline.reach, label, None, |p| {
            let along = dot(curl, p);
            let height = dot(way, p) + bend * along * along;
            if outline.value(p) > 0.0 {
                thickness - height.abs()
            } else {
                -1.0
            }
        });
        self.add(Kind::Sheet, &[label]);
    }

    /// Often there is an outside, and skin.
    fn body(&mut self, rng: &mut Rng) {
        if !rng.random_bool(0.6) {
            return;
        }
        let radii: [f32; 2] = std::array::from_fn(|_| rng.random_range(0.75..1.05) * self.half);
        let power = rng.random_range(2.0..3.5);
        let skin = rng.random_bool(0.5).then(|| rng.random_range(0.86..0.95f32));
        let inner = skin.unwrap_or(1.0).powf(power);
        let [_, y, x] = &self.places;
        ndarray::Zip::from(&mut self.labels).and(y).and(x).for_each(|l, y, x| {
            let (y, x) = ((y / radii[0]).abs(), (x / radii[1]).abs());
            // The powers of what is below one are no more than its squares, which are enough for most voxels.
            let squares = y * y + x * x;
            let sum = if squares <= inner { squares } else { y.powf(power) + x.powf(power) };
            if sum > 1.0 {
                *l = AIR;
            } else if sum > inner {
                *l = 1;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{rng, Purpose};

    #[test]
    fn a_number_gives_one_volume_and_another_number_another() {
        let one = LabelVolume::generate(&mut rng(3, Purpose::LabelMap, 5));
        let same = LabelVolume::generate(&mut rng(3, Purpose::LabelMap, 5));
        let other = LabelVolume::generate(&mut rng(3, Purpose::LabelMap, 6));
        assert_eq!(one.labels, same.labels);
        assert_ne!(one.labels, other.labels);
    }

    #[test]
    fn volumes_hold_many_objects_of_many_kinds() {
        let mut kinds = Vec::new();
        for number in 0..6 {
            let volume = LabelVolume::generate(&mut rng(1, Purpose::LabelMap, number));
            let present = |object: &&Object| volume.labels.iter().any(|label| object.labels.contains(label));
            let present: Vec<Kind> = volume.objects.iter().filter(present).map(|o| o.kind).collect();
            assert!(present.len() >= 8, "{} objects", present.len());
            kinds.extend(present);
        }
        for kind in [Kind::Organ, Kind::Tree, Kind::Region, Kind::Row] {
            assert!(kinds.contains(&kind), "no {kind:?}");
        }
    }
}
