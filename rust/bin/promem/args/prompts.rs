//! The prompts of `promem segment`, in the order of the command line.

use super::value::whole_numbers;
use clap::{value_parser, ArgMatches, Args, Command, FromArgMatches};
use promem::geometry::{SliceIndex, VoxelIndex};
use promem::prompt::{ObjectId, PointLabel, Prompt};
use promem::{Error, Result};
use std::path::PathBuf;
use std::str::FromStr;

/// One prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum PromptArgument {
    Mask(PathBuf),
    Point(VoxelIndex, PointLabel),
    /// A scribble, a lasso, or a box between two voxels.
    Voxels(Prompt),
    /// i0, j0, i1, j1 and the slice; on other axes the two in-plane axes in rising order.
    Box([usize; 5], PointLabel),
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
    /// Two opposite corners on slice K (on other axes the two in-plane axes in rising order), or two corners I,J,K: flat
    /// along one axis, a box on that plane; else a box in three dimensions, beyond which the object is not looked for
    #[arg(long = "box", id = "box", value_name = "I0,J0,I1,J1,K")]
    #[arg(value_parser = |text: &str| bounding_box(text, PointLabel::Foreground), allow_hyphen_values = true)]
    boxes: Vec<PromptArgument>,
    /// A line drawn on the object, on any plane
    #[arg(long, value_name = "I,J,K;I,J,K;...")]
    #[arg(value_parser = |text: &str| scribble(text, PointLabel::Foreground), allow_hyphen_values = true)]
    scribble: Vec<PromptArgument>,
    /// A closed line drawn around the object; on a slice that has a mask, what it holds is added
    #[arg(long, value_name = "I,J,K;I,J,K;...")]
    #[arg(value_parser = |text: &str| lasso(text, PointLabel::Foreground), allow_hyphen_values = true)]
    lasso: Vec<PromptArgument>,
    /// As --box: what lies in it is taken away from the object's masks
    #[arg(long, value_name = "I0,J0,I1,J1,K")]
    #[arg(value_parser = |text: &str| bounding_box(text, PointLabel::Background), allow_hyphen_values = true)]
    negative_box: Vec<PromptArgument>,
    /// A line drawn beside the object
    #[arg(long, value_name = "I,J,K;I,J,K;...")]
    #[arg(value_parser = |text: &str| scribble(text, PointLabel::Background), allow_hyphen_values = true)]
    negative_scribble: Vec<PromptArgument>,
    /// A closed line: what it holds is taken away from the object's mask
    #[arg(long, value_name = "I,J,K;I,J,K;...")]
    #[arg(value_parser = |text: &str| lasso(text, PointLabel::Background), allow_hyphen_values = true)]
    negative_lasso: Vec<PromptArgument>,
    /// Begin with the masks of this label map on the scan's grid; its labels are objects, and prompts correct them
    #[arg(long, value_name = "FILE")]
    initial: Option<PathBuf>,
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
    pub initial: Option<PathBuf>,
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
        let given = [
            ("point", options.point),
            ("box", options.boxes),
            ("scribble", options.scribble),
            ("lasso", options.lasso),
            ("negative_box", options.negative_box),
            ("negative_scribble", options.negative_scribble),
            ("negative_lasso", options.negative_lasso),
        ];
        for (name, prompts) in given {
            words.extend(places(name).into_iter().zip(prompts.into_iter().map(Word::Prompt)));
        }
        words.extend(places("object").into_iter().zip(options.object.into_iter().map(Word::Object)));
        words.sort_by_key(|(place, _)| *place);
        let (mut object, mut ordered) = (None, Vec::new());
        for (_, word) in words {
            match word {
                Word::Object(named) => object = Some(named),
                Word::Prompt(prompt) => ordered.push((object, prompt)),
            }
        }
        Ok(Self { ordered, label: options.label, slices: options.prompt_slice, initial: options.initial })
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

fn bounding_box(text: &str, label: PointLabel) -> Result<PromptArgument> {
    let corners = whole_numbers(text, &[5, 6])?;
    match corners[..] {
        [i0, j0, k0, i1, j1, k1] => {
            Ok(PromptArgument::Voxels(Prompt::Box([VoxelIndex([i0, j0, k0]), VoxelIndex([i1, j1, k1])], label)))
        }
        _ => Ok(PromptArgument::Box(corners.try_into().expect("five or six numbers were checked"), label)),
    }
}

fn scribble(text: &str, label: PointLabel) -> Result<PromptArgument> {
    Ok(PromptArgument::Voxels(Prompt::Scribble(voxels(text)?, label)))
}

fn lasso(text: &str, label: PointLabel) -> Result<PromptArgument> {
    let corners = voxels(text)?;
    if corners.len() < 3 {
        return Err(Error::invalid(format!("{} corners, expected at least 3", corners.len())));
    }
    Ok(PromptArgument::Voxels(Prompt::Lasso(corners, label)))
}

/// Voxels I,J,K separated by semicolons.
fn voxels(text: &str) -> Result<Vec<VoxelIndex>> {
    let voxel = |part: &str| {
        let index =
            whole_numbers(part, &[3]).map_err(|_| Error::invalid("expected voxels I,J,K separated by semicolons"))?;
        Ok(VoxelIndex([index[0], index[1], index[2]]))
    };
    text.split(';').filter(|part| !part.trim().is_empty()).map(voxel).collect()
}

fn object(text: &str) -> Result<ObjectId> {
    let label = text.parse().map_err(|_| Error::invalid("expected 1 to 65535"))?;
    ObjectId::new(label).map_err(|_| Error::invalid("expected 1 to 65535"))
}
