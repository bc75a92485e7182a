//! Results on disk, one file a case and row: what is done is not done again.

use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::metrics::Scores;
use crate::evaluate::protocol::Task;
use crate::output::{self, Overwrite};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// An object's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectResult {
    pub target: String,
    pub task: Task,
    pub scores: Scores,
}

/// A case's results in one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    pub dataset: String,
    pub case: String,
    pub patient: String,
    pub row: String,
    /// The settings it was made with; a result made with others does not count.
    pub settings: serde_json::Value,
    pub objects: Vec<ObjectResult>,
    /// Why the case could not be scored; such a case is tried again.
    pub failure: Option<String>,
    /// Slice embeddings computed for it, and the seconds it took.
    pub embeddings: usize,
    pub seconds: f64,
}

/// The folder of an evaluation.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// A name that can be a file's on every system.
pub fn file_name(name: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || "-_.+".contains(c) { c } else { '_' };
    let safe: String = name.chars().map(kept).collect();
    safe.trim_matches('.').to_owned()
}

impl Store {
    /// Makes the folder if it is not there.
    pub fn open(folder: &Path) -> Result<Self> {
        let store = Self { folder: folder.to_owned() };
        make_folder(&store.folder.join("results"))?;
        Ok(store)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, dataset: &str, row: &str, case: &str) -> PathBuf {
        let name = format!("{}.json", file_name(case));
        self.folder.join("results").join(file_name(dataset)).join(file_name(row)).join(name)
    }

    /// A finished result under the same settings. One under other settings is an error: the folder would mix two runs.
    pub fn finished(
        &self,
        dataset: &str,
        row: &str,
        case: &str,
        settings: &serde_json::Value,
    ) -> Result<Option<CaseResult>> {
        let path = self.path(dataset, row, case);
        if !path.exists() {
            return Ok(None);
        }
        let result = read(&path)?;
        if result.settings != *settings {
            return Err(Error::invalid(format!(
                "`{}` was made with other settings ({}); expected an output folder of its own for each evaluation, or --force",
                path.display(),
                difference(&result.settings, settings)
            )));
        }
        Ok(result.failure.is_none().then_some(result))
    }

    pub fn write(&self, result: &CaseResult) -> Result<()> {
        let path = self.path(&result.dataset, &result.row, &result.case);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        write_json(&path, result)
    }

    /// Every result in the folder, by data set, row and case.
    pub fn all(&self) -> Result<Vec<CaseResult>> {
        let mut found = Vec::new();
        for dataset in children(&self.folder.join("results"))? {
            for row in children(&dataset)? {
                for case in children(&row)? {
                    if case.extension().is_some_and(|e| e == "json") {
                        found.push(read(&case)?);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Removes what an earlier evaluation left.
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

pub(crate) fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|e| Error::io(format!("cannot make the folder `{}`", path.display()), e))
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    output::write(path, Overwrite::Replace, |out| {
        serde_json::to_writer_pretty(out, value)
            .map_err(|e| Error::new(ErrorKind::Io, format!("cannot write `{}`", path.display())).with_source(e))
    })
}

fn read(path: &Path) -> Result<CaseResult> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(format!("cannot read `{shown}`"), e))?;
    serde_json::from_str(&text).map_err(|e| {
        Error::new(ErrorKind::Format, format!("`{shown}` is not a result of an evaluation")).with_source(e)
    })
}

/// What a folder holds, in order of name; nothing where it does not exist.
fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let failed = |e| Error::io(format!("cannot list `{}`", folder.display()), e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        found.push(entry.map_err(failed)?.path());
    }
    found.sort();
    Ok(found)
}
