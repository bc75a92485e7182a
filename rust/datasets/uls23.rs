//! ULS23: crops of 256 x 256 x 128 voxels around one lesion each, `images/` and `labels/` with the same stem.
//!
//! The labels' repository packs each file: `labels/NAME.nii.gz.zip`. Images and labels may lie side by side or in
//! folders of their own below the given one.

use super::case::{Case, CaseEntry, Dataset};
use super::classes::Classes;
use super::files::{self, Names};
use super::format::{unknown_part, DatasetFormat};
use crate::error::{Error, ErrorKind, Result};
use crate::volume;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Parts and the names of their folders.
const PARTS: [(&str, &str); 3] =
    [("deeplesion3d", "ULS23_DeepLesion3D"), ("bone", "Radboudumc_Bone"), ("pancreas", "Radboudumc_Pancreas")];
/// Depth of the folder search.
const DEPTH: usize = 5;

struct Uls23 {
    cases: Vec<CaseEntry>,
    files: Vec<(PathBuf, PathBuf)>,
    classes: Classes,
}

/// `folder` is one above the part's images and labels.
pub fn open(part: &str, folder: &Path, classes: Classes) -> Result<Box<dyn Dataset>> {
    let Some((_, name)) = PARTS.iter().find(|(known, _)| *known == part) else {
        return Err(unknown_part(DatasetFormat::Uls23, Some(part)));
    };
    let (mut images, mut labels) = (BTreeMap::new(), BTreeMap::new());
    gather(folder, name, files::name_of(folder) == *name, DEPTH, &mut images, &mut labels)?;
    if labels.is_empty() {
        return Err(Error::invalid(format!("there is no `{name}/labels` below `{}`", folder.display())));
    }
    let (mut cases, mut pairs) = (Vec::new(), Vec::new());
    for (stem, label) in labels {
        let image = images.get(&stem).cloned().unwrap_or_else(|| PathBuf::from(format!("images/{stem}.nii.gz")));
        // `bone_00002_lesion_01`: lesions of a patient share what comes before.
        let patient = stem.split("_lesion").next().unwrap_or(&stem);
        // DeepLesion: patient_study_series_slice.
        let patient = if part == "deeplesion3d" { patient.split('_').next().unwrap_or(patient) } else { patient };
        cases.push(CaseEntry::new(stem.clone(), patient));
        pairs.push((image, label));
    }
    Ok(Box::new(Uls23 { cases, files: pairs, classes }))
}

/// Files in folders `images` and `labels` below one called `part`, by stem.
fn gather(
    folder: &Path,
    part: &str,
    inside: bool,
    depth: usize,
    images: &mut BTreeMap<String, PathBuf>,
    labels: &mut BTreeMap<String, PathBuf>,
) -> Result<()> {
    for path in files::list(folder)? {
        if path.is_dir() && depth > 0 {
            let inside = inside || files::name_of(&path) == part;
            gather(&path, part, inside, depth - 1, images, labels)?;
        } else if inside && files::is_image(&path) {
            match files::name_of(folder).as_str() {
                "images" | "imagesTr" => images.insert(files::stem(&path), path),
                "labels" | "labelsTr" => labels.insert(files::stem(&path), path),
                _ => None,
            };
        }
    }
    Ok(())
}

impl Dataset for Uls23 {
    fn cases(&self) -> &[CaseEntry] {
        &self.cases
    }

    fn read(&self, index: usize) -> Result<Case> {
        let (image, labels) = &self.files[index];
        let image = volume::read_image(image)?;
        let map = match files::name_of(labels).ends_with(".zip") {
            true => volume::read_labels(unpacked(labels)?.path())?,
            false => volume::read_labels(labels)?,
        };
        let names = Names::from([(1, "lesion".to_owned())]);
        files::labelled(image, &map, labels, &names, &self.classes)
    }
}

/// The one file of a zip archive as a temporary file.
fn unpacked(path: &Path) -> Result<tempfile::NamedTempFile> {
    let shown = path.display();
    let broken = |e: zip::result::ZipError| {
        Error::new(ErrorKind::Format, format!("`{shown}` is not a zip archive with one file")).with_source(e)
    };
    let file = File::open(path).map_err(|e| Error::io(format!("cannot read `{shown}`"), e))?;
    let mut archive = zip::ZipArchive::new(file).map_err(broken)?;
    let mut packed = archive.by_index(0).map_err(broken)?;
    let failed = |e| Error::io(format!("cannot unpack `{shown}`"), e);
    let mut unpacked = tempfile::Builder::new().suffix(".nii.gz").tempfile().map_err(failed)?;
    std::io::copy(&mut packed, &mut unpacked).map_err(failed)?;
    Ok(unpacked)
}
