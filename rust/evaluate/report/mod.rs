//! What is read afterwards: tables, plots, worst cases, one page.
//!
//! In: the store's results. Out: report.md, report.html, summary.json, objects.csv and PNG plots in its folder.

mod csv;
mod html;
mod markdown;

use crate::error::{Error, Result};
use crate::evaluate::metrics::Scores;
use crate::evaluate::row::{paper_figure, Preset, Row};
use crate::evaluate::statistics::{mean, Summary};
use crate::evaluate::store::{file_name, write_json, CaseResult, ObjectResult, Store};
use crate::output::{self, Overwrite};
use crate::picture::plot::{self, BoxRow, Curve};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a report is called, and what stands beside its rows.
#[derive(Debug, Clone)]
pub struct ReportOptions {
    pub title: String,
    pub preset: Option<Preset>,
    /// A sentence each, above the tables: models, metrics, the command.
    pub notes: Vec<String>,
}

/// A row's numbers on one data set.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub row: String,
    pub cases: usize,
    pub failed: Vec<(String, String)>,
    pub dice: Option<Summary>,
    pub dice_without_prompt: Option<Summary>,
    pub iou: Option<Summary>,
    pub surface_dice: Option<Summary>,
    pub hausdorff_95_mm: Option<Summary>,
    pub average_surface_mm: Option<Summary>,
    pub volume_error: Option<Summary>,
    pub over_slices: Option<Summary>,
    pub under_slices: Option<Summary>,
    /// Mean Dice of the slices at each distance from the prompt slice, and of how many objects.
    pub by_distance: Vec<(usize, f64, usize)>,
    /// Mean Dice without the prompt slice of each class, and of how many objects.
    pub by_target: BTreeMap<String, (f64, usize)>,
    pub embeddings: usize,
    pub seconds: f64,
    pub paper: Option<&'static str>,
}

/// All rows on one data set.
#[derive(Debug, Clone, Serialize)]
pub struct Section {
    pub dataset: String,
    pub lines: Vec<Line>,
}

/// A report, ready to be written.
#[derive(Debug)]
pub struct Report {
    options: ReportOptions,
    sections: Vec<Section>,
    /// By data set and row, in the order of the sections.
    results: Vec<CaseResult>,
}

impl Report {
    /// From what the store holds of these data sets and rows.
    pub fn new(store: &Store, datasets: &[String], rows: &[Row], options: ReportOptions) -> Result<Self> {
        let all = store.all()?;
        let (mut sections, mut results) = (Vec::new(), Vec::new());
        for dataset in datasets {
            let mut lines = Vec::new();
            for row in rows {
                let of_row: Vec<&CaseResult> =
                    all.iter().filter(|r| r.dataset == *dataset && r.row == row.name).collect();
                let paper = paper_figure(options.preset, row.variant.as_deref(), dataset)
                    .filter(|_| matches!(row.method, super::row::Method::Model(_)));
                lines.push(line(row, &of_row, paper));
                results.extend(of_row.into_iter().cloned());
            }
            sections.push(Section { dataset: dataset.clone(), lines });
        }
        Ok(Self { options, sections, results })
    }

    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Writes every file of the report into the store's folder and returns their paths.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let mut written = Vec::new();
        let mut text = |name: &str, content: &str| {
            let path = folder.join(name);
            output::write(&path, Overwrite::Replace, |out| {
                out.write_all(content.as_bytes())
                    .map_err(|e| Error::io(format!("cannot write `{}`", path.display()), e))
            })?;
            written.push(path);
            Ok::<_, Error>(())
        };
        let mut plots = Vec::new();
        for section in &self.sections {
            let name = file_name(&section.dataset);
            for (kind, picture) in [("dice", self.boxes(section)?), ("distance", distances(section)?)] {
                let file = format!("{name}-{kind}.png");
                picture.write(&folder.join(&file), Overwrite::Replace)?;
                plots.push((file, picture.png()?));
            }
        }
        text("objects.csv", &csv::objects(&self.results))?;
        text("report.md", &markdown::page(&self.options, &self.sections))?;
        text("report.html", &html::page(&self.options, &self.sections, &self.results, &plots, folder)?)?;
        write_json(&folder.join("summary.json"), &self.sections)?;
        written.push(folder.join("summary.json"));
        written.extend(plots.into_iter().map(|(file, _)| folder.join(file)));
        Ok(written)
    }

    fn boxes(&self, section: &Section) -> Result<crate::picture::Picture> {
        let rows: Vec<BoxRow> = (section.lines.iter().enumerate())
            .map(|(group, line)| {
                let of_line = self.results.iter().filter(|r| r.dataset == section.dataset && r.row == line.row);
                let values = of_line.flat_map(|r| &r.objects).filter_map(|o| o.scores.dice_without_prompt).collect();
                BoxRow { name: line.row.clone(), values, group }
            })
            .collect();
        plot::boxes(&section.dataset, "Dice without the prompt slice, one dot an object", &rows)
    }
}

fn distances(section: &Section) -> Result<crate::picture::Picture> {
    let curves: Vec<Curve> = (section.lines.iter())
        .map(|line| Curve {
            name: line.row.clone(),
            points: line.by_distance.iter().map(|&(d, dice, _)| (d as f64, dice)).collect(),
        })
        .collect();
    plot::curves(&section.dataset, ["slices from the prompt slice", "mean Dice of the slice"], &curves)
}

fn line(row: &Row, results: &[&CaseResult], paper: Option<&'static str>) -> Line {
    let objects: Vec<(&str, &ObjectResult)> =
        results.iter().flat_map(|r| r.objects.iter().map(|o| (r.patient.as_str(), o))).collect();
    let summary = |value: &dyn Fn(&Scores) -> Option<f64>| {
        let values: Vec<(&str, f64)> =
            objects.iter().filter_map(|(patient, o)| value(&o.scores).map(|v| (*patient, v))).collect();
        Summary::new(&values)
    };
    let (mut by_distance, mut by_target): (BTreeMap<usize, Vec<f64>>, BTreeMap<String, Vec<f64>>) = Default::default();
    for (_, object) in &objects {
        for &(distance, dice) in &object.scores.by_distance {
            by_distance.entry(distance).or_default().push(dice);
        }
        if let Some(dice) = object.scores.dice_without_prompt {
            by_target.entry(object.target.clone()).or_default().push(dice);
        }
    }
    Line {
        row: row.name.clone(),
        cases: results.iter().filter(|r| r.failure.is_none()).count(),
        failed: results.iter().filter_map(|r| Some((r.case.clone(), r.failure.clone()?))).collect(),
        dice: summary(&|s| s.dice),
        dice_without_prompt: summary(&|s| s.dice_without_prompt),
        iou: summary(&|s| s.iou),
        surface_dice: summary(&|s| s.surface_dice),
        hausdorff_95_mm: summary(&|s| s.hausdorff_95_mm),
        average_surface_mm: summary(&|s| s.average_surface_mm),
        volume_error: summary(&|s| s.volume_error),
        over_slices: summary(&|s| Some(s.over_slices as f64)),
        under_slices: summary(&|s| Some(s.under_slices as f64)),
        by_distance: by_distance.into_iter().map(|(d, values)| (d, mean(&values), values.len())).collect(),
        by_target: by_target.into_iter().map(|(name, values)| (name, (mean(&values), values.len()))).collect(),
        embeddings: results.iter().map(|r| r.embeddings).sum(),
        seconds: results.iter().map(|r| r.seconds).sum(),
        paper,
    }
}
