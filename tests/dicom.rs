//! DICOM series: sorted by position, rescaled, placed in the patient, or refused with the reason.

use dicom_core::{Tag, VR};
use dicom_slice::Slice;
use ndarray::s;
use promem::geometry::{Dims, RasPoint};
use promem::volume;
use std::path::Path;

mod data;
mod dicom_slice;

/// A series of slices of 2 x 3 pixels whose values say where they are, written in an order that is not theirs.
fn series(folder: &Path, positions: &[f64]) {
    for (n, &z) in positions.iter().enumerate() {
        let pixels = (0..6).map(|p| p + (z * 10.0) as u16).collect();
        Slice { slope: 2.0, intercept: -1000.0, ..Slice::axial(z, 2, pixels) }.write(&folder.join(format!("{n}.dcm")));
    }
}

fn refused(folder: &Path) -> String {
    volume::read_image(folder).unwrap_err().to_string()
}

#[test]
fn slices_are_sorted_by_position_rescaled_and_placed_in_the_patient() {
    let folder = tempfile::tempdir().unwrap();
    series(folder.path(), &[4.0, 0.0, 2.0, 6.0]);
    std::fs::write(folder.path().join("notes.txt"), "not a slice").unwrap();
    let scan = volume::read_image(folder.path()).unwrap();
    assert_eq!(scan.geometry().dims, Dims([3, 2, 4]));
    let first: Vec<f32> = scan.voxels().slice(s![.., 0, 0]).to_vec();
    assert_eq!(first, [0.0f32, 20.0, 40.0, 60.0].map(|stored| stored * 2.0 - 1000.0));
    assert_eq!(scan.voxels()[[0, 1, 2]], 5.0 * 2.0 - 1000.0);
    // Steps are 2 mm although SliceThickness says 5; x and y change sign from LPS to RAS.
    let RasPoint(corner) = scan.geometry().ijk_to_ras.to_ras([2.0, 1.0, 3.0]);
    assert_eq!(corner, [10.0 - 2.0 * 0.75, 20.0 - 0.5, 6.0]);
    // A file of the series stands for all of it.
    let same = volume::read_image(&folder.path().join("2.dcm")).unwrap();
    assert_eq!((same.geometry(), same.voxels()), (scan.geometry(), scan.voxels()));
}

#[test]
fn an_oblique_series_keeps_its_directions() {
    let folder = tempfile::tempdir().unwrap();
    let (cos, sin) = (0.8, 0.6);
    // Rows turn about x: down the image is (0, cos, sin), across slices (0, -sin, cos).
    for n in 0..5 {
        let step = f64::from(n) * 3.0;
        let slice = Slice {
            position: [1.0, 2.0 - sin * step, 3.0 + cos * step],
            directions: [1.0, 0.0, 0.0, 0.0, cos, sin],
            ..Slice::axial(0.0, 2, vec![n as u16; 6])
        };
        slice.write(&folder.path().join(format!("{}.dcm", 9 - n)));
    }
    let scan = volume::read_image(folder.path()).unwrap();
    let RasPoint(at) = scan.geometry().ijk_to_ras.to_ras([2.0, 1.0, 4.0]);
    let lps = [1.0 + 2.0 * 0.75, 2.0 + 0.5 * cos - sin * 12.0, 3.0 + 0.5 * sin + cos * 12.0];
    for (found, expected) in at.into_iter().zip([-lps[0], -lps[1], lps[2]]) {
        assert!((found - expected).abs() < 1e-9, "{at:?}");
    }
    assert!(scan.voxels().slice(s![.., 0, 0]).iter().copied().eq([0.0, 1.0, 2.0, 3.0, 4.0]));
}

#[test]
fn a_missing_a_double_and_a_foreign_slice_are_each_told() {
    let folder = tempfile::tempdir().unwrap();
    series(folder.path(), &[0.0, 2.0, 6.0, 8.0, 10.0]);
    let line = refused(folder.path());
    assert!(
        line.contains("4.000 mm between `1.dcm` and `2.dcm`, 2.000 mm elsewhere; a slice may be missing"),
        "{line}"
    );

    let folder = tempfile::tempdir().unwrap();
    series(folder.path(), &[0.0, 2.0, 2.0, 4.0]);
    let line = refused(folder.path());
    assert!(line.contains("`1.dcm` and `2.dcm` lie at the same place"), "{line}");

    let folder = tempfile::tempdir().unwrap();
    series(folder.path(), &[0.0, 2.0]);
    Slice { series: "9.9", ..Slice::axial(4.0, 2, vec![0; 6]) }.write(&folder.path().join("other.dcm"));
    let line = refused(folder.path());
    assert!(line.contains("2 DICOM series in one folder") && line.contains("1.2.3") && line.contains("9.9"), "{line}");
    assert_eq!(volume::read_image(&folder.path().join("0.dcm")).unwrap().geometry().dims, Dims([3, 2, 2]));

    let folder = tempfile::tempdir().unwrap();
    series(folder.path(), &[0.0, 2.0]);
    Slice::axial(4.0, 3, vec![0; 9]).write(&folder.path().join("size.dcm"));
    let line = refused(folder.path());
    assert!(line.contains("size.dcm") && line.contains("[3, 3]") && line.contains("[3, 2]"), "{line}");
}

#[test]
fn what_is_no_series_of_grey_slices_is_refused_with_the_reason() {
    let text = |group, element, vr, value: &str| vec![(Tag(group, element), vr, value.to_owned())];
    for (extra, expected) in [
        (text(0x0028, 0x0008, VR::IS, "4"), "multi-frame"),
        (text(0x0028, 0x0002, VR::US, "3"), "colour"),
        (text(0x0028, 0x0004, VR::CS, "MONOCHROME1"), "MONOCHROME1; expected MONOCHROME2"),
        (text(0x0020, 0x0032, VR::DS, "1\\2"), "ImagePositionPatient"),
        (text(0x0028, 0x0030, VR::DS, "0\\1"), "expected positive numbers"),
        (text(0x0020, 0x0037, VR::DS, "1\\0\\0\\1\\0\\0"), "right angles"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        Slice { extra, ..Slice::axial(0.0, 2, vec![0; 6]) }.write(&folder.path().join("one.dcm"));
        let line = refused(folder.path());
        assert!(line.contains(expected) && line.contains("one.dcm"), "{line}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(empty.path()).contains("a folder without DICOM files"));
    let folder = tempfile::tempdir().unwrap();
    series(folder.path(), &[0.0, 2.0]);
    let whole = std::fs::read(folder.path().join("0.dcm")).unwrap();
    std::fs::write(folder.path().join("0.dcm"), &whole[..whole.len() - 4]).unwrap();
    assert!(refused(folder.path()).contains("0.dcm"), "{}", refused(folder.path()));
}

#[test]
fn the_real_series_lie_where_their_masks_are() {
    let Some(data) = data::folder() else { return };
    let folder = data.join("ct_totalseg_dicom");
    let scan = volume::read_image(&folder.join("dicom")).unwrap();
    let labels = volume::read_labels(&folder.join("label.nii.gz")).unwrap();
    assert_eq!(scan.geometry().dims.0, [512, 512, 20]);
    // JPEG 2000; steps of 2 mm although SliceThickness is 3. The mask's rows run the other way: compare places, not
    // indices.
    assert!((scan.geometry().spacing().0[2] - 2.0).abs() < 1e-3);
    let mut bone = Vec::new();
    for ((k, j, i), &label) in labels.voxels().indexed_iter() {
        if label > 0 {
            let place = labels.geometry().ijk_to_ras.to_ras([i as f64, j as f64, k as f64]);
            let [x, y, z] = scan.geometry().ijk_to_ras.to_ijk(place).unwrap().map(|c| c.round() as i64);
            let inside = |v: i64, n: usize| usize::try_from(v).ok().filter(|&v| v < n);
            if let (Some(x), Some(y), Some(z)) = (inside(x, 512), inside(y, 512), inside(z, 20)) {
                bone.push(scan.voxels()[[z, y, x]]);
            }
        }
    }
    assert!(bone.len() > 10_000, "{}", bone.len());
    let mean = bone.iter().sum::<f32>() / bone.len() as f32;
    let everywhere = scan.voxels().mean().unwrap();
    assert!(mean > everywhere + 200.0, "inside the masks {mean} HU, everywhere {everywhere}");

    let head = volume::read_image(&data.join("dicom_cthead_slicer")).unwrap();
    assert_eq!(head.geometry().dims.0, [64, 64, 93]);
}
