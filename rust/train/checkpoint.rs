//! A training run on disk: weights, their average, the optimizer's moments and the step; enough to go on to the last
//! bit.
//!
//! A checkpoint is a folder that is written whole beside the last one and then takes its place.

use crate::error::{Error, ErrorKind, Result};
use crate::model::checkpoint::{read, write_safetensors};
use crate::model::weights::StateDict;
use crate::model::Config;
use crate::output::Overwrite;
use crate::train::flat::Named;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Device;

/// Files of a checkpoint; all have the network's names and shapes.
const FILES: [&str; 4] = ["weights", "average", "first_moment", "second_moment"];

/// What is not a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimizer steps that are done.
    pub step: u64,
    /// Seconds of training so far, over all sessions.
    pub seconds: f64,
    /// The configuration that the run began with.
    pub config: String,
}

/// A run's state.
pub struct State {
    /// How far the run is.
    pub progress: Progress,
    /// In the order weights, average, first and second moment.
    pub tensors: [Named; 4],
}

/// Where a run keeps its checkpoint.
pub fn folder(run: &Path) -> PathBuf {
    run.join("checkpoint")
}

fn state_dict(tensors: &Named) -> Result<StateDict> {
    let mut state = StateDict::new();
    for (key, tensor) in tensors {
        state.insert(key.clone(), tensor.detach().to_device(Device::Cpu).contiguous())?;
    }
    Ok(state)
}

/// Writes a checkpoint; the last one is there until the new one is whole.
pub fn write(run: &Path, network: &Config, progress: &Progress, tensors: [&Named; 4]) -> Result<()> {
    let (place, fresh, old) = (folder(run), run.join("checkpoint.new"), run.join("checkpoint.old"));
    let failed = |path: &Path| {
        let shown = path.display().to_string();
        move |e| Error::io(format!("cannot write the checkpoint `{shown}`"), e)
    };
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).map_err(failed(&fresh))?;
    }
    std::fs::create_dir_all(&fresh).map_err(failed(&fresh))?;
    for (name, tensors) in FILES.iter().zip(tensors) {
        let path = fresh.join(format!("{name}.safetensors"));
        write_safetensors(&path, network, &state_dict(tensors)?, &BTreeMap::new(), Overwrite::Replace)?;
    }
    let text = serde_json::to_string_pretty(progress)
        .map_err(|e| Error::new(ErrorKind::Io, "cannot write the checkpoint's progress").with_source(e))?;
    std::fs::write(fresh.join("progress.json"), text).map_err(failed(&fresh))?;
    if old.exists() {
        std::fs::remove_dir_all(&old).map_err(failed(&old))?;
    }
    if place.exists() {
        std::fs::rename(&place, &old).map_err(failed(&place))?;
    }
    std::fs::rename(&fresh, &place).map_err(failed(&place))?;
    if old.exists() {
        std::fs::remove_dir_all(&old).map_err(failed(&old))?;
    }
    Ok(())
}

/// The run's checkpoint; `None` where there is none. One that was cut off while it took the last one's place is put
/// right.
pub fn restore(run: &Path) -> Result<Option<State>> {
    let (place, old) = (folder(run), run.join("checkpoint.old"));
    if !place.exists() && old.exists() {
        std::fs::rename(&old, &place).map_err(|e| Error::io(format!("cannot restore `{}`", old.display()), e))?;
    }
    let Some(progress) = progress(run)? else { return Ok(None) };
    let load = |name: &str| -> Result<Named> {
        let file = read(&place.join(format!("{name}.safetensors")))?;
        Ok(file.state.iter().map(|(key, tensor)| (key.to_owned(), tensor.copy())).collect())
    };
    let [a, b, c, d] = FILES;
    Ok(Some(State { progress, tensors: [load(a)?, load(b)?, load(c)?, load(d)?] }))
}

/// How far a run is; `None` before its first checkpoint.
pub fn progress(run: &Path) -> Result<Option<Progress>> {
    let path = folder(run).join("progress.json");
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(format!("cannot read `{}`", path.display()), e))?;
    serde_json::from_str(&text).map(Some).map_err(|e| {
        Error::new(ErrorKind::Format, format!("`{}` is no training run's progress", path.display())).with_source(e)
    })
}

/// Writes a model for use: the average, in `kind`.
pub fn export(
    path: &Path,
    network: &Config,
    average: &Named,
    kind: tch::Kind,
    about: &BTreeMap<String, String>,
) -> Result<()> {
    let converted: Named = average.iter().map(|(key, tensor)| (key.clone(), tensor.to_kind(kind))).collect();
    write_safetensors(path, network, &state_dict(&converted)?, about, Overwrite::Replace)
}
