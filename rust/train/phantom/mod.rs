//! Generated anatomy: label maps of objects, and clips of slices through them that look like scans.
//!
//! In: a configuration and a number. Out: a clip, always the same for the same number. No scan of a patient is
//! involved.

mod appearance;
pub(super) mod field;
mod label_map;
mod painter;
mod render;
pub(super) mod shapes;
mod texture;

pub(super) use label_map::AIR;
pub use label_map::{Grey, Kind, LabelVolume, Object};
pub use render::render;

use crate::train::clip::{Clip, ClipOptions, ClipSource};
use crate::train::{rng, Purpose};
use parking_lot::Mutex;
use std::sync::Arc;

/// Clips that follow each other come from so many label maps in turn: those of a batch differ, and threads work on
/// different maps.
const SIDE_BY_SIDE: u64 = 16;
/// Label maps are dear: each feeds so many clips.
const CLIPS_PER_MAP: u64 = 18;
/// Label maps that are kept: those side by side, and what threads that work ahead begin.
const KEPT: usize = 40;
/// How often a clip is drawn anew where the objects do not allow it.
const ATTEMPTS: u64 = 40;

/// The phantoms of one seed.
///
/// ```
/// use promem::train::clip::{ClipOptions, ClipSource};
/// use promem::train::config::Framing;
/// use promem::train::phantom::Phantoms;
///
/// let options = ClipOptions {
///     length: 4,
///     side: 64,
///     stochastic_propagation: true,
///     displacement_stride: None,
///     intensity_model: false,
///     framing: Framing::Object,
/// };
/// let clip = Phantoms::new(1, Vec::new(), Vec::new()).clip(0, &options)?;
/// assert_eq!((clip.images.dim(), clip.masks.dim()), ((4, 64, 64), (4, 64, 64)));
/// assert!(clip.masks.index_axis(ndarray::Axis(0), 0).iter().any(|&inside| inside)); // the prompt
/// assert_eq!(Phantoms::new(1, Vec::new(), Vec::new()).clip(0, &options)?, clip); // the same number, the same clip
/// # Ok::<(), promem::Error>(())
/// ```
pub struct Phantoms {
    seed: u64,
    /// Kinds of objects that are never targets.
    held_out: Vec<Kind>,
    /// Only these are targets, where any are named: the other side of holding out.
    only: Vec<Kind>,
    maps: Mutex<Vec<(u64, Arc<LabelVolume>)>>,
}

impl Phantoms {
    /// Phantoms of a seed. Kinds in `held_out` are never targets; if `only` names any, no others are.
    pub fn new(seed: u64, held_out: Vec<Kind>, only: Vec<Kind>) -> Self {
        Self { seed, held_out, only, maps: Mutex::new(Vec::new()) }
    }

    fn map(&self, number: u64) -> Arc<LabelVolume> {
        if let Some((_, map)) = self.maps.lock().iter().find(|(n, _)| *n == number) {
            return map.clone();
        }
        let map = Arc::new(LabelVolume::generate(&mut rng(self.seed, Purpose::LabelMap, number)));
        let mut maps = self.maps.lock();
        if maps.len() >= KEPT {
            maps.remove(0);
        }
        maps.push((number, map.clone()));
        map
    }

    fn allows(&self, kind: Kind) -> bool {
        !self.held_out.contains(&kind) && (self.only.is_empty() || self.only.contains(&kind))
    }
}

impl Phantoms {
    /// A clip and the kind of its object, the clips of a label map one after the other.
    pub fn object(&self, number: u64, options: &ClipOptions) -> (Kind, Clip) {
        self.object_in(number / CLIPS_PER_MAP, number, options)
    }

    fn object_in(&self, mut map: u64, number: u64, options: &ClipOptions) -> (Kind, Clip) {
        let mut draws = rng(self.seed, Purpose::Clip, number);
        loop {
            let volume = self.map(map);
            let objects: Vec<&Object> = volume.objects.iter().filter(|object| self.allows(object.kind)).collect();
            for _ in 0..ATTEMPTS {
                if let Some(made) = render(&volume, &objects, options, &mut draws) {
                    return made;
                }
            }
            // Nothing fits: another map, far from those of other clips.
            map += 1 << 40;
        }
    }
}

impl ClipSource for Phantoms {
    fn clip(&self, number: u64, options: &ClipOptions) -> crate::Result<Clip> {
        Ok(self.object_in(map_of(number), number, options).1)
    }
}

/// The label map of a clip. Maps change one after the other, so that threads never wait for many at once.
pub(super) fn map_of(number: u64) -> u64 {
    let (round, slot) = (number / SIDE_BY_SIDE, number % SIDE_BY_SIDE);
    (round + slot * CLIPS_PER_MAP / SIDE_BY_SIDE) / CLIPS_PER_MAP * SIDE_BY_SIDE + slot
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn clips_of_a_batch_are_of_different_label_maps_and_a_label_map_feeds_its_clips_within_few_others() {
        let mut clips: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for number in 0..40 * SIDE_BY_SIDE * CLIPS_PER_MAP {
            clips.entry(map_of(number)).or_default().push(number);
        }
        for first in [0, 3, 1000] {
            let maps: BTreeSet<u64> = (first..first + SIDE_BY_SIDE).map(map_of).collect();
            assert_eq!(maps.len() as u64, SIDE_BY_SIDE, "from clip {first}");
        }
        for (map, of_map) in clips.range(SIDE_BY_SIDE..39 * SIDE_BY_SIDE) {
            assert_eq!(of_map.len() as u64, CLIPS_PER_MAP, "map {map}");
            assert_eq!(of_map.last().unwrap() - of_map[0], (CLIPS_PER_MAP - 1) * SIDE_BY_SIDE, "map {map}");
        }
    }
}
