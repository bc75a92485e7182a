//! One line for each object, or each step of an object, for a spreadsheet.

use crate::error::{Error, Result};
use crate::evaluate::columns::{IDENTITY, INTERACTION, METRICS, STEP};
use crate::evaluate::store::{CaseResult, ObjectResult};
use serde_json::Value;

/// All objects as CSV; an undefined metric is an empty field.
pub fn objects(results: &[CaseResult]) -> Result<Vec<u8>> {
    let keys = METRICS.iter().map(|metric| metric.key);
    lines(results, keys, |object| {
        vec![METRICS.iter().map(|metric| text((metric.value)(&object.scores), metric.csv_decimals)).collect()]
    })
}

/// The metrics of interaction of the objects that a simulated user prompted.
pub fn interaction(results: &[CaseResult]) -> Result<Vec<u8>> {
    let keys = INTERACTION.iter().map(|metric| metric.key);
    lines(results, keys, |object| {
        let numbers = INTERACTION.iter().map(|metric| text((metric.value)(&object.steps), metric.csv_decimals));
        (!object.steps.is_empty()).then(|| numbers.collect()).into_iter().collect()
    })
}

/// Each step of the same objects.
pub fn steps(results: &[CaseResult]) -> Result<Vec<u8>> {
    let keys = STEP.iter().map(|column| column.key);
    lines(results, keys, |object| {
        let line = |step| STEP.iter().map(|column| text((column.value)(step), column.csv_decimals)).collect();
        object.steps.iter().map(line).collect()
    })
}

fn text(value: Option<f64>, digits: usize) -> String {
    value.map_or(String::new(), |value| format!("{value:.digits$}"))
}

/// The identity of each object, and the numbers of its lines.
fn lines<'a>(
    results: &[CaseResult],
    keys: impl Iterator<Item = &'a str>,
    numbers: impl Fn(&ObjectResult) -> Vec<Vec<String>>,
) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |fields: Vec<String>| {
        writer.write_record(fields).map_err(|e| Error::invalid("cannot write the objects as CSV").with_source(e))
    };
    write(IDENTITY.iter().map(|column| column.key).chain(keys).map(str::to_owned).collect())?;
    for case in results {
        for object in &case.objects {
            let identity = IDENTITY.iter().map(|column| match (column.value)(case, object) {
                Value::String(text) => text,
                other => other.to_string(),
            });
            let identity: Vec<String> = identity.collect();
            for line in numbers(object) {
                write(identity.iter().cloned().chain(line).collect())?;
            }
        }
    }
    writer.into_inner().map_err(|e| Error::invalid("cannot write the objects as CSV").with_source(e.into_error()))
}
