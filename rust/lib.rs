//! SAM2-ProMem: segment a whole 3D scan from one prompt on one slice.
//!
//! The modules in the order data flows; each may use those above it, never those below (checked by
//! `tests/architecture.rs`):
//!
//! ```text
//! volume -> slices -> model -> tracking::candidates -> session -> label map on the volume's grid
//! ```

pub mod capi;
pub mod datasets;
pub mod error;
pub mod evaluate;
pub mod geometry;
pub mod model;
pub mod output;
pub mod picture;
pub mod prompt;
pub mod session;
pub mod slices;
pub mod tracking;
pub mod train;
pub mod volume;

pub use error::{Error, ErrorKind, Result};
