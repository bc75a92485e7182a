//! Work shared among the threads that libtorch computes with.
//!
//! Threads of our own would share the cores with libtorch's, which spin for milliseconds after each of its operations; so these are the same
//! ones, through the entry of the OpenMP library that libtorch brings.

use once_cell::sync::OnceCell;
use std::cell::RefCell;
use std::ffi::{c_uint, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

type Parallel = unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);

/// `GOMP_parallel`, which GNU's, LLVM's and Intel's libraries have; none where libtorch computes without OpenMP.
fn parallel() -> Option<Parallel> {
    static FOUND: OnceCell<Option<Parallel>> = OnceCell::new();
    *FOUND.get_or_init(|| {
        // SAFETY: the name is a C string; the search begins with this library's own dependencies.
        let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"GOMP_parallel".as_ptr()) };
        // SAFETY: a symbol of this name has this signature, by OpenMP's binary interface.
        (!symbol.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, Parallel>(symbol) })
    })
}

/// Whether there are threads to share work with.
pub fn at_hand() -> bool {
    parallel().is_some()
}

/// As many as libtorch uses.
fn count() -> usize {
    tch::get_num_threads().max(1) as usize
}

/// Pieces of work that each thread may count on: whoever is slower leaves some to the others.
const PIECES: usize = 4;

/// How many pieces occupy all threads.
pub fn pieces() -> usize {
    PIECES * count()
}

struct Job<'a> {
    next: AtomicUsize,
    items: usize,
    work: &'a (dyn Fn(usize) + Sync),
}

unsafe extern "C" fn take_part(job: *mut c_void) {
    // SAFETY: `each` lends the job until all threads are done.
    let job = unsafe { &*job.cast::<Job>() };
    loop {
        let item = job.next.fetch_add(1, Ordering::Relaxed);
        if item >= job.items {
            return;
        }
        (job.work)(item);
    }
}

/// Does `work` for each of 0..`items`, in any order; whoever is free takes the next. `work` must not panic.
pub fn each(items: usize, work: &(dyn Fn(usize) + Sync)) {
    let threads = count().min(items);
    let mut job = Job { next: AtomicUsize::new(0), items, work };
    let job = (&raw mut job).cast::<c_void>();
    match parallel() {
        // SAFETY: the call returns when every thread has left `take_part`, so the job outlives its use.
        Some(parallel) if threads > 1 => unsafe { parallel(take_part, job, threads as c_uint, 0) },
        // SAFETY: as above, on this thread alone.
        _ => unsafe { take_part(job) },
    }
}

/// Sixteen numbers in one line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct CacheLine([f32; 16]);

thread_local! {
    static MEMORY: RefCell<Vec<CacheLine>> = const { RefCell::new(Vec::new()) };
}

/// Room for so many numbers at a multiple of 64 bytes, of the thread's own, as the last user left it. The thread keeps it.
pub fn with_memory<R>(numbers: usize, work: impl FnOnce(*mut f32) -> R) -> R {
    MEMORY.with_borrow_mut(|memory| {
        let lines = numbers.div_ceil(16);
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
    fn every_item_is_done_once() {
        let done: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
        each(done.len(), &|item| {
            done[item].fetch_add(1, Ordering::Relaxed);
        });
        assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1));
        each(0, &|_| unreachable!("there is nothing to do"));
    }
}
