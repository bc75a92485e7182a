//! Formats and headers of other tools, each built here byte by byte: NRRD, MetaImage, MGH and NIfTI.

use ndarray::Array3;
use promem::geometry::{Dims, Geometry, IjkToRas, RasPoint, Spacing};
use promem::volume::{self, LabelMap, MaskGrid, Overwrite, Volume};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Sizes and spacings that differ along each axis.
const SIZE: [usize; 3] = [3, 4, 5];

fn stored() -> Vec<u8> {
    (0..60u16).flat_map(|n| (n * 7).to_le_bytes()).collect()
}

fn is_stored(scan: &Volume<f32>) {
    assert_eq!(scan.geometry().dims, Dims(SIZE));
    assert!(scan.voxels().iter().enumerate().all(|(n, &value)| value == (n * 7) as f32), "{:?}", scan.voxels());
}

/// Where a voxel lies, in RAS.
fn place(geometry: &Geometry, index: [f64; 3]) -> [f64; 3] {
    let RasPoint(place) = geometry.ijk_to_ras.to_ras(index);
    place.map(|v| (v * 1e4).round() / 1e4 + 0.0)
}

fn temporary() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    (folder, move |name: &str| root.join(name))
}

/// A NRRD header with a line for each of `fields`.
fn nrrd(fields: &[&str]) -> Vec<u8> {
    let common = "NRRD0004\ntype: ushort\nendian: little\nspace: left-posterior-superior\n";
    format!("{common}{}\n", fields.iter().map(|field| format!("{field}\n")).collect::<String>()).into_bytes()
}

const PLACED: [&str; 3] = ["dimension: 3", "sizes: 3 4 5", "space directions: (0.5,0,0) (0,0.7,0) (0,0,2)"];

#[test]
fn nrrd_data_is_read_in_every_encoding() {
    let (_folder, at) = temporary();
    let packed = {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
        encoder.write_all(&stored()).unwrap();
        encoder.finish().unwrap()
    };
    let hex: Vec<u8> = stored().chunks(10).flat_map(|l| [hex(l).as_bytes(), b"\n"].concat()).collect();
    for (encoding, data) in [("raw", stored()), ("bzip2", packed), ("hex", hex)] {
        let header = nrrd(&[&PLACED[..], &[&format!("encoding: {encoding}")]].concat());
        std::fs::write(at("a.nrrd"), [header, data].concat()).unwrap();
        is_stored(&volume::read_image(&at("a.nrrd")).unwrap());
    }
    std::fs::write(at("a.nrrd"), [nrrd(&[&PLACED[..], &["encoding: hex"]].concat()), b"12zz".to_vec()].concat())
        .unwrap();
    assert!(volume::read_image(&at("a.nrrd")).unwrap_err().to_string().contains("no hexadecimal digit"));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn nrrd_data_files_come_as_a_list_or_a_pattern() {
    let (_folder, at) = temporary();
    for (n, slice) in stored().chunks(24).enumerate() {
        std::fs::write(at(&format!("s{:02}.raw", 3 + 2 * n)), slice).unwrap();
    }
    let names: Vec<String> = (0..5).map(|n| format!("s{:02}.raw", 3 + 2 * n)).collect();
    let list = format!("data file: LIST\n{}", names.join("\n"));
    for field in [list.as_str(), "data file: s%02d.raw 3 11 2"] {
        let header = nrrd(&[&PLACED[..], &["encoding: raw", field]].concat());
        std::fs::write(at("a.nhdr"), header).unwrap();
        is_stored(&volume::read_image(&at("a.nhdr")).unwrap());
        let files = volume::input_files(&at("a.nhdr"), &Default::default());
        assert!(files.contains(&at("s11.raw")), "{files:?}");
    }
    std::fs::remove_file(at("s05.raw")).unwrap();
    assert!(volume::read_image(&at("a.nhdr")).unwrap_err().to_string().contains("s05.raw"));
}

#[test]
fn nrrd_axis_of_one_component_is_no_frame_and_several_are() {
    let (_folder, at) = temporary();
    let one = ["dimension: 4", "sizes: 1 3 4 5", "space directions: none (0.5,0,0) (0,0.7,0) (0,0,2)", "encoding: raw"];
    std::fs::write(at("a.nrrd"), [nrrd(&one), stored()].concat()).unwrap();
    let scan = volume::read_image(&at("a.nrrd")).unwrap();
    is_stored(&scan);
    assert_eq!(place(scan.geometry(), [2., 3., 4.]), [-1.0, -2.1, 8.0]);
    // Two components of each voxel: the stored number, and the number of the voxel.
    let two = ["dimension: 4", "sizes: 2 3 4 5", "kinds: vector domain domain domain", "encoding: raw"];
    let voxels: Vec<u8> = (0..60u16).flat_map(|n| [n, n * 7]).flat_map(u16::to_le_bytes).collect();
    std::fs::write(at("a.nrrd"), [nrrd(&two), voxels].concat()).unwrap();
    assert!(volume::read_image(&at("a.nrrd")).unwrap_err().to_string().contains("--frame N takes one, 0 to 1"));
    is_stored(&volume::read_channel(&at("a.nrrd"), 1).unwrap());
}

#[test]
fn metaimage_is_read_with_data_behind_or_beside_the_header() {
    let (_folder, at) = temporary();
    let header = |data: &str| {
        format!(
            "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n\
             TransformMatrix = 0 1 0 1 0 0 0 0 -1\nOffset = 10 20 30\nElementSpacing = 0.5 0.7 2\n\
             DimSize = 3 4 5\nElementType = MET_USHORT\nElementDataFile = {data}\n"
        )
        .into_bytes()
    };
    std::fs::write(at("a.mha"), [header("LOCAL"), stored()].concat()).unwrap();
    std::fs::write(at("a.mhd"), header("a.raw")).unwrap();
    std::fs::write(at("a.raw"), stored()).unwrap();
    for name in ["a.mha", "a.mhd"] {
        let scan = volume::read_image(&at(name)).unwrap();
        is_stored(&scan);
        // i runs along LPS y, j along x, k against z.
        assert_eq!(place(scan.geometry(), [2., 3., 4.]), [-(10.0 + 2.1), -(20.0 + 1.0), 30.0 - 8.0]);
    }
    std::fs::write(at("a.raw"), &stored()[..50]).unwrap();
    let line = volume::read_image(&at("a.mhd")).unwrap_err().to_string();
    assert!(line.contains("the voxels break off: 50 bytes, expected 120"), "{line}");
}

#[test]
fn metaimage_results_come_back_and_keep_existing_data_files() {
    let (_folder, at) = temporary();
    let geometry =
        Geometry { dims: Dims(SIZE), ijk_to_ras: IjkToRas([[0., 0.7, 0., 1.], [0.5, 0., 0.1, 2.], [0., 0., -2., 3.]]) };
    let voxels = Array3::from_shape_fn((5, 4, 3), |(k, j, i)| (100 * k + 10 * j + i) as u16);
    let labels: LabelMap = Volume::new(geometry, voxels).unwrap();
    for name in ["a.mha", "a.mhd"] {
        volume::write_labels(&at(name), &labels, Overwrite::Refuse, &[]).unwrap();
        let back = volume::read_labels(&at(name)).unwrap();
        assert_eq!(back.voxels(), labels.voxels());
        back.geometry().check_same_grid(labels.geometry()).unwrap();
    }
    std::fs::write(at("b.zraw"), "precious").unwrap();
    let line = volume::write_labels(&at("b.mhd"), &labels, Overwrite::Refuse, &[]).unwrap_err().to_string();
    assert!(line.contains("b.zraw` exists already"), "{line}");
    assert_eq!(std::fs::read(at("b.zraw")).unwrap(), b"precious");
}

#[test]
fn mgz_is_read_about_its_centre() {
    let (_folder, at) = temporary();
    let mut bytes = Vec::new();
    [1i32, 3, 4, 5, 1, 10, 0].iter().for_each(|n| bytes.extend(n.to_be_bytes()));
    bytes.extend(1i16.to_be_bytes());
    // Spacing, the directions of i, j and k, and the centre in RAS.
    let numbers = [0.5f32, 0.7, 2.0, -1., 0., 0., 0., 0., -1., 0., 1., 0., 10., 20., 30.];
    numbers.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
    bytes.resize(284, 0);
    bytes.extend((0..60u16).flat_map(|n| (n * 7).to_be_bytes()));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&bytes).unwrap();
    std::fs::write(at("a.mgz"), packed.finish().unwrap()).unwrap();
    let scan = volume::read_image(&at("a.mgz")).unwrap();
    is_stored(&scan);
    assert_eq!(place(scan.geometry(), [1.5, 2., 2.5]), [10., 20., 30.]);
    assert_eq!(place(scan.geometry(), [0., 0., 0.]), [10.75, 15., 31.4]);
}

/// A NIfTI file of the stored numbers with its header edited.
fn nifti(path: &Path, edit: impl Fn(&mut Vec<u8>)) {
    let geometry = Geometry { dims: Dims(SIZE), ijk_to_ras: IjkToRas::from_spacing(Spacing([0.5, 0.7, 2.0])) };
    let voxels = Array3::from_shape_vec((5, 4, 3), (0..60).map(|n| (n * 7) as f32).collect()).unwrap();
    volume::write_image(path, &Volume::new(geometry, voxels).unwrap(), Overwrite::Replace).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    edit(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn nifti_sform_of_zeros_gives_way_to_the_qform() {
    let (_folder, at) = temporary();
    nifti(&at("a.nii"), |bytes| bytes[280..328].fill(0));
    let scan = volume::read_image(&at("a.nii")).unwrap();
    is_stored(&scan);
    assert_eq!(place(scan.geometry(), [2., 3., 4.]), [1.0, 2.1, 8.0]);
    let labels = LabelMap::empty_like(&scan);
    volume::write_labels(&at("b.nii"), &labels, Overwrite::Refuse, &[]).unwrap();
    assert_eq!(volume::read_labels(&at("b.nii")).unwrap().forms().unwrap().sform_code, 0);
}

#[test]
fn nifti_without_orientation_lies_as_itk_has_it_and_takes_the_masks_of_all_readers() {
    let (_folder, at) = temporary();
    nifti(&at("a.nii"), |bytes| bytes[252..256].fill(0));
    let scan = volume::read_image(&at("a.nii")).unwrap();
    assert_eq!(scan.geometry().orientation(), "LPS");
    assert_eq!(place(scan.geometry(), [2., 3., 4.]), [-1.0, -2.1, 8.0]);
    let voxels = Array3::from_shape_fn((5, 4, 3), |(k, j, i)| (1 + 100 * k + 10 * j + i) as u16);
    let itk = IjkToRas([[-0.5, 0., 0., 0.], [0., -0.7, 0., 0.], [0., 0., 2., 0.]]);
    let nibabel = IjkToRas([[-0.5, 0., 0., 0.5], [0., 0.7, 0., -1.05], [0., 0., 2., -4.]]);
    for ijk_to_ras in [itk, nibabel, IjkToRas::from_spacing(Spacing([0.5, 0.7, 2.0]))] {
        let mask = Volume::new(Geometry { dims: Dims(SIZE), ijk_to_ras }, voxels.clone()).unwrap();
        let placed = volume::place(&mask, &scan, MaskGrid::Exact).unwrap();
        assert_eq!(placed.labels.voxels(), voxels, "{ijk_to_ras:?}");
        assert!(placed.notes.is_empty(), "{:?}", placed.notes);
    }
}

#[test]
fn sheared_results_have_the_nearest_rotation_as_qform() {
    let (_folder, at) = temporary();
    let tilt = IjkToRas([[-0.5, 0., 0., 1.], [0., -0.7 * 0.970296, 0., 2.], [0., -0.7 * 0.241922, 2., 3.]]);
    let labels: LabelMap =
        Volume::new(Geometry { dims: Dims(SIZE), ijk_to_ras: tilt }, Array3::zeros((5, 4, 3))).unwrap();
    volume::write_labels(&at("a.nii"), &labels, Overwrite::Refuse, &[]).unwrap();
    let back = volume::read_labels(&at("a.nii")).unwrap();
    back.geometry().check_same_grid(labels.geometry()).unwrap();
    let forms = back.forms().unwrap();
    assert_eq!((forms.qform_code, forms.sform_code), (1, 1));
    // The rotation shares the 14 degrees of the tilt between both axes: 7 degrees about x, beyond the half turn about z.
    let [b, c, d, ..] = forms.quaternion;
    let a = (1.0 - b * b - c * c - d * d).max(0.0).sqrt();
    let half = 7f64.to_radians() / 2.0;
    let mut sizes = [a, b, c, d].map(f64::abs);
    sizes.sort_by(f64::total_cmp);
    assert!((sizes[3] - half.cos()).abs() < 1e-4 && (sizes[2] - half.sin()).abs() < 1e-4, "{sizes:?}");
}
