//! The command line of `promem` as types.
//!
//! In: the process's arguments. Out: [`Cli`], checked as far as that is possible without reading files.

#[cfg(feature = "evaluate")]
mod evaluate;
mod model_file;
mod options;
mod prompts;
mod scan;
mod segment;
mod value;

#[cfg(feature = "evaluate")]
pub use evaluate::{Compare, Evaluate, PredictionFolder};
pub use model_file::{Convert, Demo, Info};
pub use prompts::{PromptArgument, PromptSlices, Prompts};
pub use segment::Segment;

use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;

/// Segment a whole 3D scan from one prompt on one slice
#[derive(Parser)]
#[command(name = "promem", version, arg_required_else_help = true)]
pub struct Cli {
    /// Print errors only
    #[arg(short, long, global = true, display_order = 900)]
    quiet: bool,
    /// Print one JSON object on standard output
    #[arg(long, global = true, display_order = 901)]
    json: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// What is printed on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Text and progress bars.
    Human,
    /// Nothing.
    Quiet,
    /// One JSON object.
    Json,
}

#[derive(Subcommand)]
pub enum Command {
    Segment(Box<Segment>),
    #[cfg(feature = "evaluate")]
    Evaluate(Box<Evaluate>),
    #[cfg(feature = "evaluate")]
    Compare(Compare),
    Info(Info),
    Convert(Convert),
    Demo(Demo),
}

impl Cli {
    /// Parses the arguments; the error prints itself and exits with status 2 (or 0 for `--help`).
    pub fn parse_from_arguments(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> std::result::Result<Self, clap::Error> {
        let cli = Self::try_parse_from(arguments)?;
        let checked = match &cli.command {
            Command::Segment(segment) => segment.check(),
            #[cfg(feature = "evaluate")]
            Command::Evaluate(evaluate) => evaluate.check(),
            _ => Ok(()),
        };
        checked.map_err(|e| Self::command().error(clap::error::ErrorKind::ValueValidation, e))?;
        Ok(cli)
    }

    /// What is printed.
    pub fn output(&self) -> Output {
        match (self.json, self.quiet) {
            (true, _) => Output::Json,
            (false, true) => Output::Quiet,
            (false, false) => Output::Human,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use promem::geometry::VoxelIndex;
    use promem::prompt::{ObjectId, PointLabel};
    use promem::tracking::SearchOptions;

    fn parsed(extra: &[&str]) -> std::result::Result<Segment, String> {
        let words = ["promem", "segment", "--image", "a.nii", "--output", "b.nii"];
        let all = words.iter().chain(extra).map(OsString::from);
        match Cli::parse_from_arguments(all).map_err(|e| e.to_string())?.command {
            Command::Segment(segment) => Ok(*segment),
            _ => Err("another command".into()),
        }
    }

    #[test]
    fn declaration_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn prompts_belong_to_the_object_named_before_them() {
        let all =
            ["--point", "1,2,3", "--object", "5", "--box", "1,2,3,4,5", "--prompt-mask", "m.nii", "--point", "4,5,6,0"];
        let prompts = parsed(&all).unwrap().prompts.ordered;
        let objects: Vec<Option<u16>> = prompts.iter().map(|(o, _)| o.map(ObjectId::label)).collect();
        assert_eq!(objects, [None, Some(5), Some(5), Some(5)]);
        let prompts: Vec<PromptArgument> = prompts.into_iter().map(|(_, prompt)| prompt).collect();
        assert_eq!(
            prompts,
            [
                PromptArgument::Point(VoxelIndex([1, 2, 3]), PointLabel::Foreground),
                PromptArgument::Box([1, 2, 3, 4, 5], PointLabel::Foreground),
                PromptArgument::Mask("m.nii".into()),
                PromptArgument::Point(VoxelIndex([4, 5, 6]), PointLabel::Background),
            ]
        );
    }

    #[test]
    fn command_line_without_a_prompt_is_refused() {
        assert!(parsed(&[]).err().unwrap().contains("no prompt"));
    }

    #[test]
    fn memory_modes_have_their_own_defaults() {
        let promem = parsed(&["--point", "1,2,3"]).unwrap().search().unwrap();
        assert_eq!(promem, SearchOptions::promem());
        let sam2 = parsed(&["--point", "1,2,3", "--memory", "sam2", "--no-stop"]).unwrap().search().unwrap();
        assert_eq!(sam2, SearchOptions::sam2());
    }

    #[test]
    fn malformed_values_name_the_option_and_what_was_expected() {
        for (option, value, expected) in [
            ("--point", "1,2", "expected 3 or 4 whole numbers separated by commas"),
            ("--point", "1,2,3,7", "expected 0 or 1"),
            ("--point", "-1,2,3", "expected 3 or 4 whole numbers"),
            ("--box", "1,2,3,4", "expected 5 or 6 whole numbers"),
            ("--range", "5", "expected 2 whole numbers"),
            ("--prompt-slice", "x", "expected `all` or whole numbers"),
            ("--axis", "x", "possible values: auto, i, j, k"),
            ("--direction", "left", "possible values: both, up, down"),
            ("--memory", "none", "possible values: promem, sam2"),
            ("--pointers", "all", "possible values: window, sam2"),
            ("--prior", "flow2", "expected none, previous or registered"),
            ("--field-of-view", "voxel", "expected slice or object"),
            ("--windows", "1,x", "expected whole numbers"),
            ("--windows", "1,9", "1 to 6"),
            ("--beams", "0", "1"),
            ("--presence-threshold", "-1", "expected a probability above 0 and below 1"),
            ("--intensity-weight", "-1", "expected a weight between 0 and 4"),
            ("--object", "0", "expected 1 to 65535"),
            ("--window", "0,40", "expected"),
            ("--device", "gpu", "expected auto, cpu, cuda or cuda:N"),
            ("--precision", "fp64", "expected auto, fp32 or bf16"),
            ("--threads", "0", "1.."),
        ] {
            let error =
                parsed(&["--point", "1,2,3", option, value]).err().unwrap_or_else(|| panic!("{option} {value}"));
            // The library's messages say `presence threshold`, clap's `--presence-threshold`.
            let [option_words, error_words] = [option, error.as_str()].map(|text| text.replace('-', " "));
            assert!(error_words.contains(option_words.trim().trim_end_matches('s')), "{option} {value}: {error}");
            assert!(error.contains(expected), "{option} {value}: {error}");
        }
    }
}
