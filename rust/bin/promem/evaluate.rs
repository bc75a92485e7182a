//! `promem evaluate`.

use crate::args::{Evaluate, Output};
use crate::progress;
use indicatif::{ProgressBar, ProgressStyle};
use promem::datasets;
use promem::evaluate::exchange::{self, TaskFile};
use promem::evaluate::protocol::Extent;
use promem::evaluate::report::{Report, ReportOptions};
use promem::evaluate::row::{Method, Preset, Row};
use promem::evaluate::run::{slice_axis, tasks, Evaluation, Event, NamedDataset, NamedModel, RunOptions, Tally};
use promem::evaluate::store::{file_name, Store};
use promem::output::Overwrite;
use promem::session::{self, Flow};
use promem::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;

pub fn run(arguments: &Evaluate, print: Output) -> Result<()> {
    session::set_threads(arguments.computing.threads);
    let datasets = open_datasets(arguments)?;
    if let Some(folder) = &arguments.export {
        return export(arguments, &datasets, folder, print);
    }
    // An output that cannot be made is told before a model is read.
    let store = Store::open(&arguments.output)?;
    if arguments.overwrite == Overwrite::Replace {
        store.clear()?;
    }
    let (models, mut notes) = load_models(arguments)?;
    let rows = rows(arguments, &models)?;
    let options = RunOptions {
        metrics: arguments.metrics,
        window: arguments.computing.window,
        cache_bytes: arguments.computing.cache_mb << 20,
        cases: arguments.cases,
        worst: arguments.worst,
    };
    let evaluation = Evaluation { datasets: &datasets, models: &models, rows: &rows, options: &options, store: &store };
    let tally = watch(&evaluation, print)?;

    let position = rows.first().map_or(0.5, |row| row.protocol.position);
    if arguments.preset != Some(Preset::Table1) {
        notes.push(format!(
            "The prompt slice lies at {position} between the object's ends (0 the first slice, 1 the last)."
        ));
    }
    notes.push(format!("The surface distance's tolerance is {} mm.", arguments.metrics.tolerance_mm));
    let title = arguments.title.clone().or_else(|| arguments.preset.map(|p| p.title().to_owned()));
    let title = title.unwrap_or_else(|| "Evaluation".into());
    let names: Vec<String> = datasets.iter().map(|named| named.name.clone()).collect();
    let report = Report::new(&store, &names, &rows, ReportOptions { title, preset: arguments.preset, notes })?;
    let written = report.write(store.folder())?;
    // A machine gets one object: the error, if there is one.
    if print != Output::Json || !(tally.stopped || tally.failed > 0) {
        tell(&report, &tally, &written, store.folder(), print);
    }
    if tally.stopped {
        let folder = store.folder().display();
        return Err(Error::new(
            ErrorKind::Cancelled,
            format!("interrupted; what is done is kept in `{folder}`, the same command goes on from there"),
        ));
    }
    if tally.failed > 0 {
        let all = tally.failed + tally.computed + tally.found_done;
        return Err(Error::new(
            ErrorKind::Compute,
            format!("{} of {all} could not be scored; the report says why", tally.failed),
        ));
    }
    Ok(())
}

fn open_datasets(arguments: &Evaluate) -> Result<Vec<NamedDataset>> {
    let mut opened: Vec<NamedDataset> = Vec::new();
    for spec in &arguments.datasets {
        let name = spec.to_string();
        if opened.iter().any(|known| known.name == name) {
            return Err(Error::invalid(format!("data set `{name}` is given twice")));
        }
        opened.push(NamedDataset { name, dataset: datasets::open(spec, &arguments.classes)? });
    }
    Ok(opened)
}

/// Models, and a sentence about each for the report.
fn load_models(arguments: &Evaluate) -> Result<(Vec<NamedModel>, Vec<String>)> {
    let (mut models, mut notes): (Vec<NamedModel>, Vec<String>) = Default::default();
    for path in &arguments.models {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if models.iter().any(|known| known.name == name) {
            return Err(Error::invalid(format!("two models are called `{name}`; expected different file names")));
        }
        let loaded = session::load(
            path,
            arguments.computing.image_size,
            arguments.computing.device,
            arguments.computing.precision,
        )?;
        let digest = digest(path)?;
        let computing = format!("{:?}, {:?}", loaded.device, loaded.precision);
        notes.push(format!(
            "{name}: {} at {} px, {}, SHA-256 {}.",
            loaded.network,
            loaded.image_size,
            computing,
            &digest[..16]
        ));
        let identity = format!("{digest} {} px {computing}", loaded.image_size);
        models.push(NamedModel { name, model: loaded.model, identity });
    }
    Ok((models, notes))
}

fn digest(path: &Path) -> Result<String> {
    let failed = |e| Error::io(format!("cannot read `{}`", path.display()), e);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut part = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut file, &mut part).map_err(failed)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hash.update(&part[..n]),
        }
    }
}

/// Every method under every line of the protocol.
fn rows(arguments: &Evaluate, models: &[NamedModel]) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let variants = &arguments.variants;
    let named = |method: &str, variant: &str| {
        if variants.len() > 1 {
            format!("{method}, {variant}")
        } else {
            method.to_owned()
        }
    };
    for (n, model) in models.iter().enumerate() {
        for v in variants {
            rows.push(Row {
                name: named(&model.name, &v.name),
                method: Method::Model(n),
                protocol: v.protocol.clone(),
                variant: arguments.preset.map(|_| v.name.clone()),
            });
        }
    }
    if arguments.copy {
        // What does not change copying (search, beams) makes no rows of its own.
        let mut seen = Vec::new();
        for v in variants {
            let key = (v.protocol.position.to_bits(), v.protocol.extent);
            if !seen.contains(&key) {
                seen.push(key);
                let protocol = v.protocol.clone();
                rows.push(Row { name: named("copy", &v.name), method: Method::Copy, protocol, variant: None });
            }
        }
        if seen.len() == 1 {
            rows.iter_mut().filter(|row| row.method == Method::Copy).for_each(|row| row.name = "copy".into());
        }
    }
    for (name, extent, folder) in &arguments.predictions {
        let line = variants.iter().find(|v| v.protocol.extent == *extent).or(variants.first());
        let Some(line) = line else { continue };
        let mut protocol = line.protocol.clone();
        protocol.extent = *extent;
        let both = variants.iter().any(|v| v.protocol.extent == Extent::Given) && variants.len() > 1;
        let name = if both {
            named(name, if *extent == Extent::Given { "range given" } else { "free" })
        } else {
            name.clone()
        };
        rows.push(Row { name, method: Method::Predictions(folder.clone()), protocol, variant: None });
    }
    let names: BTreeSet<String> = rows.iter().map(|row| file_name(&row.name)).collect();
    if names.len() != rows.len() {
        return Err(Error::invalid("two rows have the same name; expected different names of models and predictions"));
    }
    Ok(rows)
}

fn watch(evaluation: &Evaluation, print: Output) -> Result<Tally> {
    let interrupted = progress::interruption()?;
    let bar = if print == Output::Human { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} cases x rows  {elapsed}  {msg}") {
        bar.set_style(style);
    }
    let mut slices = 0usize;
    let mut here = String::new();
    let tally = evaluation.run(&mut |event| {
        match event {
            Event::Case { dataset, case, done, all } => {
                slices = 0;
                here = format!("{dataset} {case}");
                bar.set_length(all as u64);
                bar.set_position(done as u64);
                bar.set_message(here.clone());
            }
            Event::Slice => {
                slices += 1;
                bar.set_message(format!("{here}: {slices} slices"));
            }
            Event::Failed { dataset, case, error } => {
                bar.suspend(|| log::warn!("{dataset} {case}: {error}"));
            }
        }
        if interrupted.load(Ordering::SeqCst) {
            Flow::Stop
        } else {
            Flow::Continue
        }
    });
    bar.finish_and_clear();
    tally
}

fn tell(report: &Report, tally: &Tally, written: &[std::path::PathBuf], folder: &Path, print: Output) {
    match print {
        Output::Quiet => {}
        Output::Json => println!(
            "{}",
            serde_json::json!({
                "computed": tally.computed,
                "found_done": tally.found_done,
                "failed": tally.failed,
                "stopped": tally.stopped,
                "files": written,
                "sections": report.sections(),
            })
        ),
        Output::Human => {
            for section in report.sections() {
                println!("{}", section.dataset);
                for line in &section.lines {
                    let dice = |summary: &Option<promem::evaluate::statistics::Summary>| {
                        summary.as_ref().map_or("    –".into(), |s| format!("{:.3} / {:.3}", s.mean, s.median))
                    };
                    println!(
                        "  {:36} Dice {}  beside the prompt slice {}  ({} objects)",
                        line.row,
                        dice(&line.dice),
                        dice(&line.dice_without_prompt),
                        line.dice.as_ref().map_or(0, |s| s.objects)
                    );
                }
            }
            println!("mean / median; the report is {}", folder.join("report.html").display());
        }
    }
}

/// Scans and prompts for another tool.
fn export(arguments: &Evaluate, datasets: &[NamedDataset], folder: &Path, print: Output) -> Result<()> {
    let Some(variant) = arguments.variants.first() else { return Err(Error::invalid("no protocol to export")) };
    for named in datasets {
        let place = folder.join(file_name(&named.name));
        std::fs::create_dir_all(&place)
            .map_err(|e| Error::io(format!("cannot make the folder `{}`", place.display()), e))?;
        let row =
            Row { name: "export".into(), method: Method::Copy, protocol: variant.protocol.clone(), variant: None };
        let mut list = TaskFile { dataset: named.name.clone(), cases: Vec::new() };
        let count = arguments.cases.unwrap_or(usize::MAX);
        for (index, entry) in named.dataset.cases().iter().enumerate().take(count) {
            match named.dataset.read(index) {
                Ok(case) => {
                    let axis = slice_axis(&variant.protocol, entry, &case);
                    list.cases.push(exchange::export_case(&place, entry, &case, axis, &tasks(&case, &row, axis))?);
                }
                Err(error) => log::warn!("{} {}: {error}", named.name, entry.name),
            }
        }
        exchange::export_list(&place, &list)?;
        if print == Output::Human {
            println!("{}: {} cases in {}", named.name, list.cases.len(), place.display());
        }
    }
    Ok(())
}
