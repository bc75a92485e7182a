//! Ctrl-C, of both programs.

use promem::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// A flag that becomes true at the first Ctrl-C; the second one ends the process at once.
pub fn interruption() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
    .map_err(|e| Error::new(ErrorKind::Io, "cannot listen for Ctrl-C").with_source(e))?;
    Ok(interrupted)
}
