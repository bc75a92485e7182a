//! A progress bar on the terminal: slices, slices per second, time left.

use crate::args::Output;
use indicatif::{ProgressBar, ProgressStyle};
use promem::session::Progress;
use promem::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

const TEMPLATE: &str = "{msg} {wide_bar} {pos}/{len} slices  {per_sec}  {eta} left";

pub struct Bar(ProgressBar);

impl Bar {
    /// Draws only for people at a terminal.
    pub fn new(message: &'static str, output: Output) -> Self {
        if output != Output::Human {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(0).with_message(message);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.with_key(
                "per_sec",
                |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                    let _ = write!(out, "{:.1} slices/s", state.per_sec());
                },
            ));
        }
        Self(bar)
    }

    pub fn show(&self, progress: Progress) {
        self.0.set_length(progress.expected as u64);
        self.0.set_position(progress.done as u64);
    }

    pub fn finish(self) {
        self.0.finish_and_clear();
    }
}

/// Becomes true at the first Ctrl-C; the second one ends the process at once.
pub fn interruption() -> Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    let flag = asked.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
    .map_err(|e| Error::new(promem::ErrorKind::Io, "cannot listen for Ctrl-C").with_source(e))?;
    Ok(asked)
}
