//! Progress of a propagation, slice by slice, and the callback that receives it.

use super::arguments::Sized32;
use crate::session::{Progress, SliceReport};
use std::ffi::c_void;

/// A slice of an object, just made. More fields may follow in later versions; the library sets struct_size.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct promem_progress {
    /// The size of what the library passes.
    pub struct_size: u32,
    /// The object; 0 while embeddings are computed ahead.
    pub object: u32,
    /// The slice; -1 while embeddings are computed ahead.
    pub slice: i64,
    /// How many slices times objects are done.
    pub done: u64,
    /// Of how many; it falls when a run ends early.
    pub expected: u64,
    /// The mask's predicted IoU; 1 for a mask that was given.
    pub score: f64,
    /// 1, or 0 where the object was not found and its run ended.
    pub found: u32,
    /// 0, set by the library.
    pub reserved: u32,
}

// SAFETY: a size of 48, every number is allowed.
unsafe impl Sized32 for promem_progress {
    const NAME: &'static str = "promem_progress";
}

/// Called after each slice on the calling thread; `progress` is valid during the call. Not 0: go on; 0: stop, and keep
/// what is done. It may call what takes a const promem_session.
///
/// It must return: an exception, a longjmp or the end of its thread out of it is forbidden. The library does not
/// survive them: an exception ends the process, and a jump leaves the session in use (PROMEM_BUSY) for ever. promem.hpp
/// keeps exceptions and throws them when the call has returned. exit() is allowed.
pub type promem_progress_callback =
    Option<unsafe extern "C" fn(progress: *const promem_progress, user_data: *mut c_void) -> i32>;

impl promem_progress {
    pub(super) fn of(report: &SliceReport) -> Self {
        Self {
            object: u32::from(report.object.label()),
            slice: report.slice.0 as i64,
            score: report.score,
            found: u32::from(report.mask.is_some()),
            ..Self::ahead(report.progress)
        }
    }

    pub(super) fn ahead(progress: Progress) -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            object: 0,
            slice: -1,
            done: progress.done as u64,
            expected: progress.expected as u64,
            score: 0.0,
            found: 0,
            reserved: 0,
        }
    }
}

/// Receives progress, and answers whether to go on.
pub(super) type OnProgress<'a> = dyn FnMut(&promem_progress) -> bool + 'a;

/// A caller's callback and its data.
#[derive(Clone, Copy)]
pub(super) struct Callback {
    function: promem_progress_callback,
    user_data: *mut c_void,
}

impl Callback {
    /// # Safety
    /// The function may be called with `user_data` on this thread while the value lives.
    pub unsafe fn new(function: promem_progress_callback, user_data: *mut c_void) -> Self {
        Self { function, user_data }
    }

    /// Whether the callback answers that the propagation goes on; it does where there is no callback.
    pub fn call(&self, progress: &promem_progress) -> bool {
        // SAFETY: as the caller of `new` promised.
        self.function.is_none_or(|function| unsafe { function(progress, self.user_data) } != 0)
    }
}
