//! `promem-train`: trains a model, plots a run, writes generated scans.

#[macro_use]
#[path = "../promem/console.rs"]
mod console;
#[path = "../promem/interrupt.rs"]
mod interrupt;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use interrupt::interruption;
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
use std::sync::atomic::Ordering;

/// Train a SAM2-ProMem model
#[derive(Parser)]
#[command(name = "promem-train", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(Run),
    Plot(Plot),
    Clips(Clips),
    Cases(Cases),
    Preset(Preset),
}

#[derive(Args)]
struct Configuration {
    /// A TOML file, or a preset: paper, compact, interactive, toy
    config: String,
}

impl Configuration {
    fn read(&self) -> Result<TrainConfig> {
        match TrainConfig::PRESETS.iter().any(|(name, _)| *name == self.config) {
            true => TrainConfig::preset(&self.config),
            false => TrainConfig::read(self.config.as_ref()),
        }
    }
}

#[derive(Args)]
struct Force {
    /// Overwrite existing files
    #[arg(long)]
    force: bool,
}

impl Force {
    fn overwrite(&self) -> Overwrite {
        if self.force {
            Overwrite::Replace
        } else {
            Overwrite::Refuse
        }
    }
}

/// Train; the same command resumes an interrupted run
#[derive(Args)]
struct Run {
    #[command(flatten)]
    configuration: Configuration,
    /// Folder of the run: checkpoint, log, model.safetensors
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Initial weights: .pt or .safetensors
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Seed of the random numbers [default: the configuration's]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Stop after this time, with a checkpoint
    #[arg(long, value_name = "N")]
    minutes: Option<f64>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<u16>,
    /// Print errors only
    #[arg(long)]
    quiet: bool,
}

/// Plot the curves of a run and its results on clips outside the training set
#[derive(Args)]
struct Plot {
    /// Folder of the run
    #[arg(value_name = "FOLDER")]
    run: PathBuf,
}

/// Draw training clips after augmentation
#[derive(Args)]
struct Clips {
    #[command(flatten)]
    configuration: Configuration,
    /// The picture, .png
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Number of the first clip
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Number of clips
    #[arg(long, value_name = "N", default_value_t = 12)]
    count: u64,
    #[command(flatten)]
    force: Force,
}

/// Write generated anatomy as scans, for `promem evaluate --dataset pairs:FOLDER/cases.json`
#[derive(Args)]
struct Cases {
    #[command(flatten)]
    configuration: Configuration,
    /// Folder of the scans
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Number of scans
    #[arg(long, value_name = "N", default_value_t = 60)]
    count: u64,
    /// Slices per scan, 2 to 40
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=40))]
    length: u16,
    /// Objects of the held-out kinds instead of those of the training set
    #[arg(long)]
    held_out: bool,
    #[command(flatten)]
    force: Force,
}

/// Print a preset's configuration
#[derive(Args)]
struct Preset {
    /// paper, compact or toy
    name: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).format_target(false).init();
    session::keep_freed_memory();
    let outcome = match &cli.command {
        Command::Run(arguments) => run(arguments),
        Command::Plot(arguments) => plots(arguments),
        Command::Clips(arguments) => clips(arguments),
        Command::Cases(arguments) => cases(arguments),
        Command::Preset(arguments) => preset(arguments),
    };
    match outcome.and_then(|()| console::outcome()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::complain(format_args!("promem-train: {error}"));
            ExitCode::from(if error.kind() == ErrorKind::Cancelled { 130 } else { 1 })
        }
    }
}

fn run(arguments: &Run) -> Result<()> {
    let mut config = arguments.configuration.read()?;
    config.init = arguments.init.clone().or(config.init);
    config.seed = arguments.seed.unwrap_or(config.seed);
    let quiet = arguments.quiet;
    session::set_threads(arguments.threads.map(usize::from));
    let stop = interruption()?;
    let options = RunOptions {
        output: arguments.output.clone(),
        device: session::choose_device(arguments.device)?,
        minutes: arguments.minutes,
        stop: stop.clone(),
    };
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(config.steps()) };
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {elapsed}, {eta} remaining  {msg}") {
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
        say(&format!("step {} of {}, {hours:.2} h; model: {}", ended.step, ended.steps, ended.model.display()));
    }
    if stop.load(Ordering::SeqCst) {
        let folder = options.output.display();
        return Err(Error::new(
            ErrorKind::Cancelled,
            format!("interrupted; the same command resumes the run in `{folder}`"),
        ));
    }
    Ok(())
}

fn say(text: &str) {
    say!("{text}");
}

fn plots(arguments: &Plot) -> Result<()> {
    let folder = &arguments.run;
    for path in plot::plot(&read_log(folder)?, folder)? {
        say(&path.display().to_string());
    }
    if let Some(path) = session::guarded(|| plot::examples(folder))?? {
        say(&path.display().to_string());
    }
    Ok(())
}

fn clips(arguments: &Clips) -> Result<()> {
    let config = arguments.configuration.read()?;
    let (path, overwrite) = (&arguments.output, arguments.force.overwrite());
    output::check(path, overwrite)?;
    let source = source(&config)?;
    let options = clip_options(&config, config.stages.len() - 1);
    let numbers = arguments.first..arguments.first + arguments.count;
    let made = numbers.map(|n| source.clip(n, &options)).collect::<Result<Vec<_>>>()?;
    plot::sheet(&made, None).write(path, overwrite)?;
    say(&path.display().to_string());
    Ok(())
}

fn cases(arguments: &Cases) -> Result<()> {
    let config = arguments.configuration.read()?;
    let source = test_source(&config, arguments.held_out)?;
    let length = usize::from(arguments.length);
    let options = ClipOptions { length, displacement_stride: None, ..clip_options(&config, config.stages.len() - 1) };
    let (folder, overwrite) = (&arguments.output, arguments.force.overwrite());
    let list = promem::train::cases::write(&source, &options, arguments.count, folder, overwrite)?;
    say(&list.display().to_string());
    Ok(())
}

fn preset(arguments: &Preset) -> Result<()> {
    say(TrainConfig::preset_text(&arguments.name)?.trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declaration_is_valid() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
