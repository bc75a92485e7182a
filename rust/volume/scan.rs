//! A scan as it was read: voxels, what was changed, and what the files say beside.

use super::voxels::{SourceSlice, Volume};
use crate::error::{Error, Result};
use std::path::PathBuf;
use std::str::FromStr;

/// What happens to DICOM slices at uneven distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Uneven {
    /// They are refused.
    #[default]
    Refuse,
    /// They are interpolated to even distances.
    Resample,
}

impl FromStr for Uneven {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "resample" => Ok(Self::Resample),
            _ => Err(Error::invalid("expected refuse or resample")),
        }
    }
}

/// What a path alone does not say of a scan.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Number or UID of a DICOM series.
    pub series: Option<String>,
    /// The volume of several in one file or series, counted from 0.
    pub frame: Option<usize>,
    /// DICOM slices at uneven distances.
    pub uneven: Uneven,
}

/// A scan, and what the user should know of it.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The intensities, rescaled as the header says.
    pub volume: Volume<f32>,
    /// What was changed, skipped or set aside, a sentence each.
    pub notes: Vec<String>,
    /// What the files say beside voxels and place.
    pub facts: Facts,
}

/// What a scan's files say beside voxels and place.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The format, such as `NIfTI-1` or `DICOM CT`.
    pub kind: String,
    /// The type of the stored numbers, such as `int16`.
    pub stored: String,
    /// Volumes in the file or series, of which one was read.
    pub frames: usize,
    /// Series of a DICOM folder.
    pub series: Vec<SeriesInfo>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// Where each slice along k comes from; empty where that is not DICOM.
    pub slices: Vec<SourceSlice>,
}

/// A series of a folder, for a table.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SeriesInfo {
    /// What `--series` takes, besides the UID.
    pub number: i64,
    /// SeriesInstanceUID.
    pub uid: String,
    /// CT, MR, PT ...
    pub modality: String,
    /// SeriesDescription.
    pub description: String,
    /// Columns, rows and slices of a frame.
    pub size: [usize; 3],
    /// Between columns, rows and slices; the last is missing where slices are uneven.
    pub spacing_mm: Vec<f64>,
    /// Images at each place.
    pub frames: usize,
    /// Files of the series.
    pub files: usize,
}

impl SeriesInfo {
    /// Number, description, size and spacing, and the UID.
    pub fn line(&self) -> String {
        let spacing: Vec<String> = self.spacing_mm.iter().map(|s| format!("{}", (s * 1e3).round() / 1e3)).collect();
        let [columns, rows, slices] = self.size;
        let frames = if self.frames > 1 { format!(", {} frames", self.frames) } else { String::new() };
        format!(
            "  {:>4}  {} {}, {columns}x{rows}x{slices}, {} mm{frames}  {}",
            self.number,
            self.modality,
            self.description,
            spacing.join(" x "),
            self.uid
        )
    }
}
