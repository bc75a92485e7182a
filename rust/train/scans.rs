//! Clips from scans with masks: any data set that can be evaluated can be trained on.
//!
//! Scans are read in the worker threads, a few are kept. A random structure, axis, direction and subsequence; then
//! stochastic propagation
//! and SAM 2's augmentations, the same for all slices of a clip but for a little jitter.

use crate::datasets::{BinaryMask, Case, Dataset};
use crate::error::{Error, Result};
use crate::geometry::{Axis as ScanAxis, SliceIndex};
use crate::slices::{self, intensity::Window};
use crate::train::clip::{Clip, ClipOptions, ClipSource};
use crate::train::stochastic_propagation::{coherent, stack};
use crate::train::{rng, Purpose, Rng};
use ndarray::{Array2, Array3, ArrayView2, Axis};
use parking_lot::Mutex;
use rand::Rng as _;
use std::sync::Arc;

/// Clips that are cut from a scan before the next is read.
const CLIPS_PER_SCAN: u64 = 8;
/// Scans that are kept.
const KEPT: usize = 4;
const ATTEMPTS: usize = 20;
/// Pixels of the frame that the prompt must have.
const LEAST_SHOWN: usize = 16;
/// Degrees of rotation and shear (`RandomAffine(degrees=25, shear=20)`), and strengths of the jitter
/// (`ColorJitter(brightness=0.1, contrast=0.03)`, and once more per slice).
const ROTATION: f32 = 25.0;
const SHEAR: f32 = 20.0;
const BRIGHTNESS: f32 = 0.1;
const CONTRAST: f32 = 0.03;
/// How often slices are cut across another axis than the scan's own.
const OTHER_AXIS: f64 = 0.3;

/// Scans of several data sets as one.
pub struct Scans {
    seed: u64,
    datasets: Vec<Mutex<Box<dyn Dataset>>>,
    /// (data set, case) of every case.
    cases: Vec<(usize, usize)>,
    kept: Mutex<Vec<(usize, Arc<Case>)>>,
}

impl Scans {
    /// Clips of all cases of some data sets.
    pub fn new(seed: u64, datasets: Vec<Box<dyn Dataset>>) -> Self {
        let cases =
            (datasets.iter().enumerate()).flat_map(|(n, d)| (0..d.cases().len()).map(move |c| (n, c))).collect();
        Self { seed, datasets: datasets.into_iter().map(Mutex::new).collect(), cases, kept: Mutex::new(Vec::new()) }
    }

    fn case(&self, number: usize) -> Result<Arc<Case>> {
        if let Some((_, case)) = self.kept.lock().iter().find(|(n, _)| *n == number) {
            return Ok(case.clone());
        }
        let (dataset, case) = self.cases[number];
        let case = Arc::new(self.datasets[dataset].lock().read(case)?);
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((number, case.clone()));
        Ok(case)
    }
}

impl ClipSource for Scans {
    fn clip(&self, number: u64, options: &ClipOptions) -> Result<Clip> {
        let case_number = rng(self.seed, Purpose::LabelMap, number / CLIPS_PER_SCAN).random_range(0..self.cases.len());
        let case = self.case(case_number)?;
        let mut draws = rng(self.seed, Purpose::Clip, number);
        let (dataset, entry) = self.cases[case_number];
        let known = { self.datasets[dataset].lock().cases()[entry].clone() };
        if case.targets.is_empty() {
            return Err(Error::invalid(format!("case `{}`: no structure with a voxel", known.name)));
        }
        for _ in 0..ATTEMPTS {
            let target = &case.targets[draws.random_range(0..case.targets.len())];
            let own = known.axis.unwrap_or_else(|| case.image.geometry().slice_axis());
            let axis = if draws.random_bool(OTHER_AXIS) { ScanAxis::ALL[draws.random_range(0..3)] } else { own };
            if let Some(clip) = cut(&case, &target.mask, axis, options, &mut draws) {
                return Ok(clip);
            }
        }
        Err(Error::invalid(format!("case `{}`: no structure gives {} slices", known.name, options.length)))
    }
}

fn cut(case: &Case, mask: &BinaryMask, axis: ScanAxis, options: &ClipOptions, rng: &mut Rng) -> Option<Clip> {
    let areas = mask.areas(axis);
    let present: Vec<usize> = (0..areas.len()).filter(|&n| areas[n] > 0).collect();
    let length = options.length;
    if areas.len() < length || present.len() < 2 {
        return None;
    }
    let upwards = rng.random_bool(0.5);
    let start = present[rng.random_range(0..present.len())];
    let at = |n: usize| if upwards { Some(start + n).filter(|&z| z < areas.len()) } else { start.checked_sub(n) };
    let slices: Vec<usize> = (0..2 * length).map_while(at).collect();
    if slices.len() < length {
        return None;
    }
    let all: Vec<Array2<bool>> = slices.iter().map(|&z| mask.slice(axis, SliceIndex(z))).collect();
    let (begin, masks) = match options.stochastic_propagation {
        true => coherent(&all, length, 0.0, rng)?,
        false => (0, stack(&all, 0, length)?),
    };
    let slices = &slices[begin..begin + length];
    let frame = slices::frame(case.image.geometry(), axis, options.side);
    let range = Window::Auto.resolve(&case.image);
    let augment = Augment::draw(rng);
    let side = options.side;
    let mut images = Array3::zeros((length, side, side));
    let mut shown = Array3::from_elem((length, side, side), false);
    for (t, &z) in slices.iter().enumerate() {
        let pixels = slices::extract(case.image.voxels(), axis, SliceIndex(z)).mapv(|v| range.apply(v));
        let valid = frame.to_network(pixels.view());
        let mask = frame.mask_to_network(masks.index_axis(Axis(0), t));
        let jitter = augment.jitter(rng);
        images.index_axis_mut(Axis(0), t).assign(&augment.image(valid.view(), side, jitter));
        shown.index_axis_mut(Axis(0), t).assign(&augment.mask(mask.view(), side));
    }
    let first = shown.index_axis(Axis(0), 0).iter().filter(|&&inside| inside).count();
    (first >= LEAST_SHOWN).then(|| Clip::new(images, shown, options))
}

/// One clip's augmentation.
struct Augment {
    /// Source (row, column) from output, about the middle, as shares of the side.
    matrix: [[f32; 2]; 2],
    brightness: f32,
    contrast: f32,
}

impl Augment {
    fn draw(rng: &mut Rng) -> Self {
        let angle = rng.random_range(-ROTATION..ROTATION).to_radians();
        let shear = rng.random_range(-SHEAR..SHEAR).to_radians().tan();
        let mirror = if rng.random_bool(0.5) { -1.0 } else { 1.0 };
        let (sin, cos) = angle.sin_cos();
        Self {
            matrix: [[cos, -sin * mirror], [sin + cos * shear, (cos - sin * shear) * mirror]],
            brightness: 1.0 + rng.random_range(-BRIGHTNESS..BRIGHTNESS),
            contrast: 1.0 + rng.random_range(-CONTRAST..CONTRAST),
        }
    }

    /// Brightness and contrast of one slice on top.
    fn jitter(&self, rng: &mut Rng) -> [f32; 2] {
        [
            self.brightness * (1.0 + rng.random_range(-BRIGHTNESS..BRIGHTNESS)),
            self.contrast * (1.0 + rng.random_range(-CONTRAST..CONTRAST)),
        ]
    }

    /// Where an output pixel comes from in the valid part of a frame.
    fn source(&self, row: usize, column: usize, side: usize) -> [f32; 2] {
        let middle = side as f32 / 2.0;
        let at = [row as f32 + 0.5 - middle, column as f32 + 0.5 - middle];
        [0, 1].map(|c| self.matrix[c][0] * at[0] + self.matrix[c][1] * at[1] + middle - 0.5)
    }

    fn image(&self, valid: ArrayView2<f32>, side: usize, [brightness, contrast]: [f32; 2]) -> Array2<f32> {
        let mean = valid.mean().unwrap_or(0.0);
        let (rows, columns) = valid.dim();
        Array2::from_shape_fn((side, side), |(r, c)| {
            let [y, x] = self.source(r, c, side);
            let inside = y >= 0.0 && x >= 0.0 && y <= rows as f32 - 1.0 && x <= columns as f32 - 1.0;
            if !inside {
                return 0.0;
            }
            let (y0, x0) = (y as usize, x as usize);
            let (y1, x1) = ((y0 + 1).min(rows - 1), (x0 + 1).min(columns - 1));
            let (fy, fx) = (y - y0 as f32, x - x0 as f32);
            let top = valid[(y0, x0)] * (1.0 - fx) + valid[(y0, x1)] * fx;
            let bottom = valid[(y1, x0)] * (1.0 - fx) + valid[(y1, x1)] * fx;
            let value = top * (1.0 - fy) + bottom * fy;
            (((value - mean) * contrast + mean) * brightness).clamp(0.0, 1.0)
        })
    }

    fn mask(&self, valid: ArrayView2<bool>, side: usize) -> Array2<bool> {
        let (rows, columns) = valid.dim();
        Array2::from_shape_fn((side, side), |(r, c)| {
            let [y, x] = self.source(r, c, side).map(f32::round);
            y >= 0.0 && x >= 0.0 && (y as usize) < rows && (x as usize) < columns && valid[(y as usize, x as usize)]
        })
    }
}
