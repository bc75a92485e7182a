//! `promem evaluate`: runs an evaluation and writes its report.

use crate::args::{Evaluate, Output, PredictionFolder};
use crate::export::export;
use crate::interrupt::interruption;
use indicatif::{ProgressBar, ProgressStyle};
use promem::datasets;
use promem::evaluate::method::{Method, Predictor};
use promem::evaluate::preset::{Preset, Variant};
use promem::evaluate::protocol::Protocol;
use promem::evaluate::report::{Report, ReportOptions};
use promem::evaluate::run::{Evaluation, Event, NamedDataset, NamedModel, RunOptions, Tally};
use promem::evaluate::store::{file_name, Store};
use promem::session::{self, Flow};
use promem::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;

pub fn run(arguments: &Evaluate, print: Output) -> Result<()> {
    session::set_threads(arguments.computing.threads());
    let datasets = open_datasets(arguments)?;
    let variants = arguments.variants()?;
    if let Some(folder) = &arguments.export_tasks {
        return export(&datasets, &variants[0].protocol, arguments.cases, folder, print);
    }
    // The output folder is made before a model is read.
    let store = Store::open(&arguments.output)?;
    if arguments.force {
        store.clear()?;
    }
    let (models, mut notes) = load_models(arguments)?;
    let methods = methods(arguments, &variants, &models)?;
    let options = RunOptions {
        metrics: arguments.metrics(),
        window: arguments.computing.window,
        cache_bytes: arguments.computing.cache_bytes(),
        cases: arguments.cases,
        worst: arguments.worst,
    };
    let evaluation =
        Evaluation { datasets: &datasets, models: &models, methods: &methods, options: &options, store: &store };
    let tally = watch(&evaluation, print)?;

    if arguments.preset != Some(Preset::Table1) {
        let mut positions: Vec<String> = variants.iter().map(|v| v.protocol.position.to_string()).collect();
        positions.dedup();
        notes.push(format!(
            "Position of the prompt slice: {} (0 is the object's first slice, 1 its last).",
            positions.join(", ")
        ));
    }
    let title = arguments.title.clone().or_else(|| arguments.preset.map(|p| p.title().to_owned()));
    let title = title.unwrap_or_else(|| "Evaluation".into());
    let names: Vec<String> = datasets.iter().map(|named| named.name.clone()).collect();
    let tolerance_mm = options.metrics.tolerance_mm;
    let report_options = ReportOptions { title, preset: arguments.preset, tolerance_mm, notes };
    let report = Report::new(&store, &names, &methods, report_options)?;
    let written = report.write(&store)?;
    // With --json exactly one object is printed: the error, if there is one.
    if print != Output::Json || !(tally.stopped || tally.failed > 0) {
        print_results(&report, &tally, &written, store.folder(), print);
    }
    if tally.stopped {
        let folder = store.folder().display();
        return Err(Error::new(
            ErrorKind::Cancelled,
            format!("interrupted; the results so far are kept in `{folder}`, the same command resumes the run"),
        ));
    }
    if tally.failed > 0 {
        let all = tally.failed + tally.computed + tally.resumed;
        return Err(Error::new(
            ErrorKind::Compute,
            format!("{} of {all} results failed; the report lists the errors", tally.failed),
        ));
    }
    Ok(())
}

fn open_datasets(arguments: &Evaluate) -> Result<Vec<NamedDataset>> {
    let classes = arguments.classes()?;
    let mut opened: Vec<NamedDataset> = Vec::new();
    for spec in &arguments.datasets {
        let name = spec.to_string();
        if opened.iter().any(|known| known.name == name) {
            return Err(Error::invalid(format!("data set `{name}` is given twice")));
        }
        opened.push(NamedDataset { name, dataset: datasets::open(spec, &classes)? });
    }
    Ok(opened)
}

/// The models, and a note about each for the report.
fn load_models(arguments: &Evaluate) -> Result<(Vec<NamedModel>, Vec<String>)> {
    let (mut models, mut notes): (Vec<NamedModel>, Vec<String>) = Default::default();
    for path in &arguments.models {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if models.iter().any(|known| known.name == name) {
            return Err(Error::invalid(format!("two models are named `{name}`; expected different file names")));
        }
        let loaded = session::load(
            path,
            arguments.computing.image_size.image_size,
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

/// SHA-256 of a file, in hexadecimal.
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

/// Every predictor under every variant of the protocol.
fn methods(arguments: &Evaluate, variants: &[Variant], models: &[NamedModel]) -> Result<Vec<Method>> {
    let named = |name: &str, variant: &str| match variants.len() {
        1 => name.to_owned(),
        _ => format!("{name}, {variant}"),
    };
    let mut methods: Vec<Method> = Vec::new();
    for (n, model) in models.iter().enumerate() {
        methods.extend(variants.iter().map(|variant| Method {
            name: named(&model.name, &variant.name),
            predictor: Predictor::Model(n),
            protocol: variant.protocol.clone(),
            variant: arguments.preset.map(|_| variant.name.clone()),
        }));
    }
    if arguments.copy {
        // Copying depends on position and stop rule only.
        let mut seen: Vec<&Variant> = Vec::new();
        for variant in variants {
            let same = |other: &&Variant| {
                let [a, b] = [&other.protocol, &variant.protocol];
                a.position == b.position && a.stop_rule == b.stop_rule
            };
            if !seen.iter().any(same) {
                seen.push(variant);
            }
        }
        methods.extend(seen.iter().map(|variant| Method {
            name: if seen.len() == 1 { "copy".into() } else { named("copy", &variant.name) },
            predictor: Predictor::Copy,
            protocol: Protocol { interaction: None, ..variant.protocol.clone() },
            variant: None,
        }));
    }
    for baseline in &arguments.baselines {
        let on_slice =
            |variant: &&Variant| variant.protocol.interaction.is_some_and(|user| user.action.is_on_prompt_slice());
        methods.extend(variants.iter().filter(on_slice).map(|variant| Method {
            name: named(baseline.name(), &variant.name),
            predictor: Predictor::Baseline(*baseline),
            protocol: variant.protocol.clone(),
            variant: None,
        }));
    }
    let several_rules = variants.iter().any(|v| v.protocol.stop_rule != variants[0].protocol.stop_rule);
    for PredictionFolder { name, stop_rule, folder } in &arguments.predictions {
        let variant = variants.iter().find(|v| v.protocol.stop_rule == *stop_rule).unwrap_or(&variants[0]);
        methods.push(Method {
            name: if several_rules { named(name, &stop_rule.to_string()) } else { name.clone() },
            predictor: Predictor::Masks(folder.clone()),
            protocol: Protocol { stop_rule: *stop_rule, interaction: None, ..variant.protocol.clone() },
            variant: None,
        });
    }
    let names: BTreeSet<String> = methods.iter().map(|method| file_name(&method.name)).collect();
    if names.len() != methods.len() {
        return Err(Error::invalid(
            "two methods have the same name; expected different names of models and predictions",
        ));
    }
    Ok(methods)
}

fn watch(evaluation: &Evaluation, print: Output) -> Result<Tally> {
    let interrupted = interruption()?;
    let bar = if print == Output::Human { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} cases x methods  {elapsed}  {msg}") {
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

fn print_results(report: &Report, tally: &Tally, written: &[std::path::PathBuf], folder: &Path, print: Output) {
    match print {
        Output::Quiet => {}
        Output::Json => say!(
            "{}",
            serde_json::json!({
                "computed": tally.computed,
                "resumed": tally.resumed,
                "failed": tally.failed,
                "stopped": tally.stopped,
                "files": written,
                "datasets": report.summaries(),
            })
        ),
        Output::Human => {
            for summary in report.summaries() {
                say!("{}", summary.dataset);
                for method in &summary.methods {
                    let dice = |key: &str| {
                        let found = method.metric(key);
                        found.map_or("    –".into(), |s| format!("{:.3} / {:.3}", s.mean, s.median))
                    };
                    say!(
                        "  {:36} Dice {}  without prompt slice {}  ({} objects)",
                        method.method,
                        dice("dice"),
                        dice("dice_without_prompt"),
                        method.objects()
                    );
                }
            }
            say!("Dice: mean / median. Report: {}", folder.join("report.html").display());
        }
    }
}
