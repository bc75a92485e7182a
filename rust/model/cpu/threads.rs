//! Parallel loops on libtorch's own threads.
//!
//! Threads of our own would compete for the cores with libtorch's, which spin for milliseconds after each of its
//! operations. So these are the same threads, through the entry point of the OpenMP library that libtorch loads.

use once_cell::sync::OnceCell;
use std::cell::RefCell;
use std::ffi::{c_uint, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

type Parallel = unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);

/// `GOMP_parallel`, which the libraries of GNU, LLVM and Intel export; none if libtorch is built without OpenMP.
fn parallel() -> Option<Parallel> {
    static FOUND: OnceCell<Option<Parallel>> = OnceCell::new();
    *FOUND.get_or_init(|| {
        // SAFETY: the name is a C string, and the search has no other preconditions.
        let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"GOMP_parallel".as_ptr()) };
        // SAFETY: in all three libraries the symbol of this name is a function of this signature (GNU's OpenMP ABI).
        (!symbol.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, Parallel>(symbol) })
    })
}

/// Whether libtorch's threads can be used.
pub fn is_available() -> bool {
    parallel().is_some()
}

/// Number of threads that libtorch uses.
fn count() -> usize {
    tch::get_num_threads().max(1) as usize
}

/// Work items for each thread: a slower thread leaves some of its share to the others.
const ITEMS_PER_THREAD: usize = 4;

/// Number of work items that keep all threads busy.
pub fn item_count() -> usize {
    ITEMS_PER_THREAD * count()
}

/// One parallel loop.
struct Job<'a> {
    next: AtomicUsize,
    items: usize,
    work: &'a (dyn Fn(usize) + Sync),
}

/// The body of one thread.
///
/// # Safety
/// `job` points to a [`Job`] that lives, and is only shared, until this returns.
unsafe extern "C" fn work_on(job: *mut c_void) {
    // SAFETY: by the contract.
    let job = unsafe { &*job.cast::<Job>() };
    loop {
        let item = job.next.fetch_add(1, Ordering::Relaxed);
        if item >= job.items {
            return;
        }
        (job.work)(item);
    }
}

/// Calls `work` for each of 0..`items`, in any order; a free thread takes the next item. `work` must not panic.
pub fn for_each(items: usize, work: &(dyn Fn(usize) + Sync)) {
    let threads = count().min(items);
    let mut job = Job { next: AtomicUsize::new(0), items, work };
    let job = (&raw mut job).cast::<c_void>();
    match parallel() {
        // SAFETY: the call returns when every thread has left `work_on`, so the job outlives its use; `work` is `Sync`.
        Some(parallel) if threads > 1 => unsafe { parallel(work_on, job, threads as c_uint, 0) },
        // SAFETY: the job outlives the call.
        _ => unsafe { work_on(job) },
    }
}

/// Sixteen floats, one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct CacheLine([f32; 16]);

thread_local! {
    static SCRATCH: RefCell<Vec<CacheLine>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with scratch memory of this thread: `floats` floats, aligned to 64 bytes, with unspecified values. The
/// thread keeps the memory; calls cannot be nested.
pub fn with_scratch<R>(floats: usize, work: impl FnOnce(*mut f32) -> R) -> R {
    SCRATCH.with_borrow_mut(|memory| {
        let lines = floats.div_ceil(16);
        if memory.len() < lines {
            memory.resize(lines, CacheLine([0.0; 16]));
        }
        work(memory.as_mut_ptr().cast())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_loop_does_every_item_once() {
        let done: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
        for_each(done.len(), &|item| {
            done[item].fetch_add(1, Ordering::Relaxed);
        });
        assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1));
        for_each(0, &|_| unreachable!("there is nothing to do"));
    }
}
