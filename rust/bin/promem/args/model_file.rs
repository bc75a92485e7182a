//! `promem info`, `promem convert` and `promem demo` as types.

use super::options::{Force, ImageSize};
use super::scan::ScanOptions;
use clap::Args;
use std::path::PathBuf;

/// Describe a scan (size, spacing, orientation, intensities, series) or a model file (network, image size, licence)
#[derive(Args)]
pub struct Info {
    /// A scan, a folder of DICOM files, or a model file
    pub file: PathBuf,
    #[command(flatten)]
    pub scan: ScanOptions,
}

/// Convert a SAM 2, SAM 2.1 or MedSAM2 .pt file to .safetensors
#[derive(Args)]
pub struct Convert {
    #[arg(value_name = "IN.pt")]
    pub input: PathBuf,
    #[arg(value_name = "OUT.safetensors")]
    pub output: PathBuf,
    #[command(flatten)]
    pub image_size: ImageSize,
    /// Licence of the weights, stored in the file
    #[arg(long, value_name = "TEXT")]
    pub licence: Option<String>,
    /// Minimum object-presence probability to continue, stored in the file
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub presence_threshold: Option<f64>,
    /// Weight of the intensity model, stored in the file
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true)]
    pub intensity_weight: Option<f64>,
    #[command(flatten)]
    pub force: Force,
}

/// Write a generated scan, a prompt mask and a model with pseudo-random weights into a folder
#[derive(Args)]
pub struct Demo {
    pub folder: PathBuf,
    /// toy, or an official network such as sam2.1_hiera_tiny
    #[arg(long, value_name = "NAME", default_value = "toy")]
    pub network: String,
    #[command(flatten)]
    pub force: Force,
}
