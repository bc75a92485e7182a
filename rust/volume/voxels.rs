//! Voxels and their place in the patient, in one value.

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Dims, Geometry, IjkToRas};
use ndarray::{Array3, ArrayView3, ArrayViewMut3};
use std::path::PathBuf;

/// The spatial part of a header, kept so that it can be written back exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct NiftiForms {
    /// 1 or 2.
    pub version: u8,
    /// What the quaternion stands for; 0: nothing.
    pub qform_code: i32,
    /// What the rows stand for; 0: nothing.
    pub sform_code: i32,
    /// quatern_b, _c, _d, qoffset_x, _y, _z
    pub quaternion: [f64; 6],
    /// Rows of the affine map.
    pub srow: [[f64; 4]; 3],
    /// qfac, then the spacings.
    pub pixdim: [f64; 8],
    /// Units of space and time.
    pub xyzt_units: i32,
}

/// What goes into a result beside the labels, where the format keeps it.
#[derive(Debug, Clone, Default)]
pub struct ResultInfo {
    /// Names and colours; labels without one get a name of their number.
    pub segments: Vec<Segment>,
    /// Program version, model and settings.
    pub about: serde_json::Value,
    /// The scan's slices along k, of a DICOM scan.
    pub sources: Vec<SourceSlice>,
}

/// A frame of a DICOM file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSlice {
    /// The file.
    pub path: PathBuf,
    /// Counted from 0.
    pub frame: usize,
}

impl NiftiForms {
    /// Whether the header says how the volume lies in the patient.
    pub fn has_orientation(&self) -> bool {
        self.sform_code > 0 || self.qform_code > 0
    }
}

/// Voxels [k, j, i], i fastest, and where they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume<T> {
    geometry: Geometry,
    voxels: Array3<T>,
    /// What the NIfTI header said, so that it can be written back bit by bit.
    forms: Option<NiftiForms>,
}

/// A label per voxel; 0 is the background.
pub type LabelMap = Volume<u16>;

/// A label's name and colour, for formats that keep them.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// The label.
    pub label: u16,
    /// Its name.
    pub name: String,
    /// Red, green and blue, 0 to 1.
    pub colour: Option<[f64; 3]>,
}

impl Segment {
    /// A segment without a colour of its own.
    pub fn new(label: u16, name: impl Into<String>) -> Self {
        Self { label, name: name.into(), colour: None }
    }
}

impl<T> Volume<T> {
    /// `voxels` is [k, j, i]; it must have the size that `geometry` says, and the map to patient space an inverse.
    pub fn new(geometry: Geometry, voxels: Array3<T>) -> Result<Self> {
        geometry.dims.checked_len()?;
        let Dims([i, j, k]) = geometry.dims;
        if voxels.dim() != (k, j, i) || !voxels.is_standard_layout() {
            return Err(Error::invalid(format!(
                "voxels of shape {:?}, expected [{k}, {j}, {i}] in memory order",
                voxels.dim()
            )));
        }
        check_affine(&geometry)?;
        Ok(Self { geometry, voxels, forms: None })
    }

    pub(super) fn with_forms(mut self, forms: Option<NiftiForms>) -> Self {
        self.forms = forms;
        self
    }

    /// Size and place of the volume.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// [k, j, i]
    pub fn voxels(&self) -> ArrayView3<'_, T> {
        self.voxels.view()
    }

    /// [k, j, i]
    pub fn voxels_mut(&mut self) -> ArrayViewMut3<'_, T> {
        self.voxels.view_mut()
    }

    /// The grids that readers give the volume. A NIfTI file without orientation (codes 0) has several: that of ITK, which
    /// counts here, nibabel's, and that of the standard's method 1; other volumes have one.
    pub fn equivalent_grids(&self) -> Vec<Geometry> {
        let dims = self.geometry.dims;
        let mut grids = vec![self.geometry.clone()];
        if self.forms.as_ref().is_some_and(|forms| !forms.has_orientation()) {
            let [i, j, k] = self.geometry.spacing().0;
            let middle = |axis: usize| (dims.0[axis] - 1) as f64 / 2.0;
            let nibabel =
                IjkToRas([[-i, 0.0, 0.0, i * middle(0)], [0.0, j, 0.0, -j * middle(1)], [0.0, 0.0, k, -k * middle(2)]]);
            for ijk_to_ras in [nibabel, IjkToRas::from_spacing(self.geometry.spacing())] {
                grids.push(Geometry { dims, ijk_to_ras });
            }
        }
        grids
    }

    /// What the NIfTI header said, if the volume came from one.
    pub fn forms(&self) -> Option<&NiftiForms> {
        self.forms.as_ref()
    }
}

impl LabelMap {
    /// All background, on another volume's grid.
    pub fn empty_like<T>(other: &Volume<T>) -> Self {
        let voxels = Array3::zeros(other.voxels.dim());
        Self { geometry: other.geometry.clone(), voxels, forms: other.forms.clone() }
    }
}

pub(super) fn check_affine(geometry: &Geometry) -> Result<()> {
    let finite = geometry.ijk_to_ras.0.iter().flatten().all(|v| v.is_finite());
    let spacing = geometry.spacing().0;
    // Three axes within a hundredth of a degree of one plane leave no volume.
    let volume = geometry.ijk_to_ras.determinant().abs() / (spacing[0] * spacing[1] * spacing[2]);
    if finite && spacing.iter().all(|&s| s > 0.0) && volume > 1e-4 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Format,
        format!("the map from voxels to patient space has no inverse: {:?}", geometry.ijk_to_ras.0),
    ))
}
