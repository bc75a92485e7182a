//! `promem`: segment a scan from one prompt; score models on data sets; look at and convert model files.
//!
//! Parses, calls the library, prints. Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

#![allow(clippy::print_stdout)]

mod args;
mod compare;
mod demo;
mod evaluate;
mod info;
mod progress;
mod prompts;
mod segment;

use args::{Command, Output};
use promem::{Error, ErrorKind};
use std::process::ExitCode;

fn main() -> ExitCode {
    let invocation = match args::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(usage) => usage.exit(),
    };
    let default = if invocation.output == Output::Human { "warn" } else { "error" };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(default)).format_target(false).init();
    let outcome = match &invocation.command {
        Command::Segment(arguments) => segment::run(arguments, invocation.output),
        Command::Info(path) => info::info(path, invocation.output),
        Command::Convert(arguments) => info::convert(arguments, invocation.output),
        Command::Demo(arguments) => demo::run(arguments, invocation.output),
        Command::Evaluate(arguments) => evaluate::run(arguments, invocation.output),
        Command::Compare(arguments) => compare::run(arguments, invocation.output),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, invocation.output),
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
