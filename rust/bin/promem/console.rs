//! What the programs print, of both programs.
//!
//! A reader that closed its end of the pipe ends the printing, not the work. Any other failure (a full disk behind
//! standard output) is kept until the end, when the files are written, and fails the program.

use promem::{Error, Result};
use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::sync::Mutex;

static FAILURE: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Prints a line on standard output; takes what `format!` takes.
macro_rules! say {
    ($($text:tt)*) => { $crate::console::print(format_args!($($text)*)) };
}

/// Prints a line on standard output.
pub fn print(line: Arguments) {
    let mut out = std::io::stdout().lock();
    let written = out.write_fmt(line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    if let Err(error) = written {
        if error.kind() != ErrorKind::BrokenPipe {
            FAILURE.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(error);
        }
    }
}

/// Prints a line on standard error, if anybody listens.
pub fn complain(line: Arguments) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The first failure of standard output.
pub fn outcome() -> Result<()> {
    match FAILURE.lock().unwrap_or_else(|e| e.into_inner()).take() {
        None => Ok(()),
        Some(error) => Err(Error::io("cannot write to standard output", error)),
    }
}
