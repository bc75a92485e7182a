//! How a track is computed: what a caller may ask for, what a model was trained for, and the two resolved into one
//! struct.
//!
//! In: numbers and names from an interface, and a model file's metadata. Out: [`TrackingOptions`], checked. Knows
//! nothing of tensors.

use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// The largest memory window: one temporal slot for each distance.
pub const MAX_WINDOW: usize = 6;
/// `max_obj_ptrs_in_encoder`: how many object pointers SAM 2 attends to at most.
pub const MAX_POINTERS: usize = 16;
/// More beams than this only cost time: a slice has at most beams x windows candidates.
pub const MAX_BEAMS: usize = 16;
/// A higher weight of the intensity model would overrule the network.
pub const MAX_INTENSITY_WEIGHT: f64 = 4.0;
/// A track along known masks ends where [`AGREEING_SLICES`] masks in a row have at least this Dice with the known ones.
pub const AGREEING_DICE: f64 = 0.99;
/// How many slices in a row must agree with known masks for a track to end.
pub const AGREEING_SLICES: usize = 2;
/// SAM 2's rule: the object is present where its probability is above one half.
pub const SAM2_PRESENCE_THRESHOLD: f64 = 0.5;

/// Whether every candidate attends to the prompted slice's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptMemory {
    /// Only while it lies within the window (the paper's choice: Table 3).
    InWindow,
    /// Always, with the last temporal slot (SAM 2's choice).
    Pinned,
}

/// Whose object pointers a candidate attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PointerRule {
    /// Those of the attended memories.
    Window,
    /// The prompted slice's and those of the last 15 slices, as SAM 2 does.
    Sam2,
}

/// The dense prompt that the decoder gets from the previous slice, besides its memory. Beyond the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskPrior {
    /// None: the paper's method.
    None,
    /// The previous slice's mask.
    Previous,
    /// The previous slice's mask, moved by the registration of the two slices.
    Registered,
}

impl std::str::FromStr for MaskPrior {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            // Model files of older builds say `mask` and `flow`.
            "previous" | "mask" => Ok(Self::Previous),
            "registered" | "flow" => Ok(Self::Registered),
            _ => Err(Error::invalid(format!("prior `{text}`: expected none, previous or registered"))),
        }
    }
}

/// Which part of a slice the network gets. Beyond the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldOfView {
    /// The whole slice: objects share its embedding.
    Slice,
    /// The object and its surroundings; each object has its own.
    Object,
}

impl std::str::FromStr for FieldOfView {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "slice" => Ok(Self::Slice),
            "object" => Ok(Self::Object),
            _ => Err(Error::invalid(format!("field of view `{text}`: expected slice or object"))),
        }
    }
}

/// Which of a slice's candidates are decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CandidateRule {
    /// All of them.
    All,
    /// The widest window of the best bank first; the others only where it finds no object or its predicted IoU is below
    /// this.
    UntilAccepted(f64),
}

/// What a caller asks for. `None`: what the model was trained for.
///
/// ```
/// use promem::tracking::{MaskPrior, ModelDefaults, SearchOptions};
///
/// let prior = Some(MaskPrior::Registered);
/// let wanted = SearchOptions { windows: vec![1, 3, 6], prior, ..SearchOptions::promem() };
/// let options = wanted.resolve(&ModelDefaults::SAM2)?;
/// assert_eq!((options.beams, options.presence_threshold), (2, 0.5));
///
/// let refused = SearchOptions { windows: vec![9], ..SearchOptions::promem() }.resolve(&ModelDefaults::SAM2);
/// assert_eq!(refused.unwrap_err().to_string(), "window 9: expected 1 to 6 slices");
/// # Ok::<(), promem::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SearchOptions {
    /// Memory windows of the candidates, in slices, each 1..=[`MAX_WINDOW`].
    pub windows: Vec<usize>,
    /// Banks kept from slice to slice (k), 1..=[`MAX_BEAMS`].
    pub beams: usize,
    /// Whether the prompted slice's memory is pinned.
    pub prompt: PromptMemory,
    /// Whose object pointers are attended to.
    pub pointers: PointerRule,
    /// Whether a track ends where the object is absent.
    pub stop_when_absent: bool,
    /// Minimum object-presence probability to continue, between 0 and 1.
    pub presence_threshold: Option<f64>,
    /// Further candidates are decoded only where the widest window of the best bank has a predicted IoU below this, or
    /// finds no object.
    /// `None`: all candidates are decoded on every slice. Beyond the paper (docs/performance.md).
    pub accept_iou: Option<f64>,
    /// Weight, 0..=[`MAX_INTENSITY_WEIGHT`], of the intensity model: the logarithm of how much likelier a pixel's
    /// intensity is inside the
    /// object than around it, learned on the prompted slice. Beyond the paper (docs/method.md).
    pub intensity_weight: Option<f64>,
    /// Beyond the paper (docs/method.md).
    pub prior: Option<MaskPrior>,
    /// Beyond the paper (docs/method.md).
    pub field_of_view: Option<FieldOfView>,
}

impl SearchOptions {
    /// The paper's search: windows 1 and 6, two beams.
    pub fn promem() -> Self {
        Self {
            windows: vec![1, MAX_WINDOW],
            beams: 2,
            prompt: PromptMemory::InWindow,
            pointers: PointerRule::Window,
            stop_when_absent: true,
            presence_threshold: None,
            accept_iou: None,
            intensity_weight: None,
            prior: None,
            field_of_view: None,
        }
    }

    /// Plain SAM 2 propagation.
    pub fn sam2() -> Self {
        Self {
            windows: vec![MAX_WINDOW],
            beams: 1,
            prompt: PromptMemory::Pinned,
            pointers: PointerRule::Sam2,
            stop_when_absent: false,
            intensity_weight: Some(0.0),
            prior: Some(MaskPrior::None),
            ..Self::promem()
        }
    }

    /// Refuses numbers outside the method's range.
    ///
    /// # Errors
    /// `InvalidInput` that names the option.
    pub fn validate(&self) -> Result<()> {
        if self.windows.is_empty() {
            return Err(Error::invalid("windows: none given, expected at least one"));
        }
        if let Some(w) = self.windows.iter().find(|w| !(1..=MAX_WINDOW).contains(*w)) {
            return Err(Error::invalid(format!("window {w}: expected 1 to {MAX_WINDOW} slices")));
        }
        if let Some(p) = self.presence_threshold.filter(|p| !(*p > 0.0 && *p < 1.0)) {
            return Err(Error::invalid(format!("presence threshold {p}: expected a probability above 0 and below 1")));
        }
        if let Some(iou) = self.accept_iou.filter(|iou| !(0.0..=1.0).contains(iou)) {
            return Err(Error::invalid(format!("accept_iou {iou}: expected a predicted IoU between 0 and 1")));
        }
        if let Some(weight) = self.intensity_weight.filter(|weight| !(0.0..=MAX_INTENSITY_WEIGHT).contains(weight)) {
            return Err(Error::invalid(format!(
                "intensity weight {weight}: expected a weight between 0 and {MAX_INTENSITY_WEIGHT}"
            )));
        }
        if !(1..=MAX_BEAMS).contains(&self.beams) {
            return Err(Error::invalid(format!("beams {}: expected 1 to {MAX_BEAMS}", self.beams)));
        }
        Ok(())
    }

    /// The options with the model's own defaults where the caller left them open.
    ///
    /// # Errors
    /// As [`SearchOptions::validate`].
    pub fn resolve(&self, defaults: &ModelDefaults) -> Result<TrackingOptions> {
        self.validate()?;
        Ok(TrackingOptions {
            windows: self.windows.clone(),
            beams: self.beams,
            prompt_memory: self.prompt,
            pointers: self.pointers,
            stop_when_absent: self.stop_when_absent,
            presence_threshold: self.presence_threshold.unwrap_or(defaults.presence_threshold),
            candidates: self.accept_iou.map_or(CandidateRule::All, CandidateRule::UntilAccepted),
            intensity_weight: self.intensity_weight.unwrap_or(defaults.intensity_weight),
            prior: self.prior.unwrap_or(defaults.prior),
            field_of_view: self.field_of_view.unwrap_or(defaults.field_of_view),
        })
    }
}

/// What a network was trained for beyond SAM 2, as its file's metadata say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelDefaults {
    /// The mask prior it was trained with.
    pub prior: MaskPrior,
    /// The part of a slice it was trained on.
    pub field_of_view: FieldOfView,
    /// The calibrated threshold of presence.
    pub presence_threshold: f64,
    /// The calibrated weight of the intensity model.
    pub intensity_weight: f64,
}

impl ModelDefaults {
    /// Those of published networks.
    pub const SAM2: Self = Self {
        prior: MaskPrior::None,
        field_of_view: FieldOfView::Slice,
        presence_threshold: SAM2_PRESENCE_THRESHOLD,
        intensity_weight: 0.0,
    };

    /// Reads the metadata of a model file; keys that it lacks are those of published networks.
    ///
    /// # Errors
    /// `InvalidInput` or `Checkpoint` that name the key and its value.
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
            let Some((key, text)) = metadata.get_key_value(key).or_else(|| metadata.get_key_value(older)) else {
                return Ok(None);
            };
            let number = text.parse().ok().filter(|number| allowed(*number));
            let refusal = || Error::new(ErrorKind::Checkpoint, format!("metadata {key} `{text}`: expected {expected}"));
            number.map(Some).ok_or_else(refusal)
        };
        let threshold =
            number(["promem.presence_threshold", "promem.presence"], "a probability", |p| p > 0.0 && p < 1.0)?;
        defaults.presence_threshold = threshold.unwrap_or(defaults.presence_threshold);
        let weight = number(["promem.intensity_weight", "promem.appearance"], "a weight", |weight| {
            (0.0..=MAX_INTENSITY_WEIGHT).contains(&weight)
        })?;
        defaults.intensity_weight = weight.unwrap_or(defaults.intensity_weight);
        Ok(defaults)
    }
}

/// [`SearchOptions`] resolved against [`ModelDefaults`]: nothing is left open.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackingOptions {
    /// Memory windows of the candidates.
    pub windows: Vec<usize>,
    /// Banks kept from slice to slice.
    pub beams: usize,
    /// Whether the prompted slice's memory is pinned.
    pub prompt_memory: PromptMemory,
    /// Whose object pointers are attended to.
    pub pointers: PointerRule,
    /// Whether a track ends where the object is absent.
    pub stop_when_absent: bool,
    /// Minimum object-presence probability to continue.
    pub presence_threshold: f64,
    /// Which candidates are decoded.
    pub candidates: CandidateRule,
    /// Weight of the intensity model; 0: none.
    pub intensity_weight: f64,
    /// The mask prior.
    pub prior: MaskPrior,
    /// The part of a slice that the network gets.
    pub field_of_view: FieldOfView,
}

impl TrackingOptions {
    /// The object score, a logit, above which a track continues.
    pub fn min_object_logit(&self) -> f64 {
        let p = self.presence_threshold;
        (p / (1.0 - p)).ln()
    }

    /// How many slices back a later candidate can still attend.
    pub fn reach(&self) -> usize {
        let pointers = match self.pointers {
            PointerRule::Window => 0,
            PointerRule::Sam2 => MAX_POINTERS - 1,
        };
        self.windows.iter().copied().max().unwrap_or(0).max(pointers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_the_method_are_refused() {
        let with =
            |windows: &[usize], beams| SearchOptions { windows: windows.into(), beams, ..SearchOptions::promem() };
        assert!(with(&[1, 6], 2).validate().is_ok());
        let looks = |weight| SearchOptions { intensity_weight: Some(weight), ..SearchOptions::promem() };
        assert!(looks(0.0).validate().is_ok());
        for bad in [looks(-0.1), looks(4.5), looks(f64::NAN)] {
            assert!(bad.validate().is_err(), "{bad:?} was accepted");
        }
        for bad in [with(&[], 2), with(&[0], 2), with(&[7], 2), with(&[1], 0), with(&[1], 99)] {
            assert!(bad.validate().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn open_options_take_the_models_defaults_and_given_ones_stay() {
        let defaults = ModelDefaults {
            prior: MaskPrior::Registered,
            field_of_view: FieldOfView::Object,
            presence_threshold: 0.8,
            intensity_weight: 0.6,
        };
        let open = SearchOptions::promem().resolve(&defaults).unwrap();
        assert_eq!((open.prior, open.field_of_view), (MaskPrior::Registered, FieldOfView::Object));
        assert_eq!((open.presence_threshold, open.intensity_weight, open.candidates), (0.8, 0.6, CandidateRule::All));
        let given = SearchOptions { presence_threshold: Some(0.5), accept_iou: Some(0.9), ..SearchOptions::sam2() };
        let given = given.resolve(&defaults).unwrap();
        assert_eq!((given.prior, given.intensity_weight), (MaskPrior::None, 0.0));
        assert_eq!(given.candidates, CandidateRule::UntilAccepted(0.9));
        assert_eq!((given.min_object_logit(), given.reach()), (0.0, MAX_POINTERS - 1));
    }

    #[test]
    fn metadata_are_read_under_todays_and_older_keys_and_nonsense_is_named() {
        let with = |key: &str, text: &str| ModelDefaults::of(&BTreeMap::from([(key.to_string(), text.to_string())]));
        assert_eq!(ModelDefaults::of(&BTreeMap::new()).unwrap(), ModelDefaults::SAM2);
        for key in ["promem.presence", "promem.presence_threshold"] {
            assert_eq!(with(key, "0.7").unwrap().presence_threshold, 0.7, "{key}");
        }
        for key in ["promem.appearance", "promem.intensity_weight"] {
            assert_eq!(with(key, "0.6").unwrap().intensity_weight, 0.6, "{key}");
        }
        for (older, today) in [("flow", MaskPrior::Registered), ("mask", MaskPrior::Previous)] {
            assert_eq!(with("promem.prior", older).unwrap().prior, today);
        }
        for (key, text) in
            [("promem.presence_threshold", "1"), ("promem.appearance", "-1"), ("promem.intensity_weight", "much")]
        {
            let message = with(key, text).unwrap_err().to_string();
            assert!(message.contains(key) && message.contains(text), "{message}");
        }
    }
}
