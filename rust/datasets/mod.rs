//! Public data sets as cases: a scan and its ground-truth masks.
//!
//! In: a folder as the data set's authors publish it. Out: scans with named binary masks on the same grid.
//! Knows nothing of prompts, networks or scores; evaluation and training both read from here.

mod btcv;
mod case;
mod chaos;
mod classes;
mod decathlon;
mod files;
mod format;
mod m3d;
mod mask;
mod open;
mod paired;
mod pairs;
mod plain;
mod spec;
mod totalsegmentator;
mod uls23;

pub use case::{Case, CaseEntry, Dataset, Target};
pub use classes::Classes;
pub use files::{label_names, list as list_folder};
pub use format::DatasetFormat;
pub use mask::BinaryMask;
pub use open::open;
pub use spec::Spec;
pub use totalsegmentator::unseen_classes;
