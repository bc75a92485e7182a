//! Chooses which remembered slices a new slice attends to, and which candidates go on.
//!
//! In: slice numbers of the banks, and scores. Out: indices into the banks with temporal slots, and ranks. Knows nothing
//! of voxels, files or weights. Source: SAM2-ProMem, section 2.3; where the paper leaves something open, the choice is
//! named in `docs/method.md`.

use crate::error::{Error, Result};
use crate::geometry::SliceIndex;

/// The slot of the pinned prompt; the slots before it belong to distances 1 to 6.
pub const PROMPT_SLOT: usize = 6;
/// The largest window: one slot per distance.
pub const MAX_WINDOW: usize = 6;
/// `max_obj_ptrs_in_encoder`: how many pointers SAM 2 attends to at most.
pub const MAX_POINTERS: usize = 16;
/// Where presence and absence are equally likely: SAM 2's rule.
pub const EVEN: f64 = 0.5;
/// A higher weight of [`SearchOptions::intensity_weight`] would leave the network no say.
pub const MAX_INTENSITY_WEIGHT: f64 = 4.0;
/// More beams than this only cost time: a slice has at most beams x windows candidates.
pub const MAX_BEAMS: usize = 16;

/// Whether the prompt slice's memory is attended to by every candidate.
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
pub enum Pointers {
    /// Those of the attended memories.
    Window,
    /// The prompt's and those of the last 15 slices, as SAM 2 does.
    Sam2,
}

/// What the decoder is told of the slice before, besides its memory. Beyond the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskPrior {
    /// Nothing: the paper's method.
    None,
    /// Its mask.
    Previous,
    /// Its mask, moved by registration of the two slices.
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

/// What of a slice the network is shown. Beyond the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldOfView {
    /// All of it: objects share what was computed of it.
    Slice,
    /// The object and its surroundings, each object its own.
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

/// How the search goes.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SearchOptions {
    /// Numbers of past slices that candidates attend to, each 1..=6.
    pub windows: Vec<usize>,
    /// Banks kept from slice to slice (k).
    pub beams: usize,
    pub prompt: PromptMemory,
    pub pointers: Pointers,
    /// Whether a run ends where the object is absent.
    pub stop_when_absent: bool,
    /// A run goes on while the object is there with at least this probability. `None`: what the network was calibrated to, else 0.5.
    pub presence_threshold: Option<f64>,
    /// Further candidates are tried only where the widest window of the best bank has a lower predicted IoU than this, or no object. `None`: all
    /// are tried on every slice. Beyond the paper (docs/performance.md).
    pub accept_iou: Option<f64>,
    /// Weight, 0 to [`MAX_INTENSITY_WEIGHT`], of what intensities alone say: how much likelier a pixel's is inside the object than around it on the
    /// prompt's slice. 0: nothing. `None`: what the network was calibrated to, else 0. Beyond the paper (docs/method.md).
    pub intensity_weight: Option<f64>,
    /// `None`: what the network was trained with.
    pub prior: Option<MaskPrior>,
    /// `None`: what the network was trained with.
    pub field_of_view: Option<FieldOfView>,
}

impl SearchOptions {
    /// The paper's search: windows 1 and 6, two beams.
    pub fn promem() -> Self {
        Self {
            windows: vec![1, MAX_WINDOW],
            beams: 2,
            prompt: PromptMemory::InWindow,
            pointers: Pointers::Window,
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
            pointers: Pointers::Sam2,
            stop_when_absent: false,
            presence_threshold: None,
            accept_iou: None,
            intensity_weight: Some(0.0),
            prior: Some(MaskPrior::None),
            field_of_view: None,
        }
    }

    /// Refuses numbers outside the method's range.
    pub fn validate(&self) -> Result<()> {
        if self.windows.is_empty() {
            return Err(Error::invalid("windows: none given, expected at least one"));
        }
        if let Some(w) = self.windows.iter().find(|w| !(1..=MAX_WINDOW).contains(*w)) {
            return Err(Error::invalid(format!("window {w}: expected 1 to {MAX_WINDOW} slices")));
        }
        if let Some(p) = self.presence_threshold.filter(|p| !(*p > 0.0 && *p < 1.0)) {
            return Err(Error::invalid(format!(
                "presence threshold {p}: expected a probability between 0 and 1, both outside"
            )));
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

    /// The object score, a logit, above which a run goes on.
    pub fn min_object_logit(&self) -> f64 {
        let p = self.presence_threshold.unwrap_or(EVEN);
        (p / (1.0 - p)).ln()
    }

    /// Slices behind the current one whose memories a later candidate can still attend to.
    pub fn reach(&self) -> usize {
        let pointers = match self.pointers {
            Pointers::Window => 0,
            Pointers::Sam2 => MAX_POINTERS - 1,
        };
        self.windows.iter().copied().max().unwrap_or(0).max(pointers)
    }
}

/// One attended memory: its place in the bank and its temporal slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    pub entry: usize,
    pub slot: usize,
}

/// One way to segment a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub bank: usize,
    pub window: usize,
    pub attended: Vec<Choice>,
}

/// The memories within `window` slices of `query`, farthest first; `bank[0]` is the prompt's slice.
///
/// An entry d slices away takes slot d - 1. A pinned prompt stands first and takes the last slot.
pub fn attended(bank: &[SliceIndex], window: usize, query: SliceIndex, prompt: PromptMemory) -> Vec<Choice> {
    let pinned = prompt == PromptMemory::Pinned;
    let mut near: Vec<usize> = (usize::from(pinned)..bank.len())
        .filter(|&entry| (1..=window).contains(&bank[entry].distance(query)))
        .collect();
    near.sort_by_key(|&entry| std::cmp::Reverse(bank[entry].distance(query)));
    let near = near.into_iter().map(|entry| Choice { entry, slot: bank[entry].distance(query) - 1 });
    pinned.then_some(Choice { entry: 0, slot: PROMPT_SLOT }).into_iter().chain(near).collect()
}

/// All candidates of a slice: banks in rank order, windows in the given order.
///
/// Two windows of one bank that reach the same entries are one candidate: a short bank would otherwise fill the beam
/// with copies.
pub fn candidates(banks: &[Vec<SliceIndex>], query: SliceIndex, options: &SearchOptions) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Vec::new();
    for (bank, slices) in banks.iter().enumerate() {
        for &window in &options.windows {
            let attended = attended(slices, window, query, options.prompt);
            if !all.iter().any(|c| c.bank == bank && c.attended == attended) {
                all.push(Candidate { bank, window, attended });
            }
        }
    }
    all
}

/// The candidate that may be [`SearchOptions::accept_iou`]: the one that remembers most of the best bank.
pub fn first_to_try(candidates: &[Candidate]) -> usize {
    let remembers = |&n: &usize| (candidates[n].bank == 0, candidates[n].attended.len());
    (0..candidates.len()).rev().max_by_key(remembers).unwrap_or(0)
}

/// The entries whose object pointers a candidate attends to, and the span that scales their distances.
pub fn pointers(
    bank: &[SliceIndex],
    chosen: &[Choice],
    query: SliceIndex,
    slices_in_volume: usize,
    rule: Pointers,
) -> (Vec<usize>, usize) {
    match rule {
        Pointers::Window => (chosen.iter().map(|c| c.entry).collect(), MAX_POINTERS),
        Pointers::Sam2 => {
            let span = slices_in_volume.min(MAX_POINTERS);
            let recent = (1..bank.len()).rev().filter(|&entry| bank[entry].distance(query) < span);
            (std::iter::once(0).chain(recent).collect(), span)
        }
    }
}

/// Candidates from the best to the worst score; a tie keeps the order. A score that is not a number comes last.
pub fn rank(scores: &[f64]) -> Vec<usize> {
    let key = |i: &usize| if scores[*i].is_nan() { f64::NEG_INFINITY } else { scores[*i] };
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| key(b).total_cmp(&key(a)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(numbers: &[usize]) -> Vec<SliceIndex> {
        numbers.iter().map(|&n| SliceIndex(n)).collect()
    }

    fn chosen(bank: &[usize], window: usize, query: usize, prompt: PromptMemory) -> Vec<(usize, usize)> {
        attended(&slices(bank), window, SliceIndex(query), prompt).iter().map(|c| (c.entry, c.slot)).collect()
    }

    #[test]
    fn the_slice_just_before_takes_slot_zero() {
        assert_eq!(chosen(&[4, 5, 6], 6, 7, PromptMemory::InWindow), [(0, 2), (1, 1), (2, 0)]);
        assert_eq!(chosen(&[4, 3, 2], 6, 1, PromptMemory::InWindow), [(0, 2), (1, 1), (2, 0)]);
    }

    #[test]
    fn a_prompt_beyond_the_window_is_forgotten_unless_pinned() {
        assert_eq!(chosen(&[0, 1, 2, 3], 1, 4, PromptMemory::InWindow), [(3, 0)]);
        assert_eq!(chosen(&[0, 1, 2, 3], 1, 4, PromptMemory::Pinned), [(0, 6), (3, 0)]);
    }

    #[test]
    fn a_pinned_prompt_is_attended_to_once() {
        assert_eq!(chosen(&[0, 1], 6, 2, PromptMemory::Pinned), [(0, 6), (1, 0)]);
    }

    #[test]
    fn windows_that_reach_the_same_entries_are_one_candidate() {
        let banks = [slices(&[4]), slices(&[3, 4])];
        let all = candidates(&banks, SliceIndex(5), &SearchOptions::promem());
        let summary: Vec<(usize, usize)> = all.iter().map(|c| (c.bank, c.window)).collect();
        assert_eq!(summary, [(0, 1), (1, 1), (1, 6)]);
    }

    #[test]
    fn the_widest_window_of_the_best_bank_is_tried_first() {
        let banks = [slices(&[3, 4]), slices(&[2, 3, 4])];
        let all = candidates(&banks, SliceIndex(5), &SearchOptions::promem());
        let first = &all[first_to_try(&all)];
        assert_eq!((first.bank, first.window), (0, 6));
    }

    #[test]
    fn a_tie_keeps_the_order_and_a_broken_score_comes_last() {
        assert_eq!(rank(&[0.5, f64::NAN, 0.9, 0.5]), [2, 0, 3, 1]);
    }

    #[test]
    fn sam2_takes_the_prompts_pointer_and_at_most_fifteen_recent_ones() {
        let bank = slices(&(0..30).collect::<Vec<_>>());
        let (entries, span) = pointers(&bank, &[], SliceIndex(30), 100, Pointers::Sam2);
        assert_eq!(span, 16);
        assert_eq!(entries.len(), 16);
        assert_eq!(&entries[..3], [0, 29, 28]);
        assert_eq!(pointers(&bank[..3], &[], SliceIndex(3), 5, Pointers::Sam2), (vec![0, 2, 1], 5));
    }

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
}
