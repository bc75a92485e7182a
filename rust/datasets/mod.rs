//! Public data sets as cases: a scan and the masks drawn in it.
//!
//! In: a folder as the data set's authors publish it. Out: scans with named binary masks on the same grid.
//! Knows nothing of prompts, networks or scores; evaluation and training both read from here.

mod btcv;
mod chaos;
mod decathlon;
mod files;
mod m3d;
mod mask;
mod pairs;
mod plain;
mod spec;
mod totalsegmentator;
mod uls23;

pub use mask::BinaryMask;
pub use spec::{open, Classes, Kind, Spec};
pub use totalsegmentator::unseen_classes;

use crate::error::Result;
use crate::geometry::Axis;
use crate::volume::Volume;
use std::sync::Arc;

/// One scan of a data set, not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseEntry {
    /// Unique in the data set and fit to be a file name.
    pub name: String,
    /// Scans of one patient share it; statistics count patients, not scans.
    pub patient: String,
    /// The index axis across its slices, where the data set says so.
    pub axis: Option<Axis>,
}

impl CaseEntry {
    pub fn new(name: impl Into<String>, patient: impl Into<String>) -> Self {
        Self { name: name.into(), patient: patient.into(), axis: None }
    }
}

/// One structure of a case.
#[derive(Debug, Clone)]
pub struct Target {
    /// The data set's own name of the class, or `label N` where it has none.
    pub name: String,
    pub mask: BinaryMask,
}

/// A scan and its structures, all on the scan's grid. Structures may overlap; absent ones are left out.
#[derive(Debug)]
pub struct Case {
    pub image: Arc<Volume<f32>>,
    pub targets: Vec<Target>,
}

/// A data set on disk. Opening one lists its cases; reading happens case by case.
pub trait Dataset: Send {
    /// In a fixed order.
    fn cases(&self) -> &[CaseEntry];

    /// Reads one case; an error names the file that is broken or missing and does not end the data set.
    fn read(&self, index: usize) -> Result<Case>;

    /// False where the release keeps no spacing (M3D-Seg): distances in mm mean nothing there.
    fn has_spacing(&self) -> bool {
        true
    }
}
