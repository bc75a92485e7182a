//! `[data]`: what a run is trained on.

use crate::error::{Error, Result};
use crate::train::phantom::Kind;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Data sets as `promem evaluate` names them (`m3d:0003/train=FOLDER`); none: `sources`.
    pub scans: Vec<String>,
    /// Section 2.1; off for the ablation.
    pub stochastic_propagation: bool,
    /// Kinds of generated objects that are never targets.
    pub held_out: Vec<Kind>,
    /// Threads that make clips.
    pub workers: usize,
    /// `[[data.sources]]`, drawn by weight; none: generated anatomy.
    #[serde(default)]
    pub sources: Vec<SourceConfig>,
}

/// Where the volumes of a source come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Generated anatomy.
    Phantoms,
    /// Generated hearts: chambers, and muscle around them that contracts.
    Hearts,
    /// Label maps on disk, with generated intensities.
    LabelMaps,
    /// Scans on disk; their masks are the objects.
    Scans,
    /// Scans on disk; supervoxels are the objects.
    Supervoxels,
}

impl SourceKind {
    /// As configurations name it.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn reads_files(self) -> bool {
        matches!(self, SourceKind::LabelMaps | SourceKind::Scans | SourceKind::Supervoxels)
    }
}

/// One source of a mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// What it gives.
    pub kind: SourceKind,
    /// Its share of the clips, against the other weights.
    pub weight: f64,
    /// Folders with its NIfTI or NRRD files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<PathBuf>,
}

impl DataConfig {
    pub(super) fn validate(&self) -> Result<()> {
        if !self.sources.is_empty() && !self.scans.is_empty() {
            return Err(Error::invalid("data: `scans` and `sources` are both given, expected one of them"));
        }
        for (n, source) in self.sources.iter().enumerate() {
            let name = source.kind.name();
            if !(source.weight > 0.0 && source.weight.is_finite()) {
                let weight = source.weight;
                return Err(Error::invalid(format!("data.sources[{n}].weight {weight}: expected a number above 0")));
            }
            if source.kind.reads_files() == source.folders.is_empty() {
                let (found, expected) = match source.folders.is_empty() {
                    true => ("no folders", "folders = [\"...\"]"),
                    false => ("folders", "none, since it is generated"),
                };
                return Err(Error::invalid(format!("data.sources[{n}], {name}: {found}, expected {expected}")));
            }
        }
        Ok(())
    }
}
