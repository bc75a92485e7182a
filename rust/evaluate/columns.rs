//! The metrics of a report: keys, headings and number formats. Every table and comparison reads them from here.

use crate::evaluate::interaction::curve::{self, WANTED};
use crate::evaluate::interaction::Step;
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

/// One metric of an object's interaction.
pub struct InteractionMetric {
    /// Name in files.
    pub key: &'static str,
    /// Heading in tables.
    pub title: &'static str,
    pub value: fn(&[Step]) -> Option<f64>,
    pub csv_decimals: usize,
    pub kind: InteractionKind,
}

/// How a metric of interaction is summarised over objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InteractionKind {
    /// By its mean.
    Mean,
    /// By the share of objects that have a value, and the mean of those.
    Reached,
}

const MEAN: InteractionMetric =
    InteractionMetric { key: "", title: "", value: |_| None, csv_decimals: 4, kind: InteractionKind::Mean };
const REACHED: InteractionMetric = InteractionMetric { csv_decimals: 0, kind: InteractionKind::Reached, ..MEAN };

fn steps_to(steps: &[Step], wanted: f64) -> Option<f64> {
    curve::steps_to(steps, curve::looked_at, wanted).map(|number| number as f64)
}

/// All metrics of interaction, in the order of the columns.
pub const INTERACTION: [InteractionMetric; 8] = [
    InteractionMetric {
        key: "slice_dice",
        title: "Dice of the prompt slice, last step",
        value: |steps| steps.last()?.slice_dice,
        ..MEAN
    },
    InteractionMetric {
        key: "slice_dice_area",
        title: "area under the curve, prompt slice",
        value: |steps| curve::area(steps, |step| step.slice_dice),
        ..MEAN
    },
    InteractionMetric {
        key: "volume_dice",
        title: "Dice of the volume, last step",
        value: |steps| steps.last()?.volume_dice,
        ..MEAN
    },
    InteractionMetric {
        key: "volume_dice_area",
        title: "area under the curve, volume",
        value: |steps| curve::area(steps, |step| step.volume_dice),
        ..MEAN
    },
    InteractionMetric {
        key: "unprompted_dice",
        title: "Dice of the slices without prompt, last step",
        value: |steps| steps.last()?.unprompted_dice,
        ..MEAN
    },
    InteractionMetric { key: "steps_to_0.80", title: "0.80 (steps)", value: |s| steps_to(s, WANTED[0]), ..REACHED },
    InteractionMetric { key: "steps_to_0.85", title: "0.85 (steps)", value: |s| steps_to(s, WANTED[1]), ..REACHED },
    InteractionMetric { key: "steps_to_0.90", title: "0.90 (steps)", value: |s| steps_to(s, WANTED[2]), ..REACHED },
];

/// A column of the table of steps.
pub struct StepColumn {
    /// Name in files, and of the field of [`Step`].
    pub key: &'static str,
    pub value: fn(&Step) -> Option<f64>,
    pub csv_decimals: usize,
}

/// All columns of the table of steps.
pub const STEP: [StepColumn; 6] = [
    StepColumn { key: "number", value: |step| Some(step.number as f64), csv_decimals: 0 },
    StepColumn { key: "slice", value: |step| step.slice.map(|slice| slice as f64), csv_decimals: 0 },
    StepColumn { key: "slice_dice", value: |step| step.slice_dice, csv_decimals: 4 },
    StepColumn { key: "volume_dice", value: |step| step.volume_dice, csv_decimals: 4 },
    StepColumn { key: "unprompted_dice", value: |step| step.unprompted_dice, csv_decimals: 4 },
    StepColumn { key: "seconds", value: |step| step.seconds, csv_decimals: 4 },
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
    fn step_columns_are_the_fields_of_a_step() {
        let step = Step {
            number: 1,
            slice: Some(2),
            slice_dice: Some(0.25),
            volume_dice: Some(0.5),
            unprompted_dice: Some(0.75),
            seconds: Some(1.5),
        };
        let written = serde_json::to_value(step).unwrap();
        for column in &STEP {
            assert_eq!(written[column.key].as_f64(), (column.value)(&step), "{}", column.key);
        }
        assert_eq!(STEP.len(), written.as_object().unwrap().len());
    }

    #[test]
    fn interaction_is_read_from_the_steps() {
        let step = |number, dice, volume| Step {
            number,
            slice: Some(2),
            slice_dice: Some(dice),
            volume_dice: Some(volume),
            unprompted_dice: Some(0.1),
            seconds: None,
        };
        let steps = [step(1, 0.5, 0.2), step(2, 0.82, 0.4), step(3, 0.86, 0.6)];
        let values: Vec<Option<f64>> = INTERACTION.iter().map(|metric| (metric.value)(&steps)).collect();
        let expected = [Some(0.86), Some(0.75), Some(0.6), Some(0.4), Some(0.1), Some(2.0), Some(3.0), None];
        for ((found, expected), metric) in values.iter().zip(expected).zip(&INTERACTION) {
            let apart = found.unwrap_or(-1.0) - expected.unwrap_or(-1.0);
            assert!(apart.abs() < 1e-12, "{}: {found:?}", metric.key);
        }
        assert!(INTERACTION.iter().all(|metric| (metric.value)(&[]).is_none()));
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
