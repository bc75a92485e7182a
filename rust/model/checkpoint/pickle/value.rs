//! The values of a pickle, and the errors of reading one.

use crate::error::{Error, ErrorKind};

/// The number of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(pub(super) u32);

/// One value; containers hold the numbers of theirs.
#[derive(Debug)]
pub enum Value {
    /// An integer.
    Int(i64),
    /// A string.
    Text(String),
    /// `module.name`
    Global(String),
    /// Of the members.
    Tuple(Vec<Id>),
    /// Of the members.
    List(Vec<Id>),
    /// Of keys and values.
    Dict(Vec<(Id, Id)>),
    /// A function that Python would call, with its arguments.
    Call { callable: Id, arguments: Id },
    /// A reference to data beside the pickle.
    Persistent(Id),
    /// A value that no weights need, by its sort.
    Other(&'static str),
}

/// The refusal of something that Python would run.
pub fn only_tensors(found: &str) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("found {found}: a weights file may only hold tensors"))
}

/// Bytes that are no pickle.
pub fn format(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

/// A pickle that uses what it has not made.
pub fn contradiction() -> Error {
    format("the pickle contradicts itself")
}
