//! Propagations in the background.

use super::arguments::{fill_struct, optional_struct, Sized32};
use super::engine::Claim;
use super::handles::{self, Handle};
use super::memory::{Out, OutArray};
use super::options::{self, promem_propagate_options};
use super::process::{self, Thread};
use super::progress::{promem_progress, OnProgress};
use super::propagate;
use super::session::promem_session;
use super::status::{boundary, c_text, caught, promem_status, BoundaryError, Outcome, PROMEM_OK};
use crate::error::{Error, ErrorKind};
use once_cell::sync::OnceCell;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::ffi::{c_char, CString};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How far a job is.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct promem_job_state {
    /// sizeof(promem_job_state), set by the caller.
    pub struct_size: u32,
    /// 1 while it runs.
    pub running: u32,
    /// How many slices times objects are done.
    pub done: u64,
    /// Of how many; it falls when a run ends early.
    pub expected: u64,
    /// How it ended: PROMEM_OK, PROMEM_CANCELLED or an error; PROMEM_OK while it runs.
    pub status: promem_status,
    /// 0, set by the library.
    pub reserved: u32,
}

// SAFETY: a size of 32, every number is allowed.
unsafe impl Sized32 for promem_job_state {
    const NAME: &'static str = "promem_job_state";
}

/// A slice that a propagation has made.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct promem_slice_result {
    /// The object.
    pub object: u32,
    /// 1, or 0 where the object was not found and its run ended.
    pub found: u32,
    /// The slice.
    pub slice: i64,
    /// The mask's predicted IoU; 1 for a mask that was given.
    pub score: f64,
}

#[derive(Debug, Default)]
struct Shared {
    done: AtomicU64,
    expected: AtomicU64,
    cancelled: AtomicBool,
    ended: Mutex<Option<promem_status>>,
    end: Condvar,
    message: OnceCell<CString>,
    /// What was made and not taken yet.
    ready: Mutex<VecDeque<promem_slice_result>>,
}

/// A propagation in a thread of its own. While it runs, what changes its session answers PROMEM_BUSY; what reads does
/// not.
///
/// Threads: any number may use a job at the same time; promem_job_free must be the last call. It may outlive its
/// session, and the session it.
pub struct promem_job {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Handle for promem_job {
    type Owner = Box<Self>;
    const NAME: &'static str = "job";
}

type Work = dyn FnOnce(&Claim, &mut OnProgress) -> Outcome + Send;

fn start(mut claim: Claim, work: Box<Work>) -> Outcome<promem_job> {
    let shared = Arc::new(Shared::default());
    let of_thread = shared.clone();
    claim.move_to(Thread::STARTING);
    let body = move || {
        process::is_alive_until_it_ends();
        claim.move_to(Thread::current());
        let (status, message) = caught(|| {
            let mut on_progress = |progress: &promem_progress| {
                of_thread.done.store(progress.done, Ordering::SeqCst);
                of_thread.expected.store(progress.expected, Ordering::SeqCst);
                if progress.object > 0 {
                    let &promem_progress { object, found, slice, score, .. } = progress;
                    of_thread.ready.lock().push_back(promem_slice_result { object, found, slice, score });
                }
                !of_thread.cancelled.load(Ordering::SeqCst)
            };
            if of_thread.cancelled.load(Ordering::SeqCst) || claim.cancelled() {
                return Err(propagate::cancelled());
            }
            work(&claim, &mut on_progress)
        });
        let _ = of_thread.message.set(c_text(&message));
        // At one moment for all who look: the session is free and the job has ended.
        let mut ended = of_thread.ended.lock();
        drop(claim);
        *ended = Some(status);
        of_thread.end.notify_all();
    };
    let thread = std::thread::Builder::new()
        .name("promem job".into())
        .spawn(body)
        .map_err(|e| BoundaryError::Library(Error::new(ErrorKind::Compute, "cannot start a thread").with_source(e)))?;
    Ok(promem_job { shared, thread: Some(thread) })
}

/// As promem_session_propagate, in the background. `options` is read during the call and may be NULL. Free the job with
/// promem_job_free.
///
/// Errors: PROMEM_INVALID_ARGUMENT for an option, PROMEM_BUSY; what goes wrong later is the job's status.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_session_start_propagate(
    session: *mut promem_session,
    options: *const promem_propagate_options,
    job: *mut *mut promem_job,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let (out, claim, options) =
            unsafe { (Out::new(job, "job")?, handles::share(session)?.claim()?, optional_struct(options)?) };
        let options = options::propagate_options(options, &claim)?;
        let work =
            move |claim: &Claim, on_progress: &mut OnProgress| propagate::propagate(claim, &options, on_progress);
        out.write(handles::give(Box::new(start(claim, Box::new(work))?)));
        Ok(())
    })
}

/// Computes embeddings in the background while the user still points, those next to prompts first, until the cache is
/// full. Models that see the object and its surroundings (the default one) know what to compute only once there is a
/// prompt. Free the job with promem_job_free.
///
/// Errors: PROMEM_BUSY.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_session_start_precompute(
    session: *mut promem_session,
    job: *mut *mut promem_job,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let (out, engine) = unsafe { (Out::new(job, "job")?, handles::share(session)?) };
        out.write(handles::give(Box::new(start(engine.claim()?, Box::new(propagate::precompute))?)));
        Ok(())
    })
}

fn state(job: &promem_job) -> promem_job_state {
    let ended = *job.shared.ended.lock();
    promem_job_state {
        struct_size: 0,
        running: u32::from(ended.is_none()),
        done: job.shared.done.load(Ordering::SeqCst),
        expected: job.shared.expected.load(Ordering::SeqCst),
        status: ended.unwrap_or(PROMEM_OK),
        reserved: 0,
    }
}

/// How far a job is, at once. `state->struct_size` must be set.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_job_poll(job: *const promem_job, state: *mut promem_job_state) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        unsafe { fill_struct(state, self::state(handles::borrow(job)?)) }
    })
}

/// Takes the slices that have become ready and were not taken yet, oldest first, at most `capacity`; `count` gets how
/// many. Masks are read from the session.
///
/// # Safety
/// Pointers are NULL or valid; `results` is writable for `capacity` structs.
#[no_mangle]
pub unsafe extern "C" fn promem_job_take_ready(
    job: *const promem_job,
    results: *mut promem_slice_result,
    capacity: usize,
    count: *mut usize,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises; NULL is allowed where there is no room.
        let (job, results, count) = unsafe {
            (
                handles::borrow(job)?,
                (capacity > 0).then(|| OutArray::new(results, capacity, "results")).transpose()?,
                Out::new(count, "count")?,
            )
        };
        let mut ready = job.shared.ready.lock();
        let taken = ready.len().min(capacity);
        if let Some(results) = results {
            results.fill_from(ready.drain(..taken));
        }
        count.write(taken);
        Ok(())
    })
}

/// Asks a job to end after the slice that it is at; what is done is kept. Returns at once; does nothing where it has
/// ended.
///
/// # Safety
/// `job` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_job_cancel(job: *const promem_job) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        unsafe { handles::borrow(job) }?.shared.cancelled.store(true, Ordering::SeqCst);
        Ok(())
    })
}

/// Waits until a job has ended, at most `timeout_ms` milliseconds, below 0 for as long as it takes. `state` says
/// whether it has, and how; it may be NULL.
///
/// # Safety
/// Pointers are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn promem_job_wait(
    job: *const promem_job,
    timeout_ms: i64,
    state: *mut promem_job_state,
) -> promem_status {
    boundary(|| {
        // SAFETY: as this function's caller promises.
        let job = unsafe { handles::borrow(job) }?;
        let limit = u64::try_from(timeout_ms).ok().map(|ms| Instant::now() + Duration::from_millis(ms.min(1 << 40)));
        let mut ended = job.shared.ended.lock();
        while ended.is_none() {
            match limit {
                None => job.shared.end.wait(&mut ended),
                Some(limit) => {
                    if job.shared.end.wait_until(&mut ended, limit).timed_out() {
                        break;
                    }
                }
            }
        }
        drop(ended);
        match state.is_null() {
            true => Ok(()),
            // SAFETY: as this function's caller promises.
            false => unsafe { fill_struct(state, self::state(job)) },
        }
    })
}

/// Why a job did not end with PROMEM_OK, in one line; "" while it runs or where it did. The text is the job's and valid
/// while that is.
///
/// # Safety
/// `job` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_job_error_message(job: *const promem_job) -> *const c_char {
    // SAFETY: as this function's caller promises.
    let job = unsafe { job.as_ref() };
    job.and_then(|job| job.shared.message.get()).map_or(c"".as_ptr(), |message| message.as_ptr())
}

/// Cancels a job that still runs, waits for its end, and frees it; NULL is allowed. In a forked child nothing is freed.
///
/// # Safety
/// `job` is NULL or live.
#[no_mangle]
pub unsafe extern "C" fn promem_job_free(job: *mut promem_job) {
    // SAFETY: as this function's caller promises.
    if let Some(mut job) = unsafe { handles::take(job) } {
        caught(|| {
            if process::not_forked().is_err() {
                // Its thread is the parent's; nobody can wait for it here.
                std::mem::forget(job);
                return Ok(());
            }
            job.shared.cancelled.store(true, Ordering::SeqCst);
            if let Some(thread) = job.thread.take() {
                // A panic of the thread is in its status already.
                let _ = thread.join();
            }
            Ok(())
        });
    }
}
