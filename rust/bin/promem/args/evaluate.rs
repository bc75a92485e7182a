//! `promem evaluate` and `promem compare` as types.

use super::walk::{self, Computing};
use super::{file, flag, option, overwrite, path, text};
use clap::{value_parser, Arg, ArgAction, ArgMatches, Command as ClapCommand};
use promem::datasets::{Classes, Spec};
use promem::evaluate::metrics::{EmptyRule, MetricOptions};
use promem::evaluate::protocol::{Extent, PromptKind, Protocol};
use promem::evaluate::row::{Preset, Variant};
use promem::output::Overwrite;
use promem::{Error, Result};
use std::path::PathBuf;

pub struct Evaluate {
    pub datasets: Vec<Spec>,
    pub classes: Classes,
    pub cases: Option<usize>,
    pub models: Vec<PathBuf>,
    pub copy: bool,
    /// Name, folder, and which rows the masks belong to.
    pub predictions: Vec<(String, Extent, PathBuf)>,
    pub preset: Option<Preset>,
    pub variants: Vec<Variant>,
    pub metrics: MetricOptions,
    pub computing: Computing,
    pub worst: usize,
    pub title: Option<String>,
    pub export: Option<PathBuf>,
    pub output: PathBuf,
    pub overwrite: Overwrite,
}

pub struct Compare {
    pub first: PathBuf,
    pub second: PathBuf,
    pub rows: Option<(String, String)>,
}

pub(super) fn evaluate_command() -> ClapCommand {
    let several = |arg: Arg| arg.action(ArgAction::Append);
    ClapCommand::new("evaluate")
        .about("Score models and other tools on data sets: tables, plots, worst cases, one page")
        .after_help(
            "Data sets: m3d:NNNN, totalsegmentator[:SPLIT], btcv[:SPLIT], chaos:ct|t1-in|t1-out|t2,\n\
             uls23:deeplesion3d|bone|pancreas, decathlon[:CHANNEL], plain, pairs:FILE.json (docs/datasets.md).\n\
             A run that was stopped goes on where it was: give the same command again.",
        )
        .next_help_heading("What is tested")
        .args([
            several(option("dataset", "KIND[:PART]=FOLDER", "A data set; may be given several times").required(true)),
            several(file("model", "FILE", "Model: .pt or .safetensors; may be given several times")),
            flag("copy", "Also the prompt slice's mask on its neighbours, which learns nothing"),
            several(option(
                "predictions",
                "NAME[:given]=FOLDER",
                "Another tool's masks: FOLDER/DATASET/CASE/OBJECT.nii.gz; `:given` if it was told the true ends",
            )),
            option("classes", "NAME,NAME...", "Only these structures"),
            file(
                "class-list",
                "FILE",
                "Only the structures of this file, one a line; `unseen` for TotalSegmentator's zero-shot list",
            )
            .conflicts_with("classes"),
            option("cases", "N", "Only the first N cases of each data set").value_parser(value_parser!(usize)),
        ])
        .next_help_heading("Protocol")
        .args([
            option("preset", "TABLE", "One of the paper's tables: table1 to table6"),
            option(
                "position",
                "P[,P...]",
                "Where the prompt slice lies between the object's ends, 0 to 1 [default: 0.5]",
            ),
            option("prompt", "KIND", "mask, box or point").default_value("mask"),
            option("extent", "EXTENT", "free (the method stops by itself), given (the true ends) or both")
                .default_value("free"),
        ])
        .next_help_heading("Walk")
        .args(walk::direction_args())
        .next_help_heading("Memory")
        .args(walk::memory_args())
        .next_help_heading("Metrics")
        .args([
            option("tolerance", "MM", "Tolerance of the normalised surface distance")
                .default_value("3")
                .value_parser(value_parser!(f64)),
            option("empty", "RULE", "Dice where both masks are empty: one, zero or skip").default_value("one"),
        ])
        .next_help_heading("Computing")
        .args(walk::computing_args())
        .next_help_heading("Results")
        .args([
            file("output", "FOLDER", "Folder of the results and the report").required(true).short('o'),
            option("worst", "N", "Pictures of the N worst objects of each row and data set")
                .default_value("5")
                .value_parser(value_parser!(usize)),
            option("title", "TEXT", "Title of the report"),
            file("export-tasks", "FOLDER", "Write scans and prompts for another tool instead of scoring"),
            flag("force", "Forget what an earlier run left in the folder"),
        ])
}

pub(super) fn compare_command() -> ClapCommand {
    ClapCommand::new("compare")
        .about("Say whether two evaluations differ: Wilcoxon's signed-rank test on the same objects, Holm's adjustment")
        .args([
            Arg::new("first").required(true).value_name("A").value_parser(value_parser!(PathBuf)),
            Arg::new("second").required(true).value_name("B").value_parser(value_parser!(PathBuf)),
            option("rows", "ROW,ROW", "A row of A and a row of B [default: rows of the same name]"),
        ])
}

pub(super) fn compare(m: &ArgMatches) -> Result<Compare> {
    let rows = match text(m, "rows") {
        None => None,
        Some(names) => Some(
            names
                .split_once(',')
                .map(|(a, b)| (a.trim().to_owned(), b.trim().to_owned()))
                .ok_or_else(|| Error::invalid(format!("--rows `{names}`: expected two names separated by a comma")))?,
        ),
    };
    Ok(Compare { first: path(m, "first"), second: path(m, "second"), rows })
}

pub(super) fn evaluate(m: &ArgMatches) -> Result<Evaluate> {
    let strings = |name: &str| m.get_many::<String>(name).into_iter().flatten();
    let base = Protocol {
        axis: walk::axis(m)?,
        position: 0.5,
        prompt: match text(m, "prompt") {
            None | Some("mask") => PromptKind::Mask,
            Some("box") => PromptKind::Box,
            Some("point") => PromptKind::Point,
            Some(other) => return Err(Error::invalid(format!("--prompt `{other}`: expected mask, box or point"))),
        },
        extent: Extent::Free,
        direction: walk::direction(m)?,
        search: walk::search(m)?,
    };
    let preset = text(m, "preset").map(str::parse).transpose()?;
    let empty = match text(m, "empty") {
        None | Some("one") => EmptyRule::One,
        Some("zero") => EmptyRule::Zero,
        Some("skip") => EmptyRule::Skip,
        Some(other) => return Err(Error::invalid(format!("--empty `{other}`: expected one, zero or skip"))),
    };
    let tolerance_mm = m.get_one::<f64>("tolerance").copied().unwrap_or(3.0);
    if !(tolerance_mm >= 0.0 && tolerance_mm.is_finite()) {
        return Err(Error::invalid(format!("--tolerance {tolerance_mm}: expected a distance of 0 mm or more")));
    }
    let parsed = Evaluate {
        datasets: strings("dataset").map(|text| text.parse()).collect::<Result<_>>()?,
        classes: classes(m)?,
        cases: m.get_one("cases").copied(),
        models: m.get_many("model").into_iter().flatten().cloned().collect(),
        copy: m.get_flag("copy"),
        predictions: strings("predictions").map(|text| predictions(text)).collect::<Result<_>>()?,
        preset,
        variants: variants(m, preset, &base)?,
        metrics: MetricOptions { tolerance_mm, empty },
        computing: walk::computing(m)?,
        worst: m.get_one("worst").copied().unwrap_or(5),
        title: m.get_one("title").cloned(),
        export: m.get_one("export-tasks").cloned(),
        output: path(m, "output"),
        overwrite: overwrite(m),
    };
    if parsed.models.is_empty() && !parsed.copy && parsed.predictions.is_empty() && parsed.export.is_none() {
        return Err(Error::invalid("nothing to test: expected --model, --copy, --predictions or --export-tasks"));
    }
    Ok(parsed)
}

/// The preset's lines, or one for each position and extent.
fn variants(m: &ArgMatches, preset: Option<Preset>, base: &Protocol) -> Result<Vec<Variant>> {
    let extents = match text(m, "extent") {
        None | Some("free") => vec![Extent::Free],
        Some("given") => vec![Extent::Given],
        Some("both") => vec![Extent::Free, Extent::Given],
        Some(other) => return Err(Error::invalid(format!("--extent `{other}`: expected free, given or both"))),
    };
    let positions = match text(m, "position") {
        None => vec![0.5],
        Some(list) => {
            let parsed: std::result::Result<Vec<f64>, _> = list.split(',').map(|p| p.trim().parse()).collect();
            parsed.ok().filter(|all| all.iter().all(|p| (0.0..=1.0).contains(p))).ok_or_else(|| {
                Error::invalid(format!("--position `{list}`: expected numbers from 0 to 1 separated by commas"))
            })?
        }
    };
    if let Some(preset) = preset {
        let own = |name: &str, changes: bool| {
            let given = m.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
            (given && changes).then(|| Error::invalid(format!("--{name}: the preset sets it; give one or the other")))
        };
        let taken = own("position", preset == Preset::Table1).or_else(|| own("extent", preset == Preset::Table6));
        if let Some(error) = taken {
            return Err(error);
        }
        let base = Protocol { position: positions[0], extent: extents[0], ..base.clone() };
        return Ok(preset.variants(&base));
    }
    let mut variants = Vec::new();
    for &position in &positions {
        for &extent in &extents {
            let mut name = vec![match extent {
                Extent::Free => "free".to_owned(),
                Extent::Given => "range given".to_owned(),
            }];
            if positions.len() > 1 {
                name.push(format!("position {position}"));
            }
            variants.push(Variant { name: name.join(", "), protocol: Protocol { position, extent, ..base.clone() } });
        }
    }
    Ok(variants)
}

fn classes(m: &ArgMatches) -> Result<Classes> {
    if let Some(names) = text(m, "classes") {
        return Ok(Classes::named(names.split(',')));
    }
    match m.get_one::<PathBuf>("class-list") {
        None => Ok(Classes::all()),
        Some(list) if list.as_os_str() == "unseen" => Ok(promem::datasets::unseen_classes()),
        Some(list) => {
            let text = std::fs::read_to_string(list)
                .map_err(|e| Error::io(format!("cannot read the class list `{}`", list.display()), e))?;
            Ok(Classes::from_list(&text))
        }
    }
}

fn predictions(text: &str) -> Result<(String, Extent, PathBuf)> {
    let wrong = || Error::invalid(format!("--predictions `{text}`: expected NAME=FOLDER or NAME:given=FOLDER"));
    let (name, folder) = text.split_once('=').filter(|(n, f)| !n.is_empty() && !f.is_empty()).ok_or_else(wrong)?;
    match name.rsplit_once(':') {
        None => Ok((name.to_owned(), Extent::Free, folder.into())),
        Some((name, "given")) => Ok((name.to_owned(), Extent::Given, folder.into())),
        Some((name, "free")) => Ok((name.to_owned(), Extent::Free, folder.into())),
        Some(_) => Err(wrong()),
    }
}
