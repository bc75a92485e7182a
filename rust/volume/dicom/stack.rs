//! Slices in the order of their places, as one volume.
//!
//! In: slices of one series, in any order. Out: a volume. Distances between slices come from positions: SliceThickness
//! often differs. Exact duplicates are skipped, several images of each place are frames, and gaps are refused.

use super::attributes::fault;
use super::header::Slice;
use super::pixels::Pixels;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Dims, Geometry, IjkToRas};
use crate::volume::encoding::{fill_background, Frames};
use crate::volume::scan::Uneven;
use crate::volume::voxels::{check_affine, Volume};
use ndarray::Array3;
use std::path::Path;

/// How far a slice may lie from its place in an even row, as a share of the step.
const UNEVEN: f64 = 0.05;
/// How far directions and spacings of slices may differ.
const DIFFERENT: f64 = 1e-3;
/// Slices nearer than this, in mm, lie at one place.
const ONE_PLACE: f64 = 0.01;

/// A volume and what it was made of.
pub(super) struct Stack {
    pub volume: Volume<f32>,
    /// The slices in order, of the frame that was chosen.
    pub slices: Vec<Slice>,
    /// How many frames there are.
    pub frames: usize,
    /// The volume's slices lie between those of the files.
    pub resampled: bool,
    pub notes: Vec<String>,
}

/// Sorted slices before their pixels are read.
pub(super) struct Places {
    pub slices: Vec<Slice>,
    pub frames: usize,
    notes: Vec<String>,
    /// Along the normal.
    step: f64,
    even: bool,
}

/// Sorts slices; chooses a frame.
pub(super) fn places(mut slices: Vec<Slice>, frames: Frames, uneven: Uneven) -> Result<Places> {
    let mut notes = Vec::new();
    set_aside_turned(&mut slices, &mut notes);
    let Some(first) = slices.first() else {
        return Err(Error::new(ErrorKind::Format, "a series without slices"));
    };
    let normal = first.normal();
    if (dot(normal, normal) - 1.0).abs() > 0.01 {
        let what = format!("directions {:?} of rows and columns are not at right angles", first.directions);
        return Err(fault(&first.path, what));
    }
    for slice in &slices[1..] {
        check_like(slice, first)?;
    }
    slices.sort_by(|a, b| dot(a.position, normal).total_cmp(&dot(b.position, normal)));
    let mut places: Vec<Vec<Slice>> = Vec::new();
    for slice in slices {
        let at = |slice: &Slice| dot(slice.position, normal);
        match places.last_mut().filter(|place| at(&slice) - at(&place[0]) < ONE_PLACE) {
            Some(place) => place.push(slice),
            None => places.push(vec![slice]),
        }
    }
    skip_duplicates(&mut places, &mut notes)?;
    let count = places[0].len();
    if let Some(other) = places.iter().find(|place| place.len() != count) {
        let [few, many] = if other.len() < count { [other, &places[0]] } else { [&places[0], other] };
        return Err(Error::new(
            ErrorKind::Format,
            format!(
                "`{}` and `{}` lie at the same place, {}, with different pixels; at `{}` there is {}. Expected as many \
                 images at each place",
                many[0].name(),
                many[1].name(),
                shown(many[0].position),
                few[0].name(),
                few.len()
            ),
        ));
    }
    let what = format!("{count} images at each of {} places", places.len());
    let frame = frames.choose(count, &what)?;
    let slices: Vec<Slice> = places
        .into_iter()
        .map(|mut place| {
            place.sort_by(|a, b| {
                a.order
                    .iter()
                    .zip(&b.order)
                    .map(|(a, b)| a.total_cmp(b))
                    .find(|o| o.is_ne())
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
            place.swap_remove(frame)
        })
        .collect();
    let (step, even) = step(&slices, normal, uneven)?;
    Ok(Places { slices, frames: count, notes, step, even })
}

impl Places {
    /// From voxels to patient space, and the number of slices.
    pub fn geometry(&self) -> Result<Geometry> {
        let (first, last) = (&self.slices[0], &self.slices[self.slices.len() - 1]);
        let normal = first.normal();
        let length = dot(last.position, normal) - dot(first.position, normal);
        let (count, step) = match self.slices.len() {
            1 => (1, normal.map(|n| n * self.step)),
            stored => {
                let steps = if self.even { (stored - 1) as f64 } else { (length / self.step).round().max(1.0) };
                (steps as usize + 1, [0, 1, 2].map(|n| (last.position[n] - first.position[n]) / steps))
            }
        };
        let [columns, rows] = first.size;
        let along = |n: usize| first.directions[n].map(|d| d * first.spacing[n]);
        let axes = [along(0), along(1), step];
        // LPS to RAS: the first two coordinates change sign.
        let sign = [-1.0, -1.0, 1.0];
        let row = |r: usize| [axes[0][r], axes[1][r], axes[2][r], first.position[r]].map(|v| v * sign[r]);
        let geometry = Geometry { dims: Dims([columns, rows, count]), ijk_to_ras: IjkToRas([row(0), row(1), row(2)]) };
        check_affine(&geometry)?;
        geometry.dims.checked_len()?;
        Ok(geometry)
    }

    /// Reads the pixels.
    pub fn read(mut self) -> Result<Stack> {
        let geometry = self.geometry()?;
        let [columns, rows] = self.slices[0].size;
        let pixels = columns * rows;
        let (mut voxels, mut file) = (Vec::new(), None);
        for slice in &self.slices {
            let pixels_of = opened(&mut file, &slice.path)?;
            let rescaled = pixels_of.stored(slice.frame, pixels)?.map(|p| (p * slice.slope + slice.intercept) as f32);
            voxels.extend(rescaled);
        }
        let replaced = fill_background(&mut voxels)?;
        if replaced > 0 {
            self.notes.push(format!("{replaced} pixels are no finite numbers; they count as the least value"));
        }
        if !self.even {
            voxels = self.resampled(&voxels, geometry.dims.0[2], pixels);
            self.notes.push(format!(
                "uneven slices are resampled to {} slices of {:.3} mm (--uneven resample)",
                geometry.dims.0[2],
                geometry.spacing().0[2]
            ));
        }
        let voxels = Array3::from_shape_vec((geometry.dims.0[2], rows, columns), voxels)
            .map_err(|e| Error::new(ErrorKind::Format, "the slices do not fill the volume").with_source(e))?;
        let volume = Volume::new(geometry, voxels)?;
        Ok(Stack { volume, slices: self.slices, frames: self.frames, resampled: !self.even, notes: self.notes })
    }

    /// Linear between the two nearest slices.
    fn resampled(&self, voxels: &[f32], count: usize, pixels: usize) -> Vec<f32> {
        let normal = self.slices[0].normal();
        let at: Vec<f64> = self.slices.iter().map(|slice| dot(slice.position, normal)).collect();
        let (first, last) = (at[0], at[at.len() - 1]);
        let mut even = Vec::with_capacity(count * pixels);
        for n in 0..count {
            let place = first + (last - first) * n as f64 / (count - 1).max(1) as f64;
            let behind = at.iter().position(|&a| a >= place).unwrap_or(at.len() - 1).max(1);
            let share = ((place - at[behind - 1]) / (at[behind] - at[behind - 1])).clamp(0.0, 1.0) as f32;
            let slice = |n: usize| &voxels[n * pixels..(n + 1) * pixels];
            even.extend(slice(behind - 1).iter().zip(slice(behind)).map(|(a, b)| a + (b - a) * share));
        }
        even
    }
}

/// The file that was opened last, or another one.
fn opened<'a>(last: &'a mut Option<Pixels>, path: &Path) -> Result<&'a Pixels> {
    if last.as_ref().is_none_or(|pixels| pixels.path != path) {
        *last = Some(Pixels::read(path)?);
    }
    Ok(last.as_ref().expect("it was just opened"))
}

pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn shown(position: [f64; 3]) -> String {
    let [x, y, z] = position.map(|v| (v * 1e3).round() / 1e3);
    format!("({x}, {y}, {z}) mm LPS")
}

/// One or two images across the others are an overview, also where they do not say so.
fn set_aside_turned(slices: &mut Vec<Slice>, notes: &mut Vec<String>) {
    /// Cosine of the angle to the others' normal.
    const TURNED: f64 = 0.7;
    const FEW: usize = 2;
    let turned = |slice: &Slice, normal: [f64; 3]| dot(slice.normal(), normal).abs() < TURNED;
    let Some(normal) = slices.get(slices.len() / 2).map(Slice::normal) else { return };
    let few = slices.iter().filter(|slice| turned(slice, normal)).count();
    if few == 0 || few > FEW || slices.len() < 2 * FEW + few {
        return;
    }
    let names: Vec<String> = slices.iter().filter(|s| turned(s, normal)).map(|s| format!("`{}`", s.name())).collect();
    slices.retain(|slice| !turned(slice, normal));
    notes.push(format!("set aside, as they lie across the other slices: {}", names.join(", ")));
}

/// Refuses a slice that does not lie as the first one does.
fn check_like(slice: &Slice, first: &Slice) -> Result<()> {
    let differs = |what: &str, a: String, b: String| {
        Err(fault(&slice.path, format!("{what} {a}, `{}` has {b}; expected one of all slices", first.name())))
    };
    if slice.size != first.size {
        return differs("size", format!("{:?}", slice.size), format!("{:?}", first.size));
    }
    let far = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > DIFFERENT);
    if far(slice.directions.as_flattened(), first.directions.as_flattened()) {
        return differs("orientation", format!("{:?}", slice.directions), format!("{:?}", first.directions));
    }
    if far(&slice.spacing, &first.spacing) {
        return differs("pixel spacing", format!("{:?}", slice.spacing), format!("{:?}", first.spacing));
    }
    Ok(())
}

/// Leaves one of images that are equal in place, rescaling and pixels.
fn skip_duplicates(places: &mut [Vec<Slice>], notes: &mut Vec<String>) -> Result<()> {
    let mut skipped = Vec::new();
    for place in places.iter_mut().filter(|place| place.len() > 1) {
        let mut kept: Vec<(Slice, Vec<u8>)> = Vec::new();
        for slice in place.drain(..) {
            let pixels = Pixels::read(&slice.path)?;
            let bytes = pixels.frame(slice.frame, slice.size[0] * slice.size[1])?.to_vec();
            let same = |(other, held): &(Slice, Vec<u8>)| {
                (other.slope, other.intercept) == (slice.slope, slice.intercept) && *held == bytes
            };
            match kept.iter().any(same) {
                true => skipped.push(format!("`{}`", slice.name())),
                false => kept.push((slice, bytes)),
            }
        }
        place.extend(kept.into_iter().map(|(slice, _)| slice));
    }
    if !skipped.is_empty() {
        const NAMED: usize = 3;
        let more = if skipped.len() > NAMED { ", ..." } else { "" };
        let names = skipped[..skipped.len().min(NAMED)].join(", ");
        notes.push(format!("skipped {} exact duplicates: {names}{more}", skipped.len()));
    }
    Ok(())
}

/// The distance between slices, and whether all have it within a twentieth.
fn step(slices: &[Slice], normal: [f64; 3], uneven: Uneven) -> Result<(f64, bool)> {
    if slices.len() == 1 {
        return Ok((slices[0].thickness, true));
    }
    let gap = |pair: &[Slice]| dot(pair[1].position, normal) - dot(pair[0].position, normal);
    let mut sorted: Vec<f64> = slices.windows(2).map(gap).collect();
    sorted.sort_by(f64::total_cmp);
    let typical = sorted[sorted.len() / 2];
    let farthest = |a: &&[Slice], b: &&[Slice]| (gap(a) - typical).abs().total_cmp(&(gap(b) - typical).abs());
    let pair = slices.windows(2).max_by(farthest).expect("there are two slices");
    let even = (gap(pair) - typical).abs() <= UNEVEN * typical;
    if !even && uneven == Uneven::Refuse {
        return Err(Error::new(
            ErrorKind::Format,
            format!(
                "uneven slices: {:.3} mm between `{}` and `{}`, {typical:.3} mm elsewhere; a slice may be missing between \
                 {} and {}; --uneven resample fills gaps by interpolation",
                gap(pair),
                pair[0].name(),
                pair[1].name(),
                shown(pair[0].position),
                shown(pair[1].position)
            ),
        ));
    }
    // Slices of a tilted gantry lie along one line; slices that jump sideways lie along none.
    let (first, last) = (&slices[0], &slices[slices.len() - 1]);
    let length = dot(last.position, normal) - dot(first.position, normal);
    let aside = |slice: &Slice| {
        let share = (dot(slice.position, normal) - dot(first.position, normal)) / length;
        let off =
            [0, 1, 2].map(|n| slice.position[n] - first.position[n] - share * (last.position[n] - first.position[n]));
        dot(off, off).sqrt()
    };
    let allowed = first.spacing[0].max(first.spacing[1]);
    match slices.iter().find(|slice| aside(slice) > allowed) {
        None => Ok((typical, even)),
        Some(slice) => Err(fault(
            &slice.path,
            format!("lies {:.3} mm beside the line of the other slices; expected at most a pixel", aside(slice)),
        )),
    }
}
