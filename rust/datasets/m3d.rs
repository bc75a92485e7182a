//! M3D-Seg: `NNNN/NNNN.json`, `NNNN/CASE/image.npy` and `NNNN/CASE/mask_(C, X, Y, Z).npz`.
//!
//! Scans are float arrays (1, X, Y, Z) without spacing or orientation; masks are sparse matrices (scipy's CSR) of C
//! rows and X*Y*Z columns, one row a class, which may overlap. The sizes are in the mask's file name alone.

use super::case::{Case, CaseEntry, Dataset, Target};
use super::classes::Classes;
use super::files;
use super::format::{unknown_part, DatasetFormat};
use super::mask::BinaryMask;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Dims, Geometry, IjkToRas, Spacing};
use crate::volume::Volume;
use ndarray::{Array1, Array3, ArrayD};
use ndarray_npy::{NpzReader, ReadNpyExt};
use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct M3d {
    cases: Vec<CaseEntry>,
    files: Vec<(PathBuf, PathBuf)>,
    names: files::Names,
    classes: Classes,
}

/// `part` is `NNNN` for the subset's test cases, or `NNNN/train`; `folder` is the release's or the subset's.
pub fn open(part: &str, folder: &Path, classes: Classes) -> Result<Box<dyn Dataset>> {
    let (number, split) = part.split_once('/').unwrap_or((part, "test"));
    if number.len() != 4 || !number.bytes().all(|b| b.is_ascii_digit()) || !["train", "test"].contains(&split) {
        return Err(unknown_part(DatasetFormat::M3d, Some(part)));
    }
    let places = [folder.join(number).join(number), folder.join(number), folder.to_owned()];
    let list = format!("{number}.json");
    let folder = places
        .iter()
        .find(|place| place.join(&list).is_file())
        .ok_or_else(|| Error::invalid(format!("there is no `{number}/{list}` in `{}`", folder.display())))?;
    let list = folder.join(list);
    let json = files::read_json(&list)?;
    let names = files::names(&json["labels"], &list)?;
    let wrong =
        || Error::new(ErrorKind::Format, format!("`{}`: expected {split} pairs of image and label", list.display()));
    // Older releases call the training cases `training`.
    let pairs = json[split].as_array().or_else(|| json["training"].as_array().filter(|_| split == "train"));
    let root = folder.parent().unwrap_or(folder);
    let (mut cases, mut found) = (Vec::new(), Vec::new());
    for pair in pairs.ok_or_else(wrong)? {
        let (image, label) = pair["image"].as_str().zip(pair["label"].as_str()).ok_or_else(wrong)?;
        let name = Path::new(image).parent().map(files::name_of).filter(|name| !name.is_empty()).ok_or_else(wrong)?;
        // Entries begin with the subset's number; unpacking may have nested it.
        let place = |entry: &str| {
            [root.join(entry), folder.join(entry)].into_iter().find(|p| p.exists()).unwrap_or(root.join(entry))
        };
        found.push((place(image), place(label)));
        cases.push(CaseEntry::new(name.clone(), name));
    }
    Ok(Box::new(M3d { cases, files: found, names, classes }))
}

impl Dataset for M3d {
    fn cases(&self) -> &[CaseEntry] {
        &self.cases
    }

    fn has_spacing(&self) -> bool {
        false
    }

    fn read(&self, index: usize) -> Result<Case> {
        let (image, mask) = &self.files[index];
        let voxels = read_image(image)?;
        let (nk, nj, ni) = voxels.dim();
        let sparse = SparseMask::read(mask)?;
        if sparse.size != [ni, nj, nk] {
            return Err(broken(mask, format!("masks of {:?} voxels, the scan has [{ni}, {nj}, {nk}]", sparse.size)));
        }
        let geometry = Geometry { dims: Dims([ni, nj, nk]), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0; 3])) };
        let mut targets = Vec::new();
        for channel in 0..sparse.channels() {
            let label = u16::try_from(channel + 1).unwrap_or(u16::MAX);
            let name = self.names.get(&label).cloned().unwrap_or_else(|| format!("label {label}"));
            if self.classes.contain(&name) {
                let mask = sparse.channel(channel);
                if !mask.is_empty() {
                    targets.push(Target { name, mask });
                }
            }
        }
        Ok(Case { image: Arc::new(Volume::new(geometry, voxels)?), targets })
    }
}

fn broken(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Format, format!("`{}`: {what}", path.display()))
}

/// (1, X, Y, Z) in f4 or f8 -> [k, j, i] = [Z, Y, X].
fn read_image(path: &Path) -> Result<Array3<f32>> {
    let file = File::open(path).map_err(|e| Error::io(format!("cannot read `{}`", path.display()), e))?;
    let mut reader = BufReader::new(file);
    let array: ArrayD<f32> = match ArrayD::<f32>::read_npy(&mut reader) {
        Ok(array) => array,
        Err(ndarray_npy::ReadNpyError::WrongDescriptor(_)) => {
            reader.rewind().map_err(|e| Error::io(format!("cannot read `{}`", path.display()), e))?;
            let array: ArrayD<f64> = ArrayD::<f64>::read_npy(&mut reader)
                .map_err(|e| broken(path, "is not an array of 32 or 64 bit floats").with_source(e))?;
            array.mapv(|v| v as f32)
        }
        Err(e) => return Err(broken(path, "is not a complete .npy file").with_source(e)),
    };
    let shape = array.shape().to_vec();
    if shape.len() != 4 || shape[0] != 1 {
        return Err(broken(path, format!("an array of {shape:?}, expected [1, X, Y, Z]")));
    }
    if array.iter().any(|v| !v.is_finite()) {
        return Err(broken(path, "a voxel is not a finite number"));
    }
    // Arrays of Fortran order keep their strides: the first axis is dropped as a view.
    let volume = (array.index_axis(ndarray::Axis(0), 0).into_dimensionality::<ndarray::Ix3>())
        .map_err(|e| broken(path, "cannot drop the first axis").with_source(e))?;
    Ok(volume.reversed_axes().as_standard_layout().into_owned())
}

/// A CSR matrix with a row for each class.
struct SparseMask {
    /// X, Y, Z
    size: [usize; 3],
    indptr: Vec<usize>,
    indices: Vec<usize>,
    /// False where a zero is stored.
    inside: Vec<bool>,
}

impl SparseMask {
    fn read(path: &Path) -> Result<Self> {
        let shape = shape_in_name(path)?;
        let file = File::open(path).map_err(|e| Error::io(format!("cannot read `{}`", path.display()), e))?;
        let failed = |e: ndarray_npy::ReadNpzError| broken(path, "is not a complete .npz file").with_source(e);
        let mut npz = NpzReader::new(BufReader::new(file)).map_err(failed)?;
        let indptr = whole_numbers(&mut npz, "indptr", path)?;
        let indices = whole_numbers(&mut npz, "indices", path)?;
        let stored = whole_numbers(&mut npz, "shape", path)?;
        let inside: Vec<bool> = whole_numbers(&mut npz, "data", path)?.into_iter().map(|v| v != 0).collect();
        let [channels, x, y, z] = shape;
        let columns = x.checked_mul(y).and_then(|n| n.checked_mul(z)).ok_or_else(|| broken(path, "sizes too large"))?;
        if stored != [channels, columns] {
            return Err(broken(path, format!("a matrix of {stored:?}, its name says [{channels}, {columns}]")));
        }
        let rows_fit = indptr.len() == channels + 1 && indptr[0] == 0 && indptr.windows(2).all(|w| w[0] <= w[1]);
        let all = indptr.last().copied().unwrap_or(0);
        if !rows_fit || all != indices.len() || all != inside.len() || indices.iter().any(|&n| n >= columns) {
            return Err(broken(path, "is not a CSR matrix: rows, columns and values are inconsistent"));
        }
        Ok(Self { size: [x, y, z], indptr, indices, inside })
    }

    fn channels(&self) -> usize {
        self.indptr.len() - 1
    }

    fn channel(&self, channel: usize) -> BinaryMask {
        let [x, y, z] = self.size;
        let range = self.indptr[channel]..self.indptr[channel + 1];
        if !self.inside[range.clone()].iter().any(|&inside| inside) {
            return BinaryMask::empty([z, y, x]);
        }
        let mut mask = Array3::from_elem((z, y, x), false);
        for n in range.filter(|&n| self.inside[n]) {
            let index = self.indices[n]; // C order of (X, Y, Z)
            mask[(index % z, index / z % y, index / (y * z))] = true;
        }
        BinaryMask::new(mask.view())
    }
}

/// `mask_(1, 512, 512, 96).npz`
fn shape_in_name(path: &Path) -> Result<[usize; 4]> {
    let name = files::name_of(path);
    let inside = name.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inside, _)| inside);
    let numbers: Option<Vec<usize>> = inside.and_then(|text| text.split(',').map(|n| n.trim().parse().ok()).collect());
    (numbers.and_then(|n| <[usize; 4]>::try_from(n).ok()))
        .filter(|shape| shape.iter().all(|&n| n > 0))
        .ok_or_else(|| broken(path, "expected the sizes in the name, as in `mask_(1, 512, 512, 96).npz`"))
}

/// An array of whole numbers of any type that scipy writes, also as booleans or floats.
fn whole_numbers(npz: &mut NpzReader<BufReader<File>>, name: &str, path: &Path) -> Result<Vec<usize>> {
    macro_rules! attempt {
        ($($kind:ty => $convert:expr),*) => {$(
            match npz.by_name::<ndarray::OwnedRepr<$kind>, ndarray::Ix1>(name) {
                Ok(array) => {
                    let array: Array1<$kind> = array;
                    let converted: Option<Vec<usize>> = array.into_iter().map($convert).collect();
                    return converted.ok_or_else(|| broken(path, format!("`{name}` has a negative number")));
                }
                Err(ndarray_npy::ReadNpzError::Npy(ndarray_npy::ReadNpyError::WrongDescriptor(_))) => {}
                Err(e) => return Err(broken(path, format!("cannot read `{name}`")).with_source(e)),
            }
        )*};
    }
    attempt!(
        i32 => |v| usize::try_from(v).ok(),
        i64 => |v| usize::try_from(v).ok(),
        bool => |v| Some(usize::from(v)),
        u8 => |v| Some(usize::from(v)),
        f32 => |v| Some(usize::from(v != 0.0)),
        f64 => |v| Some(usize::from(v != 0.0))
    );
    Err(broken(path, format!("`{name}` has an element type other than an integer, boolean or float")))
}
