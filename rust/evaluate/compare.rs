//! Comparison of two evaluations of the same objects: paired differences, intervals, tests.
//!
//! In: the results of both. Out: one [`Comparison`] for each data set, pair of methods and metric.

use crate::error::{Error, Result};
use crate::evaluate::columns::METRICS;
use crate::evaluate::statistics::{bootstrap_mean, by_patient, holm, mean, wilcoxon};
use crate::evaluate::store::{CaseResult, ObjectResult};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One metric of one pair of methods on one data set; differences are second minus first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The data set's name.
    pub dataset: String,
    /// The method of the first evaluation.
    pub first_method: String,
    /// The method of the second evaluation.
    pub second_method: String,
    /// The metric's title.
    pub metric: &'static str,
    /// Objects with a value on both sides.
    pub objects: usize,
    /// Patients of these objects.
    pub patients: usize,
    /// Mean of the first side.
    pub first_mean: f64,
    /// Mean of the second side.
    pub second_mean: f64,
    /// Mean of second minus first.
    pub difference: f64,
    /// 95% bootstrap interval of the mean difference over patients.
    pub interval: Option<(f64, f64)>,
    /// p of Wilcoxon's signed-rank test; `None` where no difference is left.
    pub p: Option<f64>,
    /// p after Holm's adjustment for all comparisons of one call.
    pub p_holm: Option<f64>,
}

/// Compares methods of the same name, or the two named. Objects that are missing, or whose metric is undefined, on one
/// side are left out.
///
/// # Errors
/// `InvalidInput` where no object can be paired.
pub fn compare(first: &[CaseResult], second: &[CaseResult], methods: Option<(&str, &str)>) -> Result<Vec<Comparison>> {
    let names = |results: &[CaseResult]| results.iter().map(|r| r.method.clone()).collect::<BTreeSet<_>>();
    let (of_first, of_second) = (names(first), names(second));
    let pairs: Vec<(String, String)> = match methods {
        Some((a, b)) => {
            for (name, known, side) in [(a, &of_first, "first"), (b, &of_second, "second")] {
                if !known.contains(name) {
                    let listed: Vec<&str> = known.iter().map(String::as_str).collect();
                    return Err(Error::invalid(format!(
                        "method `{name}`: the {side} evaluation has {}",
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
            for metric in METRICS.iter().filter(|metric| metric.compared) {
                let value = metric.value;
                let mut paired: Vec<(&str, f64, f64)> = Vec::new();
                for (key, (patient, object)) in &a_objects {
                    let other = b_objects.get(key).and_then(|(_, other)| value(&other.scores));
                    if let Some((x, y)) = value(&object.scores).zip(other) {
                        paired.push((patient, x, y));
                    }
                }
                if !paired.is_empty() {
                    found.push(comparison(dataset, (a, b), metric.title(), &paired));
                }
            }
        }
    }
    if found.is_empty() {
        let listed = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join("; ");
        return Err(Error::invalid(format!(
            "no object is in both evaluations under methods of the same name; the first has {}, the second {} (--methods A B pairs two)",
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

/// Objects of a data set and method by case and structure, with their patients.
fn objects<'a>(
    results: &'a [CaseResult],
    dataset: &str,
    method: &str,
) -> BTreeMap<Key<'a>, (&'a str, &'a ObjectResult)> {
    (results.iter().filter(|r| r.dataset == dataset && r.method == method))
        .flat_map(|r| r.objects.iter().map(move |o| ((r.case.as_str(), o.target.as_str()), (r.patient.as_str(), o))))
        .collect()
}

fn comparison(dataset: &str, methods: (&str, &str), metric: &'static str, paired: &[(&str, f64, f64)]) -> Comparison {
    let differences: Vec<f64> = paired.iter().map(|(_, a, b)| b - a).collect();
    let patients = by_patient(paired.iter().map(|(patient, a, b)| (*patient, b - a)));
    let groups: Vec<&[f64]> = patients.values().map(Vec::as_slice).collect();
    let of = |side: fn(&(&str, f64, f64)) -> f64| mean(&paired.iter().map(side).collect::<Vec<_>>());
    Comparison {
        dataset: dataset.to_owned(),
        first_method: methods.0.to_owned(),
        second_method: methods.1.to_owned(),
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
