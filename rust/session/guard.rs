//! One model, many users: a lock around computing, and tch's panics turned into errors.

use crate::error::{Error, ErrorKind, Result};
use crate::model::Sam2;
use crate::tracking::ModelDefaults;
use once_cell::sync::Lazy;
use parking_lot::Mutex;
use std::any::Any;
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// A model that several sessions and threads may hold; they compute one at a time.
#[derive(Debug, Clone)]
pub struct SharedModel {
    network: Arc<Mutex<Sam2>>,
    defaults: ModelDefaults,
}

impl SharedModel {
    pub fn new(model: Sam2) -> Self {
        Self { network: Arc::new(Mutex::new(model)), defaults: ModelDefaults::SAM2 }
    }

    /// The model with what it was trained for.
    pub fn with_defaults(self, defaults: ModelDefaults) -> Self {
        Self { defaults, ..self }
    }

    pub fn defaults(&self) -> ModelDefaults {
        self.defaults
    }

    /// Runs `work` on the model, without gradients. A panic of the computing library (out of memory, a refused
    /// operation) becomes an error of kind `Compute`; the model stays usable.
    pub fn compute<R>(&self, work: impl FnOnce(&Sam2) -> R) -> Result<R> {
        let model = self.network.lock();
        guarded(|| tch::no_grad(|| work(&model)))
    }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Panics inside a guard are reported as errors, so the process-wide hook must not print them as well.
static QUIET_HOOK: Lazy<()> = Lazy::new(|| {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !GUARDED.with(Cell::get) {
            before(info);
        }
    }));
});

/// Runs `work`, turning a panic into an error of kind `Compute`.
pub fn guarded<R>(work: impl FnOnce() -> R) -> Result<R> {
    Lazy::force(&QUIET_HOOK);
    let outer = GUARDED.with(|g| g.replace(true));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.with(|g| g.set(outer));
    outcome.map_err(|payload| Error::new(ErrorKind::Compute, format!("computing failed: {}", first_line(&*payload))))
}

/// libtorch appends its own stack trace, which is of no use to a reader.
fn first_line(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("unknown cause");
    let text = text.split("Torch(\"").last().unwrap_or(text);
    text.split("\\n").next().unwrap_or(text).lines().next().unwrap_or(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    use tch::Tensor;

    #[test]
    fn a_refused_operation_is_an_error_of_one_line() {
        let error =
            guarded(|| Tensor::from_slice(&[1f32, 2.]).matmul(&Tensor::from_slice(&[1f32, 2., 3.]))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Compute);
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        assert!(error.to_string().len() < 300, "{error}");
    }
}
