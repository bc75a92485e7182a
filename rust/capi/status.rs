//! Status numbers, the message of the last error, and the wall that panics do not pass.

use crate::error::{Error, ErrorKind};
use crate::session::guarded;
use std::cell::RefCell;
use std::ffi::{c_char, CStr, CString};

/// What a function answers: PROMEM_OK or the kind of error. A number never changes its meaning; new ones may come.
pub type promem_status = i32;

/// Done.
pub const PROMEM_OK: promem_status = 0;
/// An argument, a prompt or an option contradicts the data or the other arguments; the caller can change it.
pub const PROMEM_INVALID_ARGUMENT: promem_status = 10;
/// A pointer that must not be NULL is.
pub const PROMEM_NULL_ARGUMENT: promem_status = 11;
/// A struct is larger than this library knows: it was compiled against a newer header.
pub const PROMEM_STRUCT_TOO_LARGE: promem_status = 12;
/// The data is well-formed, but of a kind that is not handled.
pub const PROMEM_UNSUPPORTED: promem_status = 20;
/// A file is not what it says it is, or breaks off.
pub const PROMEM_BAD_FORMAT: promem_status = 21;
/// A model file fits no known network.
pub const PROMEM_BAD_MODEL: promem_status = 22;
/// The operating system refused: missing file, full disk, permission.
pub const PROMEM_IO_ERROR: promem_status = 30;
/// The computing library refused: out of memory, missing device.
pub const PROMEM_COMPUTE_ERROR: promem_status = 31;
/// The caller asked to stop; what was done is kept.
pub const PROMEM_CANCELLED: promem_status = 40;
/// Another call or a job is using the session.
pub const PROMEM_BUSY: promem_status = 41;
/// The process was forked after it had loaded a model; models, sessions and jobs are the parent's and cannot be used in
/// the child.
pub const PROMEM_FORKED: promem_status = 42;
/// A fault of this library; the session stays usable after promem_session_reset.
pub const PROMEM_INTERNAL_ERROR: promem_status = 90;

/// What can go wrong at the boundary, beside what the library itself says.
#[derive(Debug)]
pub(super) enum BoundaryError {
    Null(&'static str),
    TooLarge {
        what: &'static str,
        found: usize,
        known: usize,
    },
    Busy,
    /// A child of the process that loaded the model.
    Forked {
        owner: u32,
    },
    /// The process is about to end.
    Ending,
    Library(Error),
}

impl From<Error> for BoundaryError {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl BoundaryError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Library(Error::invalid(message))
    }

    pub(super) fn status(&self) -> promem_status {
        match self {
            BoundaryError::Null(_) => PROMEM_NULL_ARGUMENT,
            BoundaryError::TooLarge { .. } => PROMEM_STRUCT_TOO_LARGE,
            BoundaryError::Busy => PROMEM_BUSY,
            BoundaryError::Forked { .. } => PROMEM_FORKED,
            BoundaryError::Ending => PROMEM_CANCELLED,
            BoundaryError::Library(error) => match error.kind() {
                ErrorKind::InvalidInput => PROMEM_INVALID_ARGUMENT,
                ErrorKind::Unsupported => PROMEM_UNSUPPORTED,
                ErrorKind::Format => PROMEM_BAD_FORMAT,
                ErrorKind::Checkpoint => PROMEM_BAD_MODEL,
                ErrorKind::Io => PROMEM_IO_ERROR,
                ErrorKind::Compute => PROMEM_COMPUTE_ERROR,
                ErrorKind::Cancelled => PROMEM_CANCELLED,
            },
        }
    }
}

impl std::fmt::Display for BoundaryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BoundaryError::Null(what) => write!(f, "{what}: NULL"),
            BoundaryError::TooLarge { what, found, known } => {
                write!(
                    f,
                    "{what}: struct_size is {found}, this library knows {known} bytes; it is older than the header"
                )
            }
            BoundaryError::Busy => f.write_str("the session is in use by another call or a job; wait for it or cancel it"),
            BoundaryError::Forked { owner } => write!(
                f,
                "this process was forked from process {owner} after that had loaded a model; found process {}, expected {owner}; load the \
                 model after the fork, or start a program instead of forking",
                std::process::id()
            ),
            BoundaryError::Ending => f.write_str("cancelled; the process is about to end"),
            BoundaryError::Library(error) => error.fmt(f),
        }
    }
}

/// The outcome of what happens inside a boundary.
pub(super) type Outcome<T = ()> = Result<T, BoundaryError>;

thread_local! {
    static MESSAGE: RefCell<CString> = RefCell::default();
}

/// Text for C: what follows a NUL is left out.
pub(super) fn c_text(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}

fn set_message(text: &str) {
    // In a destructor of the thread the message may be gone already: then there is nowhere to keep it.
    let _ = MESSAGE.try_with(|message| *message.borrow_mut() = c_text(text));
}

/// Runs what a function does; its error or panic becomes status and message.
pub(super) fn boundary(work: impl FnOnce() -> Outcome) -> promem_status {
    // The thread's message is there before anything of libtorch's in the thread is, so that what Rust does at a
    // thread's end comes last.
    set_message("");
    let (status, text) = caught(work);
    set_message(&text);
    status
}

/// The same without touching the calling thread's message: status and text.
pub(super) fn caught(work: impl FnOnce() -> Outcome) -> (promem_status, String) {
    match guarded(work) {
        Ok(Ok(())) => (PROMEM_OK, String::new()),
        Ok(Err(refusal)) => (refusal.status(), refusal.to_string()),
        Err(fault) => (PROMEM_INTERNAL_ERROR, format!("a fault of this library: {fault}")),
    }
}

/// A status by name, such as "PROMEM_OK"; "unknown status" for a number that this library does not know. The text is
/// constant.
#[no_mangle]
pub extern "C" fn promem_status_name(status: promem_status) -> *const c_char {
    let name: &'static CStr = match status {
        PROMEM_OK => c"PROMEM_OK",
        PROMEM_INVALID_ARGUMENT => c"PROMEM_INVALID_ARGUMENT",
        PROMEM_NULL_ARGUMENT => c"PROMEM_NULL_ARGUMENT",
        PROMEM_STRUCT_TOO_LARGE => c"PROMEM_STRUCT_TOO_LARGE",
        PROMEM_UNSUPPORTED => c"PROMEM_UNSUPPORTED",
        PROMEM_BAD_FORMAT => c"PROMEM_BAD_FORMAT",
        PROMEM_BAD_MODEL => c"PROMEM_BAD_MODEL",
        PROMEM_IO_ERROR => c"PROMEM_IO_ERROR",
        PROMEM_COMPUTE_ERROR => c"PROMEM_COMPUTE_ERROR",
        PROMEM_CANCELLED => c"PROMEM_CANCELLED",
        PROMEM_BUSY => c"PROMEM_BUSY",
        PROMEM_FORKED => c"PROMEM_FORKED",
        PROMEM_INTERNAL_ERROR => c"PROMEM_INTERNAL_ERROR",
        _ => c"unknown status",
    };
    name.as_ptr()
}

/// Why the last function that this thread called and that returns a status did not return PROMEM_OK: one line of UTF-8
/// that names the thing, what was found and what was expected. "" after PROMEM_OK, and while the thread's own
/// destructors run. It is the library's and holds until the thread's next such call.
#[no_mangle]
pub extern "C" fn promem_last_error_message() -> *const c_char {
    MESSAGE.try_with(|message| message.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stops_at_the_boundary() {
        assert_eq!(boundary(|| panic!("planted")), PROMEM_INTERNAL_ERROR);
        assert_eq!(boundary(|| Ok(())), PROMEM_OK);
        // SAFETY: the library's own text.
        assert_eq!(unsafe { CStr::from_ptr(promem_last_error_message()) }, c"");
    }
}
