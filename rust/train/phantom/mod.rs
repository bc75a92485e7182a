//! Generated anatomy: label maps of objects, and clips of slices through them that look like scans.
//!
//! In: a configuration and a number. Out: a clip, always the same for the same number. No scan of a patient is involved.

mod appearance;
mod field;
mod label_map;
mod render;
mod shapes;
mod texture;

pub use label_map::{Kind, LabelVolume, Object};
pub use render::render;

use crate::train::clip::{Clip, ClipOptions, ClipSource};
use crate::train::{rng, Purpose};
use parking_lot::Mutex;
use std::sync::Arc;

/// Label maps are dear: each feeds so many clips.
const CLIPS_PER_MAP: u64 = 18;
/// Label maps that are kept; one for each thread that works ahead.
const KEPT: usize = 6;
/// How often a clip is drawn anew where the objects do not allow it.
const ATTEMPTS: u64 = 40;

/// The phantoms of one seed.
pub struct Phantoms {
    seed: u64,
    /// Kinds of objects that are never targets.
    held_out: Vec<Kind>,
    /// Only these are targets, where any are named: the other side of holding out.
    only: Vec<Kind>,
    maps: Mutex<Vec<(u64, Arc<LabelVolume>)>>,
}

impl Phantoms {
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
    /// A clip and the kind of its object.
    pub fn object(&self, number: u64, options: &ClipOptions) -> (Kind, Clip) {
        let mut map = number / CLIPS_PER_MAP;
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
        Ok(self.object(number, options).1)
    }
}
