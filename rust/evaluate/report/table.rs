//! The tables of a report as cells; Markdown and HTML print the same ones.

use super::summary::DatasetSummary;
use crate::evaluate::columns::{Format, Statistic, METRICS};
use crate::evaluate::statistics::Summary;

/// Classes in a table of classes, at most.
const MAX_CLASSES: usize = 25;

/// One cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    /// An interval or quartiles, printed smaller; may be empty.
    pub detail: String,
    /// The highest mean of several methods.
    pub best: bool,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    fn of(summary: Option<&Summary>, statistic: Statistic, format: Format) -> Self {
        let Some(s) = summary else { return Self::new("–") };
        let text = |value: f64| format.text(Some(value));
        let detail = match (statistic, s.interval) {
            (Statistic::MeanInterval, Some((low, high))) => format!("[{}, {}]", text(low), text(high)),
            (Statistic::MedianQuartiles, _) => format!("({}–{})", text(s.q1), text(s.q3)),
            _ => String::new(),
        };
        let value = match statistic {
            Statistic::Mean | Statistic::MeanInterval => s.mean,
            Statistic::Median | Statistic::MedianQuartiles => s.median,
        };
        Self { text: text(value), detail, best: false }
    }
}

/// A table with a heading for each column.
#[derive(Debug)]
pub struct Table {
    pub headings: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

/// The metrics of each method.
pub fn methods(summary: &DatasetSummary, tolerance_mm: f64) -> Table {
    let methods = &summary.methods;
    let mut headings = vec!["method".into(), "cases".into(), "objects".into()];
    let mut rows: Vec<Vec<Cell>> = (methods.iter())
        .map(|m| vec![Cell::new(&m.method), Cell::new(m.cases.to_string()), Cell::new(m.objects().to_string())])
        .collect();
    for metric in &METRICS {
        for &statistic in metric.statistics {
            headings.push(format!("{}, {}", metric.heading(tolerance_mm), words(statistic)));
            let means = methods.iter().filter_map(|m| m.metric(metric.key)).map(|s| s.mean);
            let best = means.fold(f64::NEG_INFINITY, f64::max);
            for (row, method) in rows.iter_mut().zip(methods) {
                let of_metric = method.metric(metric.key);
                let is_best = methods.len() > 1
                    && statistic == Statistic::MeanInterval
                    && of_metric.is_some_and(|s| s.mean == best);
                row.push(Cell { best: is_best, ..Cell::of(of_metric, statistic, metric.format) });
            }
        }
    }
    if methods.iter().any(|m| m.paper.is_some()) {
        headings.push("Dice in the paper".into());
        rows.iter_mut().zip(methods).for_each(|(row, method)| row.push(Cell::new(method.paper.unwrap_or("–"))));
    }
    Table { headings, rows }
}

fn words(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Mean => "mean",
        Statistic::MeanInterval => "mean [95% CI]",
        Statistic::Median => "median",
        Statistic::MedianQuartiles => "median (quartiles)",
    }
}

/// Mean Dice without the prompt slice of each class. `None` for a single class, for too many, and where each class has
/// one object only.
pub fn classes(summary: &DatasetSummary) -> Option<Table> {
    let methods = &summary.methods;
    let mut names: Vec<&String> = methods.iter().flat_map(|m| m.by_class.keys()).collect();
    names.sort();
    names.dedup();
    let several = methods.iter().any(|m| m.by_class.values().any(|class| class.objects > 1));
    if names.len() < 2 || names.len() > MAX_CLASSES || !several {
        return None;
    }
    let headings = std::iter::once("method".to_owned()).chain(names.iter().map(|name| (*name).clone())).collect();
    let row = |m: &super::summary::MethodSummary| {
        let of_class = |name: &&String| m.by_class.get(*name).map(|class| class.mean);
        let cells = names.iter().map(|name| Cell::new(Format::Decimals(3).text(of_class(name))));
        std::iter::once(Cell::new(&m.method)).chain(cells).collect()
    };
    Some(Table { headings, rows: methods.iter().map(row).collect() })
}
