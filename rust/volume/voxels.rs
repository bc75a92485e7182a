//! Voxels and their place in the patient, in one value.

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Dims, Geometry};
use ndarray::{Array3, ArrayView3, ArrayViewMut3};

/// The spatial part of a header, kept so that it can be written back exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct NiftiForms {
    /// 1 or 2.
    pub version: u8,
    pub qform_code: i32,
    pub sform_code: i32,
    /// quatern_b, _c, _d, qoffset_x, _y, _z
    pub quaternion: [f64; 6],
    pub srow: [[f64; 4]; 3],
    /// qfac, then the spacings.
    pub pixdim: [f64; 8],
    pub xyzt_units: i32,
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

/// A label's name, for formats that keep one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub label: u16,
    pub name: String,
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
