//! The report: tables, plots, worst objects.
//!
//! In: the store's results. Out: report.md, report.html, summary.json, objects.csv and PNG plots in the store's folder;
//! of a simulated user also interaction.csv and steps.csv.

mod csv;
mod doubt;
mod html;
mod interaction;
mod interaction_summary;
mod markdown;
mod summary;
mod table;

pub use interaction_summary::MeanOf;
pub use summary::{DatasetSummary, FailedCase, MethodSummary, ReportOptions};

use crate::error::Result;
use crate::evaluate::method::Method;
use crate::evaluate::statistics::quantile_of_sorted;
use crate::evaluate::store::{file_name, CaseResult, Store};
use crate::output::{write_bytes, write_json, Overwrite};
use crate::picture::plot::{self, BoxRow, Curve};
use crate::picture::Picture;
use std::path::PathBuf;

/// A plot of a data set.
struct Plot {
    dataset: String,
    /// What it shows.
    description: &'static str,
    /// File name in the report's folder.
    file: String,
    png: Vec<u8>,
}

/// A report, ready to be written.
#[derive(Debug)]
pub struct Report {
    options: ReportOptions,
    summaries: Vec<DatasetSummary>,
    /// By data set and method, in the order of the summaries.
    results: Vec<CaseResult>,
}

impl Report {
    /// From what the store holds of these data sets and methods.
    pub fn new(store: &Store, datasets: &[String], methods: &[Method], options: ReportOptions) -> Result<Self> {
        let all = store.all()?;
        let (mut summaries, mut results) = (Vec::new(), Vec::new());
        for dataset in datasets {
            let mut of_dataset = Vec::new();
            for method in methods {
                let of_method: Vec<&CaseResult> =
                    all.iter().filter(|r| r.dataset == *dataset && r.method == method.name).collect();
                of_dataset.push(MethodSummary::new(method, dataset, &of_method, options.preset));
                results.extend(of_method.into_iter().cloned());
            }
            summaries.push(DatasetSummary { dataset: dataset.clone(), methods: of_dataset });
        }
        Ok(Self { options, summaries, results })
    }

    /// The numbers of each data set, in the order that [`Report::new`] got them.
    pub fn summaries(&self) -> &[DatasetSummary] {
        &self.summaries
    }

    /// Writes every file of the report into the store's folder and returns their paths.
    pub fn write(&self, store: &Store) -> Result<Vec<PathBuf>> {
        let folder = store.folder();
        let mut plots = Vec::new();
        let mut files = Vec::new();
        for summary in &self.summaries {
            let name = file_name(&summary.dataset);
            let box_plot = ("dice", "Dice without the prompt slice", self.boxes(summary)?);
            let curves = ("distance", "Dice by distance from the prompt slice", distances(summary)?);
            let further = interaction::plots(summary)?.into_iter().chain(doubt::plots(summary)?);
            for (kind, description, picture) in [box_plot, curves].into_iter().chain(further) {
                let (png, file) = (picture.png()?, format!("{name}-{kind}.png"));
                files.push((file.clone(), png.clone()));
                plots.push(Plot { dataset: summary.dataset.clone(), description, file, png });
            }
        }
        let legend = self.legend();
        let page = html::page(&self.options, &legend, &self.summaries, &self.results, &plots, folder);
        files.push(("objects.csv".into(), csv::objects(&self.results)?));
        if self.results.iter().flat_map(|case| &case.objects).any(|object| !object.steps.is_empty()) {
            files.push(("interaction.csv".into(), csv::interaction(&self.results)?));
            files.push(("steps.csv".into(), csv::steps(&self.results)?));
        }
        let markdown = markdown::page(&self.options, &legend, &self.summaries, &plots);
        files.push(("report.md".into(), markdown.into_bytes()));
        files.push(("report.html".into(), page.into_bytes()));
        let mut written = vec![folder.join("summary.json")];
        write_json(&written[0], Overwrite::Replace, &self.summaries)?;
        for (name, content) in files {
            written.push(folder.join(name));
            write_bytes(&written[written.len() - 1], Overwrite::Replace, &content)?;
        }
        Ok(written)
    }

    fn legend(&self) -> String {
        format!(
            "Dice includes the prompt slice unless stated otherwise. 95% CI: bootstrap over patients. Normalised surface Dice: \
             share of both surfaces within {} mm of the other. HD95: 95th percentile of the Hausdorff distance. ASSD: average \
             symmetric surface distance. Over-segmented slices: predicted slices outside the ground-truth range, for each \
             object; under-segmented slices: ground-truth slices outside the predicted range.",
            self.options.tolerance_mm
        )
    }

    fn boxes(&self, summary: &DatasetSummary) -> Result<Picture> {
        let rows: Vec<BoxRow> = (summary.methods.iter().enumerate())
            .map(|(group, method)| {
                let of_method =
                    self.results.iter().filter(|r| r.dataset == summary.dataset && r.method == method.method);
                let objects = of_method.flat_map(|r| &r.objects);
                let mut values: Vec<f64> =
                    objects.filter_map(|o| o.scores.dice_without_prompt).filter(|v| v.is_finite()).collect();
                values.sort_by(f64::total_cmp);
                let quartiles = [0.0, 0.25, 0.5, 0.75, 1.0].map(|p| quantile_of_sorted(&values, p));
                BoxRow { name: method.method.clone(), values, quartiles, group }
            })
            .collect();
        plot::boxes(&summary.dataset, "Dice without the prompt slice; each dot is one object", &rows)
    }
}

fn distances(summary: &DatasetSummary) -> Result<Picture> {
    let curves: Vec<Curve> = (summary.methods.iter())
        .map(|method| Curve {
            name: method.method.clone(),
            points: method.by_distance.iter().map(|(&distance, dice)| (distance as f64, dice.mean)).collect(),
        })
        .collect();
    plot::curves(&summary.dataset, ["distance from the prompt slice (slices)", "mean Dice per slice"], &curves)
}
