//! A method of a report: a predictor under a protocol.

use crate::evaluate::interaction::baseline::Baseline;
use crate::evaluate::protocol::Protocol;
use serde::Serialize;
use std::path::PathBuf;

/// What predicts the masks.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Predictor {
    /// The n-th of the loaded models.
    Model(usize),
    /// The mask of the prompt slice, copied to its neighbours.
    Copy,
    /// Masks from clicks by a method that learns nothing.
    Baseline(Baseline),
    /// Another tool's masks in a folder.
    Masks(PathBuf),
}

/// A predictor under a protocol.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Method {
    /// Unique in a report.
    pub name: String,
    /// What predicts the masks.
    pub predictor: Predictor,
    /// How it is prompted and where it ends.
    pub protocol: Protocol,
    /// The variant of the preset that this is, if any.
    pub variant: Option<String>,
}
