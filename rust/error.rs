//! The one error type.
//!
//! A kind says who can repair the matter; the message names the thing, what was found and what was expected; the source
//! error is kept.

use std::error::Error as StdError;
use std::fmt;

/// Who can repair it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// An argument, a prompt or an option contradicts the data: the caller can change it.
    InvalidInput,
    /// The data is well-formed, but of a kind this program does not handle (4-D, complex, RGB ...).
    Unsupported,
    /// A file is not what it says it is, or breaks off.
    Format,
    /// A model file does not fit any known network.
    Checkpoint,
    /// The operating system refused (missing file, full disk, permission).
    Io,
    /// The computing library refused (out of memory, missing device).
    Compute,
    /// The caller asked to stop.
    Cancelled,
}

/// What went wrong, with the error that caused it, if any.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of everything that can fail in this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that has no other error as its cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Shorthand for the most frequent kind.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Keeps `source` as the cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An operating-system error about `what`, such as "cannot read `ct.nii.gz`".
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, what).with_source(source)
    }

    /// Who can repair it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message of this level alone; `to_string` appends the causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same error with `outer: ` put before the message: names the file or step in which it happened.
    pub fn context(mut self, outer: impl fmt::Display) -> Self {
        self.message = format!("{outer}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut cause = self.source.as_deref().map(|e| e as &(dyn StdError + 'static));
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_every_cause_once() {
        let disk = std::io::Error::other("disk on fire");
        let error = Error::io("cannot read `ct.nii.gz`", disk).context("image");
        assert_eq!(error.to_string(), "image: cannot read `ct.nii.gz`: disk on fire");
        assert_eq!(error.kind(), ErrorKind::Io);
    }
}
