//! `promem segment` as types. Options whose order matters (`--object` and the prompts after it) are read by position.

use super::walk::{self, Computing};
use super::{file, force, numbers, option, overwrite, path, text};
use clap::{value_parser, Arg, ArgAction, ArgMatches, Command as ClapCommand};
use promem::geometry::{Axis, SliceIndex, SliceRange, VoxelIndex};
use promem::prompt::{ObjectId, PointLabel};
use promem::session::Direction;
use promem::tracking::SearchOptions;
use promem::volume::Overwrite;
use promem::{Error, Result};
use std::path::PathBuf;

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
    pub range: Option<SliceRange>,
    pub search: SearchOptions,
    pub computing: Computing,
    pub output: PathBuf,
    pub trace: Option<PathBuf>,
    pub overlay: Option<PathBuf>,
    pub overwrite: Overwrite,
}

pub(super) fn segment_command() -> ClapCommand {
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
        .next_help_heading("Results")
        .args([
            file("output", "FILE", "Label map to write: .nii, .nii.gz, .seg.nrrd or .nrrd").required(true).short('o'),
            file("trace", "FILE.json", "Scores of every candidate on every slice"),
            file("overlay", "FILE.png", "Montage of slices with the contour; the prompt slice is framed"),
            force(),
        ])
}

pub(super) fn segment(m: &ArgMatches) -> Result<Segment> {
    let prompts = prompts(m)?;
    let range = match text(m, "range").map(|t| numbers(t, "--range", &[2])).transpose()?.as_deref() {
        Some(&[first, last]) => Some(SliceRange::new(SliceIndex(first), SliceIndex(last))?),
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
        computing: walk::computing(m)?,
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

#[cfg(test)]
mod tests {
    use super::super::{parse, Command};
    use super::*;
    use std::ffi::OsString;

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
