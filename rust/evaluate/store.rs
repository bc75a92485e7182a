//! Results on disk, one file for each case and method, so that an interrupted run resumes.

use crate::datasets::list_folder;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::doubt::SliceScore;
use crate::evaluate::interaction::Step;
use crate::evaluate::metrics::Scores;
use crate::evaluate::protocol::Task;
use crate::output::{make_folder, write_json, Overwrite};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// An object's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectResult {
    /// The name of the structure.
    pub target: String,
    /// Its prompt slice and ground-truth range.
    pub task: Task,
    /// Its metrics.
    pub scores: Scores,
    /// Of a model: the slices that it segmented without a prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceScore>,
    /// What a simulated user did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

impl ObjectResult {
    /// By which objects are ranked, the worst first: Dice without the prompt slice, 1 where it is undefined.
    pub fn ranking_dice(&self) -> f64 {
        self.scores.dice_without_prompt.unwrap_or(1.0)
    }
}

/// A case's results under one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The data set's name.
    pub dataset: String,
    /// The case's name.
    pub case: String,
    /// Cases of one patient are not independent.
    pub patient: String,
    /// The method's name.
    pub method: String,
    /// The settings it was computed with.
    pub settings: serde_json::Value,
    /// One for each object that the case has; none where it could not be scored.
    pub objects: Vec<ObjectResult>,
    /// Why the case could not be scored; the next run tries it again.
    pub failure: Option<String>,
    /// Slice embeddings computed for it.
    pub embeddings: usize,
    /// Wall-clock time.
    pub seconds: f64,
}

/// The folder of an evaluation.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// A file name from any name: characters that some system forbids become `_`.
pub fn file_name(name: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || "-_.+".contains(c) { c } else { '_' };
    let safe: String = name.chars().map(kept).collect();
    safe.trim_matches('.').to_owned()
}

impl Store {
    /// Makes the folder where it does not exist.
    pub fn open(folder: &Path) -> Result<Self> {
        let store = Self { folder: folder.to_owned() };
        make_folder(&store.folder.join("results"))?;
        Ok(store)
    }

    /// The folder that [`Store::open`] was called with.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, dataset: &str, method: &str, case: &str) -> PathBuf {
        let name = format!("{}.json", file_name(case));
        self.folder.join("results").join(file_name(dataset)).join(file_name(method)).join(name)
    }

    /// A finished result under the same settings. One under other settings is an error: the folder would mix two runs.
    pub fn finished(
        &self,
        dataset: &str,
        method: &str,
        case: &str,
        settings: &serde_json::Value,
    ) -> Result<Option<CaseResult>> {
        let path = self.path(dataset, method, case);
        if !path.exists() {
            return Ok(None);
        }
        let result = read(&path)?;
        if result.settings != *settings {
            return Err(Error::invalid(format!(
                "`{}` was made with other settings ({}); expected the same settings; give another output folder, or --force to discard the earlier results",
                path.display(),
                difference(&result.settings, settings)
            )));
        }
        Ok(result.failure.is_none().then_some(result))
    }

    /// Keeps a result; one of the same data set, method and case is replaced.
    ///
    /// # Errors
    /// `Io` where the file cannot be written.
    pub fn write(&self, result: &CaseResult) -> Result<()> {
        let path = self.path(&result.dataset, &result.method, &result.case);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        write_json(&path, Overwrite::Replace, result)
    }

    /// Every result in the folder, sorted by data set, method and case.
    pub fn all(&self) -> Result<Vec<CaseResult>> {
        let mut found = Vec::new();
        for dataset in children(&self.folder.join("results"))? {
            for method in children(&dataset)? {
                for case in children(&method)? {
                    if case.extension().is_some_and(|e| e == "json") {
                        found.push(read(&case)?);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Removes the results of an earlier run.
    pub fn clear(&self) -> Result<()> {
        let results = self.folder.join("results");
        std::fs::remove_dir_all(&results).map_err(|e| Error::io(format!("cannot empty `{}`", results.display()), e))?;
        make_folder(&results)
    }
}

/// The first setting that differs.
fn difference(found: &serde_json::Value, expected: &serde_json::Value) -> String {
    use serde_json::Value::Object;
    let (Object(found), Object(expected)) = (found, expected) else {
        return format!("{found}, now {expected}");
    };
    let names = found.keys().chain(expected.keys());
    let missing = serde_json::Value::Null;
    for name in names {
        let (a, b) = (found.get(name).unwrap_or(&missing), expected.get(name).unwrap_or(&missing));
        if a != b {
            return format!("{name}: {}", difference(a, b));
        }
    }
    "equal".into()
}

fn read(path: &Path) -> Result<CaseResult> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(format!("cannot read `{shown}`"), e))?;
    serde_json::from_str(&text).map_err(|e| {
        Error::new(ErrorKind::Format, format!("`{shown}` is not a result of an evaluation")).with_source(e)
    })
}

/// Entries of a folder by name; none where it does not exist.
fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    match folder.is_dir() {
        true => list_folder(folder),
        false => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_without_slices_and_steps_are_read() {
        let scores = Scores {
            dice: Some(0.5),
            dice_without_prompt: None,
            iou: None,
            surface_dice: None,
            hausdorff_95_mm: None,
            average_surface_mm: None,
            volume_error: None,
            truth_voxels: 3,
            predicted_voxels: 2,
            over_slices: 0,
            under_slices: 1,
            by_distance: Vec::new(),
        };
        let task = Task { prompt_slice: 2, first: 1, last: 3 };
        let object = ObjectResult { target: "liver".into(), task, scores, slices: Vec::new(), steps: Vec::new() };
        let written = serde_json::to_value(&object).unwrap();
        assert_eq!(written.as_object().unwrap().len(), 3, "what is empty is not written: {written}");
        assert_eq!(serde_json::from_value::<ObjectResult>(written).unwrap(), object);
    }
}
