//! DICOM SEG, out and in.

use dicom_core::Tag;
use dicom_slice::Slice;
use promem::geometry::Dims;
use promem::volume::{self, LabelMap, MaskGrid, Overwrite, ReadOptions, ResultInfo, Scan, Segment};
use std::path::Path;

mod data;
mod dicom_slice;

/// A series of five slices of 5 x 3 pixels, 15 bits a frame, so that frames share bytes.
fn scan(folder: &Path) -> Scan {
    for n in 0..5u16 {
        let slice = Slice::axial(2.5 * f64::from(n), 5, vec![n; 15]);
        slice.write(&folder.join(format!("{}.dcm", 9 - n)));
    }
    volume::read_scan(folder, &ReadOptions::default()).unwrap()
}

fn info(scan: &Scan) -> ResultInfo {
    let colour = Some([0.8, 0.3, 0.2]);
    ResultInfo {
        segments: vec![Segment { label: 3, name: "liver".into(), colour }, Segment::new(7, "a lesion")],
        about: serde_json::json!({ "version": "0.1.0", "model": { "sha256": "ab".repeat(32) } }),
        sources: scan.facts.slices.clone(),
    }
}

#[test]
fn segments_come_back_in_place_with_names_and_colours() {
    let folder = tempfile::tempdir().unwrap();
    let scan = scan(folder.path());
    let mut labels = LabelMap::empty_like(&scan.volume);
    // Slice 2 has no voxel of the first segment: its frames have a gap.
    for (voxel, label) in [([1, 0, 0], 3), ([1, 4, 2], 3), ([3, 2, 1], 3), ([2, 1, 1], 7), ([3, 1, 0], 7)] {
        labels.voxels_mut()[voxel] = label;
    }
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("seg.dcm");
    volume::write_result(&path, &labels, Overwrite::Refuse, &info(&scan)).unwrap();
    let read = volume::read_segmentation(&path).unwrap();
    let names: Vec<(u16, &str)> = read.segments.iter().map(|s| (s.label, s.name.as_str())).collect();
    assert_eq!(names, [(1, "liver"), (2, "a lesion")]);
    let colour = read.segments[0].colour.unwrap();
    assert!(colour.iter().zip([0.8, 0.3, 0.2]).all(|(a, b)| (a - b).abs() < 2e-3), "{colour:?}");
    assert_eq!(read.layers[0].geometry().dims, Dims([3, 5, 3]), "slices 1 to 3 have frames");
    let placed = volume::place(&read.layers[0], &scan.volume, MaskGrid::Exact).unwrap();
    let numbered = labels.voxels().mapv(|label| match label {
        3 => 1,
        7 => 2,
        other => other,
    });
    assert_eq!(placed.labels.voxels(), numbered);
}

#[test]
fn an_object_refers_to_the_series_and_says_how_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let scan = scan(folder.path());
    let mut labels = LabelMap::empty_like(&scan.volume);
    labels.voxels_mut()[[1, 1, 1]] = 3;
    let path = folder.path().join("seg.dcm");
    volume::write_result(&path, &labels, Overwrite::Refuse, &info(&scan)).unwrap();
    let object = dicom_object::open_file(&path).unwrap();
    let item = |tag: Tag| object.element(tag).unwrap().value().items().unwrap()[0].clone();
    let series = item(Tag(0x0008, 0x1115));
    assert_eq!(series.element(Tag(0x0020, 0x000E)).unwrap().to_str().unwrap(), "1.2.3");
    assert_eq!(series.element(Tag(0x0008, 0x114A)).unwrap().value().items().unwrap().len(), 5);
    let segment = item(Tag(0x0062, 0x0002));
    assert_eq!(segment.element(Tag(0x0062, 0x0008)).unwrap().to_str().unwrap(), "SEMIAUTOMATIC");
    let kind = segment.element(Tag(0x0062, 0x000F)).unwrap().value().items().unwrap()[0].clone();
    assert_eq!(kind.element(Tag(0x0008, 0x0100)).unwrap().to_str().unwrap(), "10200004");
    // The segmentation beside the slices is set aside.
    let again = volume::read_scan(folder.path(), &ReadOptions::default()).unwrap();
    assert!(again.notes.iter().any(|note| note.contains("1 segmentation")), "{:?}", again.notes);
}

#[test]
fn a_scan_that_is_not_dicom_has_no_dicom_result() {
    let line = volume::check_format(Path::new("liver.dcm"), &[]).unwrap_err().to_string();
    assert!(line.contains("slices of a DICOM scan") && line.contains(".seg.nrrd"), "{line}");
    assert!(volume::check_format(Path::new("liver.nii.gz"), &[]).is_ok());
}

#[test]
fn the_segments_of_dcmqi_are_those_of_its_nrrd_files() {
    let Some(data) = data::folder() else { return };
    let folder = data.join("dicom_seg_dcmqi");
    let scan = volume::read_image(&folder.join("ct-3slice")).unwrap();
    let read = volume::read_labels(&folder.join("liver.dcm")).unwrap();
    let placed = volume::place(&read, &scan, MaskGrid::Exact).unwrap();
    let expected = volume::read_labels(&folder.join("liver_seg.nrrd")).unwrap();
    let expected = volume::place(&expected, &scan, MaskGrid::Exact).unwrap();
    assert!(placed.labels.voxels().iter().any(|&label| label > 0));
    assert_eq!(placed.labels.voxels(), expected.labels.voxels());
    let overlapping = volume::read_segmentation(&folder.join("partial_overlaps.dcm")).unwrap();
    assert!(overlapping.layers.len() > 1, "{}", overlapping.layers.len());
}
