//! The log of a run: a JSON object a line.

use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// One line of the log: means since the last line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    pub step: u64,
    pub stage: usize,
    pub learning_rate: f64,
    pub loss: f64,
    pub focal: f64,
    pub dice: f64,
    pub iou: f64,
    pub object: f64,
    /// Mean IoU of the best masks where the object is, and the fraction of slices whose presence is predicted right.
    pub best_mask_iou: f64,
    pub presence_accuracy: f64,
    /// The gradient's norm before clipping.
    pub grad_norm: f64,
    pub slices_per_second: f64,
    /// Fraction of the time spent waiting for clips.
    pub data_wait_fraction: f64,
    /// Clips that could not be made so far.
    pub skipped: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub validation: BTreeMap<String, f64>,
}

/// A log that is being written.
pub struct Log {
    path: PathBuf,
    file: std::fs::File,
}

/// The lines of a run's log.
pub fn read_log(run: &Path) -> Result<Vec<LogLine>> {
    let path = run.join("log.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(format!("cannot read `{}`", path.display()), e))?;
    (text.lines().enumerate())
        .map(|(n, line)| {
            serde_json::from_str(line).map_err(|e| {
                let what = format!("`{}`, line {}: is no line of a training log", path.display(), n + 1);
                Error::new(ErrorKind::Format, what).with_source(e)
            })
        })
        .collect()
}

impl Log {
    /// Lines beyond `step` belong to steps that will be made again.
    pub fn open(run: &Path, step: u64) -> Result<Self> {
        let path = run.join("log.jsonl");
        let failed = |e| Error::io(format!("cannot write the log `{}`", path.display()), e);
        let kept: Vec<LogLine> = if path.exists() && step > 0 { read_log(run)? } else { Vec::new() };
        let mut file = std::fs::File::create(&path).map_err(failed)?;
        for line in kept.iter().filter(|line| line.step <= step) {
            writeln!(file, "{}", serde_json::to_string(line).unwrap_or_default()).map_err(failed)?;
        }
        Ok(Self { file, path })
    }

    pub fn write(&mut self, line: &LogLine) -> Result<()> {
        let text = serde_json::to_string(line).unwrap_or_default();
        writeln!(self.file, "{text}")
            .and_then(|()| self.file.flush())
            .map_err(|e| Error::io(format!("cannot write the log `{}`", self.path.display()), e))
    }
}
