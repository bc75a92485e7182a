//! File exchange with other tools under the same protocol.
//!
//! Out: `FOLDER/DATASET/tasks.json` and, for each case, the scan and each object's mask on its prompt slice.
//! In: the tool's masks, `FOLDER/DATASET/CASE/TARGET.nii.gz` (or .nrrd), every voxel above 0; or one label map
//! `FOLDER/DATASET/CASE.nii.gz` with `FOLDER/DATASET/labels.json`, which maps labels to names.

use crate::datasets::{label_names, BinaryMask, Case, CaseEntry};
use crate::error::{Error, Result};
use crate::evaluate::protocol::Task;
use crate::evaluate::store::file_name;
use crate::geometry::{Axis, Geometry, SliceIndex};
use crate::output::{make_folder, write_json, Overwrite};
use crate::volume::{self, LabelMap};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The tasks of a data set, `tasks.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct TaskFile {
    /// The data set's name.
    pub dataset: String,
    /// One for each case.
    pub cases: Vec<TaskCase>,
}

/// The tasks of one case. Paths are relative to the folder of `tasks.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct TaskCase {
    /// The case's name.
    pub name: String,
    /// The scan, NIfTI.
    pub image: PathBuf,
    /// The slice axis: i, j or k.
    pub axis: String,
    /// The objects to segment.
    pub targets: Vec<TaskTarget>,
}

/// The task of one object.
#[derive(Debug, Serialize, Deserialize)]
pub struct TaskTarget {
    /// The name of the structure.
    pub name: String,
    /// The prediction's file name without extension.
    pub file: String,
    /// The ground-truth range is for methods under that stop rule only.
    #[serde(flatten)]
    pub task: Task,
    /// The object's mask on the prompt slice, zero elsewhere.
    pub prompt: PathBuf,
}

/// Writes a case's scan and prompts below `folder`, and returns its entry of `tasks.json`.
pub fn export_case(folder: &Path, entry: &CaseEntry, case: &Case, axis: Axis, tasks: &[Task]) -> Result<TaskCase> {
    let name = file_name(&entry.name);
    make_folder(&folder.join(&name))?;
    let image = PathBuf::from(&name).join("image.nii.gz");
    volume::write_image(&folder.join(&image), &case.image, Overwrite::Replace)?;
    let mut targets = Vec::new();
    for (target, &task) in case.targets.iter().zip(tasks) {
        let file = file_name(&target.name);
        let prompt = PathBuf::from(&name).join(format!("{file}.prompt.nii.gz"));
        let plane = target.mask.slice(axis, SliceIndex(task.prompt_slice));
        let mask = std::iter::once((SliceIndex(task.prompt_slice), [0, 0], plane.view()));
        let mut labels = LabelMap::empty_like(&case.image);
        labels.voxels_mut().assign(&BinaryMask::from_planes(target.mask.dims(), axis, mask).full().mapv(u16::from));
        volume::write_labels(&folder.join(&prompt), &labels, Overwrite::Replace, &[])?;
        targets.push(TaskTarget { name: target.name.clone(), file, task, prompt });
    }
    Ok(TaskCase { name: entry.name.clone(), image, axis: axis.to_string(), targets })
}

/// Writes `tasks.json`.
pub fn export_list(folder: &Path, tasks: &TaskFile) -> Result<()> {
    write_json(&folder.join("tasks.json"), Overwrite::Replace, tasks)
}

/// Another tool's masks of one data set.
#[derive(Debug)]
pub struct Predictions {
    folder: PathBuf,
    /// Labels of label maps by the structure's name.
    labels: BTreeMap<String, u16>,
}

/// File extensions of masks.
const EXTENSIONS: [&str; 4] = ["nii.gz", "nii", "seg.nrrd", "nrrd"];

impl Predictions {
    /// The masks of `dataset` below `folder`.
    pub fn open(folder: &Path, dataset: &str) -> Result<Self> {
        let folder = folder.join(file_name(dataset));
        if !folder.is_dir() {
            return Err(Error::invalid(format!("predictions: there is no folder `{}`", folder.display())));
        }
        let list = folder.join("labels.json");
        let names = if list.is_file() { label_names(&list)? } else { BTreeMap::new() };
        let labels = names.into_iter().map(|(label, name)| (name, label)).collect();
        Ok(Self { folder, labels })
    }

    /// The masks of a case's targets, in their order. A target without a file is an error: where a tool found nothing,
    /// it writes an empty mask.
    pub fn case(&self, case: &str, targets: &[String], grid: &Geometry) -> Result<Vec<BinaryMask>> {
        let case = file_name(case);
        let same_grid = |labels: LabelMap, path: &Path| {
            grid.check_same_grid(labels.geometry()).map_err(|e| e.context(format!("`{}`", path.display())))?;
            Ok::<_, Error>(labels)
        };
        if let Some(path) = existing(&self.folder, &case) {
            let map = same_grid(volume::read_labels(&path)?, &path)?;
            return (targets.iter())
                .map(|name| {
                    let label = self.labels.get(name).ok_or_else(|| {
                        let list = self.folder.join("labels.json");
                        Error::invalid(format!("`{}`: no label is named `{name}`", list.display()))
                    })?;
                    Ok(BinaryMask::from_condition(map.voxels(), |voxel| voxel == label))
                })
                .collect();
        }
        (targets.iter())
            .map(|name| {
                let file = file_name(name);
                let folder = self.folder.join(&case);
                let path = existing(&folder, &file).ok_or_else(|| {
                    let wanted = folder.join(format!("{file}.nii.gz"));
                    Error::invalid(format!("predictions: there is no `{}`", wanted.display()))
                })?;
                let map = same_grid(volume::read_labels(&path)?, &path)?;
                Ok(BinaryMask::from_condition(map.voxels(), |&voxel| voxel > 0))
            })
            .collect()
    }
}

fn existing(folder: &Path, stem: &str) -> Option<PathBuf> {
    EXTENSIONS.iter().map(|extension| folder.join(format!("{stem}.{extension}"))).find(|path| path.is_file())
}
