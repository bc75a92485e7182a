//! `promem segment`.

use crate::args::{Output, Segment};
use crate::extents::{extents, LabelExtent};
use crate::interrupt::interruption;
use crate::progress::Bar;
use crate::prompts;
use promem::geometry::SliceIndex;
use promem::picture::montage;
use promem::session::{self, Flow, PropagateOptions, PropagationResult, Session, SliceReport};
use promem::slices::intensity::IntensityRange;
use promem::tracking::SearchOptions;
use promem::volume::{self, LabelMap, Segment as SegmentName, Volume};
use promem::{output, Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Instant;

/// Reads, segments, writes. Output paths are checked before anything is computed.
pub fn run(arguments: &Segment, print: Output) -> Result<()> {
    let begin = Instant::now();
    check_outputs(arguments)?;
    session::set_threads(arguments.computing.threads());
    let search = arguments.search()?;
    let image = Arc::new(volume::read_image(&arguments.image)?);
    let axis = arguments.propagation.axis().unwrap_or_else(|| image.geometry().slice_axis());
    let range = arguments.computing.window.resolve(&image);
    let path = match &arguments.model {
        Some(path) => path.clone(),
        None => {
            let program = std::env::current_exe().map_err(|e| Error::io("cannot find the path of this program", e))?;
            session::default_model(&program)?
        }
    };
    let model = session::load(
        &path,
        arguments.computing.image_size.image_size,
        arguments.computing.device,
        arguments.computing.precision,
    )?
    .model;
    let mut session =
        Session::new(model, image.clone(), axis, arguments.computing.window, arguments.computing.cache_bytes())?;
    prompts::add(&mut session, &arguments.prompts, &arguments.image)?;

    let options = PropagateOptions {
        direction: arguments.propagation.direction(),
        range: arguments.range,
        ..PropagateOptions::whole(search)
    };
    let interrupted = interruption()?;
    let bar = Bar::new("segmenting", print);
    let outcome = session.propagate(&options, &mut |report: SliceReport| {
        bar.show(report.progress);
        Ok(if interrupted.load(Ordering::SeqCst) { Flow::Stop } else { Flow::Continue })
    })?;
    bar.finish();

    let mut labels = LabelMap::empty_like(&image);
    outcome.masks.write(axis, labels.voxels_mut());
    write(arguments, &session, &outcome, &image, &labels, range)?;
    report(arguments, &session, &labels, &options.search, begin.elapsed().as_secs_f64(), print);
    if outcome.stopped {
        return Err(Error::new(
            ErrorKind::Cancelled,
            format!("interrupted; the slices segmented so far are in `{}`", arguments.output.display()),
        ));
    }
    Ok(())
}

fn check_outputs(arguments: &Segment) -> Result<()> {
    volume::check_output(&arguments.output, arguments.force.overwrite())?;
    for path in arguments.trace.iter().chain(&arguments.overlay) {
        output::check(path, arguments.force.overwrite())?;
    }
    Ok(())
}

fn write(
    arguments: &Segment,
    session: &Session,
    outcome: &PropagationResult,
    image: &Volume<f32>,
    labels: &LabelMap,
    range: IntensityRange,
) -> Result<()> {
    let objects: Vec<SegmentName> = (session.prompts().objects().keys())
        .map(|object| SegmentName { label: object.label(), name: format!("Object {object}") })
        .collect();
    volume::write_labels(&arguments.output, labels, arguments.force.overwrite(), &objects)?;
    if let Some(path) = &arguments.trace {
        output::write_json(path, arguments.force.overwrite(), &outcome.trace)?;
    }
    if let Some(path) = &arguments.overlay {
        let prompted: Vec<SliceIndex> =
            session.prompts().objects().values().flat_map(|slices| slices.keys().copied()).collect();
        let picture = montage::montage(image, labels, session.axis(), range, &prompted);
        picture.write(path, arguments.force.overwrite())?;
    }
    Ok(())
}

/// Prints voxels and slices of each object, and the files written.
fn report(
    arguments: &Segment,
    session: &Session,
    labels: &LabelMap,
    search: &SearchOptions,
    seconds: f64,
    print: Output,
) {
    let found = extents(labels, session.axis());
    let of_object = |label: u16| (label, found.get(&label).cloned().unwrap_or_default());
    let extents: BTreeMap<u16, LabelExtent> =
        session.prompts().objects().keys().map(|object| of_object(object.label())).collect();
    let shown = |path: &Path| path.display().to_string();
    match print {
        Output::Quiet => {}
        Output::Json => {
            let objects: Vec<_> = (extents.iter())
                .map(|(label, extent)| {
                    let ends = extent.ends().map(|(first, last)| [first.0, last.0]);
                    serde_json::json!({ "object": label, "voxels": extent.voxels, "slices": ends })
                })
                .collect();
            println!(
                "{}",
                serde_json::json!({
                    "output": shown(&arguments.output),
                    "trace": arguments.trace.as_deref().map(shown),
                    "overlay": arguments.overlay.as_deref().map(shown),
                    "axis": session.axis().to_string(),
                    "windows": search.windows,
                    "beams": search.beams,
                    "objects": objects,
                    "embeddings": session.cache().encoded(),
                    "seconds": seconds,
                })
            );
        }
        Output::Human => {
            for (label, extent) in &extents {
                match extent.ends() {
                    Some((first, last)) => {
                        println!("object {label}: {} voxels on slices {first} to {last}", extent.voxels);
                    }
                    None => println!("object {label}: no voxels"),
                }
            }
            let written = [Some(&arguments.output), arguments.trace.as_ref(), arguments.overlay.as_ref()];
            let written: Vec<String> = written.into_iter().flatten().map(|path| shown(path)).collect();
            println!("wrote {} in {seconds:.1} s", written.join(", "));
        }
    }
}
