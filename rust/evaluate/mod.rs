//! How good a segmentation is: protocol, metrics, statistics, report.
//!
//! In: data sets and a model, or another tool's masks. Out: scores per object and a report to read.
//! Knows nothing of training.

pub mod compare;
pub mod exchange;
pub mod metrics;
pub mod protocol;
pub mod report;
pub mod row;
pub mod run;
pub mod statistics;
pub mod store;
pub mod surface;
