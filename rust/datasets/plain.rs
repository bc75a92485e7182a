//! A folder with `images/` and `labels/`: the same file name in both, or nnU-Net's `_0000` after the image's stem.
//!
//! A file `labels.json` beside them names the labels: `{"1": "liver"}`.

use super::case::{CaseEntry, Dataset};
use super::classes::Classes;
use super::files::{self, Names};
use super::paired::Paired;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `folder` contains `images` and `labels`.
pub fn open(folder: &Path, classes: Classes) -> Result<Box<dyn Dataset>> {
    let [images, labels] = ["images", "labels"].map(|name| folder.join(name));
    if let Some(missing) = [&images, &labels].into_iter().find(|f| !f.is_dir()) {
        return Err(Error::invalid(format!("there is no folder `{}`", missing.display())));
    }
    let list = folder.join("labels.json");
    let names = if list.is_file() { files::label_names(&list)? } else { Names::new() };
    let by_stem: BTreeMap<String, PathBuf> = files::list(&images)?
        .into_iter()
        .filter(|f| files::is_image(f) || f.is_dir())
        .map(|f| (files::stem(&f), f))
        .collect();
    let (mut cases, mut pairs) = (Vec::new(), Vec::new());
    for label in files::list(&labels)?.into_iter().filter(|f| files::is_image(f)) {
        let name = files::stem(&label);
        let image = by_stem.get(&name).or_else(|| by_stem.get(&format!("{name}_0000"))).cloned();
        // A missing scan is reported when its case is read.
        pairs.push((image.unwrap_or_else(|| images.join(files::name_of(&label))), label));
        cases.push(CaseEntry::new(name.clone(), name));
    }
    Ok(Box::new(Paired { cases, files: pairs, names, classes }))
}
