//! The metrics of a report: keys, headings and number formats. Every table and comparison reads them from here.

use crate::evaluate::metrics::Scores;
use crate::evaluate::store::{CaseResult, ObjectResult};
use serde_json::{json, Value};

/// How a metric is printed in tables for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// With so many decimals.
    Decimals(usize),
    /// A signed percentage without decimals.
    Percent,
}

impl Format {
    /// The number as text, an en dash where there is none.
    pub fn text(self, value: Option<f64>) -> String {
        match (self, value) {
            (_, None) => "–".into(),
            (Self::Decimals(digits), Some(value)) => format!("{value:.digits$}"),
            (Self::Percent, Some(value)) => format!("{:+.0}%", 100.0 * value),
        }
    }
}

/// What a table of methods shows of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// The mean.
    Mean,
    /// The mean and its 95% interval.
    MeanInterval,
    /// The median.
    Median,
    /// The median and the quartiles.
    MedianQuartiles,
}

/// One metric of an object.
pub struct Metric {
    /// Name in files, and of the field of [`Scores`].
    pub key: &'static str,
    title: &'static str,
    /// The heading says the tolerance.
    at_tolerance: bool,
    /// Its value among an object's scores; `None` where it is undefined.
    pub value: fn(&Scores) -> Option<f64>,
    /// How it is printed.
    pub format: Format,
    /// Decimals in `objects.csv`.
    pub csv_decimals: usize,
    /// Columns in tables of methods.
    pub statistics: &'static [Statistic],
    /// Whether `promem compare` tests it.
    pub compared: bool,
}

impl Metric {
    /// The name in comparisons.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// The heading of a column; `tolerance_mm` is that of the normalised surface Dice.
    pub fn heading(&self, tolerance_mm: f64) -> String {
        match self.at_tolerance {
            true => format!("{} at {tolerance_mm} mm", self.title),
            false => self.title.to_owned(),
        }
    }
}

/// The metric by which objects are ranked: plots, worst objects, the first sorting of the page.
pub const RANKING: &str = "dice_without_prompt";

const FRACTION: Metric = Metric {
    key: "",
    title: "",
    at_tolerance: false,
    value: |_| None,
    format: Format::Decimals(3),
    csv_decimals: 4,
    statistics: &[],
    compared: false,
};
const LENGTH: Metric = Metric { format: Format::Decimals(1), ..FRACTION };
const COUNT: Metric = Metric { format: Format::Decimals(1), csv_decimals: 0, ..FRACTION };

/// All metrics, in the order of the columns.
pub const METRICS: [Metric; 11] = [
    Metric {
        key: "dice",
        title: "Dice",
        value: |s| s.dice,
        statistics: &[Statistic::MeanInterval, Statistic::MedianQuartiles],
        compared: true,
        ..FRACTION
    },
    Metric {
        key: RANKING,
        title: "Dice without prompt slice",
        value: |s| s.dice_without_prompt,
        statistics: &[Statistic::MeanInterval, Statistic::MedianQuartiles],
        compared: true,
        ..FRACTION
    },
    Metric { key: "iou", title: "IoU", value: |s| s.iou, statistics: &[Statistic::Mean], ..FRACTION },
    Metric {
        key: "surface_dice",
        title: "normalised surface Dice",
        at_tolerance: true,
        value: |s| s.surface_dice,
        statistics: &[Statistic::Mean],
        compared: true,
        ..FRACTION
    },
    Metric {
        key: "hausdorff_95_mm",
        title: "HD95 (mm)",
        value: |s| s.hausdorff_95_mm,
        statistics: &[Statistic::Median],
        compared: true,
        ..LENGTH
    },
    Metric {
        key: "average_surface_mm",
        title: "ASSD (mm)",
        value: |s| s.average_surface_mm,
        statistics: &[Statistic::Median],
        ..LENGTH
    },
    Metric {
        key: "volume_error",
        title: "relative volume error",
        value: |s| s.volume_error,
        format: Format::Percent,
        statistics: &[Statistic::Mean],
        ..FRACTION
    },
    Metric { key: "truth_voxels", title: "ground-truth voxels", value: |s| Some(s.truth_voxels as f64), ..COUNT },
    Metric { key: "predicted_voxels", title: "predicted voxels", value: |s| Some(s.predicted_voxels as f64), ..COUNT },
    Metric {
        key: "over_slices",
        title: "over-segmented slices",
        value: |s| Some(s.over_slices as f64),
        statistics: &[Statistic::Mean],
        ..COUNT
    },
    Metric {
        key: "under_slices",
        title: "under-segmented slices",
        value: |s| Some(s.under_slices as f64),
        statistics: &[Statistic::Mean],
        ..COUNT
    },
];

/// A column that says which object a line is about.
pub struct Identity {
    /// Name in files.
    pub key: &'static str,
    /// Heading in the page.
    pub heading: &'static str,
    /// Text or a whole number.
    pub value: fn(&CaseResult, &ObjectResult) -> Value,
}

/// The first columns of every table of objects; the metrics follow.
pub const IDENTITY: [Identity; 8] = [
    Identity { key: "dataset", heading: "data set", value: |case, _| json!(case.dataset) },
    Identity { key: "method", heading: "method", value: |case, _| json!(case.method) },
    Identity { key: "case", heading: "case", value: |case, _| json!(case.case) },
    Identity { key: "patient", heading: "patient", value: |case, _| json!(case.patient) },
    Identity { key: "object", heading: "object", value: |_, object| json!(object.target) },
    Identity { key: "prompt_slice", heading: "prompt slice", value: |_, object| json!(object.task.prompt_slice) },
    Identity { key: "first_slice", heading: "first slice", value: |_, object| json!(object.task.first) },
    Identity { key: "last_slice", heading: "last slice", value: |_, object| json!(object.task.last) },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_keys_are_the_numeric_fields_of_the_scores() {
        let scores = Scores {
            dice: Some(1.0),
            dice_without_prompt: Some(1.0),
            iou: Some(1.0),
            surface_dice: Some(1.0),
            hausdorff_95_mm: Some(1.0),
            average_surface_mm: Some(1.0),
            volume_error: Some(1.0),
            truth_voxels: 1,
            predicted_voxels: 1,
            over_slices: 1,
            under_slices: 1,
            by_distance: Vec::new(),
        };
        let written = serde_json::to_value(&scores).unwrap();
        for metric in &METRICS {
            assert_eq!(written[metric.key].as_f64(), (metric.value)(&scores), "{}", metric.key);
            // Each accessor reads its own field.
            let mut changed = written.clone();
            changed[metric.key] = if metric.csv_decimals == 0 { json!(7) } else { json!(0.5) };
            let changed: Scores = serde_json::from_value(changed).unwrap();
            let differing = METRICS.iter().filter(|m| (m.value)(&changed) != (m.value)(&scores));
            assert_eq!(differing.map(|m| m.key).collect::<Vec<_>>(), [metric.key]);
        }
        assert_eq!(METRICS.len() + 1, written.as_object().unwrap().len(), "`by_distance` alone is no column");
    }

    #[test]
    fn headings_say_the_tolerance_and_numbers_without_a_value_are_a_dash() {
        let surface = METRICS.iter().find(|m| m.key == "surface_dice").unwrap();
        assert_eq!(surface.heading(3.0), "normalised surface Dice at 3 mm");
        assert_eq!(METRICS[0].heading(3.0), "Dice");
        assert_eq!(Format::Percent.text(Some(-0.126)), "-13%");
        assert_eq!(Format::Decimals(1).text(None), "–");
    }
}
