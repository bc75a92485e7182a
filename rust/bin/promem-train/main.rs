//! `promem-train`: trains a model, and shows how a run goes.

use clap::{value_parser, Arg, ArgAction, ArgMatches, Command};
use indicatif::{ProgressBar, ProgressStyle};
use promem::output::{self, Overwrite};
use promem::session::{self, DeviceChoice};
use promem::train::clip::ClipOptions;
use promem::train::config::TrainConfig;
use promem::train::log::{read_log, LogLine};
use promem::train::plot;
use promem::train::run::{clip_options, source, test_source, train, RunOptions};
use promem::{Error, ErrorKind, Result};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

fn main() -> ExitCode {
    let matches = command().get_matches();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).format_target(false).init();
    session::keep_freed_memory();
    let outcome = match matches.subcommand() {
        Some(("run", m)) => run(m),
        Some(("plot", m)) => plots(m),
        Some(("clips", m)) => clips(m),
        Some(("cases", m)) => cases(m),
        Some(("preset", m)) => preset(m),
        _ => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("promem-train: {error}");
            ExitCode::from(if error.kind() == ErrorKind::Cancelled { 130 } else { 1 })
        }
    }
}

fn command() -> Command {
    let configuration = || {
        Arg::new("config")
            .required(true)
            .value_name("CONFIG")
            .help("A TOML file, or the name of a preset: paper, compact, toy")
    };
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("PATH").value_parser(value_parser!(PathBuf)).help(help)
    };
    Command::new("promem-train")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Train a SAM2-ProMem model")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([
            Command::new("run").about("Train; a run that was stopped goes on when the command is given again").args([
                configuration(),
                file("output", "Folder of the run: checkpoint, log, model.safetensors").short('o').required(true),
                file("init", "Begin with this model's weights: .pt or .safetensors"),
                Arg::new("seed").long("seed").value_name("N").value_parser(value_parser!(u64)).help("Another seed"),
                Arg::new("minutes")
                    .long("minutes")
                    .value_name("N")
                    .value_parser(value_parser!(f64))
                    .help("Stop after so many minutes, with a checkpoint"),
                Arg::new("device")
                    .long("device")
                    .value_name("DEVICE")
                    .default_value("auto")
                    .help("auto, cpu or cuda:N"),
                Arg::new("threads")
                    .long("threads")
                    .value_name("N")
                    .value_parser(value_parser!(u16))
                    .help("Threads of an operation"),
                Arg::new("quiet").long("quiet").action(ArgAction::SetTrue).help("Print nothing"),
            ]),
            Command::new("plot")
                .about("Draw the curves of a run, and what it finds on clips that it has not seen")
                .arg(Arg::new("run").required(true).value_name("FOLDER").value_parser(value_parser!(PathBuf))),
            Command::new("clips").about("Draw clips as the network will see them").args([
                configuration(),
                file("output", "The picture, .png").short('o').required(true),
                Arg::new("first")
                    .long("first")
                    .value_name("N")
                    .default_value("0")
                    .value_parser(value_parser!(u64))
                    .help("Number of the first clip"),
                Arg::new("count")
                    .long("count")
                    .value_name("N")
                    .default_value("12")
                    .value_parser(value_parser!(u64))
                    .help("How many"),
                Arg::new("force").long("force").action(ArgAction::SetTrue).help("Overwrite"),
            ]),
            Command::new("cases")
                .about("Write generated anatomy as scans, for `promem evaluate --dataset pairs:FOLDER/cases.json`")
                .args([
                    configuration(),
                    file("output", "Folder of the scans").short('o').required(true),
                    Arg::new("count")
                        .long("count")
                        .value_name("N")
                        .default_value("60")
                        .value_parser(value_parser!(u64))
                        .help("How many"),
                    Arg::new("length")
                        .long("length")
                        .value_name("N")
                        .default_value("16")
                        .value_parser(value_parser!(u16).range(2..=40))
                        .help("Slices of a scan"),
                    Arg::new("held-out")
                        .long("held-out")
                        .action(ArgAction::SetTrue)
                        .help("Objects of the kinds that the configuration holds out, instead of those it trains on"),
                    Arg::new("force").long("force").action(ArgAction::SetTrue).help("Overwrite"),
                ]),
            Command::new("preset").about("Print a preset's configuration").arg(Arg::new("name").required(true)),
        ])
}

fn configuration(m: &ArgMatches) -> Result<TrainConfig> {
    let text = m.get_one::<String>("config").map_or("", String::as_str);
    match TrainConfig::PRESETS.iter().any(|(name, _)| *name == text) {
        true => TrainConfig::preset(text),
        false => TrainConfig::read(text.as_ref()),
    }
}

fn run(m: &ArgMatches) -> Result<()> {
    let mut config = configuration(m)?;
    if let Some(init) = m.get_one::<PathBuf>("init") {
        config.init = Some(init.clone());
    }
    if let Some(&seed) = m.get_one("seed") {
        config.seed = seed;
    }
    let quiet = m.get_flag("quiet");
    let device: DeviceChoice = m.get_one::<String>("device").map_or("auto", String::as_str).parse()?;
    session::set_threads(m.get_one::<u16>("threads").map(|&n| usize::from(n)));
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
    .map_err(|e| Error::new(ErrorKind::Compute, "cannot listen for Ctrl-C").with_source(e))?;
    let options = RunOptions {
        output: m.get_one::<PathBuf>("output").cloned().unwrap_or_default(),
        device: session::choose_device(device)?,
        minutes: m.get_one("minutes").copied(),
        stop: stop.clone(),
    };
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(config.steps()) };
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {elapsed} left {eta}  {msg}") {
        bar.set_style(style);
    }
    let ended = train(&config, &options, &mut |line: &LogLine| {
        bar.set_position(line.step);
        bar.set_message(format!(
            "loss {:.3}, IoU {:.3}, {:.1} slices/s",
            line.loss, line.best_mask_iou, line.slices_per_second
        ));
        if !line.validation.is_empty() && !quiet {
            let shown: Vec<String> = line.validation.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
            bar.println(format!("step {}: {}", line.step, shown.join(", ")));
        }
    })?;
    bar.finish_and_clear();
    let hours = ended.seconds / 3600.0;
    if !quiet {
        say(&format!("step {} of {}, {hours:.2} h; the model is {}", ended.step, ended.steps, ended.model.display()));
    }
    if stop.load(Ordering::SeqCst) {
        let folder = options.output.display();
        return Err(Error::new(ErrorKind::Cancelled, format!("interrupted; the same command goes on from `{folder}`")));
    }
    Ok(())
}

#[allow(clippy::print_stdout)]
fn say(text: &str) {
    println!("{text}");
}

fn plots(m: &ArgMatches) -> Result<()> {
    let folder = m.get_one::<PathBuf>("run").cloned().unwrap_or_default();
    for path in plot::plot(&read_log(&folder)?, &folder)? {
        say(&path.display().to_string());
    }
    if let Some(path) = session::guarded(|| plot::examples(&folder))?? {
        say(&path.display().to_string());
    }
    Ok(())
}

fn clips(m: &ArgMatches) -> Result<()> {
    let config = configuration(m)?;
    let path = m.get_one::<PathBuf>("output").cloned().unwrap_or_default();
    let overwrite = if m.get_flag("force") { Overwrite::Replace } else { Overwrite::Refuse };
    output::check(&path, overwrite)?;
    let source = source(&config)?;
    let options = clip_options(&config, config.stages.len() - 1);
    let number = |name: &str| m.get_one::<u64>(name).copied().unwrap_or(0);
    let first = number("first");
    let made = (first..first + number("count")).map(|n| source.clip(n, &options)).collect::<Result<Vec<_>>>()?;
    plot::sheet(&made, None).write(&path, overwrite)?;
    say(&path.display().to_string());
    Ok(())
}

fn cases(m: &ArgMatches) -> Result<()> {
    let config = configuration(m)?;
    let folder = m.get_one::<PathBuf>("output").cloned().unwrap_or_default();
    let overwrite = if m.get_flag("force") { Overwrite::Replace } else { Overwrite::Refuse };
    let length = m.get_one::<u16>("length").map_or(16, |&n| usize::from(n));
    let source = test_source(&config, m.get_flag("held-out"))?;
    let options = ClipOptions { length, flow: None, ..clip_options(&config, config.stages.len() - 1) };
    let count = m.get_one::<u64>("count").copied().unwrap_or(0);
    say(&promem::train::cases::write(&source, &options, count, &folder, overwrite)?.display().to_string());
    Ok(())
}

fn preset(m: &ArgMatches) -> Result<()> {
    let text = TrainConfig::preset_text(m.get_one::<String>("name").map_or("", String::as_str))?;
    say(text.trim_end());
    Ok(())
}
