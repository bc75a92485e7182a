//! A data set of scans with one label map each.

use super::case::{Case, CaseEntry, Dataset};
use super::classes::Classes;
use super::files::{self, Names};
use crate::error::Result;
use std::path::PathBuf;

/// Scans and label maps; each label is a structure.
pub struct Paired {
    pub cases: Vec<CaseEntry>,
    /// Scan and label map of each case.
    pub files: Vec<(PathBuf, PathBuf)>,
    pub names: Names,
    pub classes: Classes,
}

impl Dataset for Paired {
    fn cases(&self) -> &[CaseEntry] {
        &self.cases
    }

    fn read(&self, index: usize) -> Result<Case> {
        let (image, labels) = &self.files[index];
        files::read_pair(image, labels, &self.names, &self.classes)
    }
}
