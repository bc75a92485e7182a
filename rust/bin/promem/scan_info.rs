//! `promem info` of a scan.

use crate::args::{Info, Output};
use crate::axis::{self, Asked};
use crate::console;
use promem::geometry::Dims;
use promem::volume::{self, dicom, Scan, SeriesInfo};
use promem::Result;

/// Bytes of a scan's and a label map's voxel in memory.
const VOXEL_BYTES: usize = 4 + 2;
/// Default of `--cache-mb`.
const CACHE_MB: usize = 1024;
/// Model, libtorch and the work on a slice, in MB. Generous: `promem segment` on the scan of `promem demo` peaks at 272 MB,
/// voxels and embeddings included.
const ENGINE_MB: usize = 500;

/// Prints what a run would know of the scan.
pub fn describe(arguments: &Info, print: Output) -> Result<()> {
    let options = arguments.scan.read_options();
    if arguments.file.is_dir() && options.series.is_none() {
        let (series, notes) =
            dicom::series(&arguments.file).map_err(|e| e.context(format!("`{}`", arguments.file.display())))?;
        if series.len() > 1 {
            print_series(&series, &notes, print);
            return Ok(());
        }
    }
    let Scan { volume: scan, notes, facts } = volume::read_first(&arguments.file, &options)?;
    let geometry = scan.geometry();
    let asked = Asked { axis: None, slices: false, boxes: false };
    let slicing = axis::choose(geometry, asked, &[])?;
    let (mut least, mut greatest, mut sum) = (f32::INFINITY, f32::NEG_INFINITY, 0.0);
    for &value in scan.voxels() {
        (least, greatest, sum) = (least.min(value), greatest.max(value), sum + f64::from(value));
    }
    let count = scan.voxels().len();
    let mean = sum / count as f64;
    let memory = count * VOXEL_BYTES / 1_000_000 + CACHE_MB + ENGINE_MB;
    let map = geometry.ijk_to_ras.0;
    match print {
        Output::Json => say!(
            "{}",
            serde_json::json!({
                "kind": facts.kind,
                "size": geometry.dims.0,
                "spacing_mm": geometry.spacing().0,
                "orientation": geometry.orientation(),
                "ijk_to_ras": [map[0], map[1], map[2], [0.0, 0.0, 0.0, 1.0]],
                "values": { "min": least, "max": greatest, "mean": mean },
                "stored": facts.stored,
                "axis": slicing.axis.to_string(),
                "axis_reason": slicing.reason,
                "frames": facts.frames,
                "series": facts.series,
                "files": facts.files.len(),
                "memory_mb": memory,
                "notes": notes,
            })
        ),
        Output::Human | Output::Quiet => {
            notes.iter().for_each(|note| console::complain(format_args!("promem: {note}")));
            let Dims([i, j, k]) = geometry.dims;
            let number = |v: f64| format!("{}", (v * 1e4).round() / 1e4 + 0.0);
            say!("kind: {}, stored as {}", facts.kind, facts.stored);
            say!("size: {i} x {j} x {k} voxels");
            say!("spacing: {} mm", geometry.spacing().0.map(number).join(" x "));
            say!("orientation: {} (i, j and k rise in these directions)", geometry.orientation());
            for (axis, row) in ["x", "y", "z"].iter().zip(map) {
                say!("map to RAS, {axis}: {}", row.map(number).join("  "));
            }
            say!("values: {least} to {greatest}, mean {}", number(mean));
            say!("frames: {}", facts.frames);
            say!("slice axis: {} ({})", slicing.axis, slicing.reason);
            for series in &facts.series {
                say!("series:{}", series.line());
            }
            say!("memory of a run: about {memory} MB, {CACHE_MB} MB of them for cached embeddings (--cache-mb)");
        }
    }
    Ok(())
}

fn print_series(series: &[SeriesInfo], notes: &[String], print: Output) {
    match print {
        Output::Json => say!("{}", serde_json::json!({ "kind": "DICOM folder", "series": series, "notes": notes })),
        Output::Human | Output::Quiet => {
            notes.iter().for_each(|note| console::complain(format_args!("promem: {note}")));
            say!("kind: DICOM folder of {} series; --series NUMBER describes one", series.len());
            series.iter().for_each(|info| say!("{}", info.line()));
        }
    }
}
