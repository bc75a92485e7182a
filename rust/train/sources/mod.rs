//! Several sources of clips in one run: generated anatomy, label maps, scans with masks, scans with supervoxels.
//!
//! In: `[[data.sources]]`. Out: clips, drawn by weight. Each source makes volumes of labels, with or without a scan's
//! intensities; one renderer (`phantom::render`) cuts clips from all of them. What a number gives depends on the seed
//! and the number alone.

mod block;
mod files;
mod hearts;
mod label_maps;
mod scans;
mod supervoxels;
mod tissue;

use crate::error::{Error, Result};
use crate::train::clip::{Clip, ClipOptions, ClipSource};
use crate::train::config::{DataConfig, SourceConfig, SourceKind};
use crate::train::phantom::{map_of, render, Kind, LabelVolume, Object};
use crate::train::{rng, Purpose, Rng};
use hearts::Hearts;
use label_maps::LabelMaps;
use parking_lot::Mutex;
use rand::seq::IndexedRandom;
use scans::MaskedScans;
use std::sync::Arc;
use supervoxels::Supervoxels;

/// Volumes that are kept: those that clips are cut from in turn, and what threads that work ahead begin.
const KEPT: usize = 40;
/// How often a clip is drawn anew from a volume, and from how many volumes.
const ATTEMPTS: u64 = 40;
const VOLUMES: u64 = 4;

/// Makes volumes from which clips are cut.
pub trait VolumeSource: Send + Sync {
    /// A volume; the same for the same draws. An error means that it cannot be had.
    fn volume(&self, rng: &mut Rng) -> Result<LabelVolume>;
}

/// Generated anatomy without the kinds that are held out.
struct Generated {
    held_out: Vec<Kind>,
}

impl VolumeSource for Generated {
    fn volume(&self, rng: &mut Rng) -> Result<LabelVolume> {
        let mut volume = LabelVolume::generate(rng);
        volume.objects.retain(|object| !self.held_out.contains(&object.kind));
        Ok(volume)
    }
}

/// Sources by weight.
pub struct Mixture {
    seed: u64,
    sources: Vec<(f64, Box<dyn VolumeSource>)>,
    kept: Mutex<Vec<(u64, Arc<LabelVolume>)>>,
}

impl Mixture {
    /// The sources of a configuration.
    ///
    /// # Errors
    /// `Io` for a folder that cannot be read, `InvalidInput` for one without a volume.
    pub fn open(seed: u64, data: &DataConfig) -> Result<Self> {
        let sources =
            data.sources.iter().map(|source| Ok((source.weight, open(source, data)?))).collect::<Result<Vec<_>>>()?;
        Ok(Self { seed, sources, kept: Mutex::new(Vec::new()) })
    }

    fn volume(&self, number: u64) -> Result<Arc<LabelVolume>> {
        if let Some((_, volume)) = self.kept.lock().iter().find(|(n, _)| *n == number) {
            return Ok(volume.clone());
        }
        let mut draws = rng(self.seed, Purpose::Source, number);
        let (_, source) = (self.sources.choose_weighted(&mut draws, |(weight, _)| *weight))
            .map_err(|e| Error::invalid("data.sources: no source can be drawn").with_source(e))?;
        let volume = Arc::new(source.volume(&mut rng(self.seed, Purpose::LabelMap, number))?);
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((number, volume.clone()));
        Ok(volume)
    }
}

impl ClipSource for Mixture {
    fn clip(&self, number: u64, options: &ClipOptions) -> Result<Clip> {
        let mut draws = rng(self.seed, Purpose::Clip, number);
        for another in 0..VOLUMES {
            // A volume in which nothing fits is replaced by one that is far from those of other clips.
            let volume = self.volume(map_of(number) + (another << 40))?;
            let objects: Vec<&Object> = volume.objects.iter().collect();
            for _ in 0..ATTEMPTS {
                if let Some((_, clip)) = render(&volume, &objects, options, &mut draws) {
                    return Ok(clip);
                }
            }
        }
        Err(Error::invalid(format!(
            "{VOLUMES} volumes in a row have no object for a clip of {} slices",
            options.length
        )))
    }
}

fn open(source: &SourceConfig, data: &DataConfig) -> Result<Box<dyn VolumeSource>> {
    Ok(match source.kind {
        SourceKind::Phantoms => Box::new(Generated { held_out: data.held_out.clone() }),
        SourceKind::Hearts => Box::new(Hearts),
        SourceKind::LabelMaps => Box::new(LabelMaps::open(&source.folders)?),
        SourceKind::Scans => Box::new(MaskedScans::open(&source.folders)?),
        SourceKind::Supervoxels => Box::new(Supervoxels::open(&source.folders)?),
    })
}
