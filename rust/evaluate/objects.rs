//! All objects of a case in one session: their prompts, and what a propagation finds of them.
//!
//! In: a case, a protocol, a session. Out: a mask of each object, and the scores of its slices.

use crate::datasets::{BinaryMask, Case};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::doubt::SliceScore;
use crate::evaluate::metrics::{overlaps, EmptyRule};
use crate::evaluate::protocol::{add_prompt, Protocol, StopRule, Task};
use crate::geometry::{Axis, SliceIndex, SliceRange};
use crate::prompt::ObjectId;
use crate::session::{Flow, PropagateOptions, Session, SliceReport};
use ndarray::Array2;
use std::collections::BTreeMap;

/// Told of each slice; it may stop the work.
pub type OnSlice<'a> = dyn FnMut() -> Flow + 'a;

/// Slices that each object may occupy.
pub type ObjectRanges = BTreeMap<ObjectId, SliceRange>;

/// The objects of a case, numbered from 1, and their tasks.
pub struct Objects<'a> {
    pub case: &'a Case,
    pub protocol: &'a Protocol,
    pub axis: Axis,
    pub tasks: Vec<Task>,
    pub ids: Vec<ObjectId>,
}

/// What a propagation found, by object.
pub struct Segmented {
    pub masks: Vec<BinaryMask>,
    /// Segmented slices without a prompt.
    pub slices: Vec<Vec<SliceScore>>,
}

impl<'a> Objects<'a> {
    /// One task for each target; data sets leave out absent targets.
    pub fn new(case: &'a Case, protocol: &'a Protocol, axis: Axis) -> Result<Self> {
        let id = |n: usize| {
            u16::try_from(n).map_err(|_| Error::invalid("more than 65535 objects in a case")).and_then(ObjectId::new)
        };
        let ids = (1..=case.targets.len()).map(id).collect::<Result<_>>()?;
        Ok(Self { case, protocol, axis, tasks: tasks(case, protocol, axis), ids })
    }

    /// Objects with target and task.
    pub fn iter(&self) -> impl Iterator<Item = (ObjectId, &'a BinaryMask, &Task)> {
        self.ids.iter().zip(&self.case.targets).zip(&self.tasks).map(|((&id, target), task)| (id, &target.mask, task))
    }

    /// Gives each object the protocol's prompt.
    pub fn add_prompts(&self, session: &mut Session) -> Result<()> {
        for (id, truth, task) in self.iter() {
            add_prompt(session.prompts_mut(), id, truth, SliceIndex(task.prompt_slice), self.protocol.prompt)?;
        }
        Ok(())
    }

    /// The slices that the stop rule allows each object.
    pub fn ranges(&self) -> ObjectRanges {
        let count = self.case.image.geometry().dims.along(self.axis);
        self.iter().map(|(id, _, task)| (id, task.allowed(self.protocol.stop_rule, count))).collect()
    }

    /// Segments all objects in one propagation: they share the slice embeddings.
    pub fn propagate(&self, session: &mut Session, ranges: ObjectRanges, on_slice: &mut OnSlice) -> Result<Segmented> {
        if self.ids.is_empty() {
            return Ok(Segmented { masks: Vec::new(), slices: Vec::new() });
        }
        let geometry = self.case.image.geometry();
        let mut search = self.protocol.search.clone();
        // Under the ground-truth range, nothing else ends a propagation.
        search.stop_when_absent &= self.protocol.stop_rule == StopRule::Free;
        let options = PropagateOptions {
            direction: self.protocol.direction,
            object_ranges: ranges,
            ..PropagateOptions::whole(search)
        };
        let outcome = session.propagate(&options, &mut |_: SliceReport| Ok(on_slice()))?;
        if outcome.stopped {
            return Err(interrupted());
        }
        let [i, j, k] = geometry.dims.0;
        let mut found = Segmented { masks: Vec::new(), slices: Vec::new() };
        for (id, truth, _) in self.iter() {
            let of_object: Vec<_> = (0..geometry.dims.along(self.axis))
                .map(SliceIndex)
                .filter_map(|slice| outcome.masks.mask(id, slice).map(|(score, mask)| (slice, *score, mask)))
                .collect();
            let planes: Vec<_> = of_object.iter().map(|(slice, _, m)| (*slice, m.bounds().first, m.inside())).collect();
            let planes = planes.iter().map(|(slice, first, inside)| (*slice, *first, inside.view()));
            let mask = BinaryMask::from_planes([k, j, i], self.axis, planes);
            let overlap = overlaps(truth, &mask, self.axis);
            let tracked = of_object.iter().filter(|(slice, ..)| session.prompts().at(id, *slice).is_none());
            let scored = tracked.filter_map(|(slice, score, _)| {
                let dice = overlap[slice.0].dice(EmptyRule::Skip)?;
                Some(SliceScore { slice: slice.0, score: *score, dice })
            });
            found.slices.push(scored.collect());
            found.masks.push(mask);
        }
        Ok(found)
    }

    /// What an object's prompts select on a slice, rows and columns.
    pub fn predict(&self, session: &mut Session, id: ObjectId, slice: SliceIndex) -> Result<Array2<bool>> {
        let (_, mask) = session.predict(id, slice, None)?;
        let [rows, columns] = session.slice_size();
        let mut found = Array2::from_elem((rows, columns), false);
        mask.iter().flat_map(|mask| mask.pixels()).for_each(|at| found[at] = true);
        Ok(found)
    }
}

/// One task for each target; data sets leave out absent targets.
pub fn tasks(case: &Case, protocol: &Protocol, axis: Axis) -> Vec<Task> {
    let task = |mask: &BinaryMask| Task::new(mask, axis, protocol.position);
    case.targets.iter().map(|target| task(&target.mask).expect("a target has voxels")).collect()
}

/// The watcher stopped the work.
pub fn interrupted() -> Error {
    Error::new(ErrorKind::Cancelled, "interrupted")
}
