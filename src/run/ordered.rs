//! A parallel map whose results arrive in order, bounded in bytes.
//!
//! Named workers take jobs in order and finish in any; results wait for their turn. A worker
//! starts a job only when its bytes fit the budget, except the job everything waits for. The
//! channel itself is bounded by the number of workers, so memory is bounded by the budget.

use super::budget::{Budget, Permit};
use super::counters::Node;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

type Done<T> = (u64, std::thread::Result<T>, Permit);

/// Results of an ordered parallel map; dropping it ends the workers.
pub struct Ordered<T> {
    results: Option<Receiver<Done<T>>>,
    waiting: BTreeMap<u64, (std::thread::Result<T>, Permit)>,
    next: u64,
    budget: Arc<Budget>,
    workers: Vec<JoinHandle<()>>,
    node: Arc<Node>,
}

/// What a job costs and does.
pub trait Work<J, T>: Send + Sync + 'static {
    /// Bytes the job may hold, before it is started.
    fn estimate(&self, job: &J) -> u64;
    /// Does the job.
    fn run(&self, job: J) -> T;
    /// Bytes its result holds.
    fn bytes(&self, result: &T) -> u64;
}

/// Starts `workers` threads named after `name` on the jobs, in their order.
///
/// **Errors** when the system starts no thread.
pub fn ordered<J, T, W>(
    name: &str,
    workers: usize,
    budget: Arc<Budget>,
    jobs: impl Iterator<Item = J> + Send + 'static,
    work: W,
    node: Arc<Node>,
) -> std::io::Result<Ordered<T>>
where
    J: Send + 'static,
    T: Send + 'static,
    W: Work<J, T>,
{
    let workers = workers.max(1);
    let (sender, results) = bounded(workers);
    let (jobs, work, turn) = (
        Arc::new(Mutex::new(jobs.fuse())),
        Arc::new(work),
        Arc::new(AtomicU64::new(0)),
    );
    let threads = (0..workers)
        .map(|i| {
            let (jobs, work, turn, sender) = (
                Arc::clone(&jobs),
                Arc::clone(&work),
                Arc::clone(&turn),
                sender.clone(),
            );
            let (budget, node) = (Arc::clone(&budget), Arc::clone(&node));
            std::thread::Builder::new()
                .name(format!("{name}-{i}"))
                .spawn(move || worker(&jobs, &turn, &*work, &sender, &budget, &node))
        })
        .collect::<std::io::Result<Vec<_>>>()?;
    Ok(Ordered {
        results: Some(results),
        waiting: BTreeMap::new(),
        next: 0,
        budget,
        workers: threads,
        node,
    })
}

fn worker<J, T, W: Work<J, T>>(
    jobs: &Mutex<impl Iterator<Item = J>>,
    turn: &AtomicU64,
    work: &W,
    sender: &Sender<Done<T>>,
    budget: &Arc<Budget>,
    node: &Node,
) {
    loop {
        // Number and job are taken together, or two workers could swap them.
        let (number, job) = {
            let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(job) = jobs.next() else { return };
            (turn.fetch_add(1, Ordering::Relaxed), job)
        };
        let blocked = Instant::now();
        let Some(mut permit) = budget.acquire(number, work.estimate(&job)) else {
            return;
        };
        node.blocked(blocked.elapsed());
        let result = catch_unwind(AssertUnwindSafe(|| work.run(job)));
        permit.resize(result.as_ref().map_or(0, |r| work.bytes(r)));
        let blocked = Instant::now();
        if sender.send((number, result, permit)).is_err() {
            return;
        }
        node.blocked(blocked.elapsed());
    }
}

impl<T> Iterator for Ordered<T> {
    type Item = T;

    /// The next result in order.
    ///
    /// **Panics** with the panic of a worker, in its turn.
    fn next(&mut self) -> Option<T> {
        let starved = Instant::now();
        while !self.waiting.contains_key(&self.next) {
            let Ok((number, result, permit)) = self.results.as_ref()?.recv() else {
                break;
            };
            self.waiting.insert(number, (result, permit));
        }
        self.node.starved(starved.elapsed());
        let (result, _permit) = self.waiting.remove(&self.next)?;
        self.next += 1;
        self.budget.delivered(self.next);
        Some(result.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl<T> Drop for Ordered<T> {
    fn drop(&mut self) {
        self.budget.close();
        self.results = None;
        for worker in self.workers.drain(..) {
            // A worker's panic was delivered as a result; none is left to report here.
            worker.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow;
    impl Work<u64, (u64, u64)> for Slow {
        fn estimate(&self, _: &u64) -> u64 {
            40
        }
        fn run(&self, job: u64) -> (u64, u64) {
            std::thread::sleep(std::time::Duration::from_millis(job * 7 % 5));
            (job, job * job)
        }
        fn bytes(&self, _: &(u64, u64)) -> u64 {
            30
        }
    }

    fn run(workers: usize, limit: u64) -> Vec<(u64, u64)> {
        ordered(
            "test",
            workers,
            Budget::new(limit),
            0..50u64,
            Slow,
            Arc::default(),
        )
        .unwrap()
        .collect()
    }

    #[test]
    fn order_holds_for_any_number_of_workers_and_any_budget() {
        let expected: Vec<_> = (0..50u64).map(|j| (j, j * j)).collect();
        for (workers, limit) in [(1, 1000), (2, 100), (7, 1000), (7, 10), (3, 0)] {
            assert_eq!(
                run(workers, limit),
                expected,
                "{workers} workers, {limit} bytes"
            );
        }
    }

    #[test]
    fn dropping_early_ends_the_workers() {
        let mut results = ordered("test", 4, Budget::new(100), 0.., Slow, Arc::default()).unwrap();
        assert_eq!(results.next(), Some((0, 0)));
    }

    #[test]
    fn a_panic_arrives_in_its_turn() {
        struct Fails;
        impl Work<u64, u64> for Fails {
            fn estimate(&self, _: &u64) -> u64 {
                1
            }
            fn run(&self, job: u64) -> u64 {
                assert!(job != 3, "three");
                job
            }
            fn bytes(&self, _: &u64) -> u64 {
                1
            }
        }
        let mut results = ordered("test", 2, Budget::new(10), 0..9, Fails, Arc::default()).unwrap();
        assert_eq!(results.by_ref().take(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(catch_unwind(AssertUnwindSafe(|| results.next())).is_err());
    }
}
