//! What a slice attended to, kept so that a correction attends to the same; and memories in another frame.

use super::candidates::Choice;
use super::options::PointerRule;
use super::step::{attending, SliceOutput, Tracker};
use super::{tensors, Bank, Entry};
use crate::geometry::SliceIndex;
use crate::model::config::{GIVEN_MASK_BIAS, NO_OBJ_SCORE};
use crate::model::{average_pool, Attending, ImageEmbedding, MemoryId};
use crate::slices::resize::NetworkFrame;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tch::{Kind, Tensor};

/// What a slice attended to when it was tracked, so that a correction there attends to the same.
#[derive(Debug, Clone)]
pub struct AttendedBank {
    pub(super) bank: Bank,
    pub(super) attended: Vec<Choice>,
    pub(super) slice: SliceIndex,
    pub(super) slices_in_volume: usize,
    pub(super) pointers: PointerRule,
}

impl AttendedBank {
    fn attending(&self) -> Attending<'_> {
        let entries = self.bank.entries();
        attending(
            &self.bank.slices(),
            |entry| &entries[entry].memory,
            &self.attended,
            self.slice,
            self.slices_in_volume,
            self.pointers,
        )
    }

    /// The slice's features after memory attention, [1, hidden, h, w].
    pub fn features(&self, tracker: &Tracker, image: &ImageEmbedding) -> Tensor {
        tracker.network().with_memory(image, &[self.attending()])
    }

    /// Bytes of the newest memory's features.
    pub fn newest_bytes(&self) -> usize {
        let features = &self.bank.newest().memory.features;
        features.numel() * features.kind().elt_size_in_bytes()
    }

    /// Slices that are remembered.
    pub fn remembered(&self) -> BTreeSet<SliceIndex> {
        self.bank.slices().into_iter().collect()
    }

    /// The same in another frame; see [`Beam::reframe`](super::Beam::reframe).
    pub fn reframed(
        &self,
        tracker: &Tracker,
        images: &BTreeMap<SliceIndex, ImageEmbedding>,
        frames: [&NetworkFrame; 2],
    ) -> Self {
        let mut anew = Reframing::new(tracker, images, frames);
        Self { bank: self.bank.map(&mut |entry| anew.entry(entry)), attended: self.attended.clone(), ..*self }
    }
}

/// Entries in another frame, each made once: banks share them.
pub(super) struct Reframing<'a> {
    tracker: &'a Tracker<'a>,
    images: &'a BTreeMap<SliceIndex, ImageEmbedding>,
    frames: [&'a NetworkFrame; 2],
    made: HashMap<MemoryId, Entry>,
}

impl<'a> Reframing<'a> {
    pub(super) fn new(
        tracker: &'a Tracker,
        images: &'a BTreeMap<SliceIndex, ImageEmbedding>,
        frames: [&'a NetworkFrame; 2],
    ) -> Self {
        Self { tracker, images, frames, made: HashMap::new() }
    }

    pub(super) fn entry(&mut self, entry: &Entry) -> Entry {
        let make = || {
            let output = reframed(self.tracker, &entry.logits, &entry.memory.pointer, self.frames);
            let memory = self.tracker.remember(&self.images[&entry.slice], &output);
            Entry { memory, logits: output.logits, ..*entry }
        };
        self.made.entry(entry.memory.id()).or_insert_with(make).clone()
    }
}

/// A mask, logits [1, 1, m, m], as another frame shows it.
pub fn reframed(tracker: &Tracker, logits: &Tensor, pointer: &Tensor, [from, to]: [&NetworkFrame; 2]) -> SliceOutput {
    let network = tracker.network();
    let before = tensors::array(logits);
    let full = tensors::plane(&from.logits_in(to, before.view(), GIVEN_MASK_BIAS as f32)).to_device(network.device());
    let present = logits.max().double_value(&[]) > NO_OBJ_SCORE / 2.0;
    let score = |value: f64| Tensor::full([1, 1], value, (Kind::Float, network.device()));
    SliceOutput {
        logits: average_pool(&full, network.config().mask_stride()),
        given: Some(full),
        iou: score(0.0),
        object_logit: score(if present { 1.0 } else { -1.0 }),
        pointer: pointer.shallow_clone(),
    }
}
