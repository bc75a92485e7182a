//! Generated anatomy as scans on disk, for `promem evaluate`: held-out kinds of objects, which no training has seen,
//! are scored by the same
//! program as real scans.

use crate::error::{Error, Result};
use crate::geometry::{Dims, Geometry, IjkToRas};
use crate::output::{self, Overwrite};
use crate::train::clip::{Clip, ClipOptions};
use crate::train::phantom::{Kind, Phantoms};
use crate::volume::{self, LabelMap, Volume};
use ndarray::Array3;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Scans of grey 0..1 are written in these steps, as scanners write whole numbers.
const LEVELS: f32 = 1000.0;

/// Writes `count` cases, `cases.json` (a `pairs` data set) and their files; each case holds one object, whose first
/// slice is slice 0 and whose
/// label is its kind. Returns the path of `cases.json`.
pub fn write(
    source: &Phantoms,
    options: &ClipOptions,
    count: u64,
    folder: &Path,
    overwrite: Overwrite,
) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)
        .map_err(|e| Error::io(format!("cannot make the folder `{}`", folder.display()), e))?;
    let list = folder.join("cases.json");
    output::check(&list, overwrite)?;
    let mut cases = Vec::new();
    for number in 0..count {
        let (kind, clip) = source.object(number, options);
        let (image, label) = (format!("{number:03}.nii.gz"), format!("{number:03}_label.nii.gz"));
        let (scan, mask) = volumes(kind, &clip)?;
        volume::write_image(&folder.join(&image), &scan, overwrite)?;
        volume::write_labels(&folder.join(&label), &mask, overwrite, &[])?;
        cases.push(json!({ "name": format!("{number:03}"), "axis": "k", "image": image, "label": label }));
    }
    let names: serde_json::Map<String, serde_json::Value> =
        Kind::ALL.iter().map(|kind| (kind.label().to_string(), json!(kind.name()))).collect();
    let text = serde_json::to_string_pretty(&json!({ "names": names, "cases": cases }))
        .map_err(|e| Error::invalid("cannot write the list of cases").with_source(e))?;
    output::write(&list, overwrite, |out| {
        out.write_all(text.as_bytes()).map_err(|e| Error::io(format!("cannot write `{}`", list.display()), e))
    })?;
    Ok(list)
}

/// Scan and label map of a clip; a slice's frame is 128 mm wide whatever its pixels, and slices are 2 mm apart.
fn volumes(kind: Kind, clip: &Clip) -> Result<(Volume<f32>, LabelMap)> {
    let (slices, rows, columns) = clip.images.dim();
    let pixel = 128.0 / columns as f64;
    let ijk_to_ras = IjkToRas([[-pixel, 0., 0., 0.], [0., -pixel, 0., 0.], [0., 0., 2.0, 0.]]);
    let geometry = Geometry { dims: Dims([columns, rows, slices]), ijk_to_ras };
    let scan = clip.images.mapv(|v| (v * LEVELS).round());
    let labels: Array3<u16> = clip.masks.mapv(|inside| if inside { kind.label() } else { 0 });
    Ok((Volume::new(geometry.clone(), scan)?, Volume::new(geometry, labels)?))
}
