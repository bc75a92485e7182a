//! A user who repaints slices of a propagation: the worst one, or the one that the program doubts most, then the next.
//!
//! In: the objects of a case and a session. Out: the steps of each object, and the volume after the last.

use super::user::{slice_to_repaint, SliceState};
use super::{Interaction, Step};
use crate::datasets::BinaryMask;
use crate::error::Result;
use crate::evaluate::metrics::{overlaps, EmptyRule, Overlap};
use crate::evaluate::objects::{ObjectRanges, Objects, OnSlice, Segmented};
use crate::evaluate::protocol::Task;
use crate::geometry::{SliceIndex, SliceRange};
use crate::prompt::ObjectId;
use crate::session::Session;
use std::time::Instant;

/// Propagates from the protocol's prompts, then corrects every object and propagates again, `interaction.count` times.
///
/// Beyond the object's true ends nothing can be painted: there the user limits the object's range to its true end.
pub fn in_session(
    session: &mut Session,
    objects: &Objects,
    interaction: &Interaction,
    on_slice: &mut OnSlice,
) -> Result<(Segmented, Vec<Vec<Step>>)> {
    session.reset();
    objects.add_prompts(session)?;
    let mut ranges = objects.ranges();
    let mut all: Vec<Vec<Step>> = vec![Vec::new(); objects.ids.len()];
    let clock = Instant::now();
    let mut segmented = objects.propagate(session, ranges.clone(), on_slice)?;
    let seconds = clock.elapsed().as_secs_f64();
    for (n, (id, truth, task)) in objects.iter().enumerate() {
        let done = Done { number: 0, slice: Some(SliceIndex(task.prompt_slice)), seconds: Some(seconds) };
        all[n].push(step(session, objects, (id, truth), &segmented.masks[n], done));
    }
    for number in 1..=interaction.count {
        let mut chosen = Vec::new();
        for (n, (id, truth, task)) in objects.iter().enumerate() {
            let states = states(session, objects, (id, truth, task), &segmented, n);
            let slice = slice_to_repaint(&states, interaction.repaint);
            if let Some(slice) = slice {
                repaint(session, objects, (id, truth, task), slice, &mut ranges)?;
            }
            chosen.push(slice);
        }
        let clock = Instant::now();
        if chosen.iter().any(Option::is_some) {
            segmented = objects.propagate(session, ranges.clone(), on_slice)?;
        }
        let seconds = clock.elapsed().as_secs_f64();
        for (n, (id, truth, _)) in objects.iter().enumerate() {
            let done = Done { number, slice: chosen[n], seconds: chosen[n].map(|_| seconds) };
            all[n].push(step(session, objects, (id, truth), &segmented.masks[n], done));
        }
    }
    Ok((segmented, all))
}

struct Done {
    number: usize,
    slice: Option<SliceIndex>,
    seconds: Option<f64>,
}

fn step(
    session: &Session,
    objects: &Objects,
    (id, truth): (ObjectId, &BinaryMask),
    mask: &BinaryMask,
    Done { number, slice, seconds }: Done,
) -> Step {
    let slices = overlaps(truth, mask, objects.axis);
    let prompted = |n: usize| session.prompts().at(id, SliceIndex(n)).is_some();
    let others = slices.iter().enumerate().filter(|(n, _)| !prompted(*n)).map(|(_, overlap)| overlap);
    Step {
        number,
        slice: slice.map(|slice| slice.0),
        slice_dice: None,
        volume_dice: Overlap::total(slices.iter()).dice(EmptyRule::Skip),
        unprompted_dice: Overlap::total(others).dice(EmptyRule::Skip),
        seconds,
    }
}

/// The slices that can be corrected: those with the object, and those beyond its true ends.
fn states(
    session: &Session,
    objects: &Objects,
    (id, truth, task): (ObjectId, &BinaryMask, &Task),
    segmented: &Segmented,
    n: usize,
) -> Vec<SliceState> {
    let slices = overlaps(truth, &segmented.masks[n], objects.axis);
    let state = |(at, overlap): (usize, &Overlap)| {
        let beyond = !(task.first..=task.last).contains(&at);
        let score = segmented.slices[n].iter().find(|scored| scored.slice == at).map(|scored| scored.score);
        let prompted = session.prompts().at(id, SliceIndex(at)).is_some();
        let dice = overlap.dice(EmptyRule::Skip).filter(|_| beyond || overlap.truth > 0)?;
        Some(SliceState { slice: SliceIndex(at), dice, score, prompted })
    };
    slices.iter().enumerate().filter_map(state).collect()
}

fn repaint(
    session: &mut Session,
    objects: &Objects,
    (id, truth, task): (ObjectId, &BinaryMask, &Task),
    slice: SliceIndex,
    ranges: &mut ObjectRanges,
) -> Result<()> {
    let range = ranges.get_mut(&id).expect("each object has a range");
    if slice.0 > task.last {
        *range = SliceRange { last: SliceIndex(task.last), ..*range };
        return Ok(());
    }
    if slice.0 < task.first {
        *range = SliceRange { first: SliceIndex(task.first), ..*range };
        return Ok(());
    }
    session.prompts_mut().add_mask(id, slice, truth.slice(objects.axis, slice))
}
