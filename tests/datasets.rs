//! Every data set format, rebuilt small: names, pairs and orders are right, and errors name the damaged file.

use dicom_slice::Slice;
use ndarray::{Array1, Array3, Array4, ShapeBuilder};
use ndarray_npy::{write_npy, NpzWriter};
use promem::datasets::{open, unseen_classes, Case, Classes, Dataset, Spec};
use promem::geometry::{Dims, Geometry, IjkToRas, Spacing};
use promem::output::Overwrite;
use promem::volume::{self, LabelMap, Volume};
use std::io::Write;
use std::path::Path;

mod data;
mod dicom_slice;

fn geometry(dims: [usize; 3]) -> Geometry {
    Geometry { dims: Dims(dims), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0, 1.0, 3.0])) }
}

/// A scan of 5 x 4 x 3 voxels whose values are its voxels' numbers.
fn scan() -> Volume<f32> {
    Volume::new(geometry([5, 4, 3]), Array3::from_shape_fn((3, 4, 5), |(k, j, i)| (k * 20 + j * 5 + i) as f32)).unwrap()
}

/// A label map with these labels, one voxel each, in the order of the voxels.
fn labels(values: &[u16]) -> LabelMap {
    let mut map = LabelMap::empty_like(&scan());
    map.voxels_mut().iter_mut().zip(values).for_each(|(voxel, &value)| *voxel = value);
    map
}

fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn put_scan(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    volume::write_image(path, &scan(), Overwrite::Refuse).unwrap();
}

fn put_labels(path: &Path, values: &[u16]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    volume::write_labels(path, &labels(values), Overwrite::Refuse, &[]).unwrap();
}

fn opened(format: &str, folder: &Path, classes: &Classes) -> Box<dyn Dataset> {
    let spec: Spec = format!("{format}={}", folder.display()).parse().unwrap();
    open(&spec, classes).unwrap_or_else(|e| panic!("{e}"))
}

fn refused(format: &str, folder: &Path) -> String {
    let spec: Spec = format!("{format}={}", folder.display()).parse().unwrap();
    open(&spec, &Classes::all()).err().expect("refused").to_string()
}

fn names(dataset: &dyn Dataset) -> Vec<&str> {
    dataset.cases().iter().map(|case| case.name.as_str()).collect()
}

/// Structures and how many voxels they have.
fn sizes(case: &Case) -> Vec<(&str, usize)> {
    case.targets.iter().map(|target| (target.name.as_str(), target.mask.count())).collect()
}

/// A scipy CSR matrix as `scipy.sparse.save_npz` stores it.
fn put_sparse<T: ndarray_npy::WritableElement + Copy>(path: &Path, rows: &[&[i32]], columns: i64, stored: T) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut npz = NpzWriter::new_compressed(std::fs::File::create(path).unwrap());
    let indices: Vec<i32> = rows.iter().flat_map(|row| row.iter().copied()).collect();
    let ends = rows.iter().scan(0, |end, row| {
        *end += row.len() as i32;
        Some(*end)
    });
    let indptr: Array1<i32> = std::iter::once(0).chain(ends).collect();
    npz.add_array("data", &Array1::from_elem(indices.len(), stored)).unwrap();
    npz.add_array("indices", &Array1::from(indices)).unwrap();
    npz.add_array("indptr", &indptr).unwrap();
    npz.add_array("shape", &Array1::from(vec![rows.len() as i64, columns])).unwrap();
    npz.finish().unwrap();
}

#[test]
fn m3d_seg_reads_sparse_masks_and_scans_of_either_order_and_width() {
    let folder = tempfile::tempdir().unwrap();
    let subset = folder.path().join("0023/0023"); // unpacking nests the folders
    put(
        &subset.join("0023.json"),
        r#"{"name": "x", "labels": {"0": "background", "1": "spleen", "2": "liver"}, "numTest": 4,
            "train": [{"image": "0023/t/image.npy", "label": "0023/t/mask_(2, 5, 4, 3).npz"}],
            "test": [{"image": "0023/a/image.npy", "label": "0023/a/mask_(2, 5, 4, 3).npz"},
                     {"image": "0023/b/image.npy", "label": "0023/b/mask_(2, 5, 4, 3).npz"},
                     {"image": "0023/c/image.npy", "label": "0023/c/mask_(2, 5, 4, 3).npz"},
                     {"image": "0023/d/image.npy", "label": "0023/d/mask_(2, 5, 4, 3).npz"}]}"#,
    );
    // (1, X, Y, Z): the voxel (x, y, z) holds 100 x + 10 y + z.
    let value = |(_, x, y, z): (usize, usize, usize, usize)| (100 * x + 10 * y + z) as f32;
    let c_order = Array4::from_shape_fn((1, 5, 4, 3), value);
    let fortran = Array4::from_shape_fn((1, 5, 4, 3).f(), |at| f64::from(value(at)));
    std::fs::create_dir_all(subset.join("a")).unwrap();
    std::fs::create_dir_all(subset.join("b")).unwrap();
    write_npy(subset.join("a/image.npy"), &c_order).unwrap();
    write_npy(subset.join("b/image.npy"), &fortran).unwrap();
    // Column of (x, y, z): x * 12 + y * 3 + z. The classes overlap in (1, 2, 0).
    let rows: [&[i32]; 2] = [&[18, 19], &[18, 59]];
    put_sparse(&subset.join("a/mask_(2, 5, 4, 3).npz"), &rows, 60, 1u8);
    put_sparse(&subset.join("b/mask_(2, 5, 4, 3).npz"), &rows, 60, true);
    // c has no scan; the matrix of d does not have the size that its name says.
    std::fs::create_dir_all(subset.join("d")).unwrap();
    write_npy(subset.join("d/image.npy"), &c_order).unwrap();
    put_sparse(&subset.join("d/mask_(2, 5, 4, 3).npz"), &rows, 61, 1u8);

    let dataset = opened("m3d:0023", folder.path(), &Classes::all());
    assert_eq!(names(&*dataset), ["a", "b", "c", "d"]);
    assert!(!dataset.has_spacing());
    for n in [0, 1] {
        let case = dataset.read(n).unwrap();
        assert_eq!(case.image.geometry().dims.0, [5, 4, 3]);
        assert_eq!(case.image.voxels()[[2, 3, 4]], 432.0);
        assert_eq!(sizes(&case), [("spleen", 2), ("liver", 2)]);
        let spleen = case.targets[0].mask.full();
        assert!(spleen[[0, 2, 1]] && spleen[[1, 2, 1]] && case.targets[1].mask.full()[[2, 3, 4]]);
    }
    assert!(dataset.read(2).unwrap_err().to_string().contains("c/image.npy"));
    let line = dataset.read(3).unwrap_err().to_string();
    assert!(line.contains("[2, 61], its name says [2, 60]"), "{line}");
    assert_eq!(names(&*opened("m3d:0023/train", &folder.path().join("0023"), &Classes::all())), ["t"]);
    assert!(refused("m3d:0024", folder.path()).contains("`0024/0024.json`"));
    assert!(refused("m3d:23", folder.path()).contains("part `23`, expected m3d:NNNN"));
}

#[test]
fn totalsegmentator_uses_file_names_and_reads_splits_after_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    put(&at("meta.csv"), "\u{feff}image_id;age;split\ns0001;60;train\ns0002;61;test\ns0003;62;test\n");
    for subject in ["s0001", "s0002", "s0003"] {
        put_scan(&at(&format!("{subject}/ct.nii.gz")));
        put_labels(&at(&format!("{subject}/segmentations/rib_left_1.nii.gz")), &[0, 1, 1]);
        put_labels(&at(&format!("{subject}/segmentations/liver.nii.gz")), &[1]);
        put_labels(&at(&format!("{subject}/segmentations/spleen.nii.gz")), &[0]);
    }
    let all = opened("totalsegmentator", folder.path(), &Classes::all());
    assert_eq!(names(&*all), ["s0001", "s0002", "s0003"]);
    assert_eq!(sizes(&all.read(0).unwrap()), [("liver", 1), ("rib_left_1", 2)], "an empty mask is no structure");
    let test = opened("totalsegmentator:test", folder.path(), &unseen_classes());
    assert_eq!(names(&*test), ["s0002", "s0003"]);
    assert_eq!(sizes(&test.read(1).unwrap()), [("rib_left_1", 2)]);
    std::fs::write(at("s0002/ct.nii.gz"), b"no scan").unwrap();
    assert!(test.read(0).unwrap_err().to_string().contains("s0002/ct.nii.gz"));
    assert!(test.read(1).is_ok(), "other cases can still be read");
    put(&at("meta.csv"), "image_id;age\n");
    assert!(refused("totalsegmentator:test", folder.path()).contains("no column `split`, found image_id; age"));
    assert!(refused("totalsegmentator:tset", folder.path()).contains("part `tset`"));
}

#[test]
fn btcv_has_thirteen_named_organs_and_published_splits() {
    let folder = tempfile::tempdir().unwrap();
    for number in ["0001", "0035", "0037"] {
        put_scan(&folder.path().join(format!("RawData/Training/img/img{number}.nii.gz")));
        put_labels(&folder.path().join(format!("RawData/Training/label/label{number}.nii.gz")), &[1, 6, 6, 13]);
    }
    let all = opened("btcv", folder.path(), &Classes::all());
    assert_eq!(names(&*all), ["0001", "0035", "0037"]);
    assert_eq!(sizes(&all.read(0).unwrap()), [("spleen", 1), ("liver", 2), ("left adrenal gland", 1)]);
    assert_eq!(names(&*opened("btcv:monai-val", folder.path(), &Classes::all())), ["0035", "0037"]);
    assert_eq!(names(&*opened("btcv:transunet-test", folder.path(), &Classes::all())), ["0001", "0035"]);
    assert!(refused("btcv", &folder.path().join("RawData/Training/img")).contains("`RawData/Training/label`"));
}

#[test]
fn uls23_reads_packed_four_dimensional_float_labels() {
    let folder = tempfile::tempdir().unwrap();
    let stem = "bone_00002_lesion_01";
    put_scan(&folder.path().join(format!("novel/Radboudumc_Bone/images/{stem}.nii.gz")));
    // Labels as published: float32 of 5 x 4 x 3 x 1, gzipped, zipped.
    let plain = folder.path().join("float.nii");
    let mut lesion = scan();
    lesion.voxels_mut().fill(0.0);
    lesion.voxels_mut()[[1, 1, 1]] = 1.0;
    volume::write_image(&plain, &lesion, Overwrite::Refuse).unwrap();
    let mut bytes = std::fs::read(&plain).unwrap();
    bytes[40..42].copy_from_slice(&4i16.to_le_bytes());
    let packed = folder.path().join(format!("annotations/Radboudumc_Bone/labels/{stem}.nii.gz.zip"));
    std::fs::create_dir_all(packed.parent().unwrap()).unwrap();
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&packed).unwrap());
    zip.start_file(format!("{stem}.nii.gz"), zip::write::SimpleFileOptions::default()).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).unwrap();
    zip.write_all(&gzip.finish().unwrap()).unwrap();
    zip.finish().unwrap();
    // A label without a scan, and another part's files, which are not looked at.
    put_labels(&folder.path().join("annotations/Radboudumc_Bone/labels/bone_00003_lesion_01.nii.gz"), &[1]);
    put_labels(&folder.path().join("annotations/Radboudumc_Pancreas/labels/p_lesion_01.nii.gz"), &[1]);

    let dataset = opened("uls23:bone", folder.path(), &Classes::all());
    assert_eq!(names(&*dataset), [stem, "bone_00003_lesion_01"]);
    assert_eq!(dataset.cases()[0].patient, "bone_00002");
    assert_eq!(sizes(&dataset.read(0).unwrap()), [("lesion", 1)]);
    assert!(dataset.read(1).unwrap_err().to_string().contains("bone_00003_lesion_01"));
    std::fs::write(&packed, b"PK no archive").unwrap();
    let line = dataset.read(0).unwrap_err().to_string();
    assert!(line.contains("is not a zip archive"), "{line}");
    assert!(refused("uls23:deeplesion3d", folder.path()).contains("`ULS23_DeepLesion3D/labels`"));
}

#[test]
fn decathlon_reads_its_list_and_one_channel_of_four_dimensional_scans() {
    let folder = tempfile::tempdir().unwrap();
    put(
        &folder.path().join("dataset.json"),
        r#"{"labels": {"0": "background", "1": "liver", "2": "cancer"},
            "training": [{"image": "./imagesTr/._a.nii.gz", "label": "./labelsTr/._a.nii.gz"},
                         {"image": "./imagesTr/a.nii", "label": "./labelsTr/a.nii.gz"}]}"#,
    );
    put_labels(&folder.path().join("labelsTr/a.nii.gz"), &[1, 1, 2]);
    // Two channels: the second holds 1000 more.
    let file = folder.path().join("imagesTr/a.nii");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut halves = scan();
    halves.voxels_mut().mapv_inplace(|v| v + 0.5); // not whole, so that the file is one of floats
    volume::write_image(&file, &halves, Overwrite::Refuse).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[40..42].copy_from_slice(&4i16.to_le_bytes());
    bytes[48..50].copy_from_slice(&2i16.to_le_bytes());
    bytes.extend(halves.voxels().iter().flat_map(|v| (v + 1000.0).to_le_bytes()));
    std::fs::write(&file, bytes).unwrap();

    let first = opened("decathlon", folder.path(), &Classes::all());
    assert_eq!(names(&*first), ["a"]);
    let case = first.read(0).unwrap();
    assert_eq!(case.image.voxels()[[0, 0, 1]], 1.5);
    assert_eq!(sizes(&case), [("liver", 2), ("cancer", 1), ("whole liver", 3)]);
    let second = opened("decathlon:1", folder.path(), &Classes::named(["whole liver"]));
    let case = second.read(0).unwrap();
    assert_eq!((case.image.voxels()[[0, 0, 1]], sizes(&case)), (1001.5, vec![("whole liver", 3)]));
    let third = opened("decathlon:2", folder.path(), &Classes::all()).read(0).unwrap_err().to_string();
    assert!(third.contains("a.nii") && third.contains('2'), "{third}");
}

#[test]
fn plain_folder_pairs_by_name_with_or_without_the_channel_number() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    put_scan(&at("images/a.nii.gz"));
    put_scan(&at("images/b_0000.nii.gz"));
    for name in ["a", "b", "c"] {
        put_labels(&at(&format!("labels/{name}.nii.gz")), &[0, 7]);
    }
    let dataset = opened("plain", folder.path(), &Classes::all());
    assert_eq!(names(&*dataset), ["a", "b", "c"]);
    assert_eq!(sizes(&dataset.read(1).unwrap()), [("label 7", 1)]);
    assert!(dataset.read(2).unwrap_err().to_string().contains("images/c.nii.gz"));
    put(&at("labels.json"), r#"{"7": "bone"}"#);
    assert_eq!(sizes(&opened("plain", folder.path(), &Classes::all()).read(0).unwrap()), [("bone", 1)]);
    put(&at("labels.json"), r#"{"seven": "bone"}"#);
    assert!(refused("plain", folder.path()).contains("labels.json"));
    assert!(refused("plain", &at("images")).contains("images/images"));
    assert!(refused("plain", &at("nowhere")).contains("there is no folder"));
}

#[test]
fn list_of_pairs_names_patient_axis_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    put_scan(&folder.path().join("x/scan.nii.gz"));
    put_labels(&folder.path().join("y/mask.nii.gz"), &[2]);
    let list = folder.path().join("list.json");
    let pair = r#""image": "x/scan.nii.gz", "label": "y/mask.nii.gz""#;
    put(
        &list,
        &format!(r#"{{"names": {{"2": "cord"}}, "cases": [{{"name": "n", "patient": "p", "axis": "j", {pair}}}]}}"#),
    );
    let format = format!("pairs:{}", list.display());
    let dataset = opened(&format, folder.path(), &Classes::all());
    let entry = &dataset.cases()[0];
    assert_eq!((entry.name.as_str(), entry.patient.as_str()), ("n", "p"));
    assert_eq!(entry.axis, Some(promem::geometry::Axis::J));
    assert_eq!(sizes(&dataset.read(0).unwrap()), [("cord", 1)]);
    put(&list, &format!(r#"{{"cases": [{{"name": "n", "slices": "j", {pair}}}]}}"#));
    assert!(refused(&format, folder.path()).contains("list.json"));
}

/// A grey PNG of 2 x 3 pixels.
fn put_png(path: &Path, depth: png::BitDepth, data: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), 3, 2);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
}

fn put_slice(path: &Path, z: f64, value: u16) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    Slice { thickness: 3.2, ..Slice::axial(z, 2, vec![value; 6]) }.write(path);
}

#[test]
fn chaos_ct_masks_match_their_slices_in_head_to_foot_order() {
    let folder = tempfile::tempdir().unwrap();
    let patient = folder.path().join("Train_Sets/CT/1");
    for n in 0..4u16 {
        // Slice 0 is the highest; the mask of slice n has n + 1 pixels... of a 1-bit PNG.
        put_slice(&patient.join(format!("DICOM_anon/i{n:04},0000b.dcm")), 100.0 - 2.0 * f64::from(n), n);
        let bits = [[0b1000_0000, 0], [0b1100_0000, 0], [0b1110_0000, 0], [0b1110_0000, 0b1000_0000]][usize::from(n)];
        put_png(&patient.join(format!("Ground/liver_GT_{n:03}.png")), png::BitDepth::One, &bits);
    }
    let dataset = opened("chaos:ct", folder.path(), &Classes::all());
    assert_eq!((names(&*dataset), dataset.cases()[0].patient.as_str()), (vec!["ct-1"], "1"));
    let case = dataset.read(0).unwrap();
    assert!((case.image.geometry().spacing().0[2] - 2.0).abs() < 1e-9, "steps come from positions");
    for (k, name) in [(0, 3), (1, 2), (2, 1), (3, 0)] {
        assert_eq!(case.image.voxels()[[k, 0, 0]], name as f32, "feet first");
        let pixels = case.targets[0].mask.slice(promem::geometry::Axis::K, promem::geometry::SliceIndex(k));
        assert_eq!(pixels.iter().filter(|&&inside| inside).count(), name + 1, "the mask of slice {name}");
    }
    std::fs::remove_file(patient.join("Ground/liver_GT_002.png")).unwrap();
    let line = dataset.read(0).unwrap_err().to_string();
    assert!(line.contains("4 slices and 3 masks"), "{line}");
}

#[test]
fn chaos_mr_organs_are_grey_ranges_and_out_of_phase_slices_precede_their_masks_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let patient = folder.path().join("MR/13");
    for n in [2u16, 4, 6] {
        let z = f64::from(n) * 4.5;
        put_slice(&patient.join(format!("T2SPIR/DICOM_anon/IMG-0002-{n:05}.dcm")), z, n);
        put_slice(&patient.join(format!("T1DUAL/DICOM_anon/InPhase/IMG-0004-{n:05}.dcm")), z, n);
        put_slice(&patient.join(format!("T1DUAL/DICOM_anon/OutPhase/IMG-0004-{:05}.dcm", n - 1)), z, n - 1);
        let greys = [0, 63, 126, 189, 252, 70];
        put_png(&patient.join(format!("T2SPIR/Ground/IMG-0002-{n:05}.png")), png::BitDepth::Eight, &greys);
        put_png(&patient.join(format!("T1DUAL/Ground/IMG-0004-{n:05}.png")), png::BitDepth::Eight, &greys);
    }
    let organs = [("liver", 6), ("right kidney", 3), ("left kidney", 3), ("spleen", 3)];
    for (part, first) in [("t2", 2.0), ("t1-in", 2.0), ("t1-out", 1.0)] {
        let dataset = opened(&format!("chaos:{part}"), folder.path(), &Classes::all());
        assert_eq!(names(&*dataset), [format!("{part}-13")]);
        let case = dataset.read(0).unwrap();
        assert_eq!((case.image.voxels()[[0, 0, 0]], sizes(&case)), (first, organs.to_vec()), "{part}");
    }
    let ground = patient.join("T1DUAL/Ground");
    std::fs::rename(ground.join("IMG-0004-00004.png"), ground.join("IMG-0004-00005.png")).unwrap();
    let line = opened("chaos:t1-in", folder.path(), &Classes::all()).read(0).unwrap_err().to_string();
    assert!(line.contains("have numbers that do not match"), "{line}");
    assert!(refused("chaos:ct", folder.path()).contains("`Train_Sets/CT`"));
    assert!(refused("chaos:t3", folder.path()).contains("part `t3`"));
}

#[test]
fn lists_of_the_verification_scans_are_complete() {
    let Some(data) = data::folder() else { return };
    let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/datasets");
    let mut objects = 0;
    for list in std::fs::read_dir(lists).unwrap() {
        let dataset = opened(&format!("pairs:{}", list.unwrap().path().display()), &data, &Classes::all());
        for n in 0..dataset.cases().len() {
            objects += dataset.read(n).unwrap_or_else(|e| panic!("{e}")).targets.len();
        }
    }
    assert_eq!(objects, 140);
}
