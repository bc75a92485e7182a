//! Reading what was found, also while a propagation goes on.

use super::arguments::{extent, object};
use super::engine::Engine;
use super::handles;
use super::memory::{Out, OutArray};
use super::result_store::Extent;
use super::session::promem_session;
use super::status::{boundary, promem_status};
use crate::geometry::{Axis, SliceIndex};
use ndarray::Array2;

fn voxels(extent: Extent) -> usize {
    extent.iter().map(|[first, last]| last - first + 1).product()
}

/// Rows and columns of slices across an axis.
fn plane<T: Copy>(engine: &Engine, axis: Axis, value: T) -> Array2<T> {
    let (columns, rows) = axis.in_plane();
    Array2::from_elem((engine.dims.along(rows), engine.dims.along(columns)), value)
}

/// Reads the label map: the number of the object at each voxel, 0 where there is none. `extent`: first and last index
/// along i, along j, along k, all inside; NULL: the whole volume. `labels` gets its voxels contiguously, i fastest;
/// `count` must be their number. Where objects overlap, the higher score on that slice wins, at a tie the lower number.
///
/// Errors: PROMEM_INVALID_ARGUMENT for an extent outside the volume, or a count that is not its size.
///
/// # Safety
/// Pointers are NULL or valid; `labels` is writable for `count` values.
#[no_mangle]
pub unsafe extern "C" fn promem_session_read_labels(
    session: *const promem_session,
    extent: *const i64,
    labels: *mut u16,
    count: usize,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let (engine, extent, out) = unsafe {
            let engine = handles::borrow(session)?;
            (engine, self::extent(extent, engine.dims)?, OutArray::new(labels, count, "labels")?)
        };
        let out = out.slice(voxels(extent))?;
        let results = engine.results.lock();
        let axis = results.axis();
        results.read(engine.dims, extent, out, |slice| {
            let mut labels = plane(engine, axis, 0u16);
            results.shown().write_slice(slice, labels.view_mut());
            labels
        });
        Ok(())
    })
}

/// Reads one object's mask, whatever other objects claim: 1 inside, 0 outside. `extent` and `count` as for
/// promem_session_read_labels.
///
/// Errors: as promem_session_read_labels. An object without a result has an empty mask.
///
/// # Safety
/// Pointers are NULL or valid; `mask` is writable for `count` bytes.
#[no_mangle]
pub unsafe extern "C" fn promem_session_read_mask(
    session: *const promem_session,
    object: u32,
    extent: *const i64,
    mask: *mut u8,
    count: usize,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, extent, out) = unsafe {
            let engine = handles::borrow(session)?;
            (engine, self::extent(extent, engine.dims)?, OutArray::new(mask, count, "mask")?)
        };
        let out = out.slice(voxels(extent))?;
        let results = engine.results.lock();
        let axis = results.axis();
        results.read(engine.dims, extent, out, |slice| {
            let mut inside = plane(engine, axis, 0u8);
            if let Some((_, mask)) = results.shown().mask(object, slice) {
                mask.pixels().for_each(|at| inside[at] = 1);
            }
            inside
        });
        Ok(())
    })
}

/// Reads an object's score on every slice: the predicted IoU of its mask there, 1 for a mask that was given, NaN where
/// it has none. `count` must be the number of slices.
///
/// Errors: PROMEM_INVALID_ARGUMENT for another count.
///
/// # Safety
/// Pointers are NULL or valid; `scores` is writable for `count` values.
#[no_mangle]
pub unsafe extern "C" fn promem_session_read_scores(
    session: *const promem_session,
    object: u32,
    scores: *mut f64,
    count: usize,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, out) = unsafe { (handles::borrow(session)?, OutArray::new(scores, count, "scores")?) };
        let results = engine.results.lock();
        let out = out.slice(engine.dims.along(results.axis()))?;
        for (slice, score) in out.iter_mut().enumerate() {
            *score = results.shown().mask(object, SliceIndex(slice)).map_or(f64::NAN, |(score, _)| *score);
        }
        Ok(())
    })
}

/// The box of the voxels whose label may have changed since the last call of this function: first and last index along
/// i, j and k into the six values of `extent`, and 1 into `any`; 0, and `extent` untouched, where nothing has changed.
///
/// # Safety
/// Pointers are NULL or valid; `extent` is writable for six values.
#[no_mangle]
pub unsafe extern "C" fn promem_session_take_changes(
    session: *const promem_session,
    extent: *mut i64,
    any: *mut u32,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let (engine, out, any) = unsafe {
            (handles::borrow(session)?, OutArray::new(extent, 6, "extent")?.slice(6)?, Out::new(any, "any")?)
        };
        let changed = engine.results.lock().take_changed();
        if let Some(changed) = changed {
            for (axis, [first, last]) in changed.into_iter().enumerate() {
                (out[2 * axis], out[2 * axis + 1]) = (first as i64, last as i64);
            }
        }
        any.write(u32::from(changed.is_some()));
        Ok(())
    })
}
