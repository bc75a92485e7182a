//! Prompts: points, boxes and masks of objects on slices.

use super::arguments::{object, slice, voxel};
use super::engine::Engine;
use super::handles;
use super::memory::{InArray, Out, OutArray};
use super::prompt_record::promem_prompt;
use super::session::promem_session;
use super::status::{boundary, promem_status, BoundaryError, Outcome};
use crate::geometry::SliceIndex;
use crate::prompt::{ObjectId, PointLabel, Prompt, Prompts};
use crate::session::Session;
use ndarray::Array2;
use std::sync::Arc;

/// Changes prompts, and keeps their list for reading at any time.
fn change<R>(engine: &Arc<Engine>, work: impl FnOnce(&mut Session) -> Outcome<R>) -> Outcome<R> {
    engine.claim()?.with(|session| {
        let done = work(session);
        engine.results.lock().prompts = listed(session);
        done
    })
}

/// Says that a voxel belongs to an object (`positive` not 0) or does not. `ijk`: its three indices. An object's number,
/// 1 to 65535, is its label in the label map.
///
/// Errors: PROMEM_INVALID_ARGUMENT for an object or a voxel that cannot be, PROMEM_BUSY.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_session_add_point(
    session: *mut promem_session,
    object: u32,
    ijk: *const i64,
    positive: u32,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, at) = unsafe { (handles::share(session)?, voxel(ijk, "point")?) };
        let label = if positive != 0 { PointLabel::Foreground } else { PointLabel::Background };
        change(&engine, |session| Ok(session.add_prompt(object, &Prompt::Clicks(vec![(at, label)]))?))
    })
}

/// Gives an object's box on a slice: two opposite corners, both inside; it replaces an earlier box of that slice.
///
/// Errors: PROMEM_INVALID_ARGUMENT for corners outside the volume or on two slices, PROMEM_BUSY.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_session_add_box(
    session: *mut promem_session,
    object: u32,
    corner_ijk: *const i64,
    opposite_ijk: *const i64,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, corner, opposite) =
            unsafe { (handles::share(session)?, voxel(corner_ijk, "box corner")?, voxel(opposite_ijk, "box corner")?) };
        change(&engine, |session| Ok(session.prompts_mut().add_box(object, corner, opposite)?))
    })
}

/// Gives an object's mask on a slice: rows times columns bytes, row after row, not 0 inside (promem_session_slices
/// tells which axes they are). Alone it is the result on its slice, voxel for voxel; beside points or a box it guides
/// what they select. It replaces an earlier one.
///
/// Errors: PROMEM_INVALID_ARGUMENT for a count that is not rows times columns, or an empty mask; PROMEM_BUSY.
///
/// # Safety
/// Pointers are NULL or valid; `mask` is readable for `count` bytes.
#[no_mangle]
pub unsafe extern "C" fn promem_session_add_mask(
    session: *mut promem_session,
    object: u32,
    slice: i64,
    mask: *const u8,
    count: usize,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, mask) = unsafe { (handles::share(session)?, InArray::new(mask, count, "mask")?) };
        change(&engine, |session| {
            let [rows, columns] = session.slice_size();
            if mask.count() != rows * columns {
                return Err(BoundaryError::invalid(format!(
                    "mask: {} bytes, expected {rows} rows of {columns} columns, {}",
                    mask.count(),
                    rows * columns
                )));
            }
            let bytes = mask.slice(rows * columns)?;
            let slice = self::slice(slice, session.geometry().dims.along(session.axis()))?;
            let mask = Array2::from_shape_fn((rows, columns), |(r, c)| bytes[r * columns + c] != 0);
            Ok(session.prompts_mut().add_mask(object, slice, mask)?)
        })
    })
}

/// Takes something back; refused where there is nothing.
///
/// # Safety
/// `session` is NULL or live.
unsafe fn take_back(
    session: *mut promem_session,
    object: u32,
    slice: Option<i64>,
    what: &str,
    remove: impl FnOnce(&mut Prompts, ObjectId, SliceIndex) -> bool,
) -> promem_status {
    boundary(|| {
        let id = self::object(object)?;
        // SAFETY: as the caller promises.
        let engine = unsafe { handles::share(session) }?;
        change(&engine, |session| {
            let count = session.geometry().dims.along(session.axis());
            let at = slice.map(|slice| self::slice(slice, count)).transpose()?;
            if remove(session.prompts_mut(), id, at.unwrap_or(SliceIndex(0))) {
                return Ok(());
            }
            let place = slice.map_or(String::new(), |slice| format!(", slice {slice}"));
            Err(BoundaryError::invalid(format!("object {object}{place}: no {what}")))
        })
    })
}

/// Takes back the newest point of an object on a slice.
///
/// Errors: PROMEM_INVALID_ARGUMENT where there is none, PROMEM_BUSY.
///
/// # Safety
/// `session` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_session_remove_last_point(
    session: *mut promem_session,
    object: u32,
    slice: i64,
) -> promem_status {
    // SAFETY: as this function's caller promises.
    unsafe {
        take_back(session, object, Some(slice), "point", |prompts, object, slice| {
            let _ = slice;
            prompts.undo(object)
        })
    }
}

/// Takes back everything said of an object on a slice. The result changes with the next propagation.
///
/// Errors: PROMEM_INVALID_ARGUMENT where there is nothing, PROMEM_BUSY.
///
/// # Safety
/// `session` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_session_remove_slice(
    session: *mut promem_session,
    object: u32,
    slice: i64,
) -> promem_status {
    // SAFETY: as this function's caller promises.
    unsafe {
        take_back(session, object, Some(slice), "prompt", |prompts, object, slice| prompts.remove_slice(object, slice))
    }
}

/// Takes back everything said of an object. The result changes with the next propagation.
///
/// Errors: PROMEM_INVALID_ARGUMENT where there is nothing, PROMEM_BUSY.
///
/// # Safety
/// `session` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_session_remove_object(session: *mut promem_session, object: u32) -> promem_status {
    // SAFETY: as this function's caller promises.
    unsafe { take_back(session, object, None, "prompt", |prompts, object, _| prompts.remove_object(object)) }
}

/// Takes back every prompt. Results stay until the next propagation or promem_session_reset.
///
/// Errors: PROMEM_BUSY.
///
/// # Safety
/// `session` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_session_clear_prompts(session: *mut promem_session) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        change(&unsafe { handles::share(session) }?, |session| {
            session.prompts_mut().clear();
            Ok(())
        })
    })
}

/// How many slices of objects have prompts.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_session_prompt_count(
    session: *const promem_session,
    count: *mut usize,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let (engine, count) = unsafe { (handles::borrow(session)?, Out::new(count, "count")?) };
        count.write(engine.results.lock().prompts.len());
        Ok(())
    })
}

/// Lists the prompts by object, then slice, both rising. `count` must be what promem_session_prompt_count said.
///
/// Errors: PROMEM_INVALID_ARGUMENT for another count.
///
/// # Safety
/// Pointers are NULL or valid; `prompts` is writable for `count` structs.
#[no_mangle]
pub unsafe extern "C" fn promem_session_list_prompts(
    session: *const promem_session,
    prompts: *mut promem_prompt,
    count: usize,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let (engine, out) = unsafe { (handles::borrow(session)?, OutArray::new(prompts, count, "prompts")?) };
        let all = &engine.results.lock().prompts;
        out.slice(all.len())?.copy_from_slice(all);
        Ok(())
    })
}

fn listed(session: &Session) -> Vec<promem_prompt> {
    let objects = session.prompts().objects().iter();
    objects
        .flat_map(|(object, slices)| {
            slices.iter().map(|(slice, prompt)| promem_prompt {
                object: u32::from(object.label()),
                points: prompt.points().len() as u32,
                slice: slice.0 as i64,
                has_box: u32::from(prompt.bounds().is_some()),
                has_mask: u32::from(prompt.has_mask()),
            })
        })
        .collect()
}
