//! One line for each object, for a spreadsheet.

use crate::error::{Error, Result};
use crate::evaluate::columns::{IDENTITY, METRICS};
use crate::evaluate::store::CaseResult;
use serde_json::Value;

/// All objects as CSV; an undefined metric is an empty field.
pub fn objects(results: &[CaseResult]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |fields: Vec<String>| {
        writer.write_record(fields).map_err(|e| Error::invalid("cannot write the objects as CSV").with_source(e))
    };
    let keys = IDENTITY.iter().map(|column| column.key).chain(METRICS.iter().map(|metric| metric.key));
    write(keys.map(str::to_owned).collect())?;
    for case in results {
        for object in &case.objects {
            let identity = IDENTITY.iter().map(|column| match (column.value)(case, object) {
                Value::String(text) => text,
                other => other.to_string(),
            });
            let numbers = METRICS.iter().map(|metric| {
                let digits = metric.csv_decimals;
                (metric.value)(&object.scores).map_or(String::new(), |value| format!("{value:.digits$}"))
            });
            write(identity.chain(numbers).collect())?;
        }
    }
    writer.into_inner().map_err(|e| Error::invalid("cannot write the objects as CSV").with_source(e.into_error()))
}
