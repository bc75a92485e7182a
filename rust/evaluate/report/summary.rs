//! The numbers of a report: each method summarised on each data set.

use super::interaction_summary::{InteractionSummary, MeanOf};
use crate::evaluate::columns::{Metric, METRICS};
use crate::evaluate::doubt::Doubt;
use crate::evaluate::method::{Method, Predictor};
use crate::evaluate::preset::{paper_figure, Preset};
use crate::evaluate::statistics::Summary;
use crate::evaluate::store::{CaseResult, ObjectResult};
use serde::Serialize;
use std::collections::BTreeMap;

/// The title and the notes of a report.
#[derive(Debug, Clone)]
pub struct ReportOptions {
    /// The heading of the report.
    pub title: String,
    /// The table of the paper that the report repeats, if any.
    pub preset: Option<Preset>,
    /// Tolerance of the normalised surface Dice.
    pub tolerance_mm: f64,
    /// Sentences above the tables: models, protocol.
    pub notes: Vec<String>,
}

/// A case that could not be scored.
#[derive(Debug, Clone, Serialize)]
pub struct FailedCase {
    /// The case's name.
    pub case: String,
    /// Why, in one line.
    pub error: String,
}

/// A method's numbers on one data set.
#[derive(Debug, Clone, Serialize)]
pub struct MethodSummary {
    /// The method's name.
    pub method: String,
    /// Number of scored cases.
    pub cases: usize,
    /// Cases that could not be scored.
    pub failed: Vec<FailedCase>,
    /// By the metric's key.
    #[serde(flatten)]
    metrics: BTreeMap<&'static str, Option<Summary>>,
    /// Mean Dice at each distance in slices from the prompt slice.
    pub by_distance: BTreeMap<usize, MeanOf>,
    /// Mean Dice without the prompt slice of each class.
    pub by_class: BTreeMap<String, MeanOf>,
    /// Slice embeddings computed for all cases.
    pub embeddings: usize,
    /// Wall-clock time of all cases.
    pub seconds: f64,
    /// Of a simulated user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interaction: Option<InteractionSummary>,
    /// Of a model: whether its scores tell the Dice of slices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// The paper's figure.
    pub paper: Option<&'static str>,
}

impl MethodSummary {
    /// From the method's results on one data set.
    pub fn new(method: &Method, dataset: &str, results: &[&CaseResult], preset: Option<Preset>) -> Self {
        let objects: Vec<(&str, &ObjectResult)> =
            results.iter().flat_map(|r| r.objects.iter().map(|o| (r.patient.as_str(), o))).collect();
        let summary = |metric: &Metric| {
            let values = objects.iter().filter_map(|&(patient, o)| (metric.value)(&o.scores).map(|v| (patient, v)));
            Summary::new(&values.collect::<Vec<_>>())
        };
        let mut by_distance: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        let mut by_class: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (_, object) in &objects {
            for &(distance, dice) in &object.scores.by_distance {
                by_distance.entry(distance).or_default().push(dice);
            }
            if let Some(dice) = object.scores.dice_without_prompt {
                by_class.entry(&object.target).or_default().push(dice);
            }
        }
        // The paper's figures are those of a mask alone.
        let of_paper = matches!(method.predictor, Predictor::Model(_)) && method.protocol.interaction.is_none();
        Self {
            method: method.name.clone(),
            cases: results.iter().filter(|r| r.failure.is_none()).count(),
            failed: (results.iter())
                .filter_map(|r| Some(FailedCase { case: r.case.clone(), error: r.failure.clone()? }))
                .collect(),
            metrics: METRICS.iter().map(|metric| (metric.key, summary(metric))).collect(),
            by_distance: by_distance.into_iter().map(|(d, values)| (d, MeanOf::new(&values))).collect(),
            by_class: by_class.into_iter().map(|(name, values)| (name.to_owned(), MeanOf::new(&values))).collect(),
            embeddings: results.iter().map(|r| r.embeddings).sum(),
            seconds: results.iter().map(|r| r.seconds).sum(),
            interaction: InteractionSummary::new(&objects.iter().map(|(_, o)| o.steps.as_slice()).collect::<Vec<_>>()),
            doubt: Doubt::new(&objects.iter().map(|(_, o)| o.slices.as_slice()).collect::<Vec<_>>()),
            paper: paper_figure(preset, method.variant.as_deref(), dataset).filter(|_| of_paper),
        }
    }

    /// The summary of a metric by its key; `None` where no object has a value.
    pub fn metric(&self, key: &str) -> Option<&Summary> {
        self.metrics.get(key).and_then(Option::as_ref)
    }

    /// Number of scored objects.
    pub fn objects(&self) -> usize {
        self.metric("dice").map_or(0, |summary| summary.objects)
    }
}

/// All methods on one data set.
#[derive(Debug, Clone, Serialize)]
pub struct DatasetSummary {
    /// The data set's name.
    pub dataset: String,
    /// In the order of the run.
    pub methods: Vec<MethodSummary>,
}

impl DatasetSummary {
    /// Cases that could not be scored, with their method.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &FailedCase)> {
        self.methods.iter().flat_map(|m| m.failed.iter().map(|failed| (m.method.as_str(), failed)))
    }
}
