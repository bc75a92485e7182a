//! A caller's voxels where they lie: any scalar type, any strides, no copy.
//!
//! In: a pointer and how to walk from it. Out: slices as numbers. Values that are not finite are shown as the lowest there is.

use super::encoding::Scalar;
use super::voxels::{check_affine, Volume};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Axis, Dims, Geometry, SliceIndex, VoxelIndex};
use ndarray::{Array2, Array3};
use std::collections::TryReserveError;

/// Pixels of a slice, 4 GiB as numbers. With strides a few bytes can be shown as any number of voxels, so memory alone
/// sets no bound.
const LARGEST_SLICE: usize = 1 << 30;

/// Voxels in memory that belongs to somebody else.
#[derive(Debug)]
pub struct RawVolume {
    geometry: Geometry,
    scalar: Scalar,
    first: *const u8,
    /// Bytes from a voxel to the next along i, j and k.
    strides: [isize; 3],
}

// SAFETY: the voxels are only read, and the contract of `new` says that nobody writes to them while the value lives.
unsafe impl Send for RawVolume {}
// SAFETY: as above.
unsafe impl Sync for RawVolume {}

impl RawVolume {
    /// `strides` in bytes along i, j, k, of any sign; `None`: contiguous, i fastest.
    ///
    /// # Safety
    /// Every voxel that `geometry` and `strides` reach from `first` must be readable and stay unchanged while the value lives.
    pub unsafe fn new(
        geometry: Geometry,
        scalar: Scalar,
        first: *const u8,
        strides: Option<[isize; 3]>,
    ) -> Result<Self> {
        geometry.dims.checked_len()?;
        check_affine(&geometry)?;
        let Dims([i, j, k]) = geometry.dims;
        for [rows, columns] in [[k, j], [k, i], [j, i]] {
            if rows.checked_mul(columns).is_none_or(|pixels| pixels > LARGEST_SLICE) {
                return Err(Error::invalid(format!(
                    "dimensions {}: a slice of {columns}x{rows} voxels, expected at most {LARGEST_SLICE} in a slice",
                    geometry.dims
                )));
            }
        }
        let strides = strides.unwrap_or_else(|| {
            let [row, plane] = [i, i * j].map(|voxels| voxels.saturating_mul(scalar.bytes()));
            [scalar.bytes(), row, plane].map(|stride| isize::try_from(stride).unwrap_or(isize::MAX))
        });
        if reach(geometry.dims, strides, first.addr(), scalar.bytes()).is_none() {
            return Err(Error::invalid(format!("strides {strides:?}: {} voxels do not fit in memory", geometry.dims)));
        }
        Ok(Self { geometry, scalar, first, strides })
    }

    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// A slice across `axis`, [rows, columns] as [`crate::slices::extract`] has them.
    ///
    /// # Panics
    /// If the slice is not in the volume.
    pub fn slice(&self, axis: Axis, slice: SliceIndex) -> Array2<f32> {
        assert!(slice.0 < self.geometry.dims.along(axis), "slice {slice} is not in the volume");
        let (columns, rows) = axis.in_plane();
        let size = [rows, columns].map(|axis| self.geometry.dims.along(axis));
        let steps = [rows, columns].map(|axis| self.strides[axis.index()]);
        let begin = self.first.wrapping_offset(slice.0 as isize * self.strides[axis.index()]);
        self.plane(begin, size, steps)
    }

    /// At most about `count` values, evenly spread.
    pub fn sample(&self, count: usize) -> Vec<f32> {
        let Dims([i, j, k]) = self.geometry.dims;
        let step = (i * j * k).div_ceil(count.max(1)).max(1);
        (0..i * j * k)
            .step_by(step)
            .map(|n| self.value(VoxelIndex([n % i, n / i % j, n / (i * j)])))
            .filter(|value| value.is_finite())
            .collect()
    }

    /// A copy that needs the caller's memory no more.
    ///
    /// # Errors
    /// `Compute` where there is too little memory.
    pub fn to_volume(&self) -> Result<Volume<f32>> {
        let Dims([i, j, k]) = self.geometry.dims;
        let (count, mut copy) = (self.geometry.dims.checked_len()?, Vec::new());
        let no_room = |error: TryReserveError| {
            let message = format!("cannot copy {count} voxels of 4 bytes each");
            Error::new(ErrorKind::Compute, message).with_source(error)
        };
        copy.try_reserve_exact(count).map_err(no_room)?;
        for slice in (0..k).map(SliceIndex) {
            copy.extend_from_slice(self.slice(Axis::K, slice).as_slice().expect("a new array is contiguous"));
        }
        let voxels = Array3::from_shape_vec((k, j, i), copy).expect("k slices of j rows of i columns");
        Volume::new(self.geometry.clone(), voxels)
    }

    fn value(&self, VoxelIndex(at): VoxelIndex) -> f32 {
        let offset = (0..3).map(|axis| at[axis] as isize * self.strides[axis]).sum::<isize>();
        self.plane(self.first.wrapping_offset(offset), [1, 1], [0, 0])[(0, 0)]
    }

    fn plane(&self, begin: *const u8, size: [usize; 2], steps: [isize; 2]) -> Array2<f32> {
        match self.scalar {
            Scalar::U8 => self.read::<u8>(begin, size, steps, |v| v as f32),
            Scalar::I8 => self.read::<i8>(begin, size, steps, |v| v as f32),
            Scalar::U16 => self.read::<u16>(begin, size, steps, |v| v as f32),
            Scalar::I16 => self.read::<i16>(begin, size, steps, |v| v as f32),
            Scalar::U32 => self.read::<u32>(begin, size, steps, |v| v as f32),
            Scalar::I32 => self.read::<i32>(begin, size, steps, |v| v as f32),
            Scalar::U64 => self.read::<u64>(begin, size, steps, |v| v as f32),
            Scalar::I64 => self.read::<i64>(begin, size, steps, |v| v as f32),
            Scalar::F32 => self.read::<f32>(begin, size, steps, |v| v),
            Scalar::F64 => self.read::<f64>(begin, size, steps, |v| v as f32),
        }
    }

    /// Only for positions inside the volume, which the callers above see to.
    fn read<T: Copy>(
        &self,
        begin: *const u8,
        [rows, columns]: [usize; 2],
        steps: [isize; 2],
        number: impl Fn(T) -> f32,
    ) -> Array2<f32> {
        Array2::from_shape_fn((rows, columns), |(row, column)| {
            let offset = row as isize * steps[0] + column as isize * steps[1];
            let at = begin.wrapping_offset(offset) as *const T;
            // SAFETY: by the contract of `new` every voxel of the volume is readable while the value lives; the
            // position is inside the volume, and the read needs no alignment.
            let value = number(unsafe { at.read_unaligned() });
            if value.is_finite() {
                value
            } else {
                f32::NEG_INFINITY
            }
        })
    }
}

/// The number of bytes from the lowest voxel to behind the highest; `None` where the machine cannot count them, or
/// where they do not lie in memory on both sides of `first`.
fn reach(dims: Dims, strides: [isize; 3], first: usize, bytes: usize) -> Option<isize> {
    let (mut before, mut behind) = (0isize, isize::try_from(bytes).ok()?);
    for (size, stride) in dims.0.into_iter().zip(strides) {
        let far = stride.checked_mul(isize::try_from(size - 1).ok()?)?;
        match far < 0 {
            true => before = before.checked_add(far.checked_neg()?)?,
            false => behind = behind.checked_add(far)?,
        }
    }
    first.checked_sub(before.unsigned_abs())?;
    first.checked_add(behind.unsigned_abs())?;
    before.checked_add(behind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{IjkToRas, Spacing};

    const DIMS: [usize; 3] = [4, 3, 2];

    fn geometry() -> Geometry {
        Geometry { dims: Dims(DIMS), ijk_to_ras: IjkToRas::from_spacing(Spacing([1.0, 2.0, 3.0])) }
    }

    fn raw<T>(scalar: Scalar, voxels: &[T], strides: Option<[isize; 3]>) -> RawVolume {
        // SAFETY: the tests' buffers outlive the volume and hold what the strides reach.
        unsafe { RawVolume::new(geometry(), scalar, voxels.as_ptr().cast(), strides) }.unwrap()
    }

    #[test]
    fn every_type_and_axis_gives_the_slices_of_the_copy() {
        let numbers: Vec<u8> = (0..24).collect();
        let expected = Array3::from_shape_fn((2, 3, 4), |(k, j, i)| (12 * k + 4 * j + i) as f32);
        let across =
            |axis: Axis, slice: SliceIndex| expected.index_axis(ndarray::Axis(2 - axis.index()), slice.0).to_owned();
        let check = |volume: RawVolume| {
            assert_eq!(volume.to_volume().unwrap().voxels(), expected.view());
            for axis in [Axis::I, Axis::J, Axis::K] {
                for slice in (0..Dims(DIMS).along(axis)).map(SliceIndex) {
                    assert_eq!(volume.slice(axis, slice), across(axis, slice), "{volume:?}");
                }
            }
            assert_eq!(volume.sample(100), expected.iter().copied().collect::<Vec<_>>());
            assert!(volume.sample(5).len() <= 5);
        };
        macro_rules! checked {
            ($($scalar:ident $kind:ty),*) => {$(
                let voxels: Vec<$kind> = numbers.iter().map(|&n| n as $kind).collect();
                check(raw(Scalar::$scalar, &voxels, None));
            )*};
        }
        checked!(U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, U64 u64, I64 i64, F32 f32, F64 f64);
    }

    #[test]
    fn strides_may_be_padded_swapped_negative_and_unaligned() {
        let expected = Array3::from_shape_fn((2, 3, 4), |(k, j, i)| (12 * k + 4 * j + i) as f32);
        // k fastest, a byte of padding before each voxel, rows from the last to the first.
        let mut bytes = [0u8; 24 * 3];
        let strides = [2 * 3 * 3, -(2 * 3), 3];
        let first = 2 * (2 * 3) + 1;
        for ((k, j, i), &value) in expected.indexed_iter() {
            let at = first + i as isize * strides[0] + j as isize * strides[1] + k as isize * strides[2];
            bytes[at as usize..][..2].copy_from_slice(&(value as i16).to_ne_bytes());
        }
        let volume = raw(Scalar::I16, &bytes[first as usize..], Some(strides));
        assert_eq!(volume.to_volume().unwrap().voxels(), expected.view());
    }

    #[test]
    fn what_is_not_finite_is_lowest_and_strides_beyond_memory_are_refused() {
        let mut voxels = vec![1.0f64; 24];
        (voxels[1], voxels[2]) = (f64::NAN, f64::INFINITY);
        let volume = raw(Scalar::F64, &voxels, None);
        let row = volume.slice(Axis::K, SliceIndex(0)).row(0).to_vec();
        assert_eq!(row, [1.0, f32::NEG_INFINITY, f32::NEG_INFINITY, 1.0]);
        assert_eq!(volume.sample(24).len(), 22);
        // SAFETY: it is refused before anything is read.
        let refused = unsafe { RawVolume::new(geometry(), Scalar::U8, std::ptr::null(), Some([isize::MAX, 1, 1])) };
        assert!(refused.unwrap_err().to_string().contains("do not fit in memory"));
    }

    #[test]
    fn voxels_that_do_not_lie_in_memory_are_refused() {
        let refused = |dims: [usize; 3], strides: [isize; 3], first: usize| {
            let geometry = Geometry { dims: Dims(dims), ..geometry() };
            // SAFETY: it is refused before anything is read.
            let made =
                unsafe { RawVolume::new(geometry, Scalar::F32, std::ptr::without_provenance(first), Some(strides)) };
            made.unwrap_err().to_string()
        };
        for (strides, first) in [
            ([4, 16, 48], usize::MAX - 90),
            ([-4, 16, 48], 8),
            ([4, isize::MIN, 48], 4096),
            ([isize::MAX / 3, 4, 4], 4096),
        ] {
            assert!(refused(DIMS, strides, first).contains("do not fit in memory"), "{strides:?}");
        }
        // A byte may be shown as many voxels, but not as more than a slice can hold.
        assert!(refused([1 << 20, 1 << 20, 1], [0, 0, 0], 4096).contains("expected at most 1073741824 in a slice"));
        assert!(refused([1, 1 << 31, 1 << 31], [0, 0, 0], 4096).contains("expected at most"));
    }

    #[test]
    fn a_copy_that_memory_cannot_hold_is_an_error() {
        let geometry = Geometry { dims: Dims([1 << 15, 1 << 15, 1 << 30]), ..geometry() };
        let voxel = [1u8];
        // SAFETY: every voxel is the same byte.
        let volume = unsafe { RawVolume::new(geometry, Scalar::U8, voxel.as_ptr(), Some([0; 3])) };
        // Its slices across i and j are too large; the copy would have been, too.
        assert!(volume.is_err());
        let geometry = Geometry { dims: Dims([1 << 15, 1 << 15, 1 << 15]), ..self::geometry() };
        // SAFETY: as above.
        let volume = unsafe { RawVolume::new(geometry, Scalar::U8, voxel.as_ptr(), Some([0; 3])) }.unwrap();
        assert_eq!(volume.sample(4), [1.0; 4]);
    }
}
