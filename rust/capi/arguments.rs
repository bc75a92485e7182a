//! Arguments of C programs, checked: structs that may grow, texts, numbers and indices.
//!
//! Every `unsafe` says what the header makes the caller promise. Handles are read in `handles`, arrays in `memory`.

use super::memory::{usable, InArray};
use super::status::{BoundaryError, Outcome};
use crate::geometry::{Dims, SliceIndex, VoxelIndex};
use crate::prompt::ObjectId;
use std::ffi::{c_char, CStr};
use std::path::PathBuf;

/// A struct whose first field is its size, so that it can grow at its end. All zero is a valid value.
///
/// # Safety
/// `repr(C)`, a size that is a multiple of 8, `u32` first, no value of any field invalid.
pub(super) unsafe trait Sized32: Copy {
    const NAME: &'static str;
}

fn checked_size<T: Sized32>(found: u32) -> Outcome<usize> {
    let (found, known) = (found as usize, size_of::<T>());
    if found > known {
        return Err(BoundaryError::TooLarge { what: T::NAME, found, known });
    }
    if found < 8 || found % 8 != 0 {
        return Err(BoundaryError::invalid(format!(
            "{}: struct_size is {found}, expected sizeof({}), {known} bytes; is it initialised?",
            T::NAME,
            T::NAME
        )));
    }
    Ok(found)
}

/// A caller's struct; what an older caller's lacks is zero. `None` for NULL.
///
/// # Safety
/// NULL, or readable for as many bytes as its first field says.
pub(super) unsafe fn optional_struct<T: Sized32>(pointer: *const T) -> Outcome<Option<T>> {
    if pointer.is_null() {
        return Ok(None);
    }
    usable(pointer, T::NAME)?;
    // SAFETY: the caller's struct begins with its size.
    let size = checked_size::<T>(unsafe { pointer.cast::<u32>().read() })?;
    // SAFETY: all zero is valid for T; `size` is no larger than T and readable, as the caller says.
    let value = unsafe {
        let mut value: T = std::mem::zeroed();
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut value).cast::<u8>(), size);
        value
    };
    Ok(Some(value))
}

/// The same where NULL is refused.
///
/// # Safety
/// As [`optional_struct`].
pub(super) unsafe fn required_struct<T: Sized32>(pointer: *const T) -> Outcome<T> {
    // SAFETY: as the caller promises.
    unsafe { optional_struct(pointer) }?.ok_or(BoundaryError::Null(T::NAME))
}

/// Fills a caller's struct as far as it reaches; its size stays.
///
/// # Safety
/// NULL, or writable for as many bytes as its first field says.
pub(super) unsafe fn fill_struct<T: Sized32>(pointer: *mut T, value: T) -> Outcome {
    usable(pointer, T::NAME)?;
    // SAFETY: the caller's struct begins with its size and is writable for that many bytes.
    unsafe {
        let size = checked_size::<T>(pointer.cast::<u32>().read())?;
        let (from, to) = ((&raw const value).cast::<u8>(), pointer.cast::<u8>());
        std::ptr::copy_nonoverlapping(from.add(4), to.add(4), size - 4);
    }
    Ok(())
}

/// Sets a caller's struct of `size` bytes to zero and its first field to `size`.
///
/// # Safety
/// NULL, or writable for `size` bytes.
pub(super) unsafe fn init_struct<T: Sized32>(pointer: *mut T, size: usize) -> Outcome {
    usable(pointer, T::NAME)?;
    checked_size::<T>(u32::try_from(size).unwrap_or(u32::MAX))?;
    // SAFETY: the caller's struct is writable for `size` bytes, which hold at least its first field.
    unsafe {
        pointer.cast::<u8>().write_bytes(0, size);
        pointer.cast::<u32>().write(size as u32);
    }
    Ok(())
}

/// A field for later versions, which this one does not understand unless it is 0.
pub(super) fn reserved(struct_name: &str, found: u32) -> Outcome {
    match found {
        0 => Ok(()),
        _ => Err(BoundaryError::invalid(format!("{struct_name}: reserved is {found}, expected 0; is it initialised?"))),
    }
}

/// UTF-8 text; `None` for NULL.
///
/// # Safety
/// NULL, or NUL-terminated.
pub(super) unsafe fn optional_text<'a>(pointer: *const c_char, what: &'static str) -> Outcome<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: NUL-terminated, as the caller says.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|_| BoundaryError::invalid(format!("{what}: it is not UTF-8")))
}

/// A path in UTF-8; `None` for NULL.
///
/// # Safety
/// NULL, or NUL-terminated.
pub(super) unsafe fn optional_path(pointer: *const c_char, what: &'static str) -> Outcome<Option<PathBuf>> {
    // SAFETY: as the caller promises.
    Ok(unsafe { optional_text(pointer, what) }?.map(PathBuf::from))
}

/// A caller's array of a known length to read.
///
/// # Safety
/// NULL, or `N` readable values.
unsafe fn values<'a, T, const N: usize>(pointer: *const T, what: &'static str) -> Outcome<&'a [T; N]> {
    usable(pointer, what)?;
    // SAFETY: aligned; `N` values are readable, as the caller says.
    Ok(unsafe { &*pointer.cast() })
}

pub(super) fn object(number: u32) -> Outcome<ObjectId> {
    match u16::try_from(number) {
        Ok(label) => Ok(ObjectId::new(label)?),
        Err(_) => Err(BoundaryError::invalid(format!("object {number}: expected 1 to 65535"))),
    }
}

pub(super) fn slice(number: i64, count: usize) -> Outcome<SliceIndex> {
    match usize::try_from(number) {
        Ok(slice) if slice < count => Ok(SliceIndex(slice)),
        _ => Err(BoundaryError::invalid(format!("slice {number}: expected 0 to {}", count - 1))),
    }
}

/// Three indices i, j, k.
///
/// # Safety
/// NULL, or three readable values.
pub(super) unsafe fn voxel(pointer: *const i64, what: &'static str) -> Outcome<VoxelIndex> {
    // SAFETY: as the caller promises.
    voxel_of(*unsafe { values::<_, 3>(pointer, what) }?, what)
}

/// Voxels one after another, three indices each.
///
/// # Safety
/// NULL, or readable for three times `count` values, where memory can hold them.
pub(super) unsafe fn voxels(pointer: *const i64, count: usize, what: &'static str) -> Outcome<Vec<VoxelIndex>> {
    // SAFETY: as the caller promises; a number of values that is too large for memory is refused.
    let ijk = unsafe { InArray::new(pointer, count.saturating_mul(3), what) }?;
    ijk.all()?.chunks_exact(3).map(|ijk| voxel_of([ijk[0], ijk[1], ijk[2]], what)).collect()
}

fn voxel_of(ijk: [i64; 3], what: &str) -> Outcome<VoxelIndex> {
    let index = |n: usize| {
        usize::try_from(ijk[n])
            .map_err(|_| BoundaryError::invalid(format!("{what} {},{},{}: a negative index", ijk[0], ijk[1], ijk[2])))
    };
    Ok(VoxelIndex([index(0)?, index(1)?, index(2)?]))
}

/// An extent (first and last index along i, j, k, both inside), by default the whole volume.
///
/// # Safety
/// NULL, or six readable values.
pub(super) unsafe fn extent(pointer: *const i64, dims: Dims) -> Outcome<[[usize; 2]; 3]> {
    if pointer.is_null() {
        return Ok(dims.0.map(|n| [0, n - 1]));
    }
    // SAFETY: as the caller promises.
    let given = unsafe { values::<_, 6>(pointer, "extent") }?;
    let mut extent = [[0; 2]; 3];
    for axis in 0..3 {
        let (first, last) = (given[2 * axis], given[2 * axis + 1]);
        if first < 0 || last < first || last >= dims.0[axis] as i64 {
            return Err(BoundaryError::invalid(format!(
                "extent {first},{last} along {}: expected two rising indices between 0 and {}",
                ["i", "j", "k"][axis],
                dims.0[axis] - 1
            )));
        }
        extent[axis] = [first as usize, last as usize];
    }
    Ok(extent)
}
