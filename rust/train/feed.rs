//! Batches prefetched by a thread: their clips are joined and copied to the device while the previous step is computed.

use crate::error::{Error, ErrorKind, Result};
use crate::session::guarded;
use crate::train::batch::Batch;
use crate::train::config::TrainConfig;
use crate::train::pipeline::Pipeline;
use std::sync::mpsc::{sync_channel, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tch::Device;

/// The batches that all replicas compute at once; a step has `accumulate` of these.
pub struct Part {
    /// Number of its first clip.
    pub first: u64,
    /// One for each replica.
    pub batches: Vec<Batch>,
    /// Clips that could not be made so far and were replaced.
    pub skipped: u64,
}

/// The parts of all steps, in order. Dropping it ends its thread.
pub struct Feed {
    parts: Option<Receiver<Result<Part>>>,
    thread: Option<JoinHandle<()>>,
    waited: Duration,
    skipped: u64,
}

impl Feed {
    /// From `step` on; `clips` begin with that step's first.
    pub fn start(config: &TrainConfig, step: u64, mut clips: Pipeline, device: Device) -> Self {
        let (sender, parts) = sync_channel(1);
        let config = config.clone();
        let work = move || {
            for step in step..config.steps() {
                let stage = &config.stages[config.stage(step).0];
                for part in 0..stage.accumulate {
                    let first = config.first_clip(step) + (part * stage.batch) as u64;
                    let part =
                        guarded(|| make(&mut clips, first, stage.batch, config.replicas, device)).and_then(|part| part);
                    let failed = part.is_err();
                    if sender.send(part).is_err() || failed {
                        return;
                    }
                }
            }
        };
        let thread = Some(std::thread::spawn(work));
        Self { parts: Some(parts), thread, waited: Duration::ZERO, skipped: 0 }
    }

    /// The next part.
    pub fn take(&mut self) -> Result<Part> {
        let begin = Instant::now();
        let part = self.parts.as_ref().and_then(|parts| parts.recv().ok());
        self.waited += begin.elapsed();
        let part =
            part.unwrap_or_else(|| Err(Error::new(ErrorKind::Compute, "the thread that makes batches ended")))?;
        self.skipped = part.skipped;
        Ok(part)
    }

    /// Time that the consumer has spent waiting.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Clips that could not be made and were replaced, up to the last part that was taken.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.parts = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has been missed by whoever took parts.
            let _ = thread.join();
        }
    }
}

fn make(clips: &mut Pipeline, first: u64, count: usize, replicas: usize, device: Device) -> Result<Part> {
    let mut all = (0..count).map(|_| clips.take()).collect::<Result<Vec<_>>>()?;
    let share = count / replicas;
    let batches = (0..replicas).map(|_| Batch::new(all.drain(..share).collect(), device)).collect();
    Ok(Part { first, batches, skipped: clips.skipped() })
}
