//! Options of every command that reads a scan.

use clap::Args;
use promem::volume::{ReadOptions, Uneven};

#[derive(Args)]
#[command(next_help_heading = "Scan")]
pub struct ScanOptions {
    /// DICOM series of a folder with several, by number or UID
    #[arg(long, value_name = "NUMBER|UID")]
    series: Option<String>,
    /// Volume of a scan with several (4-D, phases, echoes), counted from 0
    #[arg(long, value_name = "N")]
    frame: Option<usize>,
    /// DICOM slices at uneven distances: refuse, or resample to even ones
    #[arg(long, value_name = "refuse|resample", default_value = "refuse", hide_default_value = true)]
    uneven: Uneven,
}

impl ScanOptions {
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions { series: self.series.clone(), frame: self.frame, uneven: self.uneven }
    }
}
