//! A task of the Medical Segmentation Decathlon: `dataset.json`, `imagesTr/`, `labelsTr/`.
//!
//! The training cases are read: the test cases' labels are not public. Of 4-D scans (tasks 01 and 05) one channel is
//! read.

use super::case::{Case, CaseEntry, Dataset, Target};
use super::classes::Classes;
use super::files::{self, Names};
use super::format::{unknown_part, DatasetFormat};
use super::mask::BinaryMask;
use crate::error::{Error, ErrorKind, Result};
use crate::volume;
use std::path::{Path, PathBuf};

struct Decathlon {
    cases: Vec<CaseEntry>,
    files: Vec<(PathBuf, PathBuf)>,
    names: Names,
    channel: usize,
    classes: Classes,
    /// The name of an organ together with its tumour, where the tumour has its own label.
    whole: Option<&'static str>,
}

/// `part` is the channel.
pub fn open(part: Option<&str>, folder: &Path, classes: Classes) -> Result<Box<dyn Dataset>> {
    let channel = match part {
        None => 0,
        Some(text) => text.parse().map_err(|_| unknown_part(DatasetFormat::Decathlon, part))?,
    };
    let list = folder.join("dataset.json");
    let json = files::read_json(&list)?;
    let names = files::names(&json["labels"], &list)?;
    let wrong =
        || Error::new(ErrorKind::Format, format!("`{}`: expected training pairs of image and label", list.display()));
    let (mut cases, mut pairs) = (Vec::new(), Vec::new());
    for pair in json["training"].as_array().ok_or_else(wrong)? {
        let [image, label] = ["image", "label"].map(|key| pair[key].as_str().map(|path| path.trim_start_matches("./")));
        let (image, label) = image.zip(label).ok_or_else(wrong)?;
        let (image, label) = (folder.join(image), folder.join(label));
        if files::name_of(&image).starts_with("._") {
            continue;
        }
        let name = files::stem(&image);
        cases.push(CaseEntry::new(name.clone(), name));
        pairs.push((image, label));
    }
    let whole = match names.values().map(|name| name.to_lowercase()).collect::<Vec<_>>().as_slice() {
        [organ, cancer] if (cancer.contains("cancer") || cancer.contains("tumo")) && organ == "liver" => {
            Some("whole liver")
        }
        [organ, cancer] if (cancer.contains("cancer") || cancer.contains("tumo")) && organ == "pancreas" => {
            Some("whole pancreas")
        }
        _ => None,
    };
    Ok(Box::new(Decathlon { cases, files: pairs, names, channel, classes, whole }))
}

impl Dataset for Decathlon {
    fn cases(&self) -> &[CaseEntry] {
        &self.cases
    }

    fn read(&self, index: usize) -> Result<Case> {
        let (image, label_path) = &self.files[index];
        let image = volume::read_channel(image, self.channel)?;
        let labels = volume::read_labels(label_path)?;
        let mut case = files::labelled(image, &labels, label_path, &self.names, &self.classes)?;
        if let Some(name) = self.whole.filter(|name| self.classes.contain(name)) {
            let mask = BinaryMask::from_condition(labels.voxels(), |&label| label > 0);
            if !mask.is_empty() {
                case.targets.push(Target { name: name.to_owned(), mask });
            }
        }
        Ok(case)
    }
}
