//! Volumes there and back, and every file of the torture collection.

use ndarray::Array3;
use promem::geometry::{Dims, Geometry, IjkToRas, RasPoint};
use promem::volume::{self, LabelMap, Overwrite, Segment, Volume};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

mod data;

fn labels(geometry: Geometry) -> LabelMap {
    let Dims([i, j, k]) = geometry.dims;
    let voxels = Array3::from_shape_fn((k, j, i), |(k, j, i)| ((k * 7 + j * 3 + i) % 5) as u16);
    Volume::new(geometry, voxels).unwrap()
}

fn write_and_read(labels: &LabelMap, name: &str) -> LabelMap {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let segments = [Segment::new(1, "one")];
    volume::write_labels(&path, labels, Overwrite::Refuse, &segments).unwrap();
    volume::read_labels(&path).unwrap()
}

/// Farthest distance between the same corner of two grids, in mm.
fn apart(a: &Geometry, b: &Geometry) -> f64 {
    let last = a.dims.0.map(|n| (n - 1) as f64);
    let corners = [[0., 0., 0.], [last[0], 0., 0.], [0., last[1], 0.], [0., 0., last[2]], last];
    let distance = |c: [f64; 3]| {
        let (RasPoint(a), RasPoint(b)) = (a.ijk_to_ras.to_ras(c), b.ijk_to_ras.to_ras(c));
        (0..3).map(|n| (a[n] - b[n]).powi(2)).sum::<f64>().sqrt()
    };
    corners.into_iter().map(distance).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_oblique_flipped_or_sheared_grid_comes_back(
        m in prop::array::uniform3(prop::array::uniform4(-3.0f64..3.0)),
        dims in (2usize..6, 6usize..9, 9usize..12),
        format in prop::sample::select(vec!["a.nii", "a.nii.gz", "a.nrrd", "a.seg.nrrd"]),
    ) {
        let ijk_to_ras = IjkToRas(m);
        let s = ijk_to_ras.spacing().0;
        prop_assume!(ijk_to_ras.determinant().abs() / (s[0] * s[1] * s[2]) > 0.05 && s.iter().all(|&s| s > 0.3));
        let original = labels(Geometry { dims: Dims([dims.0, dims.1, dims.2]), ijk_to_ras });
        let back = write_and_read(&original, format);
        prop_assert_eq!(back.voxels(), original.voxels());
        prop_assert!(apart(back.geometry(), original.geometry()) < 1e-4, "{:?}", back.geometry());
        prop_assert!(original.geometry().check_same_grid(back.geometry()).is_ok());
    }

    #[test]
    fn rotations_survive_through_the_qform_alone(
        axis in prop::array::uniform3(-1.0f64..1.0), angle in -3.1f64..3.1, flip in prop::sample::select(vec![1.0, -1.0])
    ) {
        let length = axis.iter().map(|v| v * v).sum::<f64>().sqrt();
        prop_assume!(length > 0.1);
        let [x, y, z] = axis.map(|v| v / length);
        let (s, c) = angle.sin_cos();
        let t = 1.0 - c;
        let spacing = [0.7, 1.1, 2.5 * flip];
        let rotation = [
            [t * x * x + c, t * x * y - s * z, t * x * z + s * y],
            [t * x * y + s * z, t * y * y + c, t * y * z - s * x],
            [t * x * z - s * y, t * y * z + s * x, t * z * z + c],
        ];
        let row = |r: usize| [rotation[r][0] * spacing[0], rotation[r][1] * spacing[1], rotation[r][2] * spacing[2], r as f64];
        let original = labels(Geometry { dims: Dims([3, 4, 5]), ijk_to_ras: IjkToRas([row(0), row(1), row(2)]) });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii");
        volume::write_labels(&path, &original, Overwrite::Refuse, &[]).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[254..256].copy_from_slice(&0i16.to_le_bytes()); // no sform any more
        bytes[280..328].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let back = volume::read_labels(&path).unwrap();
        prop_assert!(apart(back.geometry(), original.geometry()) < 1e-3, "{:?}", back.geometry());
    }

    #[test]
    fn a_damaged_file_is_refused_or_read_but_never_panics(
        place in 0usize..600, byte in any::<u8>(), cut in 0usize..1200, format in prop::sample::select(vec!["a.nii", "a.nii.gz", "a.nrrd"])
    ) {
        let original = labels(Geometry { dims: Dims([5, 7, 11]), ijk_to_ras: IjkToRas::from_spacing(promem::geometry::Spacing([1., 2., 3.])) });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format);
        volume::write_labels(&path, &original, Overwrite::Refuse, &[]).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let length = bytes.len();
        bytes[place % length] = byte;
        bytes.truncate(cut.max(1));
        std::fs::write(&path, bytes).unwrap();
        let _ = volume::read_labels(&path);
        let _ = volume::read_image(&path);
    }
}

#[test]
fn a_header_in_metres_is_read_in_millimetres() {
    let spacing = promem::geometry::Spacing([1., 2., 3.]);
    let original = labels(Geometry { dims: Dims([3, 4, 5]), ijk_to_ras: IjkToRas::from_spacing(spacing) });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    volume::write_labels(&path, &original, Overwrite::Refuse, &[]).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[123] = 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(volume::read_labels(&path).unwrap().geometry().spacing().0, [1000., 2000., 3000.]);
}

#[test]
fn forms_of_a_nifti_file_are_written_back_bit_by_bit() {
    let Some(data) = data::folder() else { return };
    let mut checked = 0;
    for path in files(&data) {
        let Ok(image) = volume::read_image(&path) else { continue };
        let Some(forms) = image.forms() else { continue };
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.nii");
        volume::write_labels(&copy, &LabelMap::empty_like(&image), Overwrite::Refuse, &[]).unwrap();
        let back = volume::read_labels(&copy).unwrap();
        assert_eq!(format!("{:?}", back.forms().unwrap()), format!("{forms:?}"), "{}", path.display());
        assert_eq!(back.geometry(), image.geometry(), "{}", path.display());
        checked += 1;
    }
    assert!(checked > 60, "only {checked} NIfTI files were read");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `read_image` on a file: its size, or the reason of the refusal.
fn outcome(path: &Path) -> String {
    match volume::read_image(path) {
        Ok(image) => format!("reads {}", image.geometry().dims),
        Err(error) => {
            assert!(error.to_string().contains(&*path.file_name().unwrap().to_string_lossy()), "{error}");
            error.to_string()
        }
    }
}

#[test]
fn each_torture_file_reads_or_is_refused_with_the_expected_reason() {
    let Some(data) = data::folder() else { return };
    let table = include_str!("fixtures/torture.txt");
    let expected: Vec<(&str, &str)> =
        table.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).map(|l| l.split_once('|').unwrap()).collect();
    let torture = data.join("torture");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in files(&torture) {
        let name = path.strip_prefix(&torture).unwrap().to_string_lossy().into_owned();
        let found = outcome(&path);
        match expected.iter().find(|(file, _)| *file == name) {
            Some((_, reason)) if found.contains(reason) => seen += 1,
            Some((_, reason)) => wrong.push(format!("{name}: expected `{reason}`, found `{found}`")),
            None if found.contains("neither NIfTI") => {}
            None => wrong.push(format!("{name}: expected a refusal by format, found `{found}`")),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(seen, expected.len());
}

#[test]
fn sizes_maps_and_values_equal_those_of_nibabel_and_pynrrd() {
    let Some(data) = data::folder() else { return };
    let facts: serde_json::Value = serde_json::from_str(include_str!("fixtures/torture.json")).unwrap();
    let facts = facts.as_object().unwrap();
    assert!(facts.len() > 30);
    for (name, fact) in facts {
        let image = volume::read_image(&data.join("torture").join(name)).unwrap();
        let number = |v: &serde_json::Value| v.as_f64().unwrap();
        let dims: Vec<f64> = fact["dims"].as_array().unwrap().iter().map(number).collect();
        assert_eq!(image.geometry().dims.0.map(|n| n as f64).to_vec(), dims, "{name}");
        for (r, row) in image.geometry().ijk_to_ras.0.iter().enumerate() {
            for (c, found) in row.iter().enumerate() {
                let expected = number(&fact["affine"][r][c]);
                assert!((found - expected).abs() < 1e-4, "{name} [{r}][{c}]: {found} not {expected}");
            }
        }
        let mean = image.voxels().iter().map(|&v| f64::from(v)).sum::<f64>() / image.voxels().len() as f64;
        let expected = number(&fact["mean"]);
        assert!((mean - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{name}: mean {mean} not {expected}");
    }
}

#[test]
fn each_scan_and_its_label_map_lie_on_one_grid() {
    let Some(data) = data::folder() else { return };
    let scans = data::scans(&data);
    assert!(scans.len() > 30, "only {} scans were found", scans.len());
    for (image, label) in scans {
        let (image, label) = (volume::read_image(&image).unwrap(), volume::read_labels(&label).unwrap());
        label.geometry().check_same_grid(image.geometry()).unwrap();
        assert!(label.voxels().iter().any(|&l| l > 0));
    }
}
