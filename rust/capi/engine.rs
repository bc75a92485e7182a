//! A session behind its handle: one caller computes, anyone reads.

use super::process::{self, Computing, Thread};
use super::prompt_record::listed;
use super::result_store::ResultStore;
use super::status::{BoundaryError, Outcome};
use crate::geometry::Dims;
use crate::session::Session;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Engine {
    /// `None` after the handle was freed while a job's handle lives on.
    session: Mutex<Option<Session>>,
    pub results: Mutex<ResultStore>,
    pub cancelled: AtomicBool,
    /// Which thread uses the session.
    claimed: Mutex<Option<Thread>>,
    /// The handle was freed in a callback of the call that uses it; what it holds goes when the call ends.
    abandoned: AtomicBool,
    idle: Condvar,
    pub dims: Dims,
}

impl Engine {
    pub fn new(session: Session) -> Arc<Self> {
        Arc::new(Self {
            dims: session.geometry().dims,
            results: Mutex::new(ResultStore::new(session.axis())),
            session: Mutex::new(Some(session)),
            cancelled: AtomicBool::new(false),
            claimed: Mutex::new(None),
            abandoned: AtomicBool::new(false),
            idle: Condvar::new(),
        })
    }

    /// The right to use the session, refused while another has it.
    pub fn claim(self: &Arc<Self>) -> Outcome<Claim> {
        let computing = Computing::begin()?;
        let mut claimed = self.claimed.lock();
        if claimed.is_some() {
            return Err(BoundaryError::Busy);
        }
        *claimed = Some(Thread::current());
        self.cancelled.store(false, Ordering::SeqCst);
        Ok(Claim { engine: self.clone(), computing })
    }

    /// Changes the session's prompts, and keeps their list for reading at any time.
    pub fn change_prompts<R>(self: &Arc<Self>, work: impl FnOnce(&mut Session) -> Outcome<R>) -> Outcome<R> {
        self.claim()?.with(|session| {
            let done = work(session);
            self.results.lock().prompts = listed(session.prompts());
            done
        })
    }

    /// Ends what is running at its next slice.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    /// Waits until nothing is running.
    pub fn wait(&self) {
        let mut claimed = self.claimed.lock();
        while claimed.is_some() {
            self.cancel(); // who claimed meanwhile has taken an earlier wish back
            self.idle.wait_for(&mut claimed, std::time::Duration::from_millis(50));
        }
    }

    /// Ends what is running and lets go of the scan. Called in a callback it cannot wait for its own end: then the call
    /// lets go when it ends.
    pub fn close(&self) {
        self.cancel();
        if *self.claimed.lock() == Some(Thread::current()) {
            log::error!(
                "promem_session_free in a callback of the session: it is freed when the call that called back ends"
            );
            self.abandoned.store(true, Ordering::SeqCst);
            return;
        }
        self.wait();
        process::release(self.session.lock().take());
    }
}

/// The right to use an engine's session; it goes back when dropped.
#[derive(Debug)]
pub(super) struct Claim {
    engine: Arc<Engine>,
    computing: Computing,
}

impl Claim {
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// From now on it is `thread` that uses the session.
    pub fn move_to(&mut self, thread: Thread) {
        *self.engine.claimed.lock() = Some(thread);
        self.computing.move_to(thread);
    }

    /// Calls `work` with the session.
    pub fn with<R>(&self, work: impl FnOnce(&mut Session) -> Outcome<R>) -> Outcome<R> {
        let mut session: MutexGuard<Option<Session>> = self.engine.session.lock();
        match session.as_mut() {
            Some(session) => work(session),
            None => Err(BoundaryError::invalid("the session was freed")),
        }
    }

    pub fn cancelled(&self) -> bool {
        self.engine.cancelled.load(Ordering::SeqCst) || process::is_ending()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.engine.abandoned.load(Ordering::SeqCst) {
            process::release(self.engine.session.lock().take());
        }
        *self.engine.claimed.lock() = None;
        self.engine.idle.notify_all();
    }
}
