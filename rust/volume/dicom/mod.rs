//! DICOM: series of single slices and multi-frame images; segmentations in and out.
//!
//! In: a folder, a file of a series, or a list of files. Out: a volume whose slices are sorted by their position in the
//! patient.

mod attributes;
mod colour;
mod header;
mod pixels;
mod segmentation;
mod segmentation_write;
mod series;
mod stack;

use super::encoding::Frames;
use super::scan::{Facts, ReadOptions, Scan, SeriesInfo};
use super::voxels::{SourceSlice, Volume};
use crate::error::Result;
use std::path::{Path, PathBuf};

pub(super) use attributes::is_dicom;
pub(super) use segmentation::{is_segmentation, read as read_segmentation};
pub(super) use segmentation_write::write as write_segmentation;

/// The series that a path and the options name.
pub(super) fn read(path: &Path, options: &ReadOptions, frames: Frames) -> Result<Scan> {
    let chosen = series::choose(path, options)?;
    let places = stack::places(chosen.slices, frames, options.uneven)?;
    let stack = places.read()?;
    let mut notes = chosen.notes;
    notes.extend(stack.notes);
    let facts = Facts {
        kind: format!("DICOM {}", chosen.modality).trim_end().to_string(),
        stored: "DICOM".into(),
        frames: stack.frames,
        series: chosen.table,
        files: chosen.files,
        slices: if stack.resampled { Vec::new() } else { stack.slices.iter().map(source).collect() },
    };
    Ok(Scan { volume: stack.volume, notes, facts })
}

fn source(slice: &header::Slice) -> SourceSlice {
    SourceSlice { path: slice.path.clone(), frame: slice.frame }
}

/// All image series of a folder and of those below it.
///
/// # Errors
/// `Unsupported` where there is none.
pub fn series(folder: &Path) -> Result<(Vec<SeriesInfo>, Vec<String>)> {
    series::table(folder)
}

/// The files of the series that a path and the options name.
pub(super) fn files(path: &Path, options: &ReadOptions) -> Vec<PathBuf> {
    series::choose(path, options).map(|chosen| chosen.files).unwrap_or_default()
}

/// A volume of just these files, and for each of its slices (k) the number of its file in the list.
///
/// # Errors
/// As [`super::read_image`].
pub fn read_files(files: &[PathBuf]) -> Result<(Volume<f32>, Vec<usize>)> {
    let stack = series::of_files(files)?;
    let place = |path: &PathBuf| files.iter().position(|file| file == path).unwrap_or_default();
    Ok((stack.volume, stack.slices.iter().map(|slice| place(&slice.path)).collect()))
}
