//! A user who clicks or draws on the prompt slice: in the largest error of the mask that is there so far.
//!
//! In: the objects of a case, and a session or a method that learns nothing. Out: the steps of each object, and the
//! volume after the last. The clicks are chosen first, from masks of the slice alone; then they are given again, and
//! the volume is propagated after each.

use super::baseline::Baseline;
use super::scribble::{next_scribble, Scribble};
use super::user::{next_click, Click};
use super::{Action, Interaction, Step, VolumeAfter};
use crate::datasets::BinaryMask;
use crate::error::Result;
use crate::evaluate::metrics::{overlaps, EmptyRule, Overlap};
use crate::evaluate::objects::{interrupted, Objects, OnSlice, Segmented};
use crate::evaluate::protocol::{add_prompt, bounds_of, copy, voxel_on_slice, PromptKind, Task};
use crate::evaluate::statistics::SplitMix;
use crate::geometry::{Axis, SliceIndex};
use crate::prompt::{ObjectId, Prompt};
use crate::session::{Flow, Session};
use crate::slices;
use ndarray::Array2;
use std::time::Instant;

/// What a user gives: a box, which comes first, a click or a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Given {
    Box,
    Click(Click),
    Scribble(Scribble),
}

/// The steps of an object on its prompt slice, and what was given at each; `None` where nothing was left to do.
struct Course {
    steps: Vec<Step>,
    given: Vec<Option<Given>>,
}

/// Lets a user look at the masks that `segment` makes of what was given, and go on; `segment` gets the newest one.
fn course(
    truth: &Array2<bool>,
    slice: SliceIndex,
    interaction: &Interaction,
    seed: u64,
    segment: &mut dyn FnMut(&Given) -> Result<Array2<bool>>,
) -> Result<Course> {
    let mut random = SplitMix::new(seed);
    let mut found = Array2::from_elem(truth.dim(), false);
    let mut course = Course { steps: Vec::new(), given: Vec::new() };
    let begin = usize::from(interaction.action != Action::BoxAndClicks);
    for number in begin..=interaction.count {
        let given = match number {
            0 => Some(Given::Box),
            _ if interaction.action == Action::Scribbles => next_scribble(truth, &found).map(Given::Scribble),
            _ => next_click(truth, &found, interaction.place, &mut random).map(Given::Click),
        };
        let clock = Instant::now();
        if let Some(given) = &given {
            found = segment(given)?;
        }
        course.steps.push(Step {
            number,
            slice: given.as_ref().map(|_| slice.0),
            slice_dice: Overlap::of(truth.view(), found.view()).dice(EmptyRule::Skip),
            volume_dice: None,
            unprompted_dice: None,
            seconds: given.as_ref().map(|_| clock.elapsed().as_secs_f64()),
        });
        course.given.push(given);
    }
    Ok(course)
}

/// The seed of an object's user: the same in each run, whatever is evaluated beside it.
fn seed_of(interaction: &Interaction, case: &str, target: &str) -> u64 {
    let names = case.bytes().chain([0]).chain(target.bytes());
    names.fold(interaction.seed ^ 0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    })
}

/// Clicks or lines through a session. `name`: the case's.
pub fn in_session(
    session: &mut Session,
    objects: &Objects,
    interaction: &Interaction,
    name: &str,
    on_slice: &mut OnSlice,
) -> Result<(Segmented, Vec<Vec<Step>>)> {
    session.reset();
    let mut courses = Vec::new();
    for ((id, truth, task), target) in objects.iter().zip(&objects.case.targets) {
        let slice = SliceIndex(task.prompt_slice);
        let wanted = truth.slice(objects.axis, slice);
        let seed = seed_of(interaction, name, &target.name);
        courses.push(course(&wanted, slice, interaction, seed, &mut |given| {
            if on_slice() == Flow::Stop {
                return Err(interrupted());
            }
            give(session, objects.axis, id, truth, slice, given)?;
            objects.predict(session, id, slice)
        })?);
    }
    let mut segmented = None;
    let last = interaction.count - usize::from(interaction.action != Action::BoxAndClicks);
    for step in 0..=last {
        if interaction.volume_after == VolumeAfter::Last && step < last {
            continue;
        }
        let unchanged = step > 0 && segmented.is_some() && courses.iter().all(|course| course.given[step].is_none());
        let found = match segmented.take().filter(|_| unchanged) {
            Some(found) => found,
            None => volume(session, objects, &courses, step, on_slice)?,
        };
        for (n, ((_, truth, task), course)) in objects.iter().zip(&mut courses).enumerate() {
            fill(&mut course.steps[step], truth, &found.masks[n], objects.axis, task);
        }
        segmented = Some(found);
    }
    let segmented = segmented.expect("the last step is always segmented");
    Ok((segmented, courses.into_iter().map(|course| course.steps).collect()))
}

/// The volume from what was given up to a step, in the order in which it was given.
fn volume(
    session: &mut Session,
    objects: &Objects,
    courses: &[Course],
    step: usize,
    on_slice: &mut OnSlice,
) -> Result<Segmented> {
    session.reset();
    for ((id, truth, task), course) in objects.iter().zip(courses) {
        let slice = SliceIndex(task.prompt_slice);
        for given in course.given[..=step].iter().flatten() {
            give(session, objects.axis, id, truth, slice, given)?;
        }
    }
    objects.propagate(session, objects.ranges(), on_slice)
}

fn give(
    session: &mut Session,
    axis: Axis,
    id: ObjectId,
    truth: &BinaryMask,
    slice: SliceIndex,
    given: &Given,
) -> Result<()> {
    let voxel = |row: usize, column: usize| voxel_on_slice(axis, slice, row, column);
    match given {
        Given::Box => add_prompt(session.prompts_mut(), id, truth, slice, PromptKind::Box),
        Given::Click(click) => session.prompts_mut().add_point(id, voxel(click.row, click.column), click.label),
        Given::Scribble(scribble) => {
            let line = scribble.pixels.iter().map(|&(row, column)| voxel(row, column)).collect();
            session.prompts_mut().add(id, &Prompt::Scribble(line, scribble.label))
        }
    }
}

fn fill(step: &mut Step, truth: &BinaryMask, mask: &BinaryMask, axis: Axis, task: &Task) {
    let slices = overlaps(truth, mask, axis);
    let others = slices.iter().enumerate().filter(|(n, _)| *n != task.prompt_slice).map(|(_, overlap)| overlap);
    step.volume_dice = Overlap::total(slices.iter()).dice(EmptyRule::Skip);
    step.unprompted_dice = Overlap::total(others).dice(EmptyRule::Skip);
}

/// Clicks or lines through a method that learns nothing; the volume is the slice's mask, copied to its neighbours.
pub fn in_baseline(
    baseline: Baseline,
    objects: &Objects,
    interaction: &Interaction,
    name: &str,
) -> Result<(Segmented, Vec<Vec<Step>>)> {
    let (mut masks, mut all) = (Vec::new(), Vec::new());
    for ((_, truth, task), target) in objects.iter().zip(&objects.case.targets) {
        let slice = SliceIndex(task.prompt_slice);
        let wanted = truth.slice(objects.axis, slice);
        let pixels = slices::extract(objects.case.image.voxels(), objects.axis, slice);
        let seed = seed_of(interaction, name, &target.name);
        let (mut clicks, mut bounds, mut found) = (Vec::new(), None, Vec::new());
        let mut course = course(&wanted, slice, interaction, seed, &mut |given| {
            match given {
                Given::Box => bounds = bounds_of(&wanted),
                Given::Click(click) => clicks.push(*click),
                Given::Scribble(Scribble { pixels, label }) => {
                    clicks.extend(pixels.iter().map(|&(row, column)| Click { row, column, label: *label }));
                }
            }
            found.push(baseline.segment(pixels.view(), &clicks, bounds));
            Ok(found[found.len() - 1].clone())
        })?;
        let mut made = found.iter();
        let mut volume = BinaryMask::empty(truth.dims());
        for (step, given) in course.steps.iter_mut().zip(&course.given) {
            if given.is_some() {
                let mask = made.next().expect("there is a mask of each thing given");
                let plane = std::iter::once((slice, [0, 0], mask.view()));
                let plane = BinaryMask::from_planes(truth.dims(), objects.axis, plane);
                let spacing = objects.case.image.geometry().spacing();
                volume = copy(&plane, objects.axis, *task, objects.protocol.stop_rule, spacing);
            }
            fill(step, truth, &volume, objects.axis, task);
        }
        masks.push(volume);
        all.push(course.steps);
    }
    let slices = masks.iter().map(|_| Vec::new()).collect();
    Ok((Segmented { masks, slices }, all))
}
