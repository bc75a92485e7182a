//! `promem demo`: a generated scan, its mask and a model with pseudo-random weights, to try the program without data.

use crate::args::{Demo, Output};
use ndarray::Array3;
use promem::geometry::{Dims, Geometry, IjkToRas};
use promem::model::config::{Size, Version};
use promem::model::{checkpoint, weights, Config};
use promem::volume::{self, LabelMap, Segment, Volume};
use promem::{output, Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// Dimensions and spacing in mm of the generated scan.
const DIMS: Dims = Dims([112, 96, 32]);
const SPACING: [f64; 3] = [3.0, 3.0, 6.0];
/// Standard deviation of the noise in HU. The noise is a formula, the same on every machine.
const NOISE: f64 = 12.0;

/// Writes `scan.nii.gz`, `mask.nii.gz` and `NETWORK.safetensors` into the folder.
pub fn run(arguments: &Demo, print: Output) -> Result<()> {
    let folder = &arguments.folder;
    output::make_folder(folder)?;
    let (scan, mask) = phantom()?;
    let [scan_path, mask_path] = ["scan.nii.gz", "mask.nii.gz"].map(|name| folder.join(name));
    let model_path = folder.join(format!("{}.safetensors", arguments.network));
    volume::write_image(&scan_path, &scan, arguments.force.overwrite())?;
    let names = [Segment::new(1, "liver")];
    volume::write_labels(&mask_path, &mask, arguments.force.overwrite(), &names)?;

    let config = network(&arguments.network)?;
    let state = weights::StateDict::pseudo_random(&config)?;
    let about = BTreeMap::from([
        ("promem.made_by".to_string(), "promem demo: pseudo-random weights, not trained".to_string()),
        ("promem.licence".to_string(), "CC0-1.0".to_string()),
    ]);
    checkpoint::write_safetensors(&model_path, &config, &state, &about, arguments.force.overwrite())?;
    match print {
        Output::Quiet => {}
        Output::Json => say!(
            "{}",
            serde_json::json!({ "scan": scan_path, "mask": mask_path, "model": model_path, "trained": false })
        ),
        Output::Human => {
            say!("wrote {}, {} and {}", scan_path.display(), mask_path.display(), model_path.display());
            say!("The weights are pseudo-random, to try the program only. The default model segments the liver.");
        }
    }
    Ok(())
}

/// `toy`, or an official network by its name.
fn network(name: &str) -> Result<Config> {
    let known = || {
        let official = [Version::V2_0, Version::V2_1].map(|v| Size::ALL.map(|size| Config::official(v, size)));
        std::iter::once(Config::toy(Version::V2_1)).chain(official.into_iter().flatten())
    };
    known().find(|config| config.name == name).ok_or_else(|| {
        let names: Vec<String> = known().map(|config| config.name).collect();
        Error::new(ErrorKind::InvalidInput, format!("network `{name}`: expected one of {}", names.join(", ")))
    })
}

/// An ellipsoid by centre and radii, in mm along R, A and S from the middle of the scan; positive x is the patient's
/// right.
struct Ellipsoid {
    centre: [f64; 3],
    radii: [f64; 3],
}

impl Ellipsoid {
    const fn new(centre: [f64; 3], radii: [f64; 3]) -> Self {
        Self { centre, radii }
    }

    fn contains(&self, point: [f64; 3]) -> bool {
        (0..3).map(|c| ((point[c] - self.centre[c]) / self.radii[c]).powi(2)).sum::<f64>() <= 1.0
    }
}

const BODY: Ellipsoid = Ellipsoid::new([0., 0., 0.], [150., 110., 300.]);
const FAT: f64 = -90.0;
const MUSCLE: Ellipsoid = Ellipsoid::new([0., 0., 0.], [138., 98., 300.]);
/// Shapes and Hounsfield units; later ones cover earlier ones.
const ORGANS: [(Ellipsoid, f64); 6] = [
    (Ellipsoid::new([0., -70., 0.], [22., 20., 300.]), 350.0), // vertebrae
    (Ellipsoid::new([-16., -40., 0.], [11., 11., 300.]), 160.0), // aorta
    (Ellipsoid::new([-70., -35., -20.], [26., 22., 50.]), 180.0), // left kidney
    (Ellipsoid::new([66., -42., -35.], [26., 22., 48.]), 180.0), // right kidney
    (Ellipsoid::new([-86., -10., 45.], [34., 40., 38.]), 130.0), // spleen
    (Ellipsoid::new([-30., 50., 40.], [45., 30., 45.]), 20.0), // stomach
];
/// Two overlapping lobes.
const LIVER: [Ellipsoid; 2] =
    [Ellipsoid::new([66., 8., 25.], [62., 66., 62.]), Ellipsoid::new([10., 50., 42.], [62., 34., 36.])];
const LIVER_HU: f64 = 110.0;

/// A CT-like abdomen on an LPS grid, and the mask of its liver.
fn phantom() -> Result<(Volume<f32>, LabelMap)> {
    let Dims([ni, nj, nk]) = DIMS;
    let [si, sj, sk] = SPACING;
    let half = [ni as f64 * si / 2.0, nj as f64 * sj / 2.0, nk as f64 * sk / 2.0];
    // i runs to the patient's left, j to posterior, as in a CT from a DICOM series.
    let ijk_to_ras = IjkToRas([[-si, 0., 0., half[0]], [0., -sj, 0., half[1]], [0., 0., sk, -half[2]]]);
    let geometry = Geometry { dims: DIMS, ijk_to_ras };
    let mut image = Array3::zeros((nk, nj, ni));
    let mut mask = Array3::zeros((nk, nj, ni));
    for ((k, j, i), voxel) in image.indexed_iter_mut() {
        let point = ijk_to_ras.to_ras([i as f64, j as f64, k as f64]).0;
        let liver = LIVER.iter().any(|lobe| lobe.contains(point));
        let organ = ORGANS.iter().rev().find(|(shape, _)| shape.contains(point));
        let hounsfield = match organ {
            _ if liver && organ.is_none_or(|(_, hu)| *hu < 300.0) => LIVER_HU,
            Some((_, hu)) => *hu,
            None if MUSCLE.contains(point) => 45.0,
            None if BODY.contains(point) => FAT,
            None => -1000.0,
        };
        *voxel = (hounsfield + noise(i + ni * (j + nj * k))).round() as f32;
        mask[(k, j, i)] = u16::from(liver && hounsfield == LIVER_HU);
    }
    Ok((Volume::new(geometry.clone(), image)?, Volume::new(geometry, mask)?))
}

/// A value of mean 0 that depends on the voxel's number only.
fn noise(index: usize) -> f64 {
    let scrambled =
        (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let uniform = (scrambled >> 11) as f64 / (1u64 << 53) as f64;
    (uniform - 0.5) * NOISE * 12f64.sqrt()
}
