//! `promem segment`.

use crate::args::{Output, PromptArgument, PromptSlices, Segment};
use crate::axis::{self, Asked, ChosenAxis};
use crate::interrupt::interruption;
use crate::masks::{self, PromptMask};
use crate::progress::Bar;
use crate::results::{self, FoundObject};
use crate::{console, prompts, Found};
use promem::geometry::SliceIndex;
use promem::picture::montage;
use promem::session::{self, Flow, PropagateOptions, PropagationResult, Session, SliceReport};
use promem::slices::intensity::IntensityRange;
use promem::volume::{self, LabelMap, ResultInfo, Scan};
use promem::{output, Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Instant;

/// Reads, segments, writes. Output paths are checked before anything is computed.
pub fn run(arguments: &Segment, print: Output) -> Result<Found> {
    let begin = Instant::now();
    let model_path = model_path(arguments)?;
    check_outputs(arguments, &model_path)?;
    session::set_threads(arguments.computing.threads());
    let search = arguments.search()?;
    let Scan { volume: image, notes, facts } = volume::read_scan(&arguments.image, &arguments.scan.read_options())?;
    volume::check_format(&arguments.output, &facts.slices)?;
    let mut notes: Vec<String> =
        notes.into_iter().map(|note| format!("image `{}`: {note}", arguments.image.display())).collect();
    let masks = masks::read(&arguments.prompts, &image, &arguments.image, arguments.mask_grid)?;
    notes.extend(masks.notes.iter().cloned());
    let slicing = chosen_axis(arguments, &image, &masks.prompts)?;
    let image = Arc::new(image);
    let range = arguments.computing.window.resolve(&image);
    let loaded = session::load(
        &model_path,
        arguments.computing.image_size.image_size,
        arguments.computing.device,
        arguments.computing.precision,
    )?;
    let model = ModelNote { path: model_path, network: loaded.network.clone(), image_size: loaded.image_size };
    let mut session = Session::new(
        loaded.model,
        image.clone(),
        slicing.axis,
        arguments.computing.window,
        arguments.computing.cache_bytes(),
    )?;
    let added = prompts::add(&mut session, &arguments.prompts, &masks)?;
    drop(masks);
    notes.extend(added.notes);
    if print == Output::Human {
        notes.iter().for_each(|note| console::complain(format_args!("promem: {note}")));
        console::complain(format_args!("promem: slices along {}: {}", slicing.axis, slicing.reason));
    }

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
    outcome.masks.write(slicing.axis, labels.voxels_mut());
    let segments = results::segments(session.prompts(), &arguments.names, &added.segments);
    let about = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "model": { "file": model.path.file_name().map(|name| name.to_string_lossy()), "network": model.network, "image_size": model.image_size,
                   "sha256": model.sha256()? },
        "settings": { "axis": slicing.axis.to_string(), "search": options.search },
    });
    let info = ResultInfo { segments: segments.clone(), about: about.clone(), sources: facts.slices };
    volume::write_result(&arguments.output, &labels, arguments.force.overwrite(), &info)?;
    write_pictures(arguments, &session, &outcome, &image, &labels, range)?;
    let objects = results::measure(&image, &labels, slicing.axis, &segments);
    let told = Told { objects: &objects, slicing: &slicing, notes: &notes, about: &about };
    report(arguments, &session, &told, begin.elapsed().as_secs_f64(), print);
    if outcome.stopped {
        return Err(Error::new(
            ErrorKind::Cancelled,
            format!("interrupted; the slices segmented so far are in `{}`", arguments.output.display()),
        ));
    }
    let missing: Vec<&FoundObject> = objects.iter().filter(|object| object.voxels == 0).collect();
    for object in &missing {
        console::complain(format_args!(
            "promem: object {} ({}): nothing was found; expected prompts on the object, or --no-stop",
            object.label,
            object.name.escape_debug()
        ));
    }
    Ok(if missing.is_empty() { Found::Everything } else { Found::NotEveryObject })
}

fn model_path(arguments: &Segment) -> Result<PathBuf> {
    match &arguments.model {
        Some(path) => Ok(path.clone()),
        None => {
            let program = std::env::current_exe().map_err(|e| Error::io("cannot find the path of this program", e))?;
            session::default_model(&program)
        }
    }
}

/// The model of a result.
struct ModelNote {
    path: PathBuf,
    network: String,
    image_size: i64,
}

impl ModelNote {
    fn sha256(&self) -> Result<String> {
        let shown = self.path.display();
        let mut file = std::fs::File::open(&self.path).map_err(|e| Error::io(format!("cannot open `{shown}`"), e))?;
        let mut hash = Sha256::new();
        std::io::copy(&mut file, &mut HashWriter(&mut hash))
            .map_err(|e| Error::io(format!("cannot read `{shown}`"), e))?;
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn chosen_axis(arguments: &Segment, image: &volume::Volume<f32>, masks: &[PromptMask]) -> Result<ChosenAxis> {
    let prompts = &arguments.prompts;
    let drawn: Vec<_> = masks.iter().map(|mask| mask.drawn(prompts.label)).collect();
    let asked = Asked {
        axis: arguments.propagation.axis(),
        slices: prompts.slices != PromptSlices::Middle,
        boxes: prompts.ordered.iter().any(|(_, prompt)| matches!(prompt, PromptArgument::Box(..))),
    };
    axis::choose(image.geometry(), asked, &drawn)
}

fn check_outputs(arguments: &Segment, model: &Path) -> Result<()> {
    let written = volume::outputs(&arguments.output)?;
    let outputs: Vec<&Path> =
        written.iter().chain(&arguments.trace).chain(&arguments.overlay).map(PathBuf::as_path).collect();
    let mut inputs = volume::input_files(&arguments.image, &arguments.scan.read_options());
    inputs.push(arguments.image.clone());
    inputs.extend(masks::paths(&arguments.prompts).flat_map(|path| volume::input_files(path, &Default::default())));
    inputs.push(model.to_owned());
    output::check_distinct(&outputs, &inputs)?;
    outputs.iter().try_for_each(|path| output::check(path, arguments.force.overwrite()))
}

/// The trace and the overlay, where they are asked for.
fn write_pictures(
    arguments: &Segment,
    session: &Session,
    outcome: &PropagationResult,
    image: &volume::Volume<f32>,
    labels: &LabelMap,
    range: IntensityRange,
) -> Result<()> {
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

/// What is printed of a result.
struct Told<'a> {
    objects: &'a [FoundObject],
    slicing: &'a ChosenAxis,
    notes: &'a [String],
    about: &'a serde_json::Value,
}

/// Prints volume, voxels and intensities of each object, and the files written.
fn report(arguments: &Segment, session: &Session, told: &Told, seconds: f64, print: Output) {
    let shown = |path: &Path| path.display().to_string();
    match print {
        Output::Quiet => {}
        Output::Json => say!(
            "{}",
            serde_json::json!({
                "output": shown(&arguments.output),
                "trace": arguments.trace.as_deref().map(shown),
                "overlay": arguments.overlay.as_deref().map(shown),
                "axis": told.slicing.axis.to_string(),
                "axis_reason": told.slicing.reason,
                "windows": told.about["settings"]["search"]["windows"],
                "beams": told.about["settings"]["search"]["beams"],
                "objects": told.objects,
                "notes": told.notes,
                "version": told.about["version"],
                "model": told.about["model"],
                "settings": told.about["settings"],
                "embeddings": session.cache().encoded(),
                "seconds": seconds,
            })
        ),
        Output::Human => {
            results::table(told.objects).iter().for_each(|line| say!("{line}"));
            let written = [Some(&arguments.output), arguments.trace.as_ref(), arguments.overlay.as_ref()];
            let written: Vec<String> = written.into_iter().flatten().map(|path| shown(path)).collect();
            say!("wrote {} in {seconds:.1} s", written.join(", "));
        }
    }
}
