//! What a simulated user needed, as numbers of a method on one data set.

use crate::evaluate::columns::{InteractionMetric, INTERACTION};
use crate::evaluate::interaction::curve::Of;
use crate::evaluate::interaction::Step;
use crate::evaluate::statistics::{mean, quantile_of_sorted};
use serde::Serialize;
use std::collections::BTreeMap;

/// A mean over objects.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MeanOf {
    /// The mean of the values.
    pub mean: f64,
    /// Number of values.
    pub objects: usize,
}

impl MeanOf {
    pub(super) fn new(values: &[f64]) -> Self {
        Self { mean: mean(values), objects: values.len() }
    }
}

/// Median and 95th percentile.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Times {
    pub median: f64,
    pub p95: f64,
}

impl Times {
    /// `None` without a value.
    fn new(mut seconds: Vec<f64>) -> Option<Self> {
        seconds.sort_by(f64::total_cmp);
        let of = |p| quantile_of_sorted(&seconds, p);
        (!seconds.is_empty()).then(|| Self { median: of(0.5), p95: of(0.95) })
    }
}

/// A method's interaction on one data set.
#[derive(Debug, Clone, Serialize)]
pub struct InteractionSummary {
    pub objects: usize,
    /// Mean Dice of the prompt slice after each step.
    pub slice_dice_by_step: BTreeMap<usize, MeanOf>,
    /// Mean Dice of the volume after each step.
    pub volume_dice_by_step: BTreeMap<usize, MeanOf>,
    /// Means over the objects where the metric is defined, by its key.
    #[serde(flatten)]
    pub metrics: BTreeMap<&'static str, Option<MeanOf>>,
    /// Seconds of each object's first step, which reads the slice.
    pub first_step: Option<Times>,
    /// Seconds of the others.
    pub later_steps: Option<Times>,
}

impl InteractionSummary {
    /// From the steps of each object; `None` where no object has any.
    pub fn new(objects: &[&[Step]]) -> Option<Self> {
        let objects: Vec<&[Step]> = objects.iter().copied().filter(|steps| !steps.is_empty()).collect();
        let by_step = |of: Of| {
            let mut values: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
            for step in objects.iter().copied().flatten() {
                of(step).into_iter().for_each(|dice| values.entry(step.number).or_default().push(dice));
            }
            values.into_iter().map(|(number, values)| (number, MeanOf::new(&values))).collect()
        };
        let metric = |metric: &InteractionMetric| {
            let values: Vec<f64> = objects.iter().filter_map(|steps| (metric.value)(steps)).collect();
            (metric.key, (!values.is_empty()).then(|| MeanOf::new(&values)))
        };
        let seconds = |first: bool| {
            let of = |steps: &&[Step]| if first { steps[..1].to_vec() } else { steps[1..].to_vec() };
            Times::new(objects.iter().flat_map(of).filter_map(|step| step.seconds).collect())
        };
        (!objects.is_empty()).then(|| Self {
            objects: objects.len(),
            slice_dice_by_step: by_step(|step| step.slice_dice),
            volume_dice_by_step: by_step(|step| step.volume_dice),
            metrics: INTERACTION.iter().map(metric).collect(),
            first_step: seconds(true),
            later_steps: seconds(false),
        })
    }
}
