//! DICOM series: sorted by position, rescaled, placed in the patient, or refused with the reason.

use dicom_core::{Tag, VR};
use dicom_slice::{write_multi_frame, Slice};
use ndarray::s;
use promem::geometry::{Dims, RasPoint};
use promem::volume::{self, ReadOptions, Uneven};
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
    series(folder.path(), &[0.0, 2.0, 4.0]);
    Slice::axial(2.0, 2, vec![7; 6]).write(&folder.path().join("again.dcm"));
    let line = refused(folder.path());
    assert!(line.contains("`1.dcm` and `again.dcm` lie at the same place, (-10, -20, 2) mm LPS"), "{line}");

    let folder = tempfile::tempdir().unwrap();
    series(folder.path(), &[0.0, 2.0]);
    Slice { series: "9.9", ..Slice::axial(4.0, 2, vec![0; 6]) }.write(&folder.path().join("other.dcm"));
    let line = refused(folder.path());
    assert!(line.contains("2 DICOM series, expected one") && line.contains("1.2.3") && line.contains("9.9"), "{line}");
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
        (text(0x0028, 0x0004, VR::CS, "PALETTE COLOR"), "colour image (PALETTE COLOR)"),
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

fn element(group: u16, element: u16, vr: VR, value: &str) -> (Tag, VR, String) {
    (Tag(group, element), vr, value.to_owned())
}

/// Values of the first pixels of all slices.
fn first_pixels(path: &Path) -> Vec<f32> {
    volume::read_image(path).unwrap().voxels().slice(s![.., 0, 0]).to_vec()
}

#[test]
fn stored_bits_alone_become_values() {
    let stored = |signed: &str, pixel: u16| {
        let folder = tempfile::tempdir().unwrap();
        for z in [0.0, 2.0] {
            let extra = vec![
                element(0x0028, 0x0101, VR::US, "12"),
                element(0x0028, 0x0102, VR::US, "11"),
                element(0x0028, 0x0103, VR::US, signed),
            ];
            let slice = Slice { extra, ..Slice::axial(z, 2, vec![pixel; 6]) };
            slice.write(&folder.path().join(format!("{z}.dcm")));
        }
        first_pixels(folder.path())[0]
    };
    assert_eq!(stored("1", (-500i16 as u16) & 0xFFF), -500.0);
    assert_eq!(stored("0", 1100 | 0x8000), 1100.0, "bit 15 is an overlay's");
    assert_eq!(stored("1", 300), 300.0);
}

#[test]
fn monochrome1_has_the_values_that_are_stored() {
    let folder = tempfile::tempdir().unwrap();
    let extra = vec![element(0x0028, 0x0004, VR::CS, "MONOCHROME1")];
    Slice { extra, ..Slice::axial(0.0, 2, vec![40; 6]) }.write(&folder.path().join("one.dcm"));
    assert_eq!(first_pixels(folder.path()), [40.0]);
}

#[test]
fn a_file_without_preamble_is_read() {
    let folder = tempfile::tempdir().unwrap();
    series(folder.path(), &[0.0, 2.0]);
    let expected = first_pixels(folder.path());
    // The first loses the preamble, the second the file's own group, too.
    for (name, marker) in [("0.dcm", &b"\x02\x00\x00\x00UL"[..]), ("1.dcm", b"\x08\x00\x16\x00UI")] {
        let whole = std::fs::read(folder.path().join(name)).unwrap();
        let start = whole.windows(marker.len()).position(|bytes| bytes == marker).unwrap();
        std::fs::write(folder.path().join(name), &whole[start..]).unwrap();
    }
    assert_eq!(first_pixels(folder.path()), expected);
    assert_eq!(first_pixels(&folder.path().join("1.dcm")), expected);
}

#[test]
fn jpeg_ls_and_run_length_streams_are_decoded() {
    // 6 rows of 8 pixels n * 71 % 4096, by CharLS.
    let jpeg_ls =
        "ffd8fff7000b0c0006000801011100ffda000801010000000089a4d45a249a8b44800038139188a44219084e00007041203f\
                   bf3ebe1184ddede9e4e0dcd88a26c6a6866646260441352f2e2d2c2b2a2180ffd900";
    let bytes = (0..jpeg_ls.len()).step_by(2).map(|n| u8::from_str_radix(&jpeg_ls[n..n + 2], 16).unwrap()).collect();
    let pixels: Vec<u16> = (0..48).map(|n| n * 71 % 4096).collect();
    // Two segments, high bytes first, each as one literal run.
    let mut run_length = vec![0u8; 64];
    run_length[0] = 2;
    for (place, offset) in [(4, 64u32), (8, 64 + 50)] {
        run_length[place..place + 4].copy_from_slice(&offset.to_le_bytes());
    }
    for shift in [8, 0] {
        run_length.push(47);
        run_length.extend(pixels.iter().map(|pixel| (pixel >> shift) as u8));
        run_length.push(128); // no operation: an even length
    }
    for (syntax, stream) in [("1.2.840.10008.1.2.4.80", bytes), ("1.2.840.10008.1.2.5", run_length)] {
        let folder = tempfile::tempdir().unwrap();
        let extra = vec![element(0x0028, 0x0101, VR::US, "12"), element(0x0028, 0x0102, VR::US, "11")];
        let slice = Slice { extra, compressed: Some((syntax, stream)), ..Slice::axial(0.0, 6, pixels.clone()) };
        slice.write(&folder.path().join("one.dcm"));
        let scan = volume::read_image(folder.path()).unwrap();
        let found: Vec<u16> = scan.voxels().iter().map(|&v| v as u16).collect();
        assert_eq!(found, pixels, "{syntax}");
    }
}

#[test]
fn a_multi_frame_image_is_sorted_rescaled_frame_by_frame_and_split_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enhanced.dcm");
    let frame = |z: f64, time: u32, value: u16| (z, time, vec![value; 6]);
    write_multi_frame(&path, 2, &[frame(4.0, 1, 5), frame(0.0, 1, 7), frame(2.0, 1, 6)]);
    let scan = volume::read_image(&path).unwrap();
    assert_eq!(scan.geometry().dims, Dims([3, 2, 3]));
    assert_eq!(scan.geometry().spacing().0, [0.75, 0.5, 2.0]);
    // Twice the stored number and 100 for each frame before it in the file.
    assert_eq!(first_pixels(&path), [7.0 * 2.0 + 100.0, 6.0 * 2.0 + 200.0, 10.0]);

    write_multi_frame(&path, 2, &[frame(0.0, 2, 8), frame(0.0, 1, 1), frame(2.0, 1, 2), frame(2.0, 2, 9)]);
    let line = refused(&path);
    assert!(line.contains("2 images at each of 2 places") && line.contains("--frame N takes one, 0 to 1"), "{line}");
    let options = ReadOptions { frame: Some(1), ..ReadOptions::default() };
    let scan = volume::read_scan(&path, &options).unwrap();
    assert_eq!(scan.facts.frames, 2);
    assert_eq!(scan.volume.voxels().slice(s![.., 0, 0]).to_vec(), [16.0, 18.0 + 300.0]);
}

#[test]
fn uneven_slices_are_refused_with_their_places_or_interpolated() {
    let folder = tempfile::tempdir().unwrap();
    series(folder.path(), &[0.0, 2.0, 6.0, 8.0]);
    let line = refused(folder.path());
    assert!(line.contains("between (-10, -20, 2) mm LPS and (-10, -20, 6) mm LPS"), "{line}");
    assert!(line.contains("--uneven resample"), "{line}");
    let options = ReadOptions { uneven: Uneven::Resample, ..ReadOptions::default() };
    let scan = volume::read_scan(folder.path(), &options).unwrap();
    assert_eq!(scan.volume.geometry().dims, Dims([3, 2, 5]));
    let expected = [0.0f32, 20.0, 40.0, 60.0, 80.0].map(|stored| stored * 2.0 - 1000.0);
    assert_eq!(scan.volume.voxels().slice(s![.., 0, 0]).to_vec(), expected);
    assert!(scan.notes.iter().any(|note| note.contains("resampled to 5 slices")), "{:?}", scan.notes);
}

#[test]
fn exact_duplicates_are_skipped_and_said() {
    let folder = tempfile::tempdir().unwrap();
    series(folder.path(), &[0.0, 2.0, 4.0]);
    std::fs::copy(folder.path().join("1.dcm"), folder.path().join("copy.dcm")).unwrap();
    let scan = volume::read_scan(folder.path(), &ReadOptions::default()).unwrap();
    assert_eq!(scan.volume.geometry().dims, Dims([3, 2, 3]));
    assert!(scan.notes.iter().any(|note| note.contains("1 exact duplicates: `copy.dcm`")), "{:?}", scan.notes);
}

#[test]
fn what_lies_beside_the_slices_of_a_study_is_set_aside_by_name() {
    let study = tempfile::tempdir().unwrap();
    let ct = study.path().join("1/ct");
    std::fs::create_dir_all(&ct).unwrap();
    series(&ct, &[0.0, 2.0, 4.0, 6.0, 8.0]);
    let beside = |name: &str, series: &'static str, extra: Vec<(Tag, VR, String)>| {
        Slice { series, extra, ..Slice::axial(2.0, 2, vec![3; 6]) }.write(&study.path().join(name));
    };
    let turned = "0\\1\\0\\0\\0\\-1";
    beside("1/ct/scout.dcm", "1.2.3", vec![element(0x0008, 0x0008, VR::CS, "ORIGINAL\\PRIMARY\\LOCALIZER")]);
    beside("1/ct/across.dcm", "1.2.3", vec![element(0x0020, 0x0037, VR::DS, turned)]);
    beside("colour.dcm", "9.1", vec![element(0x0028, 0x0002, VR::US, "3")]);
    beside("report.dcm", "9.2", vec![element(0x0008, 0x0016, VR::UI, "1.2.840.10008.5.1.4.1.1.88.33")]);
    beside("structures.dcm", "9.3", vec![element(0x0008, 0x0016, VR::UI, "1.2.840.10008.5.1.4.1.1.481.3")]);
    beside("1/DICOMDIR", "9.4", vec![element(0x0008, 0x0016, VR::UI, "1.2.840.10008.1.3.10")]);
    std::fs::write(study.path().join("notes.txt"), "none of DICOM").unwrap();
    let scan = volume::read_scan(study.path(), &ReadOptions::default()).unwrap();
    assert_eq!(scan.volume.geometry().dims, Dims([3, 2, 5]));
    let notes = scan.notes.join("; ");
    for part in ["1 RT structure set", "1 colour image", "1 localizer", "1 structured report", "`across.dcm`"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    let line = refused(&study.path().join("report.dcm"));
    assert!(line.contains("report.dcm") && line.contains("structured report; expected an image"), "{line}");
}

#[test]
fn several_series_are_listed_and_chosen_by_number_or_uid() {
    let folder = tempfile::tempdir().unwrap();
    for (n, (series, size)) in [("1.2.3", 2u16), ("1.2.9", 3)].into_iter().enumerate() {
        for z in [0.0, 2.0] {
            let extra = vec![
                element(0x0020, 0x0011, VR::IS, &format!("{}", 7 - n)),
                element(0x0008, 0x103E, VR::LO, &format!("phase {n}")),
            ];
            let pixels = vec![n as u16; usize::from(size) * 3];
            let slice = Slice { series, extra, ..Slice::axial(z, size, pixels) };
            slice.write(&folder.path().join(format!("{n}_{z}.dcm")));
        }
    }
    let line = refused(folder.path());
    for part in ["2 DICOM series", "--series", "7   phase 0, 3x2x2, 0.75 x 0.5 x 2 mm  1.2.3", "6   phase 1, 3x3x2"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    for (wanted, rows) in [("7", 2), ("6", 3), ("1.2.3", 2), ("1.2.9", 3)] {
        let options = ReadOptions { series: Some(wanted.into()), ..ReadOptions::default() };
        assert_eq!(volume::read_scan(folder.path(), &options).unwrap().volume.geometry().dims.0[1], rows);
    }
    let options = ReadOptions { series: Some("8".into()), ..ReadOptions::default() };
    let line = volume::read_scan(folder.path(), &options).unwrap_err().to_string();
    assert!(line.contains("there is no series 8; there are") && line.contains("phase 1"), "{line}");
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
