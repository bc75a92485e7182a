//! A JSON file that lists scans and label maps anywhere below a folder:
//!
//! ```json
//! {"names": {"1": "liver"}, "cases": [{"name": "7", "patient": "7", "image": "scan.nii.gz", "label": "mask.nii.gz"}]}
//! ```
//!
//! `patient` is optional (default: the case's name), and so is `names`. `"axis": "j"` is the slice axis, where that is
//! not the axis of the largest spacing.

use super::case::{CaseEntry, Dataset};
use super::classes::Classes;
use super::files::{self, Names};
use super::paired::Paired;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Axis;
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    names: Option<serde_json::Value>,
    cases: Vec<Pair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    name: String,
    #[serde(default)]
    patient: Option<String>,
    #[serde(default)]
    axis: Option<Axis>,
    image: PathBuf,
    label: PathBuf,
}

/// `list` is the path of the JSON file; its entries are relative to `folder`.
pub fn open(list: &Path, folder: &Path, classes: Classes) -> Result<Box<dyn Dataset>> {
    let parsed: List = serde_json::from_value(files::read_json(list)?).map_err(|e| {
        Error::new(
            ErrorKind::Format,
            format!("`{}`: expected names and cases of name, image and label", list.display()),
        )
        .with_source(e)
    })?;
    let names = parsed.names.as_ref().map_or(Ok(Names::new()), |names| files::names(names, list))?;
    let (mut cases, mut pairs) = (Vec::new(), Vec::new());
    for Pair { name, patient, axis, image, label } in parsed.cases {
        pairs.push((folder.join(image), folder.join(label)));
        let patient = patient.unwrap_or_else(|| name.clone());
        cases.push(CaseEntry { axis, ..CaseEntry::new(name, patient) });
    }
    Ok(Box::new(Paired { cases, files: pairs, names, classes }))
}
