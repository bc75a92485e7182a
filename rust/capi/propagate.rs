//! Predicting one slice, propagating through all.

use super::arguments::{object, optional_struct, slice};
use super::engine::Claim;
use super::handles;
use super::memory::{Out, OutArray};
use super::options::{self, promem_propagate_options};
use super::progress::{promem_progress, promem_progress_callback, Callback, OnProgress};
use super::session::promem_session;
use super::status::{boundary, promem_status, BoundaryError, Outcome};
use crate::error::{Error, ErrorKind};
use crate::session::{Flow, PropagateOptions, SliceReport};
use std::ffi::c_void;

/// What the prompts of an object on a slice select there: a preview while the user points. `mask` gets rows times
/// columns bytes, row after row, 1 inside and 0 outside, or is NULL; `score` gets the predicted IoU (1 for a mask that
/// was given), or is NULL. Results of propagations are not touched, and the next one begins with this.
///
/// Errors: PROMEM_INVALID_ARGUMENT without a positive prompt there or for a count that is not rows times columns,
/// PROMEM_COMPUTE_ERROR, PROMEM_BUSY.
///
/// # Safety
/// Pointers are NULL or valid; `mask` is writable for `count` bytes.
#[no_mangle]
pub unsafe extern "C" fn promem_session_predict_slice(
    session: *mut promem_session,
    object: u32,
    slice: i64,
    mask: *mut u8,
    count: usize,
    score: *mut f64,
) -> promem_status {
    boundary(|| {
        let object = self::object(object)?;
        // SAFETY: as this function's caller promises.
        let (engine, mask, score) = unsafe {
            (handles::share(session)?, OutArray::optional(mask, count, "mask")?, Out::optional(score, "score")?)
        };
        engine.claim()?.with(|session| {
            let slice = self::slice(slice, session.geometry().dims.along(session.axis()))?;
            let [rows, columns] = session.slice_size();
            if let Some(mask) = &mask {
                mask.check(rows * columns)?;
            }
            let (iou, found) = session.predict(object, slice, None)?;
            if let Some(mask) = mask {
                let mask = mask.slice(rows * columns)?;
                mask.fill(0);
                for (row, column) in found.iter().flat_map(|found| found.pixels()) {
                    mask[row * columns + column] = 1;
                }
            }
            if let Some(score) = score {
                score.write(iou);
            }
            Ok(())
        })
    })
}

/// Segments: walks from every prompted slice and keeps what it finds for reading. `options` may be NULL, `progress`
/// too.
///
/// What an earlier propagation found from the same prompts with the same search is not computed again: after a new
/// prompt only what it can change is, and after a cancel it goes on where it stood.
///
/// Errors: PROMEM_INVALID_ARGUMENT without prompts or for an option; PROMEM_CANCELLED where `progress` answered 0 or
/// promem_session_cancel was called, and PROMEM_COMPUTE_ERROR: what was done is kept; PROMEM_BUSY.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_session_propagate(
    session: *mut promem_session,
    options: *const promem_propagate_options,
    progress: promem_progress_callback,
    user_data: *mut c_void,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let (claim, options, callback) = unsafe {
            (handles::share(session)?.claim()?, optional_struct(options)?, Callback::new(progress, user_data))
        };
        let options = options::propagate_options(options, &claim)?;
        propagate(&claim, &options, &mut |progress| callback.call(progress))
    })
}

/// Ends what is running on the session, a propagation, a job or a computation ahead, after the slice that it is at.
/// Does nothing where nothing runs.
///
/// # Safety
/// `session` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_session_cancel(session: *const promem_session) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        unsafe { handles::borrow(session) }?.cancel();
        Ok(())
    })
}

pub(super) fn cancelled() -> BoundaryError {
    BoundaryError::Library(Error::new(ErrorKind::Cancelled, "cancelled; the slices done so far are kept"))
}

/// Propagates onto the results. `on_progress` says whether to go on.
pub(super) fn propagate(claim: &Claim, options: &PropagateOptions, on_progress: &mut OnProgress) -> Outcome {
    claim.with(|session| {
        let results = &claim.engine().results;
        results.lock().begin();
        let outcome = session.propagate(options, &mut |report: SliceReport| {
            results.lock().report(&report);
            let on = on_progress(&promem_progress::of(&report)) && !claim.cancelled();
            Ok(if on { Flow::Continue } else { Flow::Stop })
        })?;
        results.lock().finish(outcome.masks);
        if outcome.stopped {
            return Err(cancelled());
        }
        Ok(())
    })
}

/// Computes embeddings ahead. `on_progress` says whether to go on.
pub(super) fn precompute(claim: &Claim, on_progress: &mut OnProgress) -> Outcome {
    claim.with(|session| {
        let done = session.precompute(None, &mut |progress| {
            let on = on_progress(&promem_progress::ahead(progress)) && !claim.cancelled();
            if on {
                Flow::Continue
            } else {
                Flow::Stop
            }
        })?;
        done.then_some(()).ok_or_else(cancelled)
    })
}
