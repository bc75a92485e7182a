//! Label maps on disk: real shapes, deformed, cut and turned, for generated intensities.
//!
//! In: files. Out: a block around one of a file's labels, with tissue painted where nothing is labelled.

use super::block::{across, Across, Block};
use super::files::{label_names, volumes};
use super::tissue::{paint_tissue, TISSUE};
use super::VolumeSource;
use crate::error::{Error, Result};
use crate::geometry::{Axis, Geometry};
use crate::train::phantom::field::smooth;
use crate::train::phantom::shapes::{log_uniform, normal};
use crate::train::phantom::{Kind, LabelVolume, Object, AIR};
use crate::train::Rng;
use crate::volume;
use ndarray::Array3;
use rand::seq::IndexedRandom;
use rand::Rng as _;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Voxels that a label must have in its file, and in a block to be an object there.
const LEAST_VOXELS: usize = 100;
const LEAST_IN_BLOCK: usize = 80;
/// Faces of voxels that two labels share where they are neighbours that may be one object.
const LEAST_CONTACT: usize = 60;
/// Neighbours that are one object, as a wall and its cavity, for each label that is an object alone.
const MERGED: f32 = 0.4;
/// A label that fills so large a share of what is labelled is what is left over, more than an object.
const REST: f64 = 0.4;
/// Labels of a block that are kept.
const MOST_LABELS: usize = TISSUE as usize - 20;
/// Side of a block in longer sides of the label that it is around.
const SURROUNDINGS: (f32, f32) = (2.2, 8.0);
/// Millimetres between the slices of a block, and its slices. A clip takes every slice or every second to sixth.
const STEP: (f32, f32) = (0.8, 3.0);
const SLICES: std::ops::RangeInclusive<usize> = 16..=72;
const SIDES: [usize; 3] = [128, 160, 192];
/// Where slices are so much farther apart than pixels, other axes are rarer.
const ANISOTROPIC: f64 = 2.0;
const OTHER_AXIS: f64 = 0.3;
/// How often a block is turned and stretched; the deviations of the angles in radians, and of the logarithms of the
/// stretches.
const TURNED: f64 = 0.7;
const ANGLE: f32 = 0.25;
const STRETCH: f32 = 0.12;
/// Largest deformation, as a share of the block's side.
const WARP: f32 = 0.035;
/// Label maps that label so large a share of their voxels show what is around them: nothing. How often it stays so, and
/// how often others get nothing around them.
const WHOLE: f64 = 0.3;
const WHOLE_IN_AIR: f64 = 0.8;
const PART_IN_AIR: f64 = 0.15;

/// Label maps of some folders.
pub struct LabelMaps {
    files: Vec<(PathBuf, BTreeMap<u16, String>)>,
}

impl LabelMaps {
    pub fn open(folders: &[PathBuf]) -> Result<Self> {
        let files = volumes(folders)?.into_iter().map(|path| Ok((path.clone(), label_names(&path)?)));
        Ok(Self { files: files.collect::<Result<_>>()? })
    }
}

/// Where a label is: voxels, first and last slice, row and column.
#[derive(Clone, Copy)]
struct Extent {
    count: usize,
    low: [usize; 3],
    high: [usize; 3],
}

fn extents(volume: &Across<u16>) -> BTreeMap<u16, Extent> {
    let mut all: BTreeMap<u16, Extent> = BTreeMap::new();
    for (z, plane) in volume.voxels.outer_iter().enumerate() {
        for (y, row) in plane.outer_iter().enumerate() {
            // A run of one label at a time: few look-ups.
            let mut x = 0;
            while x < row.len() {
                let label = row[x];
                let end = (x..row.len()).find(|&n| row[n] != label).unwrap_or(row.len());
                if label != 0 {
                    let new = Extent { count: 0, low: [z, y, x], high: [z, y, x] };
                    let extent = all.entry(label).or_insert(new);
                    extent.count += end - x;
                    extent.low = [extent.low[0], extent.low[1].min(y), extent.low[2].min(x)];
                    extent.high = [z, extent.high[1].max(y), extent.high[2].max(end - 1)];
                }
                x = end;
            }
        }
    }
    all
}

fn draw_axis(geometry: &Geometry, rng: &mut Rng) -> Axis {
    let spacing = geometry.spacing().0;
    let (least, most) = spacing.iter().fold((f64::MAX, 0f64), |(a, b), &mm| (a.min(mm), b.max(mm)));
    match most / least > ANISOTROPIC && !rng.random_bool(OTHER_AXIS) {
        true => geometry.slice_axis(),
        false => Axis::ALL[rng.random_range(0..3)],
    }
}

impl VolumeSource for LabelMaps {
    fn volume(&self, rng: &mut Rng) -> Result<LabelVolume> {
        let (path, names) = self.files.choose(rng).expect("a folder without volumes is refused");
        let map = volume::read_labels(path)?;
        let volume = across(map.voxels(), map.geometry(), draw_axis(map.geometry(), rng));
        let all = extents(&volume);
        let large: Vec<&Extent> = all.values().filter(|extent| extent.count >= LEAST_VOXELS).collect();
        let target = large.choose(rng).ok_or_else(|| {
            Error::invalid(format!("`{}`: no label has {LEAST_VOXELS} voxels, expected one", path.display()))
        })?;
        let block = draw_block(&volume, target, rng);
        let values = sample(&volume, &block, rng);
        let labelled: usize = all.values().map(|extent| extent.count).sum();
        let rest: Vec<u16> =
            all.iter().filter(|(_, e)| e.count as f64 > REST * labelled as f64).map(|(&l, _)| l).collect();
        let mut made = numbered(&values, &rest, names, rng);
        let whole = labelled as f64 > WHOLE * volume.voxels.len() as f64;
        if !rng.random_bool(if whole { WHOLE_IN_AIR } else { PART_IN_AIR }) {
            paint_tissue(&mut made.labels, rng);
        }
        Ok(made)
    }
}

fn draw_block(volume: &Across<u16>, target: &Extent, rng: &mut Rng) -> Block {
    let size = volume.voxels.dim();
    let size = [size.0, size.1, size.2];
    let millimetres = |axis: usize| (target.high[axis] + 1 - target.low[axis]) as f32 * volume.spacing[axis];
    let whole = (size[1] as f32 * volume.spacing[1]).max(size[2] as f32 * volume.spacing[2]);
    let longer = millimetres(1).max(millimetres(2));
    let covered = (longer * log_uniform(rng, SURROUNDINGS.0, SURROUNDINGS.1)).min(whole * 1.05);
    let side = *SIDES.choose(rng).expect("not empty");
    let finest = 0.4 * volume.spacing[1].min(volume.spacing[2]);
    let pixel = (covered / side as f32).max(finest);
    let deep = millimetres(0) * rng.random_range(1.2..2.2);
    let slices_at = |step: f32| (deep / step).round() as usize;
    let mut step = log_uniform(rng, STEP.0, STEP.1).max(0.8 * volume.spacing[0]);
    if slices_at(step) > *SLICES.end() && rng.random_bool(0.5) {
        step = deep / *SLICES.end() as f32; // the whole object, in slices farther apart
    }
    let centre = [0, 1, 2].map(|axis| {
        let middle = (target.low[axis] + target.high[axis]) as f32 / 2.0;
        let spare = if axis == 0 { 0.2 * millimetres(0) } else { 0.3 * (covered - longer).max(0.0) };
        let drawn = middle + rng.random_range(-1.0..1.0) * spare / volume.spacing[axis];
        drawn.clamp(0.0, size[axis] as f32 - 1.0)
    });
    Block { centre, step, pixel, slices: slices_at(step).clamp(*SLICES.start(), *SLICES.end()), side }
}

/// The labels on a block, through a random affine map and a smooth deformation.
fn sample(volume: &Across<u16>, block: &Block, rng: &mut Rng) -> Array3<u16> {
    let dims = block.dims();
    let turned = rng.random_bool(TURNED);
    let mut drawn = |deviation: f32| if turned { normal(rng) * deviation } else { 0.0 };
    let angles: [f32; 3] = std::array::from_fn(|_| drawn(ANGLE));
    let stretch: [f32; 3] = std::array::from_fn(|_| drawn(STRETCH).exp());
    let matrix = rotation(angles);
    let amplitude = rng.random_range(0.0..WARP) * block.side as f32 * block.pixel;
    let warp: [Array3<f32>; 3] = std::array::from_fn(|_| {
        let cells = [rng.random_range(2..5), rng.random_range(3..8), rng.random_range(3..8)];
        smooth(rng, cells, dims)
    });
    let enlarged = block.pixel < volume.spacing[1].max(volume.spacing[2]) || block.step < volume.spacing[0];
    Array3::from_shape_fn(dims, |(k, j, i)| {
        let offset = block.offset([k, j, i]);
        let at: [f32; 3] = std::array::from_fn(|axis| {
            let turned: f32 = (0..3).map(|n| matrix[axis][n] * offset[n]).sum();
            let place = turned * stretch[axis] + amplitude * warp[axis][[k, j, i]];
            block.centre[axis] + place / volume.spacing[axis]
        });
        match enlarged {
            true => voted(volume, at),
            false => voxel(volume, at.map(|c| c.round() as i64)),
        }
    })
}

/// A voxel's label, 0 beyond the volume.
fn voxel(volume: &Across<u16>, at: [i64; 3]) -> u16 {
    let size = volume.voxels.dim();
    let inside = at.iter().zip([size.0, size.1, size.2]).all(|(&n, count)| n >= 0 && n < count as i64);
    if inside {
        volume.voxels[at.map(|n| n as usize)]
    } else {
        0
    }
}

/// The label to which trilinear interpolation gives most: smooth borders where voxels are enlarged.
fn voted(volume: &Across<u16>, at: [f32; 3]) -> u16 {
    let low = at.map(|c| c.floor() as i64);
    let labels: [u16; 8] =
        std::array::from_fn(|n| voxel(volume, [0, 1, 2].map(|axis| low[axis] + (n >> axis & 1) as i64)));
    if labels.iter().all(|&label| label == labels[0]) {
        return labels[0];
    }
    let weights: [f32; 8] = std::array::from_fn(|n| {
        (0..3)
            .map(|axis| at[axis] - low[axis] as f32)
            .enumerate()
            .map(|(axis, share)| if n >> axis & 1 == 1 { share } else { 1.0 - share })
            .product()
    });
    let total = |label: u16| -> f32 { (0..8).filter(|&n| labels[n] == label).map(|n| weights[n]).sum() };
    labels.into_iter().max_by(|&a, &b| total(a).total_cmp(&total(b)).then(b.cmp(&a))).unwrap_or(0)
}

fn rotation([a, b, c]: [f32; 3]) -> [[f32; 3]; 3] {
    let product = |x: [[f32; 3]; 3], y: [[f32; 3]; 3]| -> [[f32; 3]; 3] {
        std::array::from_fn(|r| std::array::from_fn(|c| (0..3).map(|n| x[r][n] * y[n][c]).sum()))
    };
    let ((sa, ca), (sb, cb), (sc, cc)) = (a.sin_cos(), b.sin_cos(), c.sin_cos());
    let first = [[1., 0., 0.], [0., ca, -sa], [0., sa, ca]];
    let second = [[cb, 0., sb], [0., 1., 0.], [-sb, 0., cb]];
    let third = [[cc, -sc, 0.], [sc, cc, 0.], [0., 0., 1.]];
    product(first, product(second, third))
}

/// Labels as bytes, and what can be segmented: labels, and some neighbours as one.
fn numbered(values: &Array3<u16>, rest: &[u16], names: &BTreeMap<u16, String>, rng: &mut Rng) -> LabelVolume {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    values.iter().filter(|&&value| value != 0).for_each(|&value| *counts.entry(value).or_default() += 1);
    let mut present: Vec<(u16, usize)> = counts.into_iter().collect();
    present.sort_by_key(|&(label, count)| (std::cmp::Reverse(count), label));
    present.truncate(MOST_LABELS);
    let byte: BTreeMap<u16, u8> = present.iter().zip(1..).map(|(&(label, _), number)| (label, number)).collect();
    let mut table = vec![AIR; usize::from(u16::MAX) + 1];
    byte.iter().for_each(|(&label, &number)| table[usize::from(label)] = number);
    let labels = values.mapv(|value| table[usize::from(value)]);
    let large = present.iter().filter(|(_, count)| *count >= LEAST_IN_BLOCK);
    let mut objects: Vec<Object> = large
        .map(|(label, _)| Object {
            kind: if rest.contains(label) { Kind::Region } else { Kind::Organ },
            labels: vec![byte[label]],
        })
        .collect();
    let single: Vec<u8> = objects.iter().filter(|o| o.kind == Kind::Organ).map(|o| o.labels[0]).collect();
    let mut pairs = touching(&labels);
    pairs.retain(|pair| pair.iter().all(|label| single.contains(label)));
    let merged = (single.len() as f32 * MERGED).ceil() as usize;
    let merged: Vec<[u8; 2]> = pairs.choose_multiple(rng, merged).copied().collect();
    objects.extend(merged.into_iter().map(|pair| Object { kind: Kind::Organ, labels: pair.to_vec() }));
    LabelVolume { labels, objects, alike: left_and_right(&byte, names), grey: None }
}

/// Labels that are neighbours, in rising order.
fn touching(labels: &Array3<u8>) -> Vec<[u8; 2]> {
    let mut faces = vec![0usize; 256 * 256];
    for axis in 0..3 {
        let count = labels.len_of(ndarray::Axis(axis));
        let first = labels.slice_axis(ndarray::Axis(axis), (..count - 1).into());
        let second = labels.slice_axis(ndarray::Axis(axis), (1..).into());
        ndarray::Zip::from(&first).and(&second).for_each(|&a, &b| {
            if a != b && a != AIR && b != AIR {
                faces[usize::from(a.min(b)) * 256 + usize::from(a.max(b))] += 1;
            }
        });
    }
    let near = faces.iter().enumerate().filter(|(_, &count)| count >= LEAST_CONTACT);
    near.map(|(at, _)| [(at / 256) as u8, (at % 256) as u8]).collect()
}

/// Labels that are one tissue: their names differ in the side alone.
fn left_and_right(byte: &BTreeMap<u16, u8>, names: &BTreeMap<u16, String>) -> Vec<Vec<u8>> {
    let mut by_name: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (label, &number) in byte {
        if let Some(name) = names.get(label) {
            let name = name.to_lowercase().replace("left", "").replace("right", "");
            by_name.entry(name).or_default().push(number);
        }
    }
    by_name.into_values().filter(|labels| labels.len() > 1).collect()
}
