//! A label map becomes a clip: which object, which slices, which part of the plane, and what it looks like.

use super::appearance::{acquire, augment, Appearance};
use super::field::blur;
use super::label_map::{Grey, Kind, LabelVolume, Object};
use super::shapes::{log_uniform, normal};
use super::texture::Textures;
use crate::slices::near::near;
use crate::train::clip::{Clip, ClipOptions};
use crate::train::config::Framing;
use crate::train::stochastic_propagation::{coherent, stack};
use crate::train::Rng;
use ndarray::{Array2, Array3, ArrayView2, Axis};
use rand::seq::IndexedRandom;
use rand::Rng as _;

/// Pixels of the label map that an object must have on a slice to count there, and on the prompt slice.
const LEAST_AREA: usize = 12;
const LEAST_PROMPT_AREA: usize = 25;
/// Pixels of the frame that the prompt must have.
const LEAST_SHOWN: usize = 40;
/// Share of clips whose object ends inside.
const ENDING: f64 = 0.3;
/// Objects on fewer slices than this are mostly passed over.
const SHORT: usize = 8;
const SHORT_PASSED: f64 = 0.7;
/// How often a clip shows slice after slice of the label map; else so many slices of the object, not farther apart than
/// that: thick slices, in
/// which anatomy changes fast.
const NEXT_SLICE: f64 = 0.5;
const SLICES_OF_OBJECT: (f32, f32) = (8.0, 36.0);
const FARTHEST: usize = 6;
/// Mostly a clip begins in the first part of the object along its way, as prompts do.
const EARLY: f64 = 0.75;
const EARLY_PART: f64 = 0.6;
/// How often one of several pieces on the prompt slice is marked: users do so.
const ONE_OF_SEVERAL: f64 = 0.3;
/// Longer side of the object's box on the prompt slice, as a share of the frame's side: mostly about what `slices::roi`
/// shows of a prompted
/// object, else anything.
const SHOWN: std::ops::Range<f32> = 0.3..0.7;
const SHOWN_AT_ALL: (f32, f32) = (0.10, 0.75);
const SHOWN_OTHERWISE: f64 = 0.3;
/// The same where a click has to find the object: how often the frame is the whole slice, and the share of the others.
const WHOLE_SLICE: f64 = 0.3;
const SHOWN_ANYHOW: (f32, f32) = (0.14, 0.9);
/// Pixels of the frame that a clicked object must have.
const LEAST_CLICKED: usize = 60;
/// How often the intensity window is the one that inference takes around a prompted object, give or take; else it is
/// the whole picture's.
const WINDOW_AROUND_OBJECT: f64 = 0.7;
const WINDOW_AROUND_CLICKED: f64 = 0.4;

/// One clip of one object and its kind, or `None` where the draw does not fit.
pub fn render(volume: &LabelVolume, objects: &[&Object], options: &ClipOptions, rng: &mut Rng) -> Option<(Kind, Clip)> {
    let object = *objects.choose_weighted(rng, |object| object.kind.share()).ok()?;
    let sequence = Sequence::draw(volume, object, options, rng)?;
    let view = SliceView::draw(&sequence, volume, options, rng)?;
    let masks = view.masks(&sequence);
    let (least, around) = match options.framing {
        Framing::Object => (LEAST_SHOWN, WINDOW_AROUND_OBJECT),
        Framing::Any => (LEAST_CLICKED, WINDOW_AROUND_CLICKED),
    };
    let prompt = masks.index_axis(Axis(0), 0);
    if prompt.iter().filter(|&&inside| inside).count() < least {
        return None;
    }
    let images = match &volume.grey {
        None => view.images(&sequence, volume, object, prompt, around, rng),
        Some(grey) => {
            let mut images = view.scanned(&sequence, grey);
            augment(rng, &mut images, prompt, around);
            images
        }
    };
    Some((object.kind, Clip::new(images, masks, options)))
}

/// Slices in walking order and the object's masks on them, in the label map's pixels.
struct Sequence {
    slices: Vec<usize>,
    /// Slices whose average a picture shows: thick slices.
    thickness: usize,
    masks: Array3<bool>,
}

impl Sequence {
    fn draw(volume: &LabelVolume, object: &Object, options: &ClipOptions, rng: &mut Rng) -> Option<Self> {
        let mut inside = [false; 256];
        object.labels.iter().for_each(|&label| inside[usize::from(label)] = true);
        let depth = volume.labels.dim().0;
        let areas: Vec<usize> = volume
            .labels
            .outer_iter()
            .map(|plane| plane.iter().filter(|&&label| inside[usize::from(label)]).count())
            .collect();
        let present: Vec<usize> = (0..depth).filter(|&z| areas[z] >= LEAST_AREA).collect();
        let (&first, &last) = (present.first()?, present.last()?);
        if present.len() < SHORT && rng.random_bool(SHORT_PASSED) {
            return None;
        }
        let stride = match rng.random_bool(NEXT_SLICE) {
            true => 1,
            false => {
                let wanted = log_uniform(rng, SLICES_OF_OBJECT.0, SLICES_OF_OBJECT.1);
                ((present.len() as f32 / wanted).round() as usize).clamp(1, FARTHEST)
            }
        };
        let thickness = rng.random_range(1..=stride);
        let upwards = rng.random_bool(0.5);
        let start = if rng.random_bool(ENDING) {
            // Slices without the object follow, so that the network learns not to go on.
            let before_end = rng.random_range(1..(options.length * 2 / 3).max(2)) * stride;
            if upwards {
                last.checked_sub(before_end)?
            } else {
                first + before_end
            }
        } else {
            let part = if rng.random_bool(EARLY) {
                (present.len() as f64 * EARLY_PART).ceil() as usize
            } else {
                present.len()
            };
            let from_begin = rng.random_range(0..part.max(1));
            present[if upwards { from_begin } else { present.len() - 1 - from_begin }]
        };
        let mut slices = Vec::new();
        let mut at = Some(start);
        // A few slices more than needed, for sequences that are cut.
        for _ in 0..2 * options.length {
            let Some(z) = at.filter(|&z| z < depth) else { break };
            slices.push(z);
            let step = stride + usize::from(rng.random_bool(0.03));
            at = if upwards { Some(z + step) } else { z.checked_sub(step) };
        }
        if slices.len() < options.length || *areas.get(start)? < LEAST_PROMPT_AREA {
            return None;
        }
        let mask = |&z: &usize| volume.labels.index_axis(Axis(0), z).mapv(|label| inside[usize::from(label)]);
        let all: Vec<Array2<bool>> = slices.iter().map(mask).collect();
        let (begin, masks) = match options.stochastic_propagation {
            true => coherent(&all, options.length, ONE_OF_SEVERAL, rng)?,
            false => (0, stack(&all, 0, options.length)?),
        };
        let slices = slices[begin..begin + options.length].to_vec();
        let shown = masks.index_axis(Axis(0), 0).iter().filter(|&&inside| inside).count();
        (shown >= LEAST_PROMPT_AREA).then_some(Self { slices, thickness, masks })
    }
}

/// Which part of the plane the frame shows, and how it is turned.
struct SliceView {
    side: usize,
    /// Label-map pixels from frame pixels, [row, column] of (row, column, 1): one for each slice.
    maps: Vec<[[f32; 3]; 2]>,
    /// Frame pixels per label-map pixel.
    scale: f32,
}

impl SliceView {
    fn draw(sequence: &Sequence, volume: &LabelVolume, options: &ClipOptions, rng: &mut Rng) -> Option<Self> {
        let side = options.side;
        let prompt = sequence.masks.index_axis(Axis(0), 0);
        let (mut low, mut high) = ([usize::MAX; 2], [0; 2]);
        for ((r, c), _) in prompt.indexed_iter().filter(|(_, &inside)| inside) {
            low = [low[0].min(r), low[1].min(c)];
            high = [high[0].max(r + 1), high[1].max(c + 1)];
        }
        let longer = (high[0] - low[0]).max(high[1] - low[1]) as f32;
        let plane = volume.labels.dim().1 as f32;
        let covered = match options.framing {
            Framing::Any if rng.random_bool(WHOLE_SLICE) => plane * rng.random_range(0.9..1.1),
            Framing::Any => (longer / log_uniform(rng, SHOWN_ANYHOW.0, SHOWN_ANYHOW.1)).clamp(24.0, plane * 1.2),
            Framing::Object => {
                let shown = match rng.random_bool(SHOWN_OTHERWISE) {
                    true => log_uniform(rng, SHOWN_AT_ALL.0, SHOWN_AT_ALL.1),
                    false => rng.random_range(SHOWN),
                };
                (longer / shown).clamp(24.0, plane * 1.2)
            }
        };
        let spread = (covered - longer).max(0.0) * 0.5;
        // The object lies anywhere in the frame that keeps it mostly inside, towards the middle of the plane.
        let centre = [0, 1].map(|c| {
            let own = (low[c] + high[c]) as f32 / 2.0;
            let drawn = own + normal(rng) * 0.4 * spread;
            let bound = ((plane - covered) / 2.0).max(0.0) + covered * 0.15;
            drawn.clamp(plane / 2.0 - bound, plane / 2.0 + bound).clamp(own - spread, own + spread)
        });
        let scale = side as f32 / covered;
        let angle =
            if rng.random_bool(0.75) { normal(rng) * 0.25 } else { rng.random_range(0.0..std::f32::consts::TAU) };
        let (mirror, swap) = (if rng.random_bool(0.5) { -1.0 } else { 1.0 }, rng.random_bool(0.25));
        let aspect = (normal(rng) * 0.1).exp();
        let jitter = if rng.random_bool(0.3) { rng.random_range(0.0..2.0) } else { 0.0 };
        let drift_size = *[0.0, 0.0, 0.4].choose(rng)?;
        let drift = [normal(rng) * drift_size, normal(rng) * drift_size];
        let mut offset = [0.0; 2];
        let maps = (0..sequence.slices.len())
            .map(|t| {
                if t > 0 {
                    offset = [0, 1].map(|c| offset[c] + drift[c] + normal(rng) * jitter);
                }
                let middle = side as f32 / 2.0;
                let (cos, sin) = (angle.cos() / scale, angle.sin() / scale);
                let mut row = [cos * aspect, -sin * mirror, 0.0];
                let mut column = [sin * aspect, cos * mirror, 0.0];
                if swap {
                    (row, column) = ([row[1], row[0], 0.0], [column[1], column[0], 0.0]);
                }
                let shift = |line: [f32; 3], centre: f32| {
                    [line[0], line[1], centre - line[0] * (middle + offset[0]) - line[1] * (middle + offset[1])]
                };
                [shift(row, centre[0]), shift(column, centre[1])]
            })
            .collect();
        Some(Self { side, maps, scale })
    }

    /// A plane of the label map in slice `t`'s frame, nearest; outside is `outside`.
    fn look<T: Copy>(&self, plane: ArrayView2<T>, t: usize, outside: T) -> Array2<T> {
        let (rows, columns) = plane.dim();
        let [row, column] = self.maps[t];
        Array2::from_shape_fn((self.side, self.side), |(r, c)| {
            let (r, c) = (r as f32 + 0.5, c as f32 + 0.5);
            let y = row[0] * r + row[1] * c + row[2];
            let x = column[0] * r + column[1] * c + column[2];
            if y >= 0.0 && x >= 0.0 && (y as usize) < rows && (x as usize) < columns {
                plane[(y as usize, x as usize)]
            } else {
                outside
            }
        })
    }

    /// Width that hides the label map's pixels where they are enlarged.
    fn smoothing(&self) -> f32 {
        0.35 * self.scale
    }

    fn masks(&self, sequence: &Sequence) -> Array3<bool> {
        let count = sequence.slices.len();
        let mut masks = Array3::from_elem((count, self.side, self.side), false);
        for (t, mut out) in masks.outer_iter_mut().enumerate() {
            let mask = self.look(sequence.masks.index_axis(Axis(0), t), t, false);
            if self.smoothing() > 0.6 && mask.iter().any(|&inside| inside) {
                out.assign(&blur(&mask.mapv(f32::from), self.smoothing()).mapv(|share| share > 0.5));
            } else {
                out.assign(&mask);
            }
        }
        masks
    }

    fn images(
        &self,
        sequence: &Sequence,
        volume: &LabelVolume,
        object: &Object,
        prompt: ArrayView2<bool>,
        around: f64,
        rng: &mut Rng,
    ) -> Array3<f32> {
        let first = sequence.slices[0];
        let near = neighbours(volume.labels.index_axis(Axis(0), first), sequence.masks.index_axis(Axis(0), 0), object);
        let others: Vec<u8> = volume.objects.iter().flat_map(|other| other.labels.iter().copied()).collect();
        let look = Appearance::random(rng, &object.labels, &near, &others, &volume.alike);
        let count = sequence.slices.len();
        let textures = Textures::random(rng, count, self.side);
        let gain = *[0.0, 0.02, 0.06].choose(rng).expect("not empty");
        let depth = volume.labels.dim().0;
        let mut images = Array3::zeros((count, self.side, self.side));
        for (t, mut out) in images.outer_iter_mut().enumerate() {
            let z = sequence.slices[t];
            let labels = self.look(volume.labels.index_axis(Axis(0), z), t, 0);
            let mut image = labels.mapv(|label| look.mean[usize::from(label)]);
            for n in 1..sequence.thickness {
                let beside = if n % 2 == 1 { (z + n).min(depth - 1) } else { z.saturating_sub(n) };
                let labels = self.look(volume.labels.index_axis(Axis(0), beside), t, 0);
                image += &labels.mapv(|label| look.mean[usize::from(label)]);
            }
            image /= sequence.thickness as f32;
            for (((r, c), value), &label) in image.indexed_iter_mut().zip(&labels) {
                *value += textures.at(&look.texture, label, [t, r, c]);
                let beside = |r: usize, c: usize| labels.get((r, c)).is_some_and(|&other| other != label);
                if look.rim != 0.0 && (beside(r + 1, c) || beside(r, c + 1)) {
                    *value += look.rim;
                }
            }
            if self.smoothing() > 0.4 {
                image = blur(&image, self.smoothing());
            }
            out.assign(&(image * (1.0 + gain * normal(rng))));
        }
        acquire(rng, &mut images, prompt, around);
        images
    }

    /// What a scan shows in each slice's frame, the average of a thick slice's planes.
    fn scanned(&self, sequence: &Sequence, grey: &Grey) -> Array3<f32> {
        let count = sequence.slices.len();
        let depth = grey.values.dim().0;
        let mut images = Array3::zeros((count, self.side, self.side));
        for (t, mut out) in images.outer_iter_mut().enumerate() {
            let z = sequence.slices[t];
            for n in 0..sequence.thickness {
                let beside = if n % 2 == 1 { (z + n).min(depth - 1) } else { z.saturating_sub(n) };
                out += &self.interpolated(grey.values.index_axis(Axis(0), beside), t, grey.outside);
            }
            out /= sequence.thickness as f32;
        }
        images
    }

    /// As `look`, bilinear.
    fn interpolated(&self, plane: ArrayView2<f32>, t: usize, outside: f32) -> Array2<f32> {
        let (rows, columns) = plane.dim();
        let [row, column] = self.maps[t];
        Array2::from_shape_fn((self.side, self.side), |(r, c)| {
            let (r, c) = (r as f32 + 0.5, c as f32 + 0.5);
            let y = row[0] * r + row[1] * c + row[2];
            let x = column[0] * r + column[1] * c + column[2];
            if y < 0.0 || x < 0.0 || y >= rows as f32 || x >= columns as f32 {
                return outside;
            }
            // Pixel n has its middle at n + 0.5.
            let (y, x) = ((y - 0.5).clamp(0.0, rows as f32 - 1.0), (x - 0.5).clamp(0.0, columns as f32 - 1.0));
            let (y0, x0) = (y as usize, x as usize);
            let (y1, x1) = ((y0 + 1).min(rows - 1), (x0 + 1).min(columns - 1));
            let (fy, fx) = (y - y0 as f32, x - x0 as f32);
            let upper = plane[(y0, x0)] * (1.0 - fx) + plane[(y0, x1)] * fx;
            let lower = plane[(y1, x0)] * (1.0 - fx) + plane[(y1, x1)] * fx;
            upper * (1.0 - fy) + lower * fy
        })
    }
}

/// Labels around the object on a slice.
fn neighbours(labels: ArrayView2<u8>, mask: ArrayView2<bool>, object: &Object) -> Vec<u8> {
    let mut found = [false; 256];
    let near = near(mask, 2);
    ndarray::Zip::from(&labels).and(&near).for_each(|&label, &near| found[usize::from(label)] |= near);
    (0..=255u8).filter(|label| found[usize::from(*label)] && !object.labels.contains(label)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{rng, Purpose};

    #[test]
    fn half_of_the_clips_go_slice_after_slice_and_others_show_an_object_on_few_slices() {
        let options = ClipOptions {
            length: 4,
            side: 64,
            stochastic_propagation: false,
            displacement_stride: None,
            intensity_model: false,
            framing: Framing::Object,
        };
        let volume = LabelVolume::generate(&mut rng(3, Purpose::LabelMap, 0));
        let objects: Vec<&Object> = volume.objects.iter().collect();
        let mut draws = rng(3, Purpose::Clip, 0);
        let (mut next, mut far, mut all) = (0, 0, 0);
        while all < 200 {
            let object = *objects.choose(&mut draws).expect("a volume has objects");
            let Some(sequence) = Sequence::draw(&volume, object, &options, &mut draws) else { continue };
            let steps: Vec<usize> = sequence.slices.windows(2).map(|pair| pair[0].abs_diff(pair[1])).collect();
            let stride = *steps.iter().min().expect("four slices have three steps");
            assert!((1..=FARTHEST).contains(&stride) && steps.iter().all(|&step| step <= stride + 1), "{steps:?}");
            assert!(sequence.thickness <= stride, "slices may touch and not overlap");
            (next, far, all) = (next + usize::from(stride == 1), far + usize::from(stride > 2), all + 1);
        }
        assert!(next > all / 2 && far > all / 20, "{next} next to each other, {far} far apart, of {all}");
    }
}
