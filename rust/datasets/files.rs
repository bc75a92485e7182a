//! Functions of several readers: sorted folders, label maps as targets.

use super::case::{Case, Target};
use super::classes::Classes;
use super::mask::BinaryMask;
use crate::error::{Error, ErrorKind, Result};
use crate::volume::{self, LabelMap, Volume};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names of labels.
pub type Names = BTreeMap<u16, String>;

/// Files and folders in a folder by name, without hidden ones (macOS leaves `._` files in archives).
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io(format!("cannot list `{}`", folder.display()), e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The last component of a path.
pub fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The file's name without the extension of an image.
pub fn stem(path: &Path) -> String {
    let name = name_of(path);
    let extensions = [".nii.gz.zip", ".nii.gz", ".seg.nrrd", ".nii", ".nrrd", ".nhdr", ".hdr"];
    let extension = extensions.iter().find(|extension| name.to_lowercase().ends_with(**extension));
    extension.map_or(name.clone(), |extension| name[..name.len() - extension.len()].to_owned())
}

/// Whether the name is one of an image file.
pub fn is_image(path: &Path) -> bool {
    stem(path) != name_of(path)
}

/// The folder with this name in `folder`, or `folder` itself if that is its name.
pub fn subfolder(folder: &Path, name: &str) -> Option<PathBuf> {
    if folder.join(name).is_dir() {
        return Some(folder.join(name));
    }
    (name_of(folder) == name).then(|| folder.to_owned())
}

/// Reads a JSON file, with or without a byte order mark.
pub fn read_json(path: &Path) -> Result<serde_json::Value> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(format!("cannot read `{shown}`"), e))?;
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|e| Error::new(ErrorKind::Format, format!("`{shown}` is not a JSON file")).with_source(e))
}

/// The labels `{"1": "liver"}` of a JSON file `path`, without the background.
pub fn names(labels: &serde_json::Value, path: &Path) -> Result<Names> {
    let wrong =
        || Error::new(ErrorKind::Format, format!("`{}`: expected labels such as {{\"1\": \"liver\"}}", path.display()));
    let mut found = Names::new();
    for (label, name) in labels.as_object().ok_or_else(wrong)? {
        let label: u16 = label.trim().parse().map_err(|_| wrong())?;
        let name = name.as_str().ok_or_else(wrong)?;
        if label > 0 {
            found.insert(label, name.to_owned());
        }
    }
    Ok(found)
}

/// The names in a JSON file `{"1": "liver"}`.
pub fn label_names(path: &Path) -> Result<Names> {
    names(&read_json(path)?, path)
}

/// A scan with a label map of which each label is a structure; a label without a name is called `label N`.
pub fn labelled(image: Volume<f32>, labels: &LabelMap, path: &Path, names: &Names, classes: &Classes) -> Result<Case> {
    same_grid(&image, labels, path)?;
    let present: BTreeSet<u16> = labels.voxels().iter().copied().filter(|&label| label > 0).collect();
    let name = |label: u16| names.get(&label).cloned().unwrap_or_else(|| format!("label {label}"));
    let targets = (present.into_iter())
        .map(|label| (label, name(label)))
        .filter(|(_, name)| classes.contain(name))
        .map(|(label, name)| {
            let mask = BinaryMask::from_condition(labels.voxels(), |voxel| *voxel == label);
            Target { name, mask }
        })
        .collect();
    Ok(Case { image: Arc::new(image), targets })
}

/// An error where a label map is not on the scan's grid.
pub fn same_grid(image: &Volume<f32>, labels: &LabelMap, path: &Path) -> Result<()> {
    (image.geometry().check_same_grid(labels.geometry())).map_err(|e| e.context(format!("`{}`", path.display())))
}

/// Reads a scan and its label map.
pub fn read_pair(image: &Path, labels: &Path, names: &Names, classes: &Classes) -> Result<Case> {
    let map = volume::read_labels(labels)?;
    labelled(volume::read_image(image)?, &map, labels, names, classes)
}
