//! Scans on disk with masks of their own: real intensities.
//!
//! In: files. Out: blocks of a scan with grey levels, and its masks as objects.

use super::block::{across, interpolate, Across, Block};
use super::files::{scans, stem, ScanFiles};
use super::VolumeSource;
use crate::error::{Error, Result};
use crate::geometry::Axis;
use crate::slices::intensity::{IntensityRange, Window};
use crate::slices::near::near;
use crate::train::phantom::shapes::log_uniform;
use crate::train::phantom::{Grey, Kind, LabelVolume, Object, AIR};
use crate::train::Rng;
use crate::volume::{self, Volume};
use ndarray::Array3;
use rand::seq::IndexedRandom;
use rand::Rng as _;
use std::path::PathBuf;

/// Slices may lie across another axis where voxels are no longer than so many of their shorter sides; how often they do.
const ANISOTROPIC: f64 = 4.0;
const OTHER_AXIS: f64 = 0.35;
/// Pixels of a block are at most so coarse, in millimetres, and a side has at most so many.
const COARSEST: f32 = 2.0;
const MOST_PIXELS: usize = 192;
const LEAST_PIXELS: usize = 48;
/// Millimetres between slices across an axis that has finer ones.
const STEP: (f32, f32) = (1.0, 3.0);
const MOST_SLICES: usize = 48;
/// How often a block has the whole of its slices; else a part of at least so many millimetres, and of so many longer
/// sides of its object.
const WHOLE: f64 = 0.5;
const LEAST_PART: f32 = 60.0;
const SURROUNDINGS: f32 = 2.2;
/// An object whose median differs less from that of its surroundings, in deviations of both, is mostly passed over:
/// nothing shows its border. How wide the surroundings are, in pixels, and how many scans are tried.
const LEAST_CONTRAST: f32 = 0.3;
const FAINT_PASSED: f64 = 0.75;
const SHELL: usize = 4;
const SCANS_TRIED: usize = 6;

/// Scans have so low values only in CT: air.
const CT_AIR: f32 = -500.0;
/// Scans whose name says so hold standardised uptake values times 100; what is white is drawn from these.
const PET: &str = "pet";
const PET_WHITE: std::ops::Range<f32> = 4.0..15.0;
const PET_SCALE: f32 = 100.0;
/// Grey levels of what is black and white.
pub const LEVELS: f32 = 255.0;
/// What lies beyond a drawn CT window stays visible up to these grey levels.
const BEYOND: (f32, f32) = (-60.0, 320.0);

/// What one block of a scan shows.
pub struct ScanBlock {
    pub block: Block,
    pub axis: Axis,
    pub grey: Grey,
    /// Which of its voxels the scan has.
    pub scanned: Array3<bool>,
}

/// A block of a scan. `around`: voxels [k, j, i] that it must be near; none: any.
pub fn draw_block(files: &ScanFiles, image: &Volume<f32>, around: &[[usize; 3]], rng: &mut Rng) -> ScanBlock {
    let spacing = image.geometry().spacing().0;
    let (least, most) = spacing.iter().fold((f64::MAX, 0f64), |(a, b), &mm| (a.min(mm), b.max(mm)));
    let axis = match most / least <= ANISOTROPIC && rng.random_bool(OTHER_AXIS) {
        true => Axis::ALL[rng.random_range(0..3)],
        false => image.geometry().slice_axis(),
    };
    let volume = across(image.voxels(), image.geometry(), axis);
    let (d, h, w) = volume.voxels.dim();
    let size = [d, h, w];
    let whole = (h as f32 * volume.spacing[1]).max(w as f32 * volume.spacing[2]);
    let least = LEAST_PART.max(SURROUNDINGS * longer_side(around, spacing));
    let covered = match whole > least && !rng.random_bool(WHOLE) {
        true => log_uniform(rng, least, whole),
        false => whole,
    };
    let finest = volume.spacing[1].min(volume.spacing[2]).min(COARSEST);
    let pixel = (covered / MOST_PIXELS as f32).max(finest);
    let side = ((covered / pixel).round() as usize).clamp(LEAST_PIXELS, MOST_PIXELS);
    let step = volume.spacing[0].max(log_uniform(rng, STEP.0, STEP.1));
    let slices = ((d as f32 * volume.spacing[0] / step).round() as usize).clamp(2, MOST_SLICES);
    let near = match around.choose(rng) {
        Some(&[k, j, i]) => match axis {
            Axis::K => [k, j, i],
            Axis::J => [j, k, i],
            Axis::I => [i, k, j],
        },
        None => size.map(|n| rng.random_range(0..n)),
    };
    let middle = |axis: usize, count: usize, mm: f32| {
        // The block lies in the volume where it fits, and around the middle where it does not.
        let spare = (size[axis] as f32 - count as f32 * mm / volume.spacing[axis]).max(0.0) / 2.0;
        let own = (size[axis] as f32 - 1.0) / 2.0;
        (near[axis] as f32).clamp(own - spare, own + spare)
    };
    let centre = [middle(0, slices, step), middle(1, side, pixel), middle(2, side, pixel)];
    let block = Block { centre, step, pixel, slices, side };
    let scanned = interpolate(&volume, &block, 0.0, |_| 1.0).mapv(|share| share > 0.0);
    ScanBlock { block, axis, grey: shade(files, image, &volume, &block, rng), scanned }
}

/// The longest side of a box around voxels, in millimetres.
fn longer_side(voxels: &[[usize; 3]], [i, j, k]: [f64; 3]) -> f32 {
    let extent = |axis: usize, mm: f64| {
        let along = || voxels.iter().map(|at| at[axis]);
        along().max().zip(along().min()).map_or(0.0, |(high, low)| (high - low + 1) as f64 * mm)
    };
    extent(0, k).max(extent(1, j)).max(extent(2, i)) as f32
}

/// Whether a scan shows uptake.
pub fn is_pet(files: &ScanFiles) -> bool {
    stem(&files.image).to_lowercase().contains(PET)
}

/// A scan's values as grey levels: of CT in a drawn window, of PET by uptake, else by percentiles.
fn shade(files: &ScanFiles, image: &Volume<f32>, volume: &Across<f32>, block: &Block, rng: &mut Rng) -> Grey {
    let lowest = image.voxels().iter().copied().fold(f32::INFINITY, f32::min);
    let automatic = Window::Auto.resolve(image);
    let (range, limits) = if is_pet(files) {
        (IntensityRange { low: 0.0, high: rng.random_range(PET_WHITE) * PET_SCALE }, BEYOND)
    } else if lowest < CT_AIR {
        let centred = |level: f32, width: f32| IntensityRange { low: level - width / 2.0, high: level + width / 2.0 };
        match rng.random::<f32>() {
            u if u < 0.6 => (centred(rng.random_range(0.0..100.0), log_uniform(rng, 250.0, 1200.0)), BEYOND),
            u if u < 0.68 => (centred(rng.random_range(-700.0..-400.0), log_uniform(rng, 800.0, 1800.0)), BEYOND),
            u if u < 0.76 => (centred(rng.random_range(200.0..500.0), log_uniform(rng, 1000.0, 2500.0)), BEYOND),
            _ => (automatic, (f32::MIN, f32::MAX)),
        }
    } else {
        (automatic, (f32::MIN, f32::MAX))
    };
    let width = (range.high - range.low).max(f32::MIN_POSITIVE);
    let level = |value: f32| ((value - range.low) / width * LEVELS).clamp(limits.0, limits.1);
    let mut values = interpolate(volume, block, lowest, |value| value);
    values.mapv_inplace(level);
    Grey { values, outside: level(lowest) }
}

/// Scans with masks.
pub struct MaskedScans {
    files: Vec<ScanFiles>,
}

impl MaskedScans {
    /// # Errors
    /// As [`scans`]; `InvalidInput` where no scan has a mask.
    pub fn open(folders: &[PathBuf]) -> Result<Self> {
        let files: Vec<ScanFiles> = scans(folders)?.into_iter().filter(|scan| !scan.masks.is_empty()).collect();
        match files.is_empty() {
            false => Ok(Self { files }),
            true => {
                let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
                let folders = folders.join(", ");
                Err(Error::invalid(format!(
                    "{folders}: no scan NAME.nii.gz with a mask NAME_mask.nii.gz, expected one"
                )))
            }
        }
    }
}

impl VolumeSource for MaskedScans {
    fn volume(&self, rng: &mut Rng) -> Result<LabelVolume> {
        let mut made = self.drawn(rng)?;
        for _ in 1..SCANS_TRIED {
            if contrast(&made).is_some_and(|contrast| contrast >= LEAST_CONTRAST) || !rng.random_bool(FAINT_PASSED) {
                break;
            }
            made = self.drawn(rng)?;
        }
        Ok(made)
    }
}

impl MaskedScans {
    fn drawn(&self, rng: &mut Rng) -> Result<LabelVolume> {
        let files = self.files.choose(rng).expect("no scan is refused");
        let image = volume::read_image(&files.image)?;
        let mut masks = Vec::new();
        for path in &files.masks {
            let mask = volume::read_labels(path)?;
            mask.geometry()
                .check_same_grid(image.geometry())
                .map_err(|e| e.context(format!("`{}`", path.display())))?;
            let mut values: Vec<u16> = mask.voxels().iter().copied().filter(|&value| value != 0).collect();
            values.sort_unstable();
            values.dedup();
            masks.extend(values.into_iter().map(|value| mask.voxels().mapv(|v| v == value)));
        }
        let shown = files.image.display();
        let target = masks
            .choose(rng)
            .ok_or_else(|| Error::invalid(format!("`{shown}`: its masks are empty, expected a voxel")))?;
        let inside: Vec<[usize; 3]> =
            target.indexed_iter().filter(|(_, &v)| v).map(|((k, j, i), _)| [k, j, i]).collect();
        let ScanBlock { block, axis, grey, .. } = draw_block(files, &image, &inside, rng);
        let mut labels = Array3::from_elem(block.dims(), AIR);
        let mut objects = Vec::new();
        for (number, mask) in (1..=u8::MAX).zip(&masks) {
            let volume = across(mask.view(), image.geometry(), axis);
            let share = interpolate(&volume, &block, 0.0, |inside| f32::from(u8::from(inside)));
            labels.zip_mut_with(&share, |label, &share| {
                if share > 0.5 {
                    *label = number;
                }
            });
            objects.push(Object { kind: Kind::Organ, labels: vec![number] });
        }
        Ok(LabelVolume { labels, objects, alike: Vec::new(), grey: Some(grey) })
    }
}

/// How much an object's median differs from that of a shell around it, in deviations, on the slice that has most of it.
fn contrast(volume: &LabelVolume) -> Option<f32> {
    let grey = volume.grey.as_ref()?;
    let area = |z: usize| volume.labels.index_axis(ndarray::Axis(0), z).iter().filter(|&&label| label != AIR).count();
    let z = (0..volume.labels.dim().0).max_by_key(|&z| area(z))?;
    let inside = volume.labels.index_axis(ndarray::Axis(0), z).mapv(|label| label != AIR);
    let around = near(inside.view(), SHELL);
    let (mut object, mut shell) = (Vec::new(), Vec::new());
    for ((at, &value), &inside) in grey.values.index_axis(ndarray::Axis(0), z).indexed_iter().zip(&inside) {
        match (inside, around[at]) {
            (true, _) => object.push(value),
            (false, true) => shell.push(value),
            _ => {}
        }
    }
    let middle = |values: &mut Vec<f32>| -> Option<(f32, f32)> {
        values.sort_by(f32::total_cmp);
        let median = *values.get(values.len() / 2)?;
        let variance = values.iter().map(|v| (v - median).powi(2)).sum::<f32>() / values.len() as f32;
        Some((median, variance))
    };
    let ((own, a), (other, b)) = (middle(&mut object)?, middle(&mut shell)?);
    Some((own - other).abs() / (0.5 * (a + b)).sqrt().max(1.0))
}
