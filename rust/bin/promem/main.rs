//! `promem`: segments scans from prompts, evaluates models on data sets, describes and converts model files.
//!
//! Parses, calls the library, prints. Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but nothing was found for an
//! object, 130 interrupted.

#[macro_use]
mod console;

mod args;
mod axis;
#[cfg(feature = "evaluate")]
mod compare;
mod demo;
#[cfg(feature = "evaluate")]
mod evaluate;
#[cfg(feature = "evaluate")]
mod export;
mod extents;
mod info;
mod interrupt;
mod masks;
mod progress;
mod prompts;
mod results;
mod scan_info;
mod segment;

use args::{Cli, Command, Output};
use promem::{Error, ErrorKind};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::parse_from_arguments(std::env::args_os()) {
        Ok(cli) => cli,
        Err(usage) => usage.exit(),
    };
    let output = cli.output();
    let default = if output == Output::Human { "warn" } else { "error" };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(default)).format_target(false).init();
    let outcome = match &cli.command {
        Command::Segment(arguments) => segment::run(arguments, output),
        Command::Info(arguments) => info::info(arguments, output).map(|()| Found::Everything),
        Command::Convert(arguments) => info::convert(arguments, output).map(|()| Found::Everything),
        Command::Demo(arguments) => demo::run(arguments, output).map(|()| Found::Everything),
        #[cfg(feature = "evaluate")]
        Command::Evaluate(arguments) => evaluate::run(arguments, output).map(|()| Found::Everything),
        #[cfg(feature = "evaluate")]
        Command::Compare(arguments) => compare::run(arguments, output).map(|()| Found::Everything),
    };
    match outcome.and_then(|found| console::outcome().map(|()| found)) {
        Ok(Found::Everything) => ExitCode::SUCCESS,
        Ok(Found::NotEveryObject) => ExitCode::from(3),
        Err(error) => fail(&error, output),
    }
}

/// Whether a finished command found what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Yes.
    Everything,
    /// For an object no voxel was found; the files are written.
    NotEveryObject,
}

fn fail(error: &Error, output: Output) -> ExitCode {
    match output {
        Output::Json => {
            let kind = format!("{:?}", error.kind());
            say!("{}", serde_json::json!({ "error": { "kind": kind, "message": error.to_string() } }));
        }
        Output::Human | Output::Quiet => console::complain(format_args!("promem: {error}")),
    }
    match error.kind() {
        ErrorKind::Cancelled => ExitCode::from(130),
        _ => ExitCode::from(1),
    }
}
