//! Clips prefetched by worker threads and delivered in order.

use crate::error::{Error, ErrorKind, Result};
use crate::train::clip::{Clip, ClipOptions, ClipSource};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;

/// How many replacements are tried for a clip that cannot be made.
const REPLACEMENTS: u64 = 8;
/// Between the numbers of a clip and its replacement: far beyond any run.
const REPLACEMENT_STEP: u64 = 1 << 48;

/// The options of the clip of a given number.
pub type OptionsOf = dyn Fn(u64) -> ClipOptions + Send + Sync;

struct Shared {
    source: Arc<dyn ClipSource>,
    options_of: Box<OptionsOf>,
    state: Mutex<State>,
    changed: Condvar,
    /// Clips that could not be made.
    skipped: AtomicU64,
}

struct State {
    next: u64,
    consumed: u64,
    ahead: u64,
    ready: BTreeMap<u64, Result<Clip>>,
    stopped: bool,
}

/// Worker threads and what they have made. Dropping it ends them.
pub struct Pipeline {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Pipeline {
    /// Begins at clip `first`; at most `ahead` clips are held.
    pub fn start(
        source: Arc<dyn ClipSource>,
        options_of: Box<OptionsOf>,
        first: u64,
        workers: usize,
        ahead: usize,
    ) -> Self {
        let state =
            State { next: first, consumed: first, ahead: ahead.max(1) as u64, ready: BTreeMap::new(), stopped: false };
        let shared = Arc::new(Shared {
            source,
            options_of,
            state: Mutex::new(state),
            changed: Condvar::new(),
            skipped: AtomicU64::new(0),
        });
        let spawn = |_| {
            let shared = shared.clone();
            std::thread::spawn(move || work(&shared))
        };
        let workers = (0..workers.max(1)).map(spawn).collect();
        Self { shared, workers }
    }

    /// The next clip, in order.
    pub fn take(&mut self) -> Result<Clip> {
        let mut state = self.shared.state.lock();
        let number = state.consumed;
        let clip = loop {
            if let Some(clip) = state.ready.remove(&number) {
                break clip;
            }
            self.shared.changed.wait(&mut state);
        };
        state.consumed += 1;
        drop(state);
        self.shared.changed.notify_all();
        clip
    }

    /// Clips that could not be had and were replaced.
    pub fn skipped(&self) -> u64 {
        self.shared.skipped.load(Ordering::Relaxed)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.shared.state.lock().stopped = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has been reported by its clip.
            let _ = worker.join();
        }
    }
}

fn work(shared: &Shared) {
    loop {
        let number = {
            let mut state = shared.state.lock();
            while !state.stopped && state.next >= state.consumed + state.ahead {
                shared.changed.wait(&mut state);
            }
            if state.stopped {
                return;
            }
            state.next += 1;
            state.next - 1
        };
        let clip = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| make(shared, number)))
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Compute, format!("making clip {number} failed"))));
        shared.state.lock().ready.insert(number, clip);
        shared.changed.notify_all();
    }
}

fn make(shared: &Shared, number: u64) -> Result<Clip> {
    let options = (shared.options_of)(number);
    let mut last = None;
    for replacement in 0..REPLACEMENTS {
        match shared.source.clip(number + replacement * REPLACEMENT_STEP, &options) {
            Ok(clip) => return Ok(clip),
            Err(error) => {
                log::warn!("clip {number}: {error}");
                shared.skipped.fetch_add(1, Ordering::Relaxed);
                last = Some(error);
            }
        }
    }
    Err(last.expect("at least one was tried").context(format!("clip {number}: {REPLACEMENTS} in a row cannot be had")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use std::time::Duration;

    /// Clips that say their number; some take longer, some fail.
    struct Numbers;

    impl ClipSource for Numbers {
        fn clip(&self, number: u64, options: &ClipOptions) -> Result<Clip> {
            std::thread::sleep(Duration::from_millis(number % 3));
            if number == 5 {
                return Err(Error::invalid("the fifth is broken"));
            }
            let images = Array3::from_elem((options.length, 4, 4), (number % REPLACEMENT_STEP) as f32);
            Ok(Clip::new(images, Array3::from_elem((options.length, 4, 4), true), options))
        }
    }

    #[test]
    fn clips_come_in_order_whatever_the_threads_do_and_broken_ones_are_replaced() {
        let options_of = |number| ClipOptions {
            length: 1 + number as usize % 2,
            side: 4,
            stochastic_propagation: true,
            displacement_stride: None,
            intensity_model: false,
            framing: crate::train::config::Framing::Object,
        };
        for workers in [1, 3] {
            let mut pipeline = Pipeline::start(Arc::new(Numbers), Box::new(options_of), 2, workers, 4);
            for number in 2..20 {
                let clip = pipeline.take().unwrap();
                assert_eq!((clip.images[[0, 0, 0]], clip.images.dim().0), (number as f32, 1 + number % 2));
            }
            assert_eq!(pipeline.skipped(), 1);
        }
    }
}
