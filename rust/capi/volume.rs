//! A caller's scan.

use super::arguments::{init_struct, required_struct, Sized32};
use super::status::{boundary, promem_status, BoundaryError, Outcome};
use crate::geometry::{Dims, Geometry, IjkToRas};
use crate::volume::raw::RawVolume;
use crate::volume::Scalar;
use std::ffi::c_void;

/// int8_t
pub const PROMEM_INT8: u32 = 1;
/// uint8_t
pub const PROMEM_UINT8: u32 = 2;
/// int16_t
pub const PROMEM_INT16: u32 = 3;
/// uint16_t
pub const PROMEM_UINT16: u32 = 4;
/// int32_t
pub const PROMEM_INT32: u32 = 5;
/// uint32_t
pub const PROMEM_UINT32: u32 = 6;
/// int64_t
pub const PROMEM_INT64: u32 = 7;
/// uint64_t
pub const PROMEM_UINT64: u32 = 8;
/// float
pub const PROMEM_FLOAT32: u32 = 9;
/// double
pub const PROMEM_FLOAT64: u32 = 10;

/// A scan in the caller's memory: voxels, and where they are in the patient. Values that are not finite count as the
/// lowest.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct promem_volume {
    /// sizeof(promem_volume)
    pub struct_size: u32,
    /// PROMEM_INT8 to PROMEM_FLOAT64.
    pub scalar_type: u32,
    /// The voxel of index 0,0,0.
    pub voxels: *const c_void,
    /// Voxels along i, j and k.
    pub dims: [u64; 3],
    /// Bytes from a voxel to the next along i, j and k, of any sign; all zero: contiguous, i fastest.
    pub strides: [i64; 3],
    /// From the index (i, j, k, 1) to millimetres: right, anterior, superior. Rows of the upper part of a 4x4 matrix;
    /// it must have an inverse.
    pub ijk_to_ras: [[f64; 4]; 3],
}

// SAFETY: a size of 160, the pointer may be NULL.
unsafe impl Sized32 for promem_volume {
    const NAME: &'static str = "promem_volume";
}

/// Sets everything to zero and the map to patient space to spacings of 1 mm; `struct_size` is sizeof(promem_volume).
///
/// # Safety
/// `volume` is writable for `struct_size` bytes.
#[no_mangle]
pub unsafe extern "C" fn promem_volume_init(volume: *mut promem_volume, struct_size: usize) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises; a struct of full size reaches to its last field.
        unsafe {
            init_struct(volume, struct_size)?;
            if struct_size == size_of::<promem_volume>() {
                (*volume).ijk_to_ras = [[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.]];
            }
        }
        Ok(())
    })
}

/// # Safety
/// NULL, or a valid struct whose voxels are readable and stay so while the value lives.
pub(super) unsafe fn raw_volume(volume: *const promem_volume) -> Outcome<RawVolume> {
    // SAFETY: as the caller promises.
    let volume = unsafe { required_struct(volume) }?;
    if volume.voxels.is_null() {
        return Err(BoundaryError::Null("voxels"));
    }
    let scalar = match volume.scalar_type {
        PROMEM_INT8 => Scalar::I8,
        PROMEM_UINT8 => Scalar::U8,
        PROMEM_INT16 => Scalar::I16,
        PROMEM_UINT16 => Scalar::U16,
        PROMEM_INT32 => Scalar::I32,
        PROMEM_UINT32 => Scalar::U32,
        PROMEM_INT64 => Scalar::I64,
        PROMEM_UINT64 => Scalar::U64,
        PROMEM_FLOAT32 => Scalar::F32,
        PROMEM_FLOAT64 => Scalar::F64,
        other => {
            return Err(BoundaryError::invalid(format!(
                "scalar type {other}: expected PROMEM_INT8 (1) to PROMEM_FLOAT64 (10)"
            )))
        }
    };
    let dims = volume.dims.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let strides = volume.strides.map(|stride| stride as isize);
    let geometry = Geometry { dims: Dims(dims), ijk_to_ras: IjkToRas(volume.ijk_to_ras) };
    let strides = (strides != [0; 3]).then_some(strides);
    // SAFETY: as the caller promises.
    Ok(unsafe { RawVolume::new(geometry, scalar, volume.voxels.cast(), strides) }?)
}
