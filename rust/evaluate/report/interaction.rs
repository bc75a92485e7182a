//! The section about a simulated user: Dice step by step, what it took, and the curves.
//!
//! In: the steps of each object. Out: a summary of each method, tables, plots.

use super::interaction_summary::{InteractionSummary, MeanOf, Times};
use super::summary::DatasetSummary;
use super::table::{Cell, Table};
use crate::error::Result;
use crate::evaluate::columns::{Format, InteractionKind, InteractionMetric, INTERACTION};
use crate::picture::plot::{self, Curve};
use crate::picture::Picture;
use std::collections::BTreeMap;

const DICE: Format = Format::Decimals(3);

/// A metric's cell in the table.
fn metric_cell(summary: &InteractionSummary, metric: &InteractionMetric) -> Cell {
    let found = summary.metrics.get(metric.key).copied().flatten();
    match metric.kind {
        InteractionKind::Mean => Cell::new(DICE.text(found.map(|of| of.mean))),
        InteractionKind::Reached => {
            let share = found.map_or(0.0, |of| of.objects as f64 / summary.objects as f64);
            let steps = found.map_or(String::new(), |of| format!("({:.1})", of.mean));
            Cell { detail: steps, ..Cell::new(format!("{:.0}%", 100.0 * share)) }
        }
    }
}

fn of_methods(summary: &DatasetSummary) -> Vec<(&str, &InteractionSummary)> {
    summary.methods.iter().filter_map(|m| Some((m.method.as_str(), m.interaction.as_ref()?))).collect()
}

/// The tables of a data set with their titles; none without a simulated user.
pub fn tables(summary: &DatasetSummary) -> Vec<(&'static str, Table)> {
    let methods = of_methods(summary);
    if methods.is_empty() {
        return Vec::new();
    }
    let mut tables = Vec::new();
    for (title, of) in SERIES {
        let numbers: std::collections::BTreeSet<usize> =
            methods.iter().flat_map(|(_, m)| of(m).keys().copied()).collect();
        if numbers.is_empty() {
            continue;
        }
        let heading = |&number: &usize| if number == 0 { "before".to_owned() } else { number.to_string() };
        let row = |(name, method): &(&str, &InteractionSummary)| {
            let dice = |number: &usize| Cell::new(DICE.text(of(method).get(number).map(|of| of.mean)));
            std::iter::once(Cell::new(*name)).chain(numbers.iter().map(dice)).collect()
        };
        tables.push((
            title,
            Table {
                headings: std::iter::once("method".to_owned()).chain(numbers.iter().map(heading)).collect(),
                rows: methods.iter().map(row).collect(),
            },
        ));
    }
    let times = |times: Option<Times>| match times {
        Some(Times { median, p95 }) => Cell::new(format!("{:.0} / {:.0}", 1000.0 * median, 1000.0 * p95)),
        None => Cell::new("–"),
    };
    let row = |(name, method): &(&str, &InteractionSummary)| {
        let start = [Cell::new(*name), Cell::new(method.objects.to_string())].into_iter();
        let end = [times(method.first_step), times(method.later_steps)];
        start.chain(INTERACTION.iter().map(|metric| metric_cell(method, metric))).chain(end).collect()
    };
    let heading = |metric: &InteractionMetric| match metric.kind {
        InteractionKind::Mean => metric.title.to_owned(),
        InteractionKind::Reached => format!("objects at {}", metric.title),
    };
    let start = ["method".to_owned(), "objects".to_owned()].into_iter();
    let end = ["first step", "later steps"].map(|steps| format!("{steps}, median / 95th percentile (ms)"));
    tables.push((
        "Interaction",
        Table {
            headings: start.chain(INTERACTION.iter().map(heading)).chain(end).collect(),
            rows: methods.iter().map(row).collect(),
        },
    ));
    tables
}

type Series = fn(&InteractionSummary) -> &BTreeMap<usize, MeanOf>;

const SERIES: [(&str, Series); 2] = [
    ("Mean Dice of the prompt slice after each step", |m| &m.slice_dice_by_step),
    ("Mean Dice of the volume after each step", |m| &m.volume_dice_by_step),
];

/// The curves of a data set: kind, description, picture.
pub fn plots(summary: &DatasetSummary) -> Result<Vec<(&'static str, &'static str, Picture)>> {
    let methods = of_methods(summary);
    let mut plots = Vec::new();
    for ((title, of), kind) in SERIES.into_iter().zip(["slice-steps", "volume-steps"]) {
        let curve = |(name, method): &(&str, &InteractionSummary)| Curve {
            name: (*name).to_owned(),
            points: of(method).iter().map(|(&number, dice)| (number as f64, dice.mean)).collect(),
        };
        let curves: Vec<Curve> = methods.iter().map(curve).filter(|curve| !curve.points.is_empty()).collect();
        if !curves.is_empty() {
            plots.push((kind, title, plot::curves(&summary.dataset, ["clicks or corrections", title], &curves)?));
        }
    }
    Ok(plots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::interaction::Step;

    fn steps(dice: &[f64], seconds: f64) -> Vec<Step> {
        let step = |(n, &dice): (usize, &f64)| Step {
            number: n + 1,
            slice: Some(4),
            slice_dice: Some(dice),
            volume_dice: None,
            unprompted_dice: None,
            seconds: Some(seconds * (n + 1) as f64),
        };
        dice.iter().enumerate().map(step).collect()
    }

    #[test]
    fn summary_counts_the_objects_that_reach_a_dice_and_their_steps() {
        let (good, bad) = (steps(&[0.7, 0.95], 1.0), steps(&[0.1, 0.3], 3.0));
        let summary = InteractionSummary::new(&[&good, &bad, &[]]).unwrap();
        assert_eq!(summary.objects, 2);
        assert!((summary.slice_dice_by_step[&2].mean - 0.625).abs() < 1e-12 && summary.volume_dice_by_step.is_empty());
        let reached = INTERACTION.iter().find(|metric| metric.key == "steps_to_0.90").unwrap();
        let cell = metric_cell(&summary, reached);
        assert_eq!((cell.text.as_str(), cell.detail.as_str()), ("50%", "(2.0)"));
        assert_eq!(summary.first_step.unwrap().median, 2.0);
        assert_eq!(summary.later_steps.unwrap().median, 4.0);
        assert!(InteractionSummary::new(&[&[]]).is_none());
        // Every key once: what is flattened must not hide a field.
        let written = serde_json::to_string(&summary).unwrap();
        for metric in &INTERACTION {
            assert_eq!(written.matches(&format!("\"{}\":", metric.key)).count(), 1, "{written}");
        }
    }
}
