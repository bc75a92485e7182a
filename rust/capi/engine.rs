//! A session behind its handle: one caller computes, anyone reads.

use super::board::Board;
use super::status::{Outcome, Refusal};
use crate::geometry::Dims;
use crate::session::Session;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Engine {
    /// `None` after the handle was freed while a job's handle lives on.
    session: Mutex<Option<Session>>,
    pub board: Mutex<Board>,
    pub cancelled: AtomicBool,
    claimed: Mutex<bool>,
    idle: Condvar,
    pub dims: Dims,
}

impl Engine {
    pub fn new(session: Session) -> Arc<Self> {
        Arc::new(Self {
            dims: session.geometry().dims,
            board: Mutex::new(Board::new(session.axis())),
            session: Mutex::new(Some(session)),
            cancelled: AtomicBool::new(false),
            claimed: Mutex::new(false),
            idle: Condvar::new(),
        })
    }

    /// The right to use the session, refused while another has it.
    pub fn claim(self: &Arc<Self>) -> Outcome<Claim> {
        let mut claimed = self.claimed.lock();
        if *claimed {
            return Err(Refusal::Busy);
        }
        *claimed = true;
        self.cancelled.store(false, Ordering::SeqCst);
        Ok(Claim { engine: self.clone() })
    }

    /// Ends what is running at its next slice.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    /// Waits until nothing is running.
    pub fn wait(&self) {
        let mut claimed = self.claimed.lock();
        while *claimed {
            self.cancel(); // who claimed meanwhile has taken an earlier wish back
            self.idle.wait_for(&mut claimed, std::time::Duration::from_millis(50));
        }
    }

    /// Ends what is running and lets go of the scan.
    pub fn close(&self) {
        self.cancel();
        self.wait();
        *self.session.lock() = None;
    }
}

/// The right to use an engine's session; it goes back when dropped.
#[derive(Debug)]
pub(super) struct Claim {
    engine: Arc<Engine>,
}

impl Claim {
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Calls `work` with the session.
    pub fn with<R>(&self, work: impl FnOnce(&mut Session) -> Outcome<R>) -> Outcome<R> {
        let mut session: MutexGuard<Option<Session>> = self.engine.session.lock();
        match session.as_mut() {
            Some(session) => work(session),
            None => Err(Refusal::invalid("the session was freed")),
        }
    }

    pub fn cancelled(&self) -> bool {
        self.engine.cancelled.load(Ordering::SeqCst)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        *self.engine.claimed.lock() = false;
        self.engine.idle.notify_all();
    }
}
