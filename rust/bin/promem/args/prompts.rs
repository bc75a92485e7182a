//! The prompts of `promem segment`, in the order of the command line.

use super::value::whole_numbers;
use clap::{value_parser, ArgMatches, Args, Command, FromArgMatches};
use promem::geometry::{SliceIndex, VoxelIndex};
use promem::prompt::{ObjectId, PointLabel};
use promem::{Error, Result};
use std::path::PathBuf;
use std::str::FromStr;

/// One prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum PromptArgument {
    Mask(PathBuf),
    Point(VoxelIndex, PointLabel),
    /// i0, j0, i1, j1 and the slice; on other axes the two in-plane axes in rising order.
    Box([usize; 5]),
}

/// Which slices of a prompt mask are prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptSlices {
    Middle,
    All,
    These(Vec<SliceIndex>),
}

impl FromStr for PromptSlices {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "all" => Ok(Self::All),
            "middle" => Ok(Self::Middle),
            list => match whole_numbers(list, &[]) {
                Ok(slices) => Ok(Self::These(slices.into_iter().map(SliceIndex).collect())),
                Err(_) => Err(Error::invalid("expected `all` or whole numbers separated by commas")),
            },
        }
    }
}

/// The options as clap declares them, without their order.
#[derive(Args)]
#[command(next_help_heading = "Prompts")]
struct PromptOptions {
    /// Label map on the scan's grid; without --label each of its labels is an object
    #[arg(long, value_name = "FILE")]
    prompt_mask: Vec<PathBuf>,
    /// Use only this label of the prompt mask
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    label: Option<u16>,
    /// Slices of the prompt mask that are prompts: K[,K...] or all [default: the middle slice of the label]
    #[arg(long, value_name = "K", default_value = "middle", hide_default_value = true)]
    prompt_slice: PromptSlices,
    /// A voxel inside the object, or with a last 0 outside it
    #[arg(long, value_name = "I,J,K[,0]", value_parser = point, allow_hyphen_values = true)]
    point: Vec<PromptArgument>,
    /// Two opposite corners on slice K; on other axes the two in-plane axes in rising order
    #[arg(long = "box", id = "box", value_name = "I0,J0,I1,J1,K")]
    #[arg(value_parser = bounding_box, allow_hyphen_values = true)]
    boxes: Vec<PromptArgument>,
    /// The object (label, 1 to 65535) of the prompts after it
    #[arg(long, value_name = "N", value_parser = object, allow_hyphen_values = true)]
    object: Vec<ObjectId>,
}

/// The prompts and how a prompt mask is read.
#[derive(Debug, Clone)]
pub struct Prompts {
    /// In the order given, each with the object named before it, if any.
    pub ordered: Vec<(Option<ObjectId>, PromptArgument)>,
    pub label: Option<u16>,
    pub slices: PromptSlices,
}

impl Args for Prompts {
    fn augment_args(command: Command) -> Command {
        PromptOptions::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        PromptOptions::augment_args_for_update(command)
    }
}

impl FromArgMatches for Prompts {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        enum Word {
            Object(ObjectId),
            Prompt(PromptArgument),
        }
        let options = PromptOptions::from_arg_matches(matches)?;
        let places = |name: &str| matches.indices_of(name).into_iter().flatten().collect::<Vec<usize>>();
        let masks = options.prompt_mask.into_iter().map(|path| Word::Prompt(PromptArgument::Mask(path)));
        let mut words: Vec<(usize, Word)> = places("prompt_mask").into_iter().zip(masks).collect();
        words.extend(places("point").into_iter().zip(options.point.into_iter().map(Word::Prompt)));
        words.extend(places("box").into_iter().zip(options.boxes.into_iter().map(Word::Prompt)));
        words.extend(places("object").into_iter().zip(options.object.into_iter().map(Word::Object)));
        words.sort_by_key(|(place, _)| *place);
        let (mut object, mut ordered) = (None, Vec::new());
        for (_, word) in words {
            match word {
                Word::Object(named) => object = Some(named),
                Word::Prompt(prompt) => ordered.push((object, prompt)),
            }
        }
        Ok(Self { ordered, label: options.label, slices: options.prompt_slice })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn point(text: &str) -> Result<PromptArgument> {
    let parts = whole_numbers(text, &[3, 4])?;
    let label = match parts.get(3) {
        None | Some(1) => PointLabel::Foreground,
        Some(0) => PointLabel::Background,
        Some(other) => return Err(Error::invalid(format!("the last number is {other}, expected 0 or 1"))),
    };
    Ok(PromptArgument::Point(VoxelIndex([parts[0], parts[1], parts[2]]), label))
}

fn bounding_box(text: &str) -> Result<PromptArgument> {
    let corners = whole_numbers(text, &[5])?;
    Ok(PromptArgument::Box(corners.try_into().expect("five numbers were checked")))
}

fn object(text: &str) -> Result<ObjectId> {
    let label = text.parse().map_err(|_| Error::invalid("expected 1 to 65535"))?;
    ObjectId::new(label).map_err(|_| Error::invalid("expected 1 to 65535"))
}
