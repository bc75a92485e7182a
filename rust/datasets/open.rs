//! Opens a data set of any format.

use super::case::Dataset;
use super::classes::Classes;
use super::format::{unknown_part, DatasetFormat};
use super::spec::Spec;
use super::{btcv, chaos, decathlon, m3d, pairs, plain, totalsegmentator, uls23};
use crate::error::{Error, Result};

/// Opens a data set and lists its cases.
///
/// # Errors
/// `InvalidInput` where the folder is not of this format; the message names what is missing.
pub fn open(spec: &Spec, classes: &Classes) -> Result<Box<dyn Dataset>> {
    if !spec.folder.is_dir() {
        return Err(Error::invalid(format!(
            "data set `{}`: there is no folder `{}`",
            spec.format.name(),
            spec.folder.display()
        )));
    }
    let (folder, classes) = (spec.folder.as_path(), classes.clone());
    let part = spec.part.as_deref();
    let dataset: Result<Box<dyn Dataset>> = match spec.format {
        DatasetFormat::M3d => m3d::open(required_part(spec)?, folder, classes),
        DatasetFormat::TotalSegmentator => totalsegmentator::open(part, folder, classes),
        DatasetFormat::Btcv => btcv::open(part, folder, classes),
        DatasetFormat::Chaos => chaos::open(required_part(spec)?, folder, classes),
        DatasetFormat::Uls23 => uls23::open(required_part(spec)?, folder, classes),
        DatasetFormat::Decathlon => decathlon::open(part, folder, classes),
        DatasetFormat::Plain => plain::open(folder, classes),
        DatasetFormat::Pairs => pairs::open(required_part(spec)?.as_ref(), folder, classes),
    };
    let dataset = dataset.map_err(|e| e.context(format!("data set `{spec}`")))?;
    if dataset.cases().is_empty() {
        return Err(Error::invalid(format!("data set `{spec}`: no case in `{}`", spec.folder.display())));
    }
    Ok(dataset)
}

/// The part, where the format requires one.
fn required_part(spec: &Spec) -> Result<&str> {
    spec.part.as_deref().ok_or_else(|| unknown_part(spec.format, None))
}
