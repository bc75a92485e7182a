//! A case of a data set: a scan and its ground-truth masks.

use super::mask::BinaryMask;
use crate::error::Result;
use crate::geometry::Axis;
use crate::volume::Volume;
use std::sync::Arc;

/// One scan of a data set, not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseEntry {
    /// Unique in the data set and valid as a file name.
    pub name: String,
    /// Scans of one patient share it; statistics count patients, not scans.
    pub patient: String,
    /// The slice axis, where the data set states it.
    pub axis: Option<Axis>,
}

impl CaseEntry {
    /// An entry without a stated slice axis.
    pub fn new(name: impl Into<String>, patient: impl Into<String>) -> Self {
        Self { name: name.into(), patient: patient.into(), axis: None }
    }
}

/// One structure of a case.
#[derive(Debug, Clone)]
pub struct Target {
    /// The data set's name of the class, or `label N` where it has none.
    pub name: String,
    pub mask: BinaryMask,
}

/// A scan and its structures, all on the scan's grid. Structures may overlap; absent ones are left out.
#[derive(Debug)]
pub struct Case {
    pub image: Arc<Volume<f32>>,
    pub targets: Vec<Target>,
}

/// A data set on disk. Opening it lists the cases; each is read on request.
pub trait Dataset: Send {
    /// All cases, in a fixed order.
    fn cases(&self) -> &[CaseEntry];

    /// Reads one case. An error names the damaged or missing file; other cases can still be read.
    fn read(&self, index: usize) -> Result<Case>;

    /// False where the release has no spacing (M3D-Seg): distances in mm are undefined there.
    fn has_spacing(&self) -> bool {
        true
    }
}
