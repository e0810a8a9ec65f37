//! Many small requests at a time: each takes the way to a store and back, and nothing else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Requests at a time.
const AT_A_TIME: usize = 32;

/// Results of `work` on every item, in their order; up to 32 items are worked on at a time.
///
/// For requests, not for computations: threads are not bounded by the cores. `work` must not panic.
pub fn many<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, results) = (
        AtomicUsize::new(0),
        Mutex::new(Vec::with_capacity(items.len())),
    );
    let run = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            let result = work(item);
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((index, result));
        }
    };
    std::thread::scope(|scope| {
        // This thread is one of them, and does the work alone where the system starts no other.
        for _ in 1..AT_A_TIME.min(items.len()) {
            let builder = std::thread::Builder::new().name("requests".to_owned());
            if builder.spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
