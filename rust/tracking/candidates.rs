//! Chooses which remembered slices a new slice attends to, and which candidates go on.
//!
//! In: slice numbers of the banks, and scores. Out: indices into the banks with temporal slots, and ranks. Knows
//! nothing
//! of voxels, files or weights. Source: SAM2-ProMem, section 2.3; where the paper leaves something open, the choice is
//! named in `docs/method.md`.

use super::options::{PointerRule, PromptMemory, TrackingOptions, MAX_POINTERS};
use crate::geometry::SliceIndex;

/// The slot of the pinned prompt; the slots before it belong to distances 1 to 6.
pub const PROMPT_SLOT: usize = 6;

/// One attended memory: its place in the bank and its temporal slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Index in the bank.
    pub entry: usize,
    /// Temporal slot, 0 for the neighbouring slice.
    pub slot: usize,
}

/// One way to segment a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Index among the banks.
    pub bank: usize,
    /// The memory window.
    pub window: usize,
    /// The memories it attends to, farthest first.
    pub attended: Vec<Choice>,
}

/// The memories within `window` slices of `query`, farthest first; `bank[0]` is the prompt's slice.
///
/// An entry d slices away takes slot d - 1. A pinned prompt stands first and takes the last slot.
///
/// ```
/// use promem::geometry::SliceIndex;
/// use promem::tracking::{candidates::attended, PromptMemory};
///
/// let bank = [10, 11, 12, 13].map(SliceIndex); // the prompt was on slice 10
/// let chosen = attended(&bank, 2, SliceIndex(14), PromptMemory::InWindow);
/// assert_eq!(chosen.iter().map(|c| (c.entry, c.slot)).collect::<Vec<_>>(), [(2, 1), (3, 0)]);
/// ```
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
pub fn candidates(banks: &[Vec<SliceIndex>], query: SliceIndex, options: &TrackingOptions) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Vec::new();
    for (bank, slices) in banks.iter().enumerate() {
        for &window in &options.windows {
            let attended = attended(slices, window, query, options.prompt_memory);
            if !all.iter().any(|c| c.bank == bank && c.attended == attended) {
                all.push(Candidate { bank, window, attended });
            }
        }
    }
    all
}

/// The candidate that is decoded first under [`super::CandidateRule::UntilAccepted`]: the widest window of the best
/// bank.
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
    rule: PointerRule,
) -> (Vec<usize>, usize) {
    match rule {
        PointerRule::Window => (chosen.iter().map(|c| c.entry).collect(), MAX_POINTERS),
        PointerRule::Sam2 => {
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
    use super::super::{ModelDefaults, SearchOptions};
    use super::*;

    fn options() -> TrackingOptions {
        SearchOptions::promem().resolve(&ModelDefaults::SAM2).unwrap()
    }

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
        let all = candidates(&banks, SliceIndex(5), &options());
        let summary: Vec<(usize, usize)> = all.iter().map(|c| (c.bank, c.window)).collect();
        assert_eq!(summary, [(0, 1), (1, 1), (1, 6)]);
    }

    #[test]
    fn the_widest_window_of_the_best_bank_is_tried_first() {
        let banks = [slices(&[3, 4]), slices(&[2, 3, 4])];
        let all = candidates(&banks, SliceIndex(5), &options());
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
        let (entries, span) = pointers(&bank, &[], SliceIndex(30), 100, PointerRule::Sam2);
        assert_eq!(span, 16);
        assert_eq!(entries.len(), 16);
        assert_eq!(&entries[..3], [0, 29, 28]);
        assert_eq!(pointers(&bank[..3], &[], SliceIndex(3), 5, PointerRule::Sam2), (vec![0, 2, 1], 5));
    }
}
