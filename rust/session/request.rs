//! What a caller asks of a propagation, resolved once against the session: [`PropagateOptions`] -> [`Request`].

use crate::error::{Error, Result};
use crate::geometry::{SliceIndex, SliceRange};
use crate::prompt::{ObjectId, Prompts, SlicePrompt, StepId};
use crate::session::track::{Heading, TrackSpan};
use crate::tracking::{ModelDefaults, SearchOptions, TrackingOptions};
use std::collections::BTreeMap;

/// Which way objects are propagated from their prompted slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Up and down.
    Both,
    /// Towards rising slice numbers.
    Up,
    /// Towards falling slice numbers.
    Down,
}

impl Direction {
    fn includes(self, heading: Heading) -> bool {
        match self {
            Direction::Both => true,
            Direction::Up => heading == Heading::Up,
            Direction::Down => heading == Heading::Down,
        }
    }
}

/// How far and how a propagation goes.
#[derive(Debug, Clone)]
pub struct PropagateOptions {
    /// How slices are segmented.
    pub search: SearchOptions,
    /// Which tracks of each prompted slice are computed.
    pub direction: Direction,
    /// `None`: all slices.
    pub range: Option<SliceRange>,
    /// The same for single objects, within `range`.
    pub object_ranges: BTreeMap<ObjectId, SliceRange>,
    /// Propagate this object alone; `None`: all.
    pub object: Option<ObjectId>,
}

impl PropagateOptions {
    /// Every object, both ways, through all slices.
    pub fn whole(search: SearchOptions) -> Self {
        Self { search, direction: Direction::Both, range: None, object_ranges: BTreeMap::new(), object: None }
    }
}

/// The same, checked and with nothing left open.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub tracking: TrackingOptions,
    /// Of every prompted object: the slices to report, and whether more of them may be computed.
    pub spans: Vec<TrackSpan>,
    object: Option<ObjectId>,
    direction: Direction,
    range: SliceRange,
    object_ranges: BTreeMap<ObjectId, SliceRange>,
}

impl Request {
    /// `count`: slices along the axis; `known`: whether masks are known from the start.
    ///
    /// # Errors
    /// `InvalidInput` that names the option, object or slice.
    pub fn resolve(
        options: &PropagateOptions,
        prompts: &Prompts,
        count: usize,
        known: bool,
        defaults: &ModelDefaults,
    ) -> Result<Self> {
        let tracking = options.search.resolve(defaults)?;
        if prompts.objects().is_empty() && !known {
            return Err(Error::invalid("no prompt: expected a mask, a point or a box on some slice"));
        }
        if let Some(object) = options.object.filter(|object| !prompts.objects().contains_key(object)) {
            return Err(Error::invalid(format!("object {object}: it has no prompt")));
        }
        let whole = SliceRange::whole(count);
        let range = options.range.unwrap_or(whole);
        if range.first > range.last || !range.is_within(whole) {
            return Err(Error::invalid(format!(
                "range {range}: expected two rising slice numbers between 0 and {}",
                count - 1
            )));
        }
        let mut spans = Vec::new();
        for (&object, prompted) in prompts.objects() {
            let chosen = options.object.is_none_or(|only| only == object);
            let own = prompts.range_at(object, StepId::MAX).map(|own| own.within(range));
            let within = options.object_ranges.get(&object).copied().or(own).unwrap_or(range);
            let slices: Vec<(SliceIndex, StepId)> =
                prompted.iter().filter_map(|(&slice, given)| Some((slice, given.newest()?))).collect();
            if chosen {
                check_range(object, &slices, within, range)?;
            }
            for span in TrackSpan::of(object, &slices, if chosen { within } else { whole }) {
                let extends = chosen && options.direction.includes(span.key.heading);
                spans.push(TrackSpan { extends, ..span });
            }
        }
        let object_ranges = options.object_ranges.clone();
        Ok(Self { tracking, spans, object: options.object, direction: options.direction, range, object_ranges })
    }

    /// The tracks of an object that a propagation at the call `call` computes, from those of the prompts that were given
    /// before and are still there.
    pub fn spans_at(&self, object: ObjectId, prompts: &Prompts, call: StepId) -> Vec<TrackSpan> {
        let Some(prompted) = prompts.objects().get(&object).filter(|_| self.includes(object)) else {
            return Vec::new();
        };
        let before = |given: &SlicePrompt| given.steps().iter().rev().map(|(id, _)| *id).find(|&id| id < call);
        let slices: Vec<(SliceIndex, StepId)> =
            prompted.iter().filter_map(|(&slice, given)| Some((slice, before(given)?))).collect();
        let range = self
            .object_ranges
            .get(&object)
            .copied()
            .or(prompts.range_at(object, call).map(|own| own.within(self.range)))
            .unwrap_or(self.range);
        let spans = TrackSpan::of(object, &slices, range);
        spans.into_iter().filter(|span| self.direction.includes(span.key.heading)).collect()
    }

    /// Whether the object is to be propagated.
    pub fn includes(&self, object: ObjectId) -> bool {
        self.object.is_none_or(|only| only == object)
    }
}

/// A propagation that was asked for, so that what it reached can be told from the prompts that are left of that time.
#[derive(Debug)]
pub struct PastRequest {
    pub call: StepId,
    pub request: Request,
    /// False where it was cancelled: only what it reported was reached.
    pub completed: bool,
}

fn check_range(
    object: ObjectId,
    prompted: &[(SliceIndex, StepId)],
    within: SliceRange,
    range: SliceRange,
) -> Result<()> {
    if within.first > within.last || !within.is_within(range) {
        return Err(Error::invalid(format!(
            "object {object}: range {within}: expected two rising slice numbers within {range}"
        )));
    }
    match prompted.iter().find(|(slice, _)| !within.contains(*slice)) {
        Some((slice, _)) => {
            Err(Error::invalid(format!("object {object}: its prompt on slice {slice} lies outside the range {within}")))
        }
        None => Ok(()),
    }
}
