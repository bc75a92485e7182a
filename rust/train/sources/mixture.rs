//! A mixture of sources: which one a volume comes from, and clips of its volumes.
//!
//! In: `[[data.sources]]`. Out: a clip for a number.

use super::hearts::Hearts;
use super::label_maps::LabelMaps;
use super::scans::MaskedScans;
use super::supervoxels::Supervoxels;
use super::VolumeSource;
use crate::error::{Error, Result};
use crate::train::clip::{Clip, ClipOptions, ClipSource};
use crate::train::config::{DataConfig, SourceConfig, SourceKind};
use crate::train::phantom::{map_of, render, Kind, LabelVolume, Object};
use crate::train::{rng, Purpose, Rng};
use parking_lot::Mutex;
use rand::seq::IndexedRandom;
use std::sync::Arc;

/// Volumes that are kept: those that clips are cut from in turn, and what threads that work ahead begin.
const KEPT: usize = 40;
/// How often a clip is drawn anew from a volume, and from how many volumes.
const ATTEMPTS: u64 = 40;
const VOLUMES: u64 = 4;

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

#[cfg(test)]
mod tests {
    use super::super::tissue::TISSUE;
    use super::*;
    use crate::geometry::{Dims, Geometry, IjkToRas};
    use crate::output::Overwrite;
    use crate::train::config::Framing;
    use crate::volume::{write_image, write_labels, LabelMap, Volume};
    use ndarray::{Array3, Axis};
    use std::path::Path;

    /// Where the three bodies of the test's scan are: 0 is beside them.
    fn body(k: usize, j: usize, i: usize) -> u16 {
        let far =
            |c: [f32; 3], r: f32| (k as f32 - c[0]).hypot(0.5 * (j as f32 - c[1])).hypot(0.5 * (i as f32 - c[2])) < r;
        match () {
            () if far([12.0, 30.0, 24.0], 7.0) => 1,
            () if far([12.0, 30.0, 56.0], 7.0) => 2,
            () if far([12.0, 54.0, 40.0], 5.0) => 3,
            () => 0,
        }
    }

    /// A label map of three balls, and a scan in which each ball has a grey level of its own, with a mask of the first.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let ijk_to_ras = IjkToRas([[-1., 0., 0., 0.], [0., -1., 0., 0.], [0., 0., 2., 0.]]);
        let geometry = Geometry { dims: Dims([80, 70, 24]), ijk_to_ras };
        let at = |name: &str| folder.path().join(name);
        let labels = Array3::from_shape_fn((24, 70, 80), |(k, j, i)| body(k, j, i));
        let scan = labels.mapv(|label| 100.0 + 200.0 * f32::from(label));
        let mask = labels.mapv(|label| u16::from(label == 1));
        let written = |path: &Path, voxels: Array3<u16>| {
            let map: LabelMap = Volume::new(geometry.clone(), voxels).unwrap();
            write_labels(path, &map, Overwrite::Refuse, &[]).unwrap();
        };
        std::fs::create_dir(at("maps")).unwrap();
        std::fs::create_dir(at("scans")).unwrap();
        written(&at("maps/map.nii.gz"), labels);
        written(&at("scans/a_mask.nii.gz"), mask);
        let scan = Volume::new(geometry.clone(), scan).unwrap();
        write_image(&at("scans/a.nii.gz"), &scan, Overwrite::Refuse).unwrap();
        folder
    }

    fn source(kind: SourceKind, folder: &Path) -> SourceConfig {
        let folders = match kind {
            SourceKind::Phantoms | SourceKind::Hearts => vec![],
            SourceKind::LabelMaps => vec![folder.join("maps")],
            SourceKind::Scans | SourceKind::Supervoxels => vec![folder.join("scans")],
        };
        SourceConfig { kind, weight: 1.0, folders }
    }

    const KINDS: [SourceKind; 5] =
        [SourceKind::Phantoms, SourceKind::Hearts, SourceKind::LabelMaps, SourceKind::Scans, SourceKind::Supervoxels];

    fn mixture(kinds: &[SourceKind], folder: &Path) -> Mixture {
        let sources = kinds.iter().map(|&kind| source(kind, folder)).collect();
        let data = DataConfig { scans: vec![], stochastic_propagation: true, held_out: vec![], workers: 1, sources };
        Mixture::open(11, &data).unwrap()
    }

    fn options(length: usize, framing: Framing) -> ClipOptions {
        ClipOptions {
            length,
            side: 64,
            stochastic_propagation: true,
            displacement_stride: None,
            intensity_model: false,
            framing,
        }
    }

    #[test]
    fn every_source_gives_the_same_clip_for_a_number_whatever_was_asked_before() {
        let folder = folder();
        for kind in KINDS {
            let [first, second] = [0, 1].map(|_| mixture(&[kind], folder.path()));
            let options = options(3, Framing::Object);
            first.clip(7, &options).unwrap();
            let clips = [40, 3].map(|number| first.clip(number, &options).unwrap());
            assert_eq!(clips[1], second.clip(3, &options).unwrap(), "{kind:?}");
            assert_eq!(clips[0], second.clip(40, &options).unwrap(), "{kind:?}");
            assert_ne!(clips[0].images, clips[1].images, "{kind:?}");
        }
    }

    #[test]
    fn clips_of_one_slice_have_an_object_of_any_share_of_the_frame() {
        let folder = folder();
        for kind in KINDS {
            let source = mixture(&[kind], folder.path());
            let mut shares: Vec<f64> = (0..24)
                .map(|number| {
                    // Every eighth clip: three volumes.
                    let clip = source.clip(number * 8, &options(1, Framing::Any)).unwrap();
                    assert_eq!((clip.images.dim(), clip.masks.dim()), ((1, 64, 64), (1, 64, 64)));
                    assert!(clip.images.iter().all(|value| (0.0..=1.0).contains(value)), "{kind:?}");
                    clip.masks.iter().filter(|&&inside| inside).count() as f64 / 4096.0
                })
                .collect();
            shares.sort_by(f64::total_cmp);
            assert!(shares[0] > 0.01 && shares[23] < 0.9, "{kind:?}: {shares:?}");
            assert!(shares[23] > 2.5 * shares[0], "{kind:?}: all of one size, {shares:?}");
        }
    }

    /// Mean absolute deviation of the grey levels in each object.
    fn spreads(volume: &LabelVolume) -> Vec<f32> {
        let grey = &volume.grey.as_ref().expect("a scan has grey levels").values;
        let spread = |object: &Object| {
            let inside: Vec<f32> = (volume.labels.iter().zip(grey))
                .filter(|(label, _)| object.labels.contains(label))
                .map(|(_, &value)| value)
                .collect();
            let mean = inside.iter().sum::<f32>() / inside.len() as f32;
            inside.iter().map(|value| (value - mean).abs()).sum::<f32>() / inside.len() as f32
        };
        volume.objects.iter().map(spread).collect()
    }

    #[test]
    fn masks_of_scans_lie_on_their_object_across_every_axis() {
        let folder = folder();
        for number in 0..12 {
            let volume = mixture(&[SourceKind::Scans], folder.path()).volume(number).unwrap();
            let all = spreads(&volume);
            assert!(all.len() == 1 && all[0] < 16.0, "scan {number}: grey levels of its object differ by {all:?}");
        }
    }

    #[test]
    fn most_supervoxels_are_of_one_grey_level() {
        let folder = folder();
        let source = mixture(&[SourceKind::Supervoxels], folder.path());
        let all: Vec<f32> = (0..16).flat_map(|number| spreads(&source.volume(number).unwrap())).collect();
        let even = all.iter().filter(|&&spread| spread < 30.0).count();
        assert!(all.len() > 8 && even * 3 > all.len() * 2, "{even} of {} are even", all.len());
    }

    #[test]
    fn label_maps_keep_their_objects_and_join_neighbours_and_what_is_around_them_is_painted() {
        let folder = folder();
        let source = mixture(&[SourceKind::LabelMaps], folder.path());
        let (mut several, mut painted) = (0, 0);
        for number in 0..12 {
            let volume = source.volume(number).unwrap();
            let planes = volume.labels.axis_iter(Axis(0)).filter(|p| p.iter().any(|&l| (1..=3).contains(&l))).count();
            assert!(planes >= 4, "map {number}: labels on {planes} slices");
            several += usize::from(volume.objects.len() > 1);
            painted += usize::from(volume.labels.iter().any(|&label| label >= TISSUE));
        }
        assert!(several > 3 && painted > 6, "{several} with several objects, {painted} painted, of 12");
    }

    #[test]
    fn a_mixture_draws_by_weight_and_from_phantoms_alone_equals_them() {
        use crate::train::phantom::Phantoms;
        let folder = folder();
        let alone = mixture(&[SourceKind::Phantoms], folder.path());
        let options = options(2, Framing::Object);
        assert_eq!(alone.clip(5, &options).unwrap(), Phantoms::new(11, vec![], vec![]).clip(5, &options).unwrap());
        let both = mixture(&[SourceKind::Hearts, SourceKind::Scans], folder.path());
        let scans = (0..30).filter(|&n| both.volume(n).unwrap().grey.is_some()).count();
        assert!((8..=22).contains(&scans), "{scans} of 30 volumes from scans");
    }

    #[test]
    fn a_folder_without_masks_is_refused_with_what_is_expected() {
        let folder = folder();
        let wrong =
            SourceConfig { folders: vec![folder.path().join("maps")], ..source(SourceKind::Scans, folder.path()) };
        let data = DataConfig {
            scans: vec![],
            stochastic_propagation: true,
            held_out: vec![],
            workers: 1,
            sources: vec![wrong],
        };
        let error = Mixture::open(1, &data).err().expect("it has no masks").to_string();
        assert!(error.contains("no scan NAME.nii.gz with a mask NAME_mask.nii.gz"), "{error}");
    }
}
