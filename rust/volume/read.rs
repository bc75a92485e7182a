//! Scans and label maps from files, by their content or their ending.

use super::dicom;
use super::encoding::{EncodedVolume, Frames};
use super::scan::{Facts, ReadOptions, Scan};
use super::segmentation::Segmentation;
use super::voxels::{LabelMap, Volume};
use super::{metaimage, mgh, nifti, nrrd};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Dims;
use ndarray::Array3;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Reads a scan: a NIfTI, NRRD, MetaImage or MGH file, a folder with DICOM files, or a file of a DICOM series.
/// Intensities are rescaled as the header says; those that are not finite become the least value.
///
/// # Errors
/// `Io`, `Format` for broken files, `Unsupported` for complex, RGB or empty data, and for several frames or series of
/// which `options` take none.
pub fn read_scan(path: &Path, options: &ReadOptions) -> Result<Scan> {
    scan(path, options, options.frame.map_or(Frames::Only, Frames::One))
}

/// The same; of several frames the first, where `options` name none.
pub fn read_first(path: &Path, options: &ReadOptions) -> Result<Scan> {
    scan(path, options, options.frame.map_or(Frames::First, Frames::One))
}

fn scan(path: &Path, options: &ReadOptions, frames: Frames) -> Result<Scan> {
    if path.is_dir() || dicom::is_dicom(path) {
        return named(path, dicom::read(path, options, frames));
    }
    if let Some(series) = &options.series {
        let what = format!("series {series}: not a DICOM series; expected no --series");
        return named(path, Err(Error::invalid(what)));
    }
    named(path, encoded(path, frames).and_then(|raw| decoded(path, raw)))
}

fn decoded(path: &Path, raw: EncodedVolume) -> Result<Scan> {
    let (voxels, replaced) = raw.encoding.decode_image(&raw.bytes)?;
    let mut notes = Vec::new();
    if replaced > 0 {
        notes.push(format!("{replaced} voxels are no finite numbers; they count as the least value, background"));
    }
    let facts = Facts {
        kind: raw.kind.into(),
        stored: raw.encoding.scalar.name().into(),
        frames: raw.frames,
        series: Vec::new(),
        files: input_files(path, &ReadOptions::default()),
        slices: Vec::new(),
    };
    let volume = shaped(raw.geometry.dims, voxels)
        .and_then(|voxels| Ok(Volume::new(raw.geometry, voxels)?.with_forms(raw.forms)))?;
    Ok(Scan { volume, notes, facts })
}

/// Whether a path is a scan's or a label map's, by its beginning or its ending.
pub fn is_scan(path: &Path) -> bool {
    path.is_dir() || dicom::is_dicom(path) || sniff(path).is_ok()
}

/// Reads a scan that its path alone names.
///
/// # Errors
/// As [`read_scan`].
pub fn read_image(path: &Path) -> Result<Volume<f32>> {
    let scan = read_scan(path, &ReadOptions::default())?;
    for note in &scan.notes {
        log::warn!("`{}`: {note}", path.display());
    }
    Ok(scan.volume)
}

/// Reads one volume, counted from 0, of a file with several.
///
/// # Errors
/// As [`read_scan`]; `InvalidInput` for a channel that is not there.
pub fn read_channel(path: &Path, channel: usize) -> Result<Volume<f32>> {
    let options = ReadOptions { frame: Some(channel), ..ReadOptions::default() };
    read_scan(path, &options).map(|scan| scan.volume)
}

/// Reads a label map: whole numbers from 0 to 65535, within a hundredth.
///
/// # Errors
/// As [`read_segmentation`]; `Unsupported` for segments that overlap.
pub fn read_labels(path: &Path) -> Result<LabelMap> {
    named(path, read_segmentation(path).and_then(Segmentation::into_label_map))
}

/// Reads a label map with the names and colours of its segments, which may overlap.
///
/// # Errors
/// As [`read_scan`]; `Format` where a value is no label.
pub fn read_segmentation(path: &Path) -> Result<Segmentation> {
    named(path, segmentation(path))
}

fn segmentation(path: &Path) -> Result<Segmentation> {
    if path.is_dir() || dicom::is_dicom(path) {
        if path.is_file() && dicom::is_segmentation(path) {
            return dicom::read_segmentation(path);
        }
        let what = "no label map; expected DICOM SEG, or a NIfTI, NRRD, MetaImage or MGH file (RTSTRUCT is not read)";
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let first = encoded(path, Frames::First)?;
    let labels = |raw: &EncodedVolume| -> Result<LabelMap> {
        let voxels = shaped(raw.geometry.dims, raw.encoding.decode_labels(&raw.bytes)?)?;
        Ok(Volume::new(raw.geometry.clone(), voxels)?.with_forms(raw.forms.clone()))
    };
    if first.segments.is_empty() {
        let only = if first.frames == 1 { first } else { encoded(path, Frames::Only)? };
        return Ok(Segmentation::plain(labels(&only)?));
    }
    let mut layers = vec![labels(&first)?];
    for layer in 1..first.frames {
        layers.push(labels(&encoded(path, Frames::One(layer))?)?);
    }
    Segmentation::new(layers, first.segments)
}

/// The files that a path stands for: headers with their data files, and the files of a DICOM series.
pub fn input_files(path: &Path, options: &ReadOptions) -> Vec<PathBuf> {
    if path.is_file() && dicom::is_dicom(path) && dicom::is_segmentation(path) {
        return vec![path.to_owned()];
    }
    if path.is_dir() || dicom::is_dicom(path) {
        return dicom::files(path, options);
    }
    match sniff(path) {
        Ok(FileFormat::Nifti) => nifti::files(path),
        Ok(FileFormat::Nrrd) => nrrd::files(path),
        Ok(FileFormat::MetaImage) => metaimage::files(path),
        Ok(FileFormat::Mgh) | Err(_) => vec![path.to_owned()],
    }
}

fn encoded(path: &Path, frames: Frames) -> Result<EncodedVolume> {
    match sniff(path)? {
        FileFormat::Nifti => nifti::read(path, frames),
        FileFormat::Nrrd => nrrd::read(path, frames),
        FileFormat::MetaImage => metaimage::read(path, frames),
        FileFormat::Mgh => mgh::read(path, frames),
    }
}

fn shaped<T>(Dims([i, j, k]): Dims, voxels: Vec<T>) -> Result<Array3<T>> {
    Array3::from_shape_vec((k, j, i), voxels)
        .map_err(|e| Error::new(ErrorKind::Format, "the data does not fill the volume").with_source(e))
}

fn named<T>(path: &Path, outcome: Result<T>) -> Result<T> {
    let name = format!("`{}`", path.display());
    // A file of a series may have been named already.
    outcome.map_err(|e| if e.to_string().starts_with(&name) { e } else { e.context(name) })
}

enum FileFormat {
    Nifti,
    Nrrd,
    MetaImage,
    Mgh,
}

/// The format, by content where it has a mark, else by name.
fn sniff(path: &Path) -> Result<FileFormat> {
    if path.is_dir() {
        return Err(Error::new(ErrorKind::Unsupported, "is a folder; expected a file"));
    }
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| Error::io("cannot open", e))?;
    file.take(10).read_to_end(&mut start).map_err(|e| Error::io("cannot read", e))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if start.is_empty() {
        Err(Error::new(ErrorKind::Format, "the file is empty"))
    } else if start.starts_with(b"NRRD") {
        Ok(FileFormat::Nrrd)
    } else if start.starts_with(b"ObjectType") || ends(&[".mha", ".mhd"]) {
        Ok(FileFormat::MetaImage)
    } else if ends(&[".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz"]) {
        Ok(FileFormat::Nifti)
    } else if ends(&[".mgz", ".mgh", ".mgh.gz"]) {
        Ok(FileFormat::Mgh)
    } else {
        Err(Error::new(
            ErrorKind::Unsupported,
            "neither NIfTI (.nii, .nii.gz, .hdr with .img), NRRD (.nrrd, .nhdr, .seg.nrrd), MetaImage (.mha, .mhd), \
             MGH (.mgz, .mgh) nor DICOM",
        ))
    }
}
