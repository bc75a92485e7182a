//! `promem segment`.

use crate::args::{Output, Segment};
use crate::{progress, prompts};
use promem::geometry::{Axis, SliceIndex};
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

/// Reads, walks, writes. Every output is checked before anything is computed.
pub fn run(arguments: &Segment, print: Output) -> Result<()> {
    let begin = Instant::now();
    check_outputs(arguments)?;
    session::set_threads(arguments.computing.threads);
    let image = Arc::new(volume::read_image(&arguments.image)?);
    let axis = arguments.axis.unwrap_or_else(|| image.geometry().slice_axis());
    let range = arguments.computing.window.resolve(&image);
    let path = match &arguments.model {
        Some(path) => path.clone(),
        None => {
            let program = std::env::current_exe().map_err(|e| Error::io("cannot tell where the program lies", e))?;
            session::default_model(&program)?
        }
    };
    let model = session::load(
        &path,
        arguments.computing.image_size,
        arguments.computing.device,
        arguments.computing.precision,
    )?
    .model;
    let mut session =
        Session::new(model, image.clone(), axis, arguments.computing.window, arguments.computing.cache_mb << 20)?;
    prompts::add(&mut session, arguments)?;

    let options = PropagateOptions {
        direction: arguments.direction,
        range: arguments.range,
        ..PropagateOptions::whole(arguments.search.clone())
    };
    let interrupted = progress::interruption()?;
    let bar = progress::Bar::new("segmenting", print);
    let outcome = session.propagate(&options, &mut |report: SliceReport| {
        bar.show(report.progress);
        Ok(if interrupted.load(Ordering::SeqCst) { Flow::Stop } else { Flow::Continue })
    })?;
    bar.finish();

    let mut labels = LabelMap::empty_like(&image);
    outcome.masks.write(axis, labels.voxels_mut());
    write(arguments, &session, &outcome, &image, &labels, range)?;
    report(arguments, &session, &labels, axis, &options.search, begin.elapsed().as_secs_f64(), print);
    if outcome.stopped {
        return Err(Error::new(
            ErrorKind::Cancelled,
            format!("interrupted; the slices done so far are in `{}`", arguments.output.display()),
        ));
    }
    Ok(())
}

fn check_outputs(arguments: &Segment) -> Result<()> {
    volume::check_output(&arguments.output, arguments.overwrite)?;
    for path in arguments.trace.iter().chain(&arguments.overlay) {
        output::check(path, arguments.overwrite)?;
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
    volume::write_labels(&arguments.output, labels, arguments.overwrite, &objects)?;
    if let Some(path) = &arguments.trace {
        output::write(path, arguments.overwrite, |out| {
            serde_json::to_writer_pretty(out, &outcome.trace)
                .map_err(|e| Error::new(ErrorKind::Io, format!("cannot write `{}`", path.display())).with_source(e))
        })?;
    }
    if let Some(path) = &arguments.overlay {
        let prompted: Vec<SliceIndex> =
            session.prompts().objects().values().flat_map(|slices| slices.keys().copied()).collect();
        let picture = montage::montage(image, labels, session.axis(), range, &prompted);
        picture.write(path, arguments.overwrite)?;
    }
    Ok(())
}

/// What is told of one object.
#[derive(Debug, Default)]
struct Extent {
    voxels: usize,
    slices: Option<(usize, usize)>,
}

fn report(
    arguments: &Segment,
    session: &Session,
    labels: &LabelMap,
    axis: Axis,
    search: &SearchOptions,
    seconds: f64,
    print: Output,
) {
    let extents = extents(session, labels, axis);
    let shown = |path: &Path| path.display().to_string();
    match print {
        Output::Quiet => {}
        Output::Json => {
            let objects: Vec<_> = (extents.iter())
                .map(|(label, extent)| {
                    serde_json::json!({ "object": label, "voxels": extent.voxels, "slices": extent.slices })
                })
                .collect();
            println!(
                "{}",
                serde_json::json!({
                    "output": shown(&arguments.output),
                    "trace": arguments.trace.as_deref().map(shown),
                    "overlay": arguments.overlay.as_deref().map(shown),
                    "axis": axis.to_string(),
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
                match extent.slices {
                    Some((first, last)) => {
                        println!("object {label}: {} voxels on slices {first} to {last}", extent.voxels);
                    }
                    None => println!("object {label}: nothing found"),
                }
            }
            let written = [Some(&arguments.output), arguments.trace.as_ref(), arguments.overlay.as_ref()];
            let written: Vec<String> = written.into_iter().flatten().map(|path| shown(path)).collect();
            println!("wrote {} in {seconds:.1} s", written.join(", "));
        }
    }
}

fn extents(session: &Session, labels: &LabelMap, axis: Axis) -> BTreeMap<u16, Extent> {
    let mut extents: BTreeMap<u16, Extent> =
        session.prompts().objects().keys().map(|object| (object.label(), Extent::default())).collect();
    let array_axis = 2 - axis.index(); // voxels are [k, j, i]
    for (slice, plane) in labels.voxels().axis_iter(ndarray::Axis(array_axis)).enumerate() {
        for label in plane.iter().filter(|&&label| label > 0) {
            if let Some(extent) = extents.get_mut(label) {
                extent.voxels += 1;
                extent.slices = Some((extent.slices.map_or(slice, |(first, _)| first), slice));
            }
        }
    }
    extents
}
