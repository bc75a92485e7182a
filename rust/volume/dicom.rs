//! DICOM series: the slices of one scan as files of a folder.
//!
//! In: a folder, a file of a series, or a list of files. Out: a volume whose slices are sorted by their position in the patient.
//! Distances between slices come from positions: SliceThickness often differs.

use super::voxels::{check_affine, Volume};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Dims, Geometry, IjkToRas};
use dicom_object::{DefaultDicomObject, OpenFileOptions, Tag};
use dicom_pixeldata::{ConvertOptions, ModalityLutOption, PixelDecoder, VoiLutOption};
use ndarray::Array3;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const SERIES_UID: Tag = Tag(0x0020, 0x000E);
const SERIES_DESCRIPTION: Tag = Tag(0x0008, 0x103E);
const POSITION: Tag = Tag(0x0020, 0x0032);
const ORIENTATION: Tag = Tag(0x0020, 0x0037);
const PIXEL_SPACING: Tag = Tag(0x0028, 0x0030);
const ROWS: Tag = Tag(0x0028, 0x0010);
const COLUMNS: Tag = Tag(0x0028, 0x0011);
const FRAMES: Tag = Tag(0x0028, 0x0008);
const SAMPLES: Tag = Tag(0x0028, 0x0002);
const PHOTOMETRIC: Tag = Tag(0x0028, 0x0004);
const SLOPE: Tag = Tag(0x0028, 0x1053);
const INTERCEPT: Tag = Tag(0x0028, 0x1052);
const BETWEEN_SLICES: Tag = Tag(0x0018, 0x0088);
const THICKNESS: Tag = Tag(0x0018, 0x0050);
const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);

/// How far a slice may lie from its place in an even row, as a share of the step.
const UNEVEN: f64 = 0.05;
/// How far directions and spacings of slices may differ.
const DIFFERENT: f64 = 1e-3;

/// Whether a file begins as DICOM files do.
pub(super) fn is_dicom(path: &Path) -> bool {
    let mut start = [0; 132];
    let begins = File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok();
    begins && &start[128..] == b"DICM"
}

/// The series of a folder, which must be the only one, or the series that a file belongs to.
pub(super) fn read(path: &Path) -> Result<Volume<f32>> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut series: BTreeMap<String, Vec<Slice>> = BTreeMap::new();
    for file in files(folder)? {
        let slice = Slice::read(&file)?;
        series.entry(slice.series.clone()).or_default().push(slice);
    }
    let slices = if path.is_dir() {
        if series.len() > 1 {
            let described =
                series.iter().map(|(uid, slices)| format!("{uid} ({}, {} files)", slices[0].description, slices.len()));
            let listed: Vec<String> = described.collect();
            return Err(Error::invalid(format!(
                "{} DICOM series in one folder, expected one; name a file of the wanted one instead: {}",
                series.len(),
                listed.join("; ")
            )));
        }
        series.into_values().next()
    } else {
        let own = Slice::read(path)?.series;
        series.remove(&own)
    };
    let slices = slices.ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            "a folder without DICOM files; expected a DICOM series, or a NIfTI or NRRD file",
        )
    })?;
    stack(slices).map(|(volume, _)| volume)
}

/// A volume of just these files, and for each of its slices (k) the number of its file in the list.
///
/// # Errors
/// As [`super::read_image`].
pub fn read_files(files: &[PathBuf]) -> Result<(Volume<f32>, Vec<usize>)> {
    let slices = files.iter().map(|file| Slice::read(file)).collect::<Result<Vec<_>>>()?;
    let (volume, sorted) = stack(slices)?;
    let place = |path: &PathBuf| files.iter().position(|file| file == path).unwrap_or_default();
    Ok((volume, sorted.iter().map(place).collect()))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("cannot list the folder", e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let directory = path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("DICOMDIR"));
        if path.is_file() && !directory && is_dicom(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What a file says of its slice, pixels apart. Vectors are in LPS mm, DICOM's own axes.
#[derive(Debug)]
struct Slice {
    path: PathBuf,
    series: String,
    description: String,
    position: [f64; 3],
    /// Directions of rising columns and of rising rows.
    directions: [[f64; 3]; 2],
    /// Steps between columns and between rows.
    spacing: [f64; 2],
    /// Columns and rows.
    size: [usize; 2],
    slope: f64,
    intercept: f64,
    /// What is said of the distance to the next slice; counts only where there is none.
    thickness: f64,
}

impl Slice {
    fn read(path: &Path) -> Result<Self> {
        let object = OpenFileOptions::new()
            .read_until(PIXEL_DATA)
            .open_file(path)
            .map_err(|e| fault(path, "is no readable DICOM file").with_source(e))?;
        let text = |tag: Tag| {
            object.get(tag).and_then(|e| e.to_str().ok()).map(|s| s.trim_end_matches(['\0', ' ']).to_owned())
        };
        let numbers = |tag: Tag| object.get(tag).and_then(|e| e.to_multi_float64().ok()).unwrap_or_default();
        let number = |tag: Tag| numbers(tag).first().copied().filter(|n| n.is_finite());
        let needed = |tag: Tag, name: &str, count: usize| {
            let found = numbers(tag);
            if found.len() == count && found.iter().all(|n| n.is_finite()) {
                return Ok(found);
            }
            Err(fault(path, format!("{name} {found:?}, expected {count} numbers")))
        };
        let refused = |what: String| Err(Error::new(ErrorKind::Unsupported, format!("`{}`: {what}", path.display())));
        if number(FRAMES).is_some_and(|n| n > 1.0) {
            return refused("a multi-frame image; expected one slice a file".into());
        }
        if number(SAMPLES).is_some_and(|n| n != 1.0) {
            return refused("a colour image; expected one number a pixel".into());
        }
        if let Some(kind) = text(PHOTOMETRIC).filter(|kind| kind != "MONOCHROME2") {
            return refused(format!("photometric interpretation {kind}; expected MONOCHROME2"));
        }
        let size = [needed(COLUMNS, "Columns", 1)?[0], needed(ROWS, "Rows", 1)?[0]].map(|n| n as usize);
        let position = needed(POSITION, "ImagePositionPatient", 3)?;
        let orientation = needed(ORIENTATION, "ImageOrientationPatient", 6)?;
        let spacing = needed(PIXEL_SPACING, "PixelSpacing", 2)?;
        if size.contains(&0) || spacing.iter().any(|&s| s <= 0.0) {
            return Err(fault(path, format!("{size:?} pixels of {spacing:?} mm, expected positive numbers")));
        }
        Ok(Self {
            path: path.to_owned(),
            series: text(SERIES_UID).unwrap_or_default(),
            description: text(SERIES_DESCRIPTION).unwrap_or_else(|| "no description".into()),
            position: [position[0], position[1], position[2]],
            directions: [0, 3].map(|n| [orientation[n], orientation[n + 1], orientation[n + 2]]),
            // The file gives the distance of rows first.
            spacing: [spacing[1], spacing[0]],
            size,
            slope: number(SLOPE).unwrap_or(1.0),
            intercept: number(INTERCEPT).unwrap_or(0.0),
            thickness: number(BETWEEN_SLICES).or(number(THICKNESS)).filter(|&t| t > 0.0).unwrap_or(1.0),
        })
    }

    fn normal(&self) -> [f64; 3] {
        let [[a, b, c], [d, e, f]] = self.directions;
        [b * f - c * e, c * d - a * f, a * e - b * d]
    }

    /// Refuses a slice that does not lie as the first one does.
    fn check_like(&self, first: &Self) -> Result<()> {
        let shown = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let differs = |what: &str, a: String, b: String| {
            Err(fault(&self.path, format!("{what} {a}, `{}` has {b}; expected one of all slices", shown(&first.path))))
        };
        if self.size != first.size {
            return differs("size", format!("{:?}", self.size), format!("{:?}", first.size));
        }
        let far = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > DIFFERENT);
        if far(self.directions.as_flattened(), first.directions.as_flattened()) {
            return differs("orientation", format!("{:?}", self.directions), format!("{:?}", first.directions));
        }
        if far(&self.spacing, &first.spacing) {
            return differs("pixel spacing", format!("{:?}", self.spacing), format!("{:?}", first.spacing));
        }
        Ok(())
    }

    fn pixels(&self) -> Result<Vec<f32>> {
        let object: DefaultDicomObject = dicom_object::open_file(&self.path)
            .map_err(|e| fault(&self.path, "is no whole DICOM file").with_source(e))?;
        let undecodable = |e: dicom_pixeldata::Error| fault(&self.path, "cannot decode the pixels").with_source(e);
        let stored =
            ConvertOptions::new().with_modality_lut(ModalityLutOption::None).with_voi_lut(VoiLutOption::Identity);
        let pixels: Vec<f64> =
            object.decode_pixel_data().and_then(|data| data.to_vec_with_options(&stored)).map_err(undecodable)?;
        if pixels.len() != self.size[0] * self.size[1] {
            return Err(fault(&self.path, format!("{} pixels, expected {:?}", pixels.len(), self.size)));
        }
        Ok(pixels.into_iter().map(|p| (p * self.slope + self.intercept) as f32).collect())
    }
}

fn fault(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Format, format!("`{}`: {what}", path.display()))
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The slices in order of their position, and their files.
fn stack(mut slices: Vec<Slice>) -> Result<(Volume<f32>, Vec<PathBuf>)> {
    let Some(first) = slices.first() else {
        return Err(Error::new(ErrorKind::Format, "a series without slices"));
    };
    let normal = first.normal();
    if (dot(normal, normal) - 1.0).abs() > 0.01 {
        return Err(fault(
            &first.path,
            format!("directions {:?} of rows and columns are not at right angles", first.directions),
        ));
    }
    for slice in &slices[1..] {
        slice.check_like(first)?;
    }
    slices.sort_by(|a, b| dot(a.position, normal).total_cmp(&dot(b.position, normal)));
    let step = even_step(&slices, normal)?;
    let (first, count) = (&slices[0], slices.len());
    let [columns, rows] = first.size;
    let axes =
        [first.directions[0].map(|d| d * first.spacing[0]), first.directions[1].map(|d| d * first.spacing[1]), step];
    // LPS to RAS: the first two coordinates change sign.
    let sign = [-1.0, -1.0, 1.0];
    let row = |r: usize| [axes[0][r], axes[1][r], axes[2][r], first.position[r]].map(|v| v * sign[r]);
    let geometry = Geometry { dims: Dims([columns, rows, count]), ijk_to_ras: IjkToRas([row(0), row(1), row(2)]) };
    check_affine(&geometry)?;
    geometry.dims.checked_len()?;
    let mut voxels = Vec::new();
    for slice in &slices {
        voxels.extend(slice.pixels()?);
    }
    if voxels.iter().any(|v| !v.is_finite()) {
        return Err(Error::new(ErrorKind::Format, "a rescaled pixel is not a finite number"));
    }
    let voxels = Array3::from_shape_vec((count, rows, columns), voxels)
        .map_err(|e| Error::new(ErrorKind::Format, "the slices do not fill the volume").with_source(e))?;
    Ok((Volume::new(geometry, voxels)?, slices.into_iter().map(|slice| slice.path).collect()))
}

/// The vector from a slice to the next. Refuses slices that are missing, double or unevenly spaced.
fn even_step(slices: &[Slice], normal: [f64; 3]) -> Result<[f64; 3]> {
    let (first, last) = (&slices[0], &slices[slices.len() - 1]);
    if slices.len() == 1 {
        return Ok(normal.map(|n| n * first.thickness));
    }
    let mut gaps: Vec<(f64, &Slice, &Slice)> = (slices.windows(2))
        .map(|pair| (dot(pair[1].position, normal) - dot(pair[0].position, normal), &pair[0], &pair[1]))
        .collect();
    let name = |slice: &Slice| slice.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    gaps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let typical = gaps[gaps.len() / 2].0;
    let (smallest, a, b) = gaps[0];
    if smallest <= UNEVEN * typical || typical <= 0.0 {
        let what = format!("`{}` and `{}` lie at the same place; expected one file a slice", name(a), name(b));
        return Err(Error::new(ErrorKind::Format, what));
    }
    let (largest, a, b) = gaps[gaps.len() - 1];
    if largest - typical > UNEVEN * typical || typical - smallest > UNEVEN * typical {
        let (gap, a, b) =
            if largest - typical > typical - smallest { (largest, a, b) } else { (smallest, gaps[0].1, gaps[0].2) };
        return Err(Error::new(
            ErrorKind::Format,
            format!(
                "uneven slices: {gap:.3} mm between `{}` and `{}`, {typical:.3} mm elsewhere; a slice may be missing",
                name(a),
                name(b)
            ),
        ));
    }
    let steps = (slices.len() - 1) as f64;
    Ok([0, 1, 2].map(|n| (last.position[n] - first.position[n]) / steps))
}
