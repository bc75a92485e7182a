//! TotalSegmentator v1 and v2: `sNNNN/ct.nii.gz` and a binary `sNNNN/segmentations/CLASS.nii.gz` for each class.
//!
//! Classes go by file name, never by number: v1 and v2 number them differently. `meta.csv` (semicolons, byte order
//! mark) says which subject is in which split.

use super::case::{Case, CaseEntry, Dataset, Target};
use super::classes::Classes;
use super::files;
use super::format::{unknown_part, DatasetFormat};
use super::mask::BinaryMask;
use crate::error::{Error, ErrorKind, Result};
use crate::volume;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Classes of v1 that none of the other 24 subsets of M3D-Seg names: our zero-shot classes. The paper's list may
/// differ.
const UNSEEN: &str = include_str!("unseen_classes.txt");

/// The zero-shot classes.
pub fn unseen_classes() -> Classes {
    Classes::from_list(UNSEEN)
}

struct TotalSegmentator {
    cases: Vec<CaseEntry>,
    folder: PathBuf,
    classes: Classes,
}

/// `part` is a split of `meta.csv`.
pub fn open(part: Option<&str>, folder: &Path, classes: Classes) -> Result<Box<dyn Dataset>> {
    let split = part.filter(|part| *part != "all");
    if split.is_some_and(|split| !["train", "val", "test"].contains(&split)) {
        return Err(unknown_part(DatasetFormat::TotalSegmentator, part));
    }
    let chosen = split.map(|split| subjects(&folder.join("meta.csv"), split)).transpose()?;
    let mut cases = Vec::new();
    for path in files::list(folder)? {
        let name = files::name_of(&path);
        if path.join("segmentations").is_dir() && chosen.as_ref().is_none_or(|chosen| chosen.contains(&name)) {
            cases.push(CaseEntry::new(name.clone(), name));
        }
    }
    Ok(Box::new(TotalSegmentator { cases, folder: folder.to_owned(), classes }))
}

/// Subjects of a split.
fn subjects(path: &Path, split: &str) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(format!("cannot read `{}`", path.display()), e))?;
    let broken = |what: String| Error::new(ErrorKind::Format, format!("`{}`: {what}", path.display()));
    let text = text.trim_start_matches('\u{feff}');
    let mut reader =
        csv::ReaderBuilder::new().delimiter(b';').trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let head = reader.headers().map_err(|e| broken("is not a CSV file".into()).with_source(e))?.clone();
    let column = |name: &str| {
        head.iter()
            .position(|known| known == name)
            .ok_or_else(|| broken(format!("no column `{name}`, found {}", head.iter().collect::<Vec<_>>().join("; "))))
    };
    let (subject, of_split) = (column("image_id")?, column("split")?);
    let mut found = BTreeSet::new();
    for record in reader.records() {
        let record = record.map_err(|e| broken("is not a CSV file".into()).with_source(e))?;
        if record.get(of_split) == Some(split) {
            found.extend(record.get(subject).map(str::to_owned));
        }
    }
    Ok(found)
}

impl Dataset for TotalSegmentator {
    fn cases(&self) -> &[CaseEntry] {
        &self.cases
    }

    fn read(&self, index: usize) -> Result<Case> {
        let folder = self.folder.join(&self.cases[index].name);
        let image = volume::read_image(&folder.join("ct.nii.gz"))?;
        let mut targets = Vec::new();
        for path in files::list(&folder.join("segmentations"))? {
            let name = files::stem(&path);
            if !files::is_image(&path) || !self.classes.contain(&name) {
                continue;
            }
            let labels = volume::read_labels(&path)?;
            files::same_grid(&image, &labels, &path)?;
            let mask = BinaryMask::from_condition(labels.voxels(), |&label| label > 0);
            if !mask.is_empty() {
                targets.push(Target { name, mask });
            }
        }
        Ok(Case { image: Arc::new(image), targets })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn zero_shot_list_has_57_classes() {
        let classes = super::unseen_classes();
        assert_eq!(classes.count(), Some(57));
        assert!(classes.contain("rib_left_1") && classes.contain("pulmonary_artery") && !classes.contain("liver"));
    }
}
