//! The progress bar on the terminal: slices, slices per second, remaining time.

use crate::args::Output;
use indicatif::{ProgressBar, ProgressStyle};
use promem::session::Progress;

const TEMPLATE: &str = "{msg} {wide_bar} {pos}/{len} slices  {per_sec}  {eta} remaining";

/// The progress of one propagation.
pub struct Bar(ProgressBar);

impl Bar {
    /// Hidden unless text is printed on a terminal.
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
