//! A JSON file that lists scans and label maps anywhere below a folder:
//!
//! ```json
//! {"names": {"1": "liver"}, "cases": [{"name": "7", "patient": "7", "image": "scan.nii.gz", "label": "mask.nii.gz"}]}
//! ```
//!
//! `patient` may be left out (then it is the case's name), and so may `names`. `"axis": "j"` says across which index axis the
//! slices lie, where that is not the axis of the largest spacing.

use super::files::{self, Names};
use super::spec::Classes;
use super::{Case, CaseEntry, Dataset};
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

struct Pairs {
    cases: Vec<CaseEntry>,
    files: Vec<(PathBuf, PathBuf)>,
    names: Names,
    classes: Classes,
}

/// `list` is a path of its own, its entries are relative to `folder`.
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
    Ok(Box::new(Pairs { cases, files: pairs, names, classes }))
}

impl Dataset for Pairs {
    fn cases(&self) -> &[CaseEntry] {
        &self.cases
    }

    fn read(&self, index: usize) -> Result<Case> {
        let (image, labels) = &self.files[index];
        files::read_pair(image, labels, &self.names, &self.classes)
    }
}
