//! A folder with `images/` and `labels/`: the same file name in both, or nnU-Net's `_0000` after the image's.
//!
//! A file `labels.json` beside them names the labels: `{"1": "liver"}`.

use super::files::{self, Names};
use super::spec::Classes;
use super::{Case, CaseEntry, Dataset};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

struct Plain {
    cases: Vec<CaseEntry>,
    files: Vec<(PathBuf, PathBuf)>,
    names: Names,
    classes: Classes,
}

pub fn open(folder: &Path, classes: Classes) -> Result<Box<dyn Dataset>> {
    let [images, labels] = ["images", "labels"].map(|name| folder.join(name));
    if let Some(missing) = [&images, &labels].into_iter().find(|f| !f.is_dir()) {
        return Err(Error::invalid(format!("there is no folder `{}`", missing.display())));
    }
    let list = folder.join("labels.json");
    let names = if list.is_file() { files::names(&files::read_json(&list)?, &list)? } else { Names::new() };
    let by_stem: BTreeMap<String, PathBuf> = files::list(&images)?
        .into_iter()
        .filter(|f| files::is_image(f) || f.is_dir())
        .map(|f| (files::stem(&f), f))
        .collect();
    let (mut cases, mut pairs) = (Vec::new(), Vec::new());
    for label in files::list(&labels)?.into_iter().filter(|f| files::is_image(f)) {
        let name = files::stem(&label);
        let image = by_stem.get(&name).or_else(|| by_stem.get(&format!("{name}_0000"))).cloned();
        // A missing scan is told when the case is read: the others still count.
        pairs.push((image.unwrap_or_else(|| images.join(files::name_of(&label))), label));
        cases.push(CaseEntry::new(name.clone(), name));
    }
    Ok(Box::new(Plain { cases, files: pairs, names, classes }))
}

impl Dataset for Plain {
    fn cases(&self) -> &[CaseEntry] {
        &self.cases
    }

    fn read(&self, index: usize) -> Result<Case> {
        let (image, labels) = &self.files[index];
        files::read_pair(image, labels, &self.names, &self.classes)
    }
}
