//! The command line as types.

mod evaluate;
mod segment;
mod walk;

pub use evaluate::{Compare, Evaluate};
pub use segment::{PromptArgument, PromptSlices, Segment};

use clap::{value_parser, Arg, ArgAction, ArgMatches, Command as ClapCommand};
use promem::volume::Overwrite;
use promem::{Error, Result};
use std::ffi::OsString;
use std::path::PathBuf;

/// Who reads what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Human,
    Quiet,
    Json,
}

pub struct Invocation {
    pub output: Output,
    pub command: Command,
}

pub enum Command {
    Segment(Box<Segment>),
    Info(PathBuf),
    Convert(Convert),
    Demo(Demo),
    Evaluate(Box<Evaluate>),
    Compare(Compare),
}

pub struct Convert {
    pub input: PathBuf,
    pub output: PathBuf,
    pub image_size: Option<i64>,
    pub licence: Option<String>,
    /// The probability of presence below which runs end best.
    pub presence_threshold: Option<f64>,
    /// The weight of appearance that is best.
    pub intensity_weight: Option<f64>,
    pub overwrite: Overwrite,
}

pub struct Demo {
    pub folder: PathBuf,
    pub network: String,
    pub overwrite: Overwrite,
}

/// Parses the arguments; the error prints itself and exits with status 2 (or 0 for `--help`).
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> std::result::Result<Invocation, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    let output = match (matches.get_flag("json"), matches.get_flag("quiet")) {
        (true, _) => Output::Json,
        (false, true) => Output::Quiet,
        (false, false) => Output::Human,
    };
    let parsed = match matches.subcommand() {
        Some(("segment", m)) => segment::segment(m).map(|s| Command::Segment(Box::new(s))),
        Some(("info", m)) => Ok(Command::Info(path(m, "file"))),
        Some(("convert", m)) => Ok(Command::Convert(Convert {
            input: path(m, "input"),
            output: path(m, "output"),
            image_size: m.get_one("image-size").copied(),
            licence: m.get_one("licence").cloned(),
            presence_threshold: m.get_one("presence-threshold").copied(),
            intensity_weight: m.get_one("intensity-weight").copied(),
            overwrite: overwrite(m),
        })),
        Some(("demo", m)) => Ok(Command::Demo(Demo {
            folder: path(m, "folder"),
            network: m.get_one::<String>("network").cloned().unwrap_or_default(),
            overwrite: overwrite(m),
        })),
        Some(("evaluate", m)) => evaluate::evaluate(m).map(|e| Command::Evaluate(Box::new(e))),
        Some(("compare", m)) => evaluate::compare(m).map(Command::Compare),
        _ => unreachable!("clap requires a known subcommand"),
    };
    let command_line = parsed.map_err(|e| command.error(clap::error::ErrorKind::ValueValidation, e.to_string()))?;
    Ok(Invocation { output, command: command_line })
}

fn command() -> ClapCommand {
    ClapCommand::new("promem")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Segment a whole 3D scan from one prompt on one slice")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args([
            flag("quiet", "Print errors only").global(true).short('q'),
            flag("json", "Print one JSON object on standard output, for machines").global(true),
        ])
        .subcommand(segment::segment_command())
        .subcommand(evaluate::evaluate_command())
        .subcommand(evaluate::compare_command())
        .subcommand(
            ClapCommand::new("info")
                .about("Say what a model file is: layout, network, image size, licence")
                .arg(Arg::new("file").required(true).value_parser(value_parser!(PathBuf))),
        )
        .subcommand(
            ClapCommand::new("convert")
                .about("Turn a SAM 2, SAM 2.1 or MedSAM2 .pt file into a .safetensors file")
                .args([
                    Arg::new("input").required(true).value_name("IN.pt").value_parser(value_parser!(PathBuf)),
                    Arg::new("output")
                        .required(true)
                        .value_name("OUT.safetensors")
                        .value_parser(value_parser!(PathBuf)),
                    image_size(),
                    option("licence", "TEXT", "Licence of the weights, kept in the file"),
                    option(
                        "presence-threshold",
                        "P",
                        "Minimum object-presence probability to continue, kept in the file",
                    )
                    .value_parser(value_parser!(f64)),
                    option(
                        "intensity-weight",
                        "WEIGHT",
                        "Weight of what intensities on the prompt slice say, kept in the file",
                    )
                    .value_parser(value_parser!(f64)),
                    force(),
                ]),
        )
        .subcommand(
            ClapCommand::new("demo")
                .about("Write a generated scan, a prompt mask and a model with pseudo-random weights into a folder")
                .args([
                    Arg::new("folder").required(true).value_parser(value_parser!(PathBuf)),
                    option("network", "NAME", "toy, or an official network such as sam2.1_hiera_tiny")
                        .default_value("toy"),
                    force(),
                ]),
        )
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn file(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).value_parser(value_parser!(PathBuf))
}

fn force() -> Arg {
    flag("force", "Overwrite existing outputs")
}

fn image_size() -> Arg {
    option(
        "image-size",
        "N",
        "Side of the square the network sees, a multiple of 32, at most 8192 [default: the model's own, else 512]",
    )
    .value_parser(value_parser!(i64))
}

fn path(matches: &ArgMatches, name: &str) -> PathBuf {
    matches.get_one::<PathBuf>(name).cloned().unwrap_or_default()
}

fn overwrite(matches: &ArgMatches) -> Overwrite {
    if matches.get_flag("force") {
        Overwrite::Replace
    } else {
        Overwrite::Refuse
    }
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str)
}

/// Whole numbers separated by commas; `counts` are the allowed numbers of them, empty for any but none.
fn numbers(value: &str, option: &str, counts: &[usize]) -> Result<Vec<usize>> {
    let parsed: std::result::Result<Vec<usize>, _> = value.split(',').map(|part| part.trim().parse()).collect();
    match parsed {
        Ok(list) if counts.is_empty() || counts.contains(&list.len()) => Ok(list),
        _ => {
            let how_many = counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            let how_many = if how_many.is_empty() { "some".into() } else { how_many };
            Err(Error::invalid(format!("{option} `{value}`: expected {how_many} whole numbers separated by commas")))
        }
    }
}
