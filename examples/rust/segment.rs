//! Segments every object of a prompt mask through a whole scan.
//!
//! cargo run --release --example segment -- SCAN MASK OUTPUT [MODEL]
//!
//! SCAN and MASK are NIfTI or NRRD files on one grid; SCAN may be a DICOM series. MASK has each object's label on one slice
//! or more. OUTPUT ends in .nii, .nii.gz, .nrrd or .seg.nrrd. Without MODEL: `PROMEM_MODEL`, else the default model.

use promem::geometry::{SliceIndex, Spacing};
use promem::prompt::ObjectId;
use promem::session::{
    default_model, load, DeviceChoice, Flow, PrecisionChoice, PropagateOptions, Session, SliceReport,
};
use promem::slices::{self, intensity::Window};
use promem::tracking::SearchOptions;
use promem::volume::{self, LabelMap, Overwrite};
use promem::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Embeddings of slices are kept up to this size.
const CACHE_BYTES: usize = 1 << 30;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match arguments.as_slice() {
        [scan, mask, output] => finish(segment(scan, mask, output, None)),
        [scan, mask, output, model] => finish(segment(scan, mask, output, Some(model))),
        _ => {
            eprintln!("usage: segment SCAN MASK OUTPUT [MODEL]");
            ExitCode::from(2)
        }
    }
}

fn finish(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("segment: {error}");
            ExitCode::FAILURE
        }
    }
}

fn segment(scan: &Path, mask: &Path, output: &Path, model: Option<&PathBuf>) -> Result<()> {
    // What cannot be written is refused before anything is computed.
    volume::check_output(output, Overwrite::Refuse)?;
    let scan = Arc::new(volume::read_image(scan)?);
    let prompts = volume::read_labels(mask)?;
    prompts.geometry().check_same_grid(scan.geometry())?;

    let model = match model {
        Some(path) => path.clone(),
        None => default_model(&std::env::current_exe().map_err(|e| Error::io("cannot find this program", e))?)?,
    };
    let loaded = load(&model, None, DeviceChoice::Auto, PrecisionChoice::Auto)?;
    eprintln!("{} on {} in {}", loaded.network, loaded.device_name(), loaded.precision_name());

    let axis = scan.geometry().slice_axis();
    let mut session = Session::new(loaded.model, scan.clone(), axis, Window::Auto, CACHE_BYTES)?;
    for slice in (0..session.slice_count()).map(SliceIndex) {
        let plane = slices::extract(prompts.voxels(), axis, slice);
        let mut labels: Vec<u16> = plane.iter().copied().filter(|&label| label > 0).collect();
        labels.sort_unstable();
        labels.dedup();
        for label in labels {
            let mask = plane.mapv(|voxel| voxel == label);
            session.prompts_mut().add_mask(ObjectId::new(label)?, slice, mask)?;
        }
    }

    // Called after each slice; `Flow::Stop` would end the propagation and keep what is done.
    let options = PropagateOptions::whole(SearchOptions::promem());
    let result = session.propagate(&options, &mut |report: SliceReport| {
        let progress = report.progress;
        eprint!("\r{} of {} slices ", progress.done, progress.expected);
        Ok(Flow::Continue)
    })?;
    eprintln!();

    let mut labels = LabelMap::empty_like(&scan);
    result.masks.write(axis, labels.voxels_mut());
    volume::write_labels(output, &labels, Overwrite::Refuse, &[])?;

    let Spacing(spacing) = scan.geometry().spacing();
    let voxel_ml = spacing.iter().product::<f64>() / 1000.0;
    for object in session.prompts().objects().keys() {
        let voxels = labels.voxels().iter().filter(|&&label| label == object.label()).count();
        let of_object = result.masks.masks().filter(|(found, ..)| found == object);
        let lowest = of_object.min_by(|(_, _, a, _), (_, _, b, _)| a.total_cmp(b));
        let Some((_, slice, score, _)) = lowest else { continue };
        eprintln!(
            "object {object}: {:.1} ml; lowest predicted IoU {score:.2}, on slice {slice}",
            voxels as f64 * voxel_ml
        );
    }
    Ok(())
}
