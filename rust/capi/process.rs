//! The process that computes: what happens when it ends meanwhile, and after a fork.
//!
//! In: who computes, from when to when. Out: the right to compute. At exit libtorch's destructors take away what
//! computing threads still use, so a handler that runs before them asks those threads to end and waits. A forked child
//! has none of the threads and perhaps locks that nobody will open, so nothing that would compute or lock is done
//! there.

use super::late;
use super::status::{BoundaryError, Outcome};
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::Once;
use std::time::{Duration, Instant};

/// How long the end of the process waits for what is computed.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long it then waits for the ends of threads that have been asked to end computing: libtorch has destructors in
/// threads. Threads of a host may go on for ever, so it is short.
const GRACE: Duration = Duration::from_millis(200);

/// The process that loaded a model first; 0: none has.
static OWNER: AtomicU32 = AtomicU32::new(0);
static ENDING: AtomicBool = AtomicBool::new(false);
static COMPUTING: Mutex<Vec<Thread>> = Mutex::new(Vec::new());
/// Threads that ended computing because the process ends, and have not ended themselves.
static LEAVING: AtomicUsize = AtomicUsize::new(0);
static LEFT: Condvar = Condvar::new();

/// A thread. Unlike the standard library's it is known in a thread's own destructors, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Thread(libc::pthread_t);

impl Thread {
    /// A thread that is about to start.
    pub const STARTING: Self = Self(0);

    pub fn current() -> Self {
        // SAFETY: it has no conditions.
        Self(unsafe { libc::pthread_self() })
    }
}

/// Says that models and sessions belong to this process.
pub(super) fn own() {
    let _ = OWNER.compare_exchange(0, std::process::id(), Ordering::SeqCst, Ordering::SeqCst);
}

/// Refuses in a child that was forked after a model was loaded.
pub(super) fn not_forked() -> Outcome {
    match OWNER.load(Ordering::SeqCst) {
        owner if owner == 0 || owner == std::process::id() => Ok(()),
        owner => Err(BoundaryError::Forked { owner }),
    }
}

/// Whether the process is about to end.
pub(super) fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// A thread that computes, from its making to its drop; the end of the process waits for it.
#[derive(Debug)]
pub(super) struct Computing(Thread);

impl Computing {
    /// # Errors
    /// Where the process ends, or is a forked child.
    pub fn begin() -> Outcome<Self> {
        not_forked()?;
        static WATCHED: Once = Once::new();
        WATCHED.call_once(watch_exit);
        let mut computing = COMPUTING.lock();
        if is_ending() {
            return Err(BoundaryError::Ending);
        }
        let thread = Thread::current();
        computing.push(thread);
        Ok(Self(thread))
    }

    /// From now on it is `thread` that computes.
    pub fn move_to(&mut self, next: Thread) {
        if let Some(thread) = COMPUTING.lock().iter_mut().find(|thread| **thread == self.0) {
            *thread = next;
        }
        self.0 = next;
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        if is_ending() {
            // Refused in a thread whose own destructors are over: it needs no waiting for.
            let _ = OF_THREAD.try_with(|of_thread| of_thread.set(Some(Leaving::begin())));
        }
        let mut computing = COMPUTING.lock();
        if let Some(at) = computing.iter().position(|thread| *thread == self.0) {
            computing.swap_remove(at);
        }
        LEFT.notify_all();
    }
}

/// A thread that ended computing because the process ends, until it ends itself.
struct Leaving;

impl Leaving {
    fn begin() -> Self {
        LEAVING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let _computing = COMPUTING.lock();
        LEAVING.fetch_sub(1, Ordering::SeqCst);
        LEFT.notify_all();
    }
}

thread_local! {
    static OF_THREAD: Cell<Option<Leaving>> = const { Cell::new(None) };
    static ALIVE: Cell<Option<Computing>> = const { Cell::new(None) };
}

/// The end of the process waits for the calling thread's own end, too: libtorch has destructors in threads. Only for
/// threads of ours, before they use libtorch: what was registered first is destroyed last.
pub(super) fn is_alive_until_it_ends() {
    // Refused where the process ends: then the thread does not use libtorch.
    if let Ok(computing) = Computing::begin() {
        ALIVE.set(Some(computing));
    }
}

/// Frees what holds memory of libtorch, and leaves it where libtorch may be gone already.
pub(super) fn release<T>(value: T) {
    match Computing::begin() {
        Ok(_computing) => drop(value),
        Err(_) => std::mem::forget(value),
    }
}

/// Watches also what has been loaded since, such as libtorch's CUDA half, which is loaded once.
pub(super) fn watch_exit_anew() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(watch_exit);
}

/// Makes the end of the process wait. Handlers run in the reverse order of their registration: this one before the
/// destructors that libtorch registered when it was loaded, and those that it registers later wait themselves.
fn watch_exit() {
    late::destructors_wait_for(wait_at_exit);
    register();
}

/// Waits until nobody else computes. If that takes too long the process ends here: going on would end it with a signal.
fn wait_at_exit(status: i32) {
    if !everyone_has_left() {
        // SAFETY: NULL means every stream; nothing of ours is used afterwards.
        unsafe {
            libc::fflush(std::ptr::null_mut());
            libc::_exit(status)
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn register() {
    extern "C" {
        fn on_exit(
            handler: extern "C" fn(status: libc::c_int, data: *mut libc::c_void),
            data: *mut libc::c_void,
        ) -> libc::c_int;
    }
    extern "C" fn handler(status: libc::c_int, _: *mut libc::c_void) {
        wait_at_exit(status);
    }
    // SAFETY: the handler stays where it is: the library is linked so that it is never unloaded.
    unsafe { on_exit(handler, std::ptr::null_mut()) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn register() {
    extern "C" fn handler() {
        // The status is not known here; an end that took too long is a failure.
        wait_at_exit(1);
    }
    // SAFETY: where the library can be unloaded, this C library runs the handler before.
    unsafe { libc::atexit(handler) };
}

/// Asks every other thread that computes to end and waits for them, and a moment for those threads' own ends; false
/// where some still compute after [`LONGEST_WAIT`].
fn everyone_has_left() -> bool {
    if not_forked().is_err() {
        return true; // the threads are the parent's
    }
    let here = Thread::current(); // it computes no more, if it did: it ends the process, from a callback
    let mut computing = COMPUTING.lock();
    ENDING.store(true, Ordering::SeqCst);
    let limit = Instant::now() + LONGEST_WAIT;
    while computing.iter().any(|thread| *thread != here) {
        if LEFT.wait_until(&mut computing, limit).timed_out() {
            return computing.iter().all(|thread| *thread == here);
        }
    }
    static WAITED: AtomicBool = AtomicBool::new(false);
    let limit = Instant::now() + GRACE;
    while LEAVING.load(Ordering::SeqCst) > 0 && !WAITED.load(Ordering::SeqCst) {
        if LEFT.wait_until(&mut computing, limit).timed_out() {
            WAITED.store(true, Ordering::SeqCst);
        }
    }
    true
}
