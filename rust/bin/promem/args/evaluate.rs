//! `promem evaluate` and `promem compare` as types.

use super::options::{self, ComputingOptions, MemoryOptions, PropagationOptions};
use clap::{Args, ValueEnum};
use promem::datasets::{unseen_classes, Classes, Spec};
use promem::evaluate::interaction::baseline::Baseline;
use promem::evaluate::interaction::user::{ClickPlace, Repaint};
use promem::evaluate::interaction::{Action, Actions, Interaction, VolumeAfter};
use promem::evaluate::metrics::{EmptyRule, MetricOptions};
use promem::evaluate::preset::{Preset, Variant};
use promem::evaluate::protocol::{PromptKind, Protocol, StopRule};
use promem::{Error, Result};
use std::path::PathBuf;
use std::str::FromStr;

/// Score models and other tools on data sets
///
/// Writes tables, plots, overlays of the worst objects and one HTML page.
#[derive(Args)]
#[command(after_help = "Data sets: m3d:NNNN, totalsegmentator[:SPLIT], btcv[:SPLIT], chaos:ct|t1-in|t1-out|t2,\n\
    uls23:deeplesion3d|bone|pancreas, decathlon[:CHANNEL], plain, pairs:FILE.json (docs/datasets.md).\n\
    The same command resumes an interrupted run.")]
pub struct Evaluate {
    /// A data set; may be given several times
    #[arg(long = "dataset", value_name = "FORMAT[:PART]=FOLDER", required = true, help_heading = "Data and methods")]
    pub datasets: Vec<Spec>,
    /// A model file, .pt or .safetensors; may be given several times
    #[arg(long = "model", value_name = "FILE", help_heading = "Data and methods")]
    pub models: Vec<PathBuf>,
    /// Add the non-learning baseline that copies the mask of the prompt slice to its neighbours
    #[arg(long, help_heading = "Data and methods")]
    pub copy: bool,
    /// Add a non-learning baseline that segments from the clicks of a simulated user; may be given several times
    #[arg(long = "baseline", value_enum, value_name = "NAME", help_heading = "Data and methods")]
    pub baselines: Vec<Baseline>,
    /// Another tool's masks, FOLDER/DATASET/CASE/OBJECT.nii.gz; `:range` if the tool knew the ground-truth range
    #[arg(long, value_name = "NAME[:range]=FOLDER", help_heading = "Data and methods")]
    pub predictions: Vec<PredictionFolder>,
    /// Only these structures
    #[arg(long, value_name = "NAME,NAME...", help_heading = "Data and methods")]
    classes: Option<String>,
    /// Only the structures in this file, one per line; `unseen` for TotalSegmentator's zero-shot list
    #[arg(long, value_name = "FILE", conflicts_with = "classes", help_heading = "Data and methods")]
    class_list: Option<PathBuf>,
    /// Only the first N cases of each data set
    #[arg(long, value_name = "N", help_heading = "Data and methods")]
    pub cases: Option<usize>,
    /// A table of the paper, or simulated users
    #[arg(long, value_enum, value_name = "NAME", help_heading = "Protocol")]
    pub preset: Option<Preset>,
    /// Position of the prompt slice between the object's first (0) and last slice (1) [default: 0.5]
    #[arg(long, value_name = "P[,P...]", allow_negative_numbers = true, help_heading = "Protocol")]
    position: Option<Positions>,
    /// The prompt on the prompt slice
    #[arg(long, value_enum, value_name = "KIND", default_value = "mask", help_heading = "Protocol")]
    prompt: PromptKind,
    /// Where propagation stops [default: free]
    #[arg(long, value_enum, value_name = "RULE", help_heading = "Protocol")]
    stop_rule: Option<StopRules>,
    /// Simulate a user: clicks=N, box+clicks=N or scribbles=N instead of --prompt, or corrections=N after it
    #[arg(long, value_name = "ACTION=N", help_heading = "Interaction")]
    interaction: Option<Actions>,
    /// Where in the largest error the user clicks [default: center]
    #[arg(long, value_enum, value_name = "PLACE", help_heading = "Interaction")]
    user: Option<ClickPlace>,
    /// Which slice the user repaints [default: worst]
    #[arg(long, value_enum, value_name = "SLICE", help_heading = "Interaction")]
    repaint: Option<Repaint>,
    /// After which clicks or lines the volume is segmented [default: each]
    #[arg(long, value_enum, value_name = "CLICK", help_heading = "Interaction")]
    volume_after: Option<VolumeAfter>,
    /// Seed of the user's random places
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Interaction")]
    seed: u64,
    #[command(flatten)]
    propagation: PropagationOptions,
    #[command(flatten)]
    memory: MemoryOptions,
    /// Tolerance of the normalised surface Dice
    #[arg(long, value_name = "MM", default_value = "3", value_parser = tolerance, allow_negative_numbers = true)]
    #[arg(help_heading = "Metrics")]
    tolerance: f64,
    /// Overlap of two empty masks
    #[arg(long, value_enum, value_name = "RULE", default_value = "one", help_heading = "Metrics")]
    empty: EmptyRule,
    #[command(flatten)]
    pub computing: ComputingOptions,
    /// Folder of the results and the report
    #[arg(short, long, value_name = "FOLDER", help_heading = "Output")]
    pub output: PathBuf,
    /// Number of overlays of the worst objects for each method and data set
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Output")]
    pub worst: usize,
    /// Title of the report
    #[arg(long, value_name = "TEXT", help_heading = "Output")]
    pub title: Option<String>,
    /// Write scans and prompts for another tool instead of scoring
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    pub export_tasks: Option<PathBuf>,
    /// Discard the results of an earlier run in the folder
    #[arg(long, help_heading = "Output")]
    pub force: bool,
}

/// Test whether two evaluations differ: Wilcoxon's signed-rank test on the same objects with Holm's adjustment
#[derive(Args)]
pub struct Compare {
    /// Folder of the first evaluation
    #[arg(value_name = "A")]
    pub first: PathBuf,
    /// Folder of the second evaluation
    #[arg(value_name = "B")]
    pub second: PathBuf,
    /// A method of A and a method of B [default: methods of the same name]
    #[arg(long, num_args = 2, value_names = ["METHOD_A", "METHOD_B"])]
    pub methods: Option<Vec<String>>,
}

/// `--stop-rule`.
#[derive(Clone, Copy, ValueEnum)]
enum StopRules {
    /// The method stops by itself
    Free,
    /// The ground-truth range: from the object's first to its last slice
    Range,
    /// Both, as separate methods
    Both,
}

impl StopRules {
    fn rules(self) -> &'static [StopRule] {
        match self {
            Self::Free => &[StopRule::Free],
            Self::Range => &[StopRule::GroundTruthRange],
            Self::Both => &[StopRule::Free, StopRule::GroundTruthRange],
        }
    }
}

/// `--position`.
#[derive(Clone)]
struct Positions(Vec<f64>);

impl FromStr for Positions {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed: std::result::Result<Vec<f64>, _> = text.split(',').map(|p| p.trim().parse()).collect();
        let inside = |all: &Vec<f64>| all.iter().all(|p| (0.0..=1.0).contains(p));
        let expected = || Error::invalid("expected numbers from 0 to 1 separated by commas");
        parsed.ok().filter(inside).map(Self).ok_or_else(expected)
    }
}

/// `--predictions`: another tool's masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictionFolder {
    pub name: String,
    pub stop_rule: StopRule,
    pub folder: PathBuf,
}

impl FromStr for PredictionFolder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("expected NAME=FOLDER or NAME:range=FOLDER");
        let (name, folder) = text.split_once('=').filter(|(n, f)| !n.is_empty() && !f.is_empty()).ok_or_else(wrong)?;
        let (name, stop_rule) = match name.rsplit_once(':') {
            None => (name, StopRule::Free),
            Some((name, "free")) => (name, StopRule::Free),
            Some((name, "range")) => (name, StopRule::GroundTruthRange),
            Some(_) => return Err(wrong()),
        };
        Ok(Self { name: name.to_owned(), stop_rule, folder: folder.into() })
    }
}

fn tolerance(text: &str) -> Result<f64> {
    let parsed = text.parse().ok().filter(|mm: &f64| *mm >= 0.0 && mm.is_finite());
    parsed.ok_or_else(|| Error::invalid("expected a distance of 0 mm or more"))
}

impl Evaluate {
    /// Checks what clap cannot express.
    pub fn check(&self) -> Result<()> {
        let no_tool = self.predictions.is_empty() && self.baselines.is_empty();
        if self.models.is_empty() && !self.copy && no_tool && self.export_tasks.is_none() {
            return Err(Error::invalid(
                "no method: expected --model, --copy, --baseline, --predictions or --export-tasks",
            ));
        }
        let actions: Vec<Action> =
            self.variants()?.iter().filter_map(|v| Some(v.protocol.interaction?.action)).collect();
        let any = |of: fn(Action) -> bool| actions.iter().any(|&action| of(action));
        let clicks = "--interaction clicks=N or box+clicks=N";
        let on_slice = "--interaction clicks=N, box+clicks=N or scribbles=N";
        for (given, fits, option, expected) in [
            (!self.baselines.is_empty(), any(Action::is_on_prompt_slice), "baseline", on_slice),
            (self.user.is_some(), any(Action::is_clicks), "user", clicks),
            (self.volume_after.is_some(), any(Action::is_on_prompt_slice), "volume-after", on_slice),
            (self.repaint.is_some(), actions.contains(&Action::Corrections), "repaint", "--interaction corrections=N"),
        ] {
            if given && !fits {
                return Err(Error::invalid(format!("--{option}: no simulated user of this kind; expected {expected}")));
            }
        }
        Ok(())
    }

    /// The simulated user doing `actions`.
    fn user(&self, actions: Actions) -> Interaction {
        let plain = Interaction::new(actions);
        Interaction {
            place: self.user.unwrap_or(plain.place),
            repaint: self.repaint.unwrap_or(plain.repaint),
            volume_after: self.volume_after.unwrap_or(plain.volume_after),
            seed: self.seed,
            ..plain
        }
    }

    /// The preset's variants, or one for each position and stop rule.
    pub fn variants(&self) -> Result<Vec<Variant>> {
        let positions = self.position.as_ref().map_or(vec![0.5], |Positions(all)| all.clone());
        let stop_rules = self.stop_rule.unwrap_or(StopRules::Free).rules();
        let base = Protocol {
            axis: self.propagation.axis(),
            position: positions[0],
            prompt: self.prompt,
            stop_rule: stop_rules[0],
            direction: self.propagation.direction(),
            search: options::search(&self.propagation, &self.memory)?,
            interaction: self.interaction.map(|actions| self.user(actions)),
        };
        if let Some(preset) = self.preset {
            return self.preset_variants(preset, base, stop_rules);
        }
        let variant = |position: f64, stop_rule: StopRule| {
            let place = if positions.len() > 1 { format!(", position {position}") } else { String::new() };
            Variant { name: format!("{stop_rule}{place}"), protocol: Protocol { position, stop_rule, ..base.clone() } }
        };
        let of_position = |&position: &f64| stop_rules.iter().map(move |&rule| (position, rule));
        Ok(positions.iter().flat_map(of_position).map(|(position, rule)| variant(position, rule)).collect())
    }

    fn preset_variants(&self, preset: Preset, base: Protocol, stop_rules: &[StopRule]) -> Result<Vec<Variant>> {
        for (given, by, option) in [
            (self.position.is_some(), preset == Preset::Table1, "position"),
            (self.stop_rule.is_some(), preset == Preset::Table6, "stop-rule"),
            (self.interaction.is_some(), preset.is_interactive(), "interaction"),
            (self.repaint.is_some(), preset == Preset::Corrections, "repaint"),
        ] {
            if given && by {
                return Err(Error::invalid(format!("--{option}: the preset sets it; give one or the other")));
            }
        }
        if !preset.is_interactive() {
            return Ok(preset.variants(&base));
        }
        let interaction = Some(self.user(Actions { action: Action::Clicks, count: 1 }));
        let of_rule = |&stop_rule: &StopRule| {
            let mut variants = preset.variants(&Protocol { stop_rule, interaction, ..base.clone() });
            if stop_rules.len() > 1 {
                variants.iter_mut().for_each(|variant| variant.name = format!("{}, {stop_rule}", variant.name));
            }
            variants
        };
        Ok(stop_rules.iter().flat_map(of_rule).collect())
    }

    /// Reads the class list, if there is one.
    pub fn classes(&self) -> Result<Classes> {
        match (&self.classes, &self.class_list) {
            (Some(names), _) => Ok(Classes::named(names.split(','))),
            (None, None) => Ok(Classes::all()),
            (None, Some(list)) if list.as_os_str() == "unseen" => Ok(unseen_classes()),
            (None, Some(list)) => {
                let text = std::fs::read_to_string(list)
                    .map_err(|e| Error::io(format!("cannot read the class list `{}`", list.display()), e))?;
                Ok(Classes::from_list(&text))
            }
        }
    }

    pub fn metrics(&self) -> MetricOptions {
        MetricOptions { tolerance_mm: self.tolerance, empty: self.empty }
    }
}
