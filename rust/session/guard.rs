//! One model, many users: a lock around computing, and tch's panics turned into errors.

use crate::error::{Error, ErrorKind, Result};
use crate::memory::{FieldOfView, MaskPrior, EVEN, MAX_INTENSITY_WEIGHT};
use crate::model::Sam2;
use once_cell::sync::Lazy;
use parking_lot::Mutex;
use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// A model that several sessions and threads may hold; they compute one at a time.
#[derive(Debug, Clone)]
pub struct SharedModel {
    network: Arc<Mutex<Sam2>>,
    defaults: ModelDefaults,
}

/// What a network was trained for beyond SAM 2; published ones for nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelDefaults {
    pub prior: MaskPrior,
    pub field_of_view: FieldOfView,
    /// The probability of presence below which a run ends best.
    pub presence_threshold: f64,
    /// The weight of [`crate::memory::SearchOptions::intensity_weight`] that is best.
    pub intensity_weight: f64,
}

impl ModelDefaults {
    /// As SAM 2.
    pub const SAM2: Self = Self {
        prior: MaskPrior::None,
        field_of_view: FieldOfView::Slice,
        presence_threshold: EVEN,
        intensity_weight: 0.0,
    };

    /// What the metadata of a model file say.
    pub fn of(metadata: &BTreeMap<String, String>) -> Result<Self> {
        let mut defaults = Self::SAM2;
        if let Some(name) = metadata.get("promem.prior") {
            defaults.prior = name.parse()?;
        }
        if let Some(name) = metadata.get("promem.field_of_view") {
            defaults.field_of_view = name.parse()?;
        }
        // Each key with the one that older builds wrote.
        let number = |[key, older]: [&str; 2], expected: &str, allowed: fn(f64) -> bool| {
            let Some(text) = metadata.get(key).or_else(|| metadata.get(older)) else { return Ok(None) };
            let number = text.parse().ok().filter(|number| allowed(*number));
            let refusal = || Error::new(ErrorKind::Checkpoint, format!("metadata {key} `{text}`: expected {expected}"));
            number.map(Some).ok_or_else(refusal)
        };
        if let Some(presence) =
            number(["promem.presence_threshold", "promem.presence"], "a probability", |p| p > 0.0 && p < 1.0)?
        {
            defaults.presence_threshold = presence;
        }
        let weight = number(["promem.intensity_weight", "promem.appearance"], "a weight", |weight| {
            (0.0..=MAX_INTENSITY_WEIGHT).contains(&weight)
        })?;
        defaults.intensity_weight = weight.unwrap_or(defaults.intensity_weight);
        Ok(defaults)
    }
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

    #[test]
    fn a_model_file_says_what_it_was_calibrated_to_and_nonsense_is_named() {
        let with = |key: &str, text: &str| ModelDefaults::of(&BTreeMap::from([(key.to_string(), text.to_string())]));
        assert_eq!(ModelDefaults::of(&BTreeMap::new()).unwrap(), ModelDefaults::SAM2);
        assert_eq!(with("promem.presence", "0.7").unwrap().presence_threshold, 0.7);
        assert_eq!(with("promem.appearance", "0.6").unwrap().intensity_weight, 0.6);
        assert_eq!(with("promem.presence_threshold", "0.7").unwrap().presence_threshold, 0.7);
        assert_eq!(with("promem.intensity_weight", "0.6").unwrap().intensity_weight, 0.6);
        assert_eq!(with("promem.prior", "flow").unwrap(), with("promem.prior", "registered").unwrap());
        for (key, text) in
            [("promem.presence_threshold", "1"), ("promem.intensity_weight", "-1"), ("promem.intensity_weight", "much")]
        {
            let message = with(key, text).unwrap_err().to_string();
            assert!(message.contains(key) && message.contains(text), "{message}");
        }
    }
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
