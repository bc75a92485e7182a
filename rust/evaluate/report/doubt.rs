//! The section about doubt: whether the score of a slice tells its true Dice.

use super::summary::DatasetSummary;
use super::table::{Cell, Table};
use crate::error::Result;
use crate::evaluate::columns::Format;
use crate::evaluate::doubt::{Doubt, WORST};
use crate::picture::plot::{self, Curve};
use crate::picture::Picture;

fn of_methods(summary: &DatasetSummary) -> Vec<(&str, &Doubt)> {
    summary.methods.iter().filter_map(|m| Some((m.method.as_str(), m.doubt.as_ref()?))).collect()
}

/// The table of a data set with its title; none without the scores of a model.
pub fn tables(summary: &DatasetSummary) -> Vec<(&'static str, Table)> {
    let methods = of_methods(summary);
    if methods.is_empty() {
        return Vec::new();
    }
    let number = |value: Option<f64>| Cell::new(Format::Decimals(2).text(value));
    let percent = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{:.0}%", 100.0 * value));
    let row = |(name, doubt): &(&str, &Doubt)| {
        vec![
            Cell::new(*name),
            Cell::new(doubt.slices.to_string()),
            number(doubt.correlation),
            number(doubt.correlation_within),
            Cell::new(doubt.objects.to_string()),
            Cell {
                detail: doubt
                    .found_by_chance
                    .map_or(String::new(), |_| format!("({})", percent(doubt.found_by_chance))),
                ..Cell::new(percent(doubt.found_worst))
            },
        ]
    };
    let headings = [
        "method".to_owned(),
        "slices without prompt".to_owned(),
        "rank correlation of predicted IoU and Dice".to_owned(),
        "within objects, mean".to_owned(),
        format!("objects of more than {WORST} slices"),
        format!("lowest predicted IoU on one of the {WORST} worst slices (by chance)"),
    ];
    let table = Table { headings: headings.into(), rows: methods.iter().map(row).collect() };
    vec![("Doubt: does the predicted IoU tell the Dice of a slice?", table)]
}

/// The calibration of a data set: kind, description, picture.
pub fn plots(summary: &DatasetSummary) -> Result<Vec<(&'static str, &'static str, Picture)>> {
    let methods = of_methods(summary);
    if methods.is_empty() {
        return Ok(Vec::new());
    }
    let perfect = Curve { name: "perfect".into(), points: vec![(0.0, 0.0), (1.0, 1.0)] };
    let of_methods =
        methods.iter().map(|(name, doubt)| Curve { name: (*name).to_owned(), points: doubt.calibration.clone() });
    let curves: Vec<Curve> = of_methods.chain([perfect]).collect();
    let axes = ["predicted IoU, means of ten groups of slices", "true IoU"];
    let picture = plot::curves(&summary.dataset, axes, &curves)?;
    Ok(vec![("calibration", "True IoU by predicted IoU", picture)])
}
