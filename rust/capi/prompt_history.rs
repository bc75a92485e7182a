//! Prompts that were given: taken back, listed.

use super::arguments::{object, slice};
use super::handles;
use super::memory::{Out, OutArray};
use super::prompt_record::promem_prompt;
use super::session::promem_session;
use super::status::{boundary, promem_status, BoundaryError};
use crate::geometry::SliceIndex;
use crate::prompt::{ObjectId, Prompts};

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
        engine.change_prompts(|session| {
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

/// Takes back the newest prompt of an object, whatever it is, on every slice that it lies on. `undone` gets 1, or 0
/// where there is none; it may be NULL. The result changes with the next propagation.
///
/// Errors: PROMEM_INVALID_ARGUMENT for an object that cannot be, PROMEM_BUSY.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_session_undo(
    session: *mut promem_session,
    object: u32,
    undone: *mut u32,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, undone) = unsafe { (handles::share(session)?, Out::optional(undone, "undone")?) };
        let any = engine.change_prompts(|session| Ok(session.prompts_mut().undo(object)))?;
        if let Some(undone) = undone {
            undone.write(u32::from(any));
        }
        Ok(())
    })
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
        unsafe { handles::share(session) }?.change_prompts(|session| {
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
