//! SAM2-ProMem: segment a whole 3D scan from one prompt on one slice.
//!
//! The modules in the order data flows; each may use those above it, never those below (checked by
//! `tests/architecture`):
//!
//! ```text
//! volume -> slices -> model -> tracking::candidates -> session -> label map on the volume's grid
//! ```

pub mod capi;
#[cfg(any(feature = "evaluate", feature = "train"))]
pub mod datasets;
pub mod error;
#[cfg(feature = "evaluate")]
pub mod evaluate;
pub mod geometry;
pub mod model;
pub mod output;
#[cfg(any(feature = "cli", feature = "evaluate", feature = "train"))]
pub mod picture;
pub mod prompt;
pub mod session;
pub mod slices;
pub mod tracking;
#[cfg(feature = "train")]
pub mod train;
pub mod volume;

pub use error::{Error, ErrorKind, Result};
