//! Numbers of objects.

use crate::error::{Error, Result};
use std::fmt;

/// An object's number, which is also its label in the label map; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(u16);

impl ObjectId {
    /// # Errors
    /// `InvalidInput` for 0, the background.
    pub fn new(label: u16) -> Result<Self> {
        match label {
            0 => Err(Error::invalid("object 0: label 0 is the background, expected 1 to 65535")),
            label => Ok(Self(label)),
        }
    }

    /// The label in the label map.
    pub fn label(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
