//! The command line as types. Options whose order matters (`--object` and the prompts after it) are read by position.

mod evaluate;
mod walk;

pub use evaluate::{Compare, Evaluate};

use clap::{value_parser, Arg, ArgAction, ArgMatches, Command as ClapCommand};
use promem::geometry::{Axis, SliceIndex, VoxelIndex};
use promem::memory::SearchOptions;
use promem::prompt::{ObjectId, PointLabel};
use promem::session::{DeviceChoice, Direction, PrecisionChoice};
use promem::slices::intensity::Window;
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

/// A prompt of the command line.
#[derive(Debug, Clone, PartialEq)]
pub enum PromptArgument {
    Mask(PathBuf),
    Point(VoxelIndex, PointLabel),
    /// i0, j0, i1, j1 and the slice; on other axes the two in-plane axes in rising order.
    Box([usize; 5]),
}

/// Which slices of a prompt mask count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptSlices {
    Middle,
    All,
    These(Vec<SliceIndex>),
}

pub struct Segment {
    pub image: PathBuf,
    pub model: Option<PathBuf>,
    /// In the order given, each with the object named before it, if any.
    pub prompts: Vec<(Option<ObjectId>, PromptArgument)>,
    pub label: Option<u16>,
    pub prompt_slices: PromptSlices,
    pub axis: Option<Axis>,
    pub direction: Direction,
    pub range: Option<(SliceIndex, SliceIndex)>,
    pub search: SearchOptions,
    pub window: Window,
    pub image_size: Option<i64>,
    pub precision: PrecisionChoice,
    pub device: DeviceChoice,
    pub threads: Option<usize>,
    pub cache_mb: usize,
    pub output: PathBuf,
    pub trace: Option<PathBuf>,
    pub overlay: Option<PathBuf>,
    pub overwrite: Overwrite,
}

pub struct Convert {
    pub input: PathBuf,
    pub output: PathBuf,
    pub image_size: Option<i64>,
    pub licence: Option<String>,
    /// The probability of presence below which runs end best.
    pub presence: Option<f64>,
    /// The weight of appearance that is best.
    pub appearance: Option<f64>,
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
        Some(("segment", m)) => segment(m).map(|s| Command::Segment(Box::new(s))),
        Some(("info", m)) => Ok(Command::Info(path(m, "file"))),
        Some(("convert", m)) => Ok(Command::Convert(Convert {
            input: path(m, "input"),
            output: path(m, "output"),
            image_size: m.get_one("image-size").copied(),
            licence: m.get_one("licence").cloned(),
            presence: m.get_one("presence").copied(),
            appearance: m.get_one("appearance").copied(),
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
        .subcommand(segment_command())
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
                        "presence",
                        "P",
                        "A run goes on while the object is there with at least this probability, kept in the file",
                    )
                    .value_parser(value_parser!(f64)),
                    option(
                        "appearance",
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

fn segment_command() -> ClapCommand {
    let several = |arg: Arg| arg.action(ArgAction::Append).allow_hyphen_values(true);
    ClapCommand::new("segment")
        .about("Segment a scan (NIfTI, NRRD or a DICOM series) from prompts on one or more slices")
        .after_help("Indices are voxels, counted from 0. Prompts apply to the object named before them (default 1).")
        .args([
            file("image", "FILE", "The scan").required(true),
            file("model", "FILE", "Model: SAM 2 / SAM 2.1 / MedSAM2 .pt, or .safetensors [default: PROMEM_MODEL, else the one that comes with the program]"),
        ])
        .next_help_heading("Prompts")
        .args([
            file(
                "prompt-mask",
                "FILE",
                "Label map on the scan's grid; without --label each of its labels is an object",
            )
            .action(ArgAction::Append),
            option("label", "N", "The label of the prompt mask that counts")
                .value_parser(value_parser!(u16).range(1..)),
            option(
                "prompt-slice",
                "K",
                "Slices of the prompt mask that count: K[,K...] or all [default: the middle of the label's extent]",
            ),
            several(option("point", "I,J,K[,0]", "A voxel inside the object; with a last 0 one outside it")),
            several(option(
                "box",
                "I0,J0,I1,J1,K",
                "Two opposite corners on slice K; on other axes the two in-plane axes in rising order",
            )),
            several(option("object", "N", "Number (label) of the object that the prompts after it belong to")),
        ])
        .next_help_heading("Walk")
        .args(walk::direction_args())
        .args([option("range", "FIRST,LAST", "Slices to stay within, both included")])
        .next_help_heading("Memory")
        .args(walk::memory_args())
        .next_help_heading("Computing")
        .args(walk::computing_args())
        .args([image_size()])
        .next_help_heading("Results")
        .args([
            file("output", "FILE", "Label map to write: .nii, .nii.gz, .seg.nrrd or .nrrd").required(true).short('o'),
            file("trace", "FILE.json", "Scores of every candidate on every slice"),
            file("overlay", "FILE.png", "Montage of slices with the contour; the prompt slice is framed"),
            force(),
        ])
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
        "Side of the square the network sees, a multiple of 32 [default: the model's own, else 512]",
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

fn segment(m: &ArgMatches) -> Result<Segment> {
    let prompts = prompts(m)?;
    let range = match text(m, "range").map(|t| numbers(t, "--range", &[2])).transpose()?.as_deref() {
        Some(&[first, last]) => Some((SliceIndex(first), SliceIndex(last))),
        _ => None,
    };
    let prompt_slices = match text(m, "prompt-slice") {
        None => PromptSlices::Middle,
        Some("all") => PromptSlices::All,
        Some(list) => PromptSlices::These(numbers(list, "--prompt-slice", &[])?.into_iter().map(SliceIndex).collect()),
    };
    Ok(Segment {
        image: path(m, "image"),
        model: m.get_one("model").cloned(),
        prompts,
        label: m.get_one("label").copied(),
        prompt_slices,
        axis: walk::axis(m)?,
        direction: walk::direction(m)?,
        range,
        search: walk::search(m)?,
        window: text(m, "window").unwrap_or("auto").parse()?,
        image_size: m.get_one("image-size").copied(),
        precision: text(m, "precision").unwrap_or("auto").parse()?,
        device: text(m, "device").unwrap_or("auto").parse()?,
        threads: m.get_one::<u16>("threads").map(|&n| usize::from(n)),
        cache_mb: m.get_one::<u32>("cache-mb").map_or(1024, |&n| n as usize),
        output: path(m, "output"),
        trace: m.get_one("trace").cloned(),
        overlay: m.get_one("overlay").cloned(),
        overwrite: overwrite(m),
    })
}

/// Prompts in the order of the command line, each with the object named before it.
fn prompts(m: &ArgMatches) -> Result<Vec<(Option<ObjectId>, PromptArgument)>> {
    enum Word {
        Object(ObjectId),
        Prompt(PromptArgument),
    }
    let mut words: Vec<(usize, Word)> = Vec::new();
    for (index, value) in positioned::<String>(m, "object") {
        let label = value.parse().map_err(|_| Error::invalid(format!("--object `{value}`: expected 1 to 65535")))?;
        words.push((index, Word::Object(ObjectId::new(label)?)));
    }
    for (index, value) in positioned::<PathBuf>(m, "prompt-mask") {
        words.push((index, Word::Prompt(PromptArgument::Mask(value.clone()))));
    }
    for (index, value) in positioned::<String>(m, "point") {
        words.push((index, Word::Prompt(point(value)?)));
    }
    for (index, value) in positioned::<String>(m, "box") {
        let corners = numbers(value, "--box", &[5])?;
        words.push((index, Word::Prompt(PromptArgument::Box(corners.try_into().expect("five numbers were checked")))));
    }
    words.sort_by_key(|(index, _)| *index);
    let (mut object, mut prompts) = (None, Vec::new());
    for (_, word) in words {
        match word {
            Word::Object(named) => object = Some(named),
            Word::Prompt(prompt) => prompts.push((object, prompt)),
        }
    }
    if prompts.is_empty() {
        return Err(Error::invalid("no prompt: expected --prompt-mask, --point or --box"));
    }
    Ok(prompts)
}

fn positioned<'a, T: Clone + Send + Sync + 'static>(m: &'a ArgMatches, name: &str) -> Vec<(usize, &'a T)> {
    let indices = m.indices_of(name).into_iter().flatten();
    indices.zip(m.get_many::<T>(name).into_iter().flatten()).collect()
}

fn point(value: &str) -> Result<PromptArgument> {
    let parts = numbers(value, "--point", &[3, 4])?;
    let label = match parts.get(3) {
        None | Some(1) => PointLabel::Foreground,
        Some(0) => PointLabel::Background,
        Some(other) => return Err(Error::invalid(format!("--point `{value}`: last number {other}, expected 0 or 1"))),
    };
    Ok(PromptArgument::Point(VoxelIndex([parts[0], parts[1], parts[2]]), label))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(extra: &[&str]) -> std::result::Result<Segment, String> {
        let words = ["promem", "segment", "--image", "a.nii", "--output", "b.nii"];
        let all = words.iter().chain(extra).map(OsString::from);
        match parse(all).map_err(|e| e.to_string())?.command {
            Command::Segment(segment) => Ok(*segment),
            _ => Err("another command".into()),
        }
    }

    #[test]
    fn prompts_belong_to_the_object_named_before_them() {
        let s = parsed(&["--point", "1,2,3", "--object", "5", "--point", "4,5,6,0", "--box", "1,2,3,4,5"]).unwrap();
        let objects: Vec<Option<u16>> = s.prompts.iter().map(|(o, _)| o.map(ObjectId::label)).collect();
        assert_eq!(objects, [None, Some(5), Some(5)]);
        assert_eq!(s.prompts[1].1, PromptArgument::Point(VoxelIndex([4, 5, 6]), PointLabel::Background));
        assert_eq!(s.prompts[2].1, PromptArgument::Box([1, 2, 3, 4, 5]));
    }

    #[test]
    fn a_command_line_without_a_prompt_is_refused() {
        assert!(parsed(&[]).err().unwrap().contains("no prompt"));
    }

    #[test]
    fn each_mode_has_its_own_defaults() {
        let promem = parsed(&["--point", "1,2,3"]).unwrap().search;
        assert_eq!(promem, SearchOptions::promem());
        let sam2 = parsed(&["--point", "1,2,3", "--memory", "sam2", "--no-stop"]).unwrap().search;
        assert_eq!(sam2, SearchOptions::sam2());
    }

    #[test]
    fn malformed_values_name_the_option_and_what_was_expected() {
        for (option, value) in [
            ("--point", "1,2"),
            ("--point", "1,2,3,7"),
            ("--box", "1,2,3,4"),
            ("--range", "5"),
            ("--axis", "x"),
            ("--windows", "1,9"),
            ("--beams", "0"),
            ("--object", "0"),
            ("--window", "0,40"),
            ("--device", "gpu"),
        ] {
            let error =
                parsed(&["--point", "1,2,3", option, value]).err().unwrap_or_else(|| panic!("{option} {value}"));
            assert!(error.contains(option.trim_start_matches('-').trim_end_matches('s')), "{option} {value}: {error}");
        }
    }
}
