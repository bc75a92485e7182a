//! Two evaluations of the same objects: do they differ?

use crate::error::{Error, Result};
use crate::evaluate::metrics::Scores;
use crate::evaluate::statistics::{bootstrap_mean, holm, mean, wilcoxon};
use crate::evaluate::store::{CaseResult, ObjectResult};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One metric of one pair of rows on one data set; differences are second less first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub dataset: String,
    pub first_row: String,
    pub second_row: String,
    pub metric: &'static str,
    pub objects: usize,
    pub patients: usize,
    pub first_mean: f64,
    pub second_mean: f64,
    pub difference: f64,
    /// 95% of the mean difference, patients drawn with replacement.
    pub interval: Option<(f64, f64)>,
    /// Wilcoxon's signed-rank test; `None` where nothing differs.
    pub p: Option<f64>,
    /// Adjusted for all comparisons that are made together.
    pub p_holm: Option<f64>,
}

type Metric = (&'static str, fn(&Scores) -> Option<f64>);
const METRICS: [Metric; 4] = [
    ("Dice", |s| s.dice),
    ("Dice beside", |s| s.dice_without_prompt),
    ("NSD", |s| s.surface_dice),
    ("HD95 mm", |s| s.hausdorff_95_mm),
];

/// Compares rows of the same name, or the two named. Objects that only one side has, or that lack the number on one side, are
/// left out.
///
/// # Errors
/// `InvalidInput` where nothing can be paired.
pub fn compare(first: &[CaseResult], second: &[CaseResult], rows: Option<(&str, &str)>) -> Result<Vec<Comparison>> {
    let names = |results: &[CaseResult]| results.iter().map(|r| r.row.clone()).collect::<BTreeSet<_>>();
    let (of_first, of_second) = (names(first), names(second));
    let pairs: Vec<(String, String)> = match rows {
        Some((a, b)) => {
            for (name, known, side) in [(a, &of_first, "first"), (b, &of_second, "second")] {
                if !known.contains(name) {
                    let listed: Vec<&str> = known.iter().map(String::as_str).collect();
                    return Err(Error::invalid(format!(
                        "row `{name}`: the {side} evaluation has {}",
                        listed.join("; ")
                    )));
                }
            }
            vec![(a.to_owned(), b.to_owned())]
        }
        None => of_first.intersection(&of_second).map(|name| (name.clone(), name.clone())).collect(),
    };
    let datasets: BTreeSet<&str> = first.iter().map(|r| r.dataset.as_str()).collect();
    let mut found = Vec::new();
    for dataset in datasets {
        for (a, b) in &pairs {
            let (a_objects, b_objects) = (objects(first, dataset, a), objects(second, dataset, b));
            for (metric, value) in METRICS {
                let mut paired: Vec<(&str, f64, f64)> = Vec::new();
                for (key, (patient, object)) in &a_objects {
                    let other = b_objects.get(key).and_then(|(_, other)| value(&other.scores));
                    if let Some((x, y)) = value(&object.scores).zip(other) {
                        paired.push((patient, x, y));
                    }
                }
                if !paired.is_empty() {
                    found.push(comparison(dataset, (a, b), metric, &paired));
                }
            }
        }
    }
    if found.is_empty() {
        let listed = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join("; ");
        return Err(Error::invalid(format!(
            "no object is in both evaluations under rows of the same name; the first has {}, the second {} (--rows A,B pairs two)",
            listed(&of_first),
            listed(&of_second)
        )));
    }
    let tested: Vec<usize> = (0..found.len()).filter(|&n| found[n].p.is_some()).collect();
    let p: Vec<f64> = tested.iter().filter_map(|&n| found[n].p).collect();
    for (n, adjusted) in tested.into_iter().zip(holm(&p)) {
        found[n].p_holm = Some(adjusted);
    }
    Ok(found)
}

type Key<'a> = (&'a str, &'a str);

/// Objects of a data set and row by case and target, with their patients.
fn objects<'a>(results: &'a [CaseResult], dataset: &str, row: &str) -> BTreeMap<Key<'a>, (&'a str, &'a ObjectResult)> {
    (results.iter().filter(|r| r.dataset == dataset && r.row == row))
        .flat_map(|r| r.objects.iter().map(move |o| ((r.case.as_str(), o.target.as_str()), (r.patient.as_str(), o))))
        .collect()
}

fn comparison(dataset: &str, rows: (&str, &str), metric: &'static str, paired: &[(&str, f64, f64)]) -> Comparison {
    let differences: Vec<f64> = paired.iter().map(|(_, a, b)| b - a).collect();
    let mut patients: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for ((patient, ..), difference) in paired.iter().zip(&differences) {
        patients.entry(patient).or_default().push(*difference);
    }
    let groups: Vec<&[f64]> = patients.values().map(Vec::as_slice).collect();
    let of = |side: fn(&(&str, f64, f64)) -> f64| mean(&paired.iter().map(side).collect::<Vec<_>>());
    Comparison {
        dataset: dataset.to_owned(),
        first_row: rows.0.to_owned(),
        second_row: rows.1.to_owned(),
        metric,
        objects: paired.len(),
        patients: groups.len(),
        first_mean: of(|p| p.1),
        second_mean: of(|p| p.2),
        difference: mean(&differences),
        interval: bootstrap_mean(&groups),
        p: wilcoxon(&differences),
        p_holm: None,
    }
}
