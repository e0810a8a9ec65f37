//! A budget in bytes that makes work wait instead of growing.
//!
//! # What `--memory` bounds
//! The volumes of a run: those that are decoded, prepared, waiting for their turn, kept in memory, and
//! taken by whoever writes or trains, with what a writer needs beside them. From the budget the blocks
//! that the allocator keeps for later use (an eighth, [`crate::memory`]) and what the process holds
//! before the first volume are taken off first, so that the whole process stays within it.
//!
//! What does not count: the program's code, pages of the cache's files (the system takes them back when
//! memory is short, though tools may show them as resident), and the tensors of a network, which depend
//! on its width and patch and not on the cohort.
//!
//! Peaks by `benches/memory.py` on an `AMD EPYC` (two workers, release build): eight CTs of 512x512x200
//! int16 prepared with `orient`, `zscore` and the sink `prepared: { parquet: true }`; and a `unet3d` of
//! width 8 trained on patches of 64x64x64 of eight CTs of 512x512x100 with labels, from the cache.
//!
//! | budget | 512 MiB | 1 GiB | 2 GiB | 4 GiB |
//! | --- | --- | --- | --- | --- |
//! | preparation, resident | 451 MiB | 811 MiB | 993 MiB | 1117 MiB |
//! | training, without mapped pages | 297 MiB | 349 MiB | 550 MiB | 818 MiB |
//! | training, resident | 1282 MiB | 1334 MiB | 1415 MiB | 1660 MiB |
//!
//! Before items were admitted in order, eight such CTs took 1544 MiB at 1 GiB and 1647 MiB at 2 GiB.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct State {
    used: u64,
    /// The item whose turn it is to be admitted.
    turn: u64,
    closed: bool,
}

/// Bytes shared by the items of one ordered stream.
///
/// **Law** items are admitted in their order, and only while the sum fits the limit; an item that
/// alone is larger is admitted when nothing else is held. So an item that everything waits for holds
/// its bytes already, and the budget cannot deadlock: who holds bytes never waits for a later item.
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

    /// Waits until every item before `number` was admitted, and `bytes` fit.
    ///
    /// Returns `None` when the stream was closed meanwhile.
    pub fn acquire(self: &Arc<Self>, number: u64, bytes: u64) -> Option<Permit> {
        let mut state = self.lock();
        let fits = |state: &State| state.used == 0 || state.used + bytes <= self.limit;
        while !(state.closed || number == state.turn && fits(&state)) {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return None;
        }
        state.turn += 1;
        Some(self.granted(state, bytes))
    }

    /// Waits until `bytes` fit, in no order: for work that waits for nothing else while it holds them.
    pub fn reserve(self: &Arc<Self>, bytes: u64) -> Permit {
        let mut state = self.lock();
        while state.used > 0 && state.used + bytes > self.limit {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.granted(state, bytes)
    }

    fn granted(self: &Arc<Self>, mut state: MutexGuard<'_, State>, bytes: u64) -> Permit {
        state.used += bytes;
        drop(state);
        self.changed.notify_all();
        Permit {
            budget: Arc::clone(self),
            bytes,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    #[test]
    fn items_are_admitted_in_order_and_never_above_the_limit() {
        let budget = Budget::new(100);
        let most = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for number in 0..40u64 {
                let (budget, most) = (&budget, &most);
                scope.spawn(move || {
                    let permit = budget.acquire(number, 30 + number % 3).unwrap();
                    most.fetch_max(budget.used(), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                    drop(permit);
                });
            }
        });
        assert_eq!(budget.used(), 0);
        let most = most.into_inner();
        assert!((30..=100).contains(&most), "{most}");
    }

    #[test]
    fn an_item_above_the_limit_is_admitted_alone() {
        let budget = Budget::new(100);
        let mut large = budget.acquire(0, 500).unwrap();
        assert_eq!(budget.used(), 500);
        large.resize(40);
        let beside = budget.acquire(1, 60).unwrap();
        drop((large, beside));
        let alone = budget.reserve(900);
        assert_eq!(budget.used(), 900);
        drop(alone);
        budget.close();
        assert!(budget.acquire(2, 1).is_none());
    }
}
