//! Several sources of clips in one run: generated anatomy, label maps, scans with masks, scans with supervoxels.
//!
//! In: `[[data.sources]]`. Out: clips, drawn by weight. Each source makes volumes of labels, with or without a scan's
//! intensities; one renderer (`phantom::render`) cuts clips from all of them. What a number gives depends on the seed
//! and the number alone.

mod block;
mod files;
mod hearts;
mod label_maps;
mod mixture;
mod scans;
mod supervoxels;
mod tissue;

pub use mixture::Mixture;

use crate::error::Result;
use crate::train::phantom::LabelVolume;
use crate::train::Rng;

/// Makes volumes from which clips are cut.
pub trait VolumeSource: Send + Sync {
    /// A volume; the same for the same draws. An error means that it cannot be had.
    fn volume(&self, rng: &mut Rng) -> Result<LabelVolume>;
}
