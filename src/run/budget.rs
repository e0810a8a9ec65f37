//! A budget in bytes that makes work wait instead of growing.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct State {
    used: u64,
    /// The item everything waits for; it is always admitted, so that the budget cannot deadlock.
    next: u64,
    closed: bool,
}

/// Bytes shared by the items of one ordered stream.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    state: Mutex<State>,
    changed: Condvar,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `bytes` fit, or item `number` is the one everything waits for.
    ///
    /// Returns `None` when the stream was closed meanwhile.
    pub fn acquire(self: &Arc<Self>, number: u64, bytes: u64) -> Option<Permit> {
        let mut state = self.lock();
        while !state.closed && number > state.next && state.used + bytes > self.limit {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return None;
        }
        state.used += bytes;
        Some(Permit {
            budget: Arc::clone(self),
            bytes,
        })
    }

    /// Tells that every item before `number` was delivered.
    pub fn delivered(&self, number: u64) {
        self.lock().next = number;
        self.changed.notify_all();
    }

    /// Wakes everybody who waits, to end.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Bytes held at this moment.
    pub fn used(&self) -> u64 {
        self.lock().used
    }
}

/// Bytes held until dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Permit {
    /// Replaces the estimate by what it came to.
    pub fn resize(&mut self, bytes: u64) {
        let mut state = self.budget.lock();
        state.used = state.used + bytes - self.bytes;
        self.bytes = bytes;
        drop(state);
        self.budget.changed.notify_all();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.lock().used -= self.bytes;
        self.budget.changed.notify_all();
    }
}
