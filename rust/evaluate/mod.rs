//! Evaluation: protocol, metrics, statistics, report.
//!
//! In: data sets and a model, or another tool's masks. Out: scores per object and a report.
//! Knows nothing of training.

pub mod columns;
pub mod compare;
pub mod doubt;
pub mod exchange;
pub mod interaction;
pub mod method;
pub mod metrics;
pub mod objects;
pub mod preset;
pub mod protocol;
pub mod report;
pub mod run;
pub mod statistics;
pub mod store;
pub mod surface;
pub mod worst;
