//! A caller's voxels where they lie: any scalar type, any strides, no copy.
//!
//! In: a pointer and how to walk from it. Out: slices as numbers. Values that are not finite are shown as the lowest there is.

use super::encoding::Scalar;
use super::voxels::{check_affine, Volume};
use crate::error::{Error, Result};
use crate::geometry::{Axis, Dims, Geometry, SliceIndex, VoxelIndex};
use ndarray::{Array2, Array3};

/// Voxels in memory that belongs to somebody else.
#[derive(Debug)]
pub struct RawVolume {
    geometry: Geometry,
    scalar: Scalar,
    first: *const u8,
    /// Bytes from a voxel to the next along i, j and k.
    strides: [isize; 3],
}

// SAFETY: the voxels are only read, and who made it promised that nobody writes to them meanwhile.
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
        let Dims([i, j, _]) = geometry.dims;
        let strides = strides.unwrap_or_else(|| {
            let [row, plane] = [i, i * j].map(|voxels| voxels.saturating_mul(scalar.bytes()));
            [scalar.bytes(), row, plane].map(|stride| isize::try_from(stride).unwrap_or(isize::MAX))
        });
        // The farthest voxel must be a distance that the machine can count.
        let reach = (0..3).try_fold(0isize, |sum, axis| {
            let steps = isize::try_from(geometry.dims.0[axis] - 1).ok()?;
            sum.checked_add(strides[axis].checked_abs()?.checked_mul(steps)?)
        });
        if reach.is_none() {
            return Err(Error::invalid(format!("strides {strides:?}: {} voxels do not fit in memory", geometry.dims)));
        }
        Ok(Self { geometry, scalar, first, strides })
    }

    /// Size and place of the volume.
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
    pub fn to_volume(&self) -> Result<Volume<f32>> {
        let Dims([i, j, k]) = self.geometry.dims;
        let mut voxels = Array3::zeros((k, j, i));
        for (slice, mut plane) in voxels.outer_iter_mut().enumerate() {
            plane.assign(&self.slice(Axis::K, SliceIndex(slice)));
        }
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
            // SAFETY: `new` was promised that every voxel of the volume is readable, aligned or not.
            let value = number(unsafe { at.read_unaligned() });
            if value.is_finite() {
                value
            } else {
                f32::NEG_INFINITY
            }
        })
    }
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
}
