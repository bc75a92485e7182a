//! `promem segment` as types.

use super::options::{self, ComputingOptions, Force, MemoryOptions, PropagationOptions};
use super::prompts::Prompts;
use super::scan::ScanOptions;
use super::value::{object_name, slice_range};
use clap::Args;
use promem::geometry::SliceRange;
use promem::tracking::SearchOptions;
use promem::volume::MaskGrid;
use promem::{Error, Result};
use std::path::PathBuf;

/// Segment a scan (NIfTI, NRRD, MetaImage, MGH or a DICOM series) from prompts on one or more slices
#[derive(Args)]
#[command(after_help = "Indices are voxels, counted from 0. \
    A prompt belongs to the object named before it (default 1).")]
pub struct Segment {
    /// The scan: a file, or a folder of DICOM files
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    #[command(flatten)]
    pub scan: ScanOptions,
    /// Model file, .pt (SAM 2, SAM 2.1, MedSAM2) or .safetensors [default: PROMEM_MODEL, else the installed one]
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub prompts: Prompts,
    /// A prompt mask on another grid: exact refuses it, resample takes the nearest voxels, index ignores its header
    #[arg(long, value_name = "exact|resample|index", default_value = "exact", hide_default_value = true)]
    #[arg(help_heading = "Prompts")]
    pub mask_grid: MaskGrid,
    #[command(flatten)]
    pub propagation: PropagationOptions,
    /// First and last slice of the propagation, both included [default: the whole volume]
    #[arg(long, value_name = "FIRST,LAST", value_parser = slice_range, help_heading = "Propagation")]
    pub range: Option<SliceRange>,
    #[command(flatten)]
    memory: MemoryOptions,
    #[command(flatten)]
    pub computing: ComputingOptions,
    /// Label map to write: .nii, .nii.gz, .seg.nrrd, .nrrd, .mha, .mhd, or .dcm for a DICOM scan
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: PathBuf,
    /// Scores of every candidate on every slice
    #[arg(long, value_name = "FILE.json", help_heading = "Output")]
    pub trace: Option<PathBuf>,
    /// Montage of slices with contours; prompted slices are framed
    #[arg(long, value_name = "FILE.png", help_heading = "Output")]
    pub overlay: Option<PathBuf>,
    /// Name of an object; may be given several times [default: the prompt mask's, else its number]
    #[arg(long = "name", value_name = "N=NAME", value_parser = object_name, help_heading = "Output")]
    pub names: Vec<(u16, String)>,
    #[command(flatten)]
    pub force: Force,
}

impl Segment {
    /// Checks what clap cannot express.
    pub fn check(&self) -> Result<()> {
        if self.prompts.ordered.is_empty() {
            return Err(Error::invalid("no prompt: expected --prompt-mask, --point or --box"));
        }
        self.search().map(|_| ())
    }

    pub fn search(&self) -> Result<SearchOptions> {
        options::search(&self.propagation, &self.memory)
    }
}
