//! `promem`: segments scans from prompts, evaluates models on data sets, describes and converts model files.
//!
//! Parses, calls the library, prints. Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

#![allow(clippy::print_stdout)]

mod args;
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
mod progress;
mod prompts;
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
        Command::Info(arguments) => info::info(arguments, output),
        Command::Convert(arguments) => info::convert(arguments, output),
        Command::Demo(arguments) => demo::run(arguments, output),
        #[cfg(feature = "evaluate")]
        Command::Evaluate(arguments) => evaluate::run(arguments, output),
        #[cfg(feature = "evaluate")]
        Command::Compare(arguments) => compare::run(arguments, output),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, output),
    }
}

fn fail(error: &Error, output: Output) -> ExitCode {
    match output {
        Output::Json => {
            let kind = format!("{:?}", error.kind());
            println!("{}", serde_json::json!({ "error": { "kind": kind, "message": error.to_string() } }));
        }
        Output::Human | Output::Quiet => eprintln!("promem: {error}"),
    }
    match error.kind() {
        ErrorKind::Cancelled => ExitCode::from(130),
        _ => ExitCode::from(1),
    }
}
