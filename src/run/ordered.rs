//! A parallel map whose results arrive in order, bounded in bytes.
//!
//! Named workers take jobs in order and finish in any; results wait for their turn. A worker
//! starts a job only when its bytes fit the budget. A result holds its bytes until the next one is
//! asked for, so that whoever takes it works within the budget, too.
//!
//! A panic of a job becomes that job's result through [`Work::panicked`]; the other jobs continue.

use super::budget::{Budget, Permit};
use super::counters::Node;
use super::guard::{Panic, caught};
use crossbeam::channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// Number and result of a job; the error is a panic of the iterator that lists jobs.
type Done<T> = (u64, Result<T, Panic>, Permit);

/// Results of an ordered parallel map; dropping it ends the workers.
pub struct Ordered<T> {
    results: Option<Receiver<Done<T>>>,
    waiting: BTreeMap<u64, (Result<T, Panic>, Permit)>,
    next: u64,
    /// Bytes of the result that was returned last.
    held: Option<Permit>,
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
    /// Bytes its result holds, with what whoever takes it needs beside it.
    fn bytes(&self, result: &T) -> u64;
    /// The result of a job that panicked.
    fn panicked(&self, job: J, panic: &Panic) -> T;
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
    J: Clone + Send + 'static,
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
        held: None,
        budget,
        workers: threads,
        node,
    })
}

fn worker<J: Clone, T, W: Work<J, T>>(
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
            let job = match caught(|| jobs.next()) {
                Ok(None) => return,
                Ok(Some(job)) => Ok(job),
                Err(panic) => Err(panic),
            };
            (turn.fetch_add(1, Ordering::Relaxed), job)
        };
        let estimate = job.as_ref().map_or(0, |job| {
            // A job whose size cannot be known reports why when it runs.
            caught(|| work.estimate(job)).unwrap_or(0)
        });
        let blocked = Instant::now();
        let Some(mut permit) = budget.acquire(number, estimate) else {
            return;
        };
        node.blocked(blocked.elapsed());
        let listed = job.is_ok();
        let result = job.map(|job| {
            let done = caught(|| {
                let result = work.run(job.clone());
                let bytes = work.bytes(&result);
                (result, bytes)
            });
            let (result, bytes) = done.unwrap_or_else(|panic| (work.panicked(job, &panic), 0));
            permit.resize(bytes);
            result
        });
        let blocked = Instant::now();
        if sender.send((number, result, permit)).is_err() {
            return;
        }
        node.blocked(blocked.elapsed());
        if !listed {
            return;
        }
    }
}

impl<T> Iterator for Ordered<T> {
    type Item = T;

    /// The next result in order.
    ///
    /// **Panics** if the iterator that lists the jobs panicked, in the turn of the job that it did
    /// not return.
    fn next(&mut self) -> Option<T> {
        // Its taker is done with the last one.
        self.held = None;
        let starved = Instant::now();
        while !self.waiting.contains_key(&self.next) {
            let Ok((number, result, permit)) = self.results.as_ref()?.recv() else {
                break;
            };
            self.waiting.insert(number, (result, permit));
        }
        self.node.starved(starved.elapsed());
        let (result, permit) = self.waiting.remove(&self.next)?;
        self.held = Some(permit);
        self.next += 1;
        Some(result.unwrap_or_else(|panic| panic!("listing the jobs failed: {panic}")))
    }
}

impl<T> Drop for Ordered<T> {
    fn drop(&mut self) {
        self.budget.close();
        self.results = None;
        for worker in self.workers.drain(..) {
            // A panic was delivered as a result; none is left to report here.
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
        fn panicked(&self, job: u64, _: &Panic) -> (u64, u64) {
            (job, 0)
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

    struct Fails;
    impl Work<u64, Result<u64, String>> for Fails {
        fn estimate(&self, job: &u64) -> u64 {
            assert!(*job != 5, "five");
            1
        }
        fn run(&self, job: u64) -> Result<u64, String> {
            assert!(job != 3 && job != 5, "job {job}");
            Ok(job)
        }
        fn bytes(&self, result: &Result<u64, String>) -> u64 {
            assert!(*result != Ok(7), "seven");
            1
        }
        fn panicked(&self, _: u64, panic: &Panic) -> Result<u64, String> {
            Err(panic.to_string())
        }
    }

    #[test]
    fn a_panic_is_the_result_of_its_job_and_the_others_continue() {
        for workers in [1, 2, 5] {
            let jobs = 0..9u64;
            let node = Arc::default();
            let results = ordered("test", workers, Budget::new(10), jobs, Fails, node).unwrap();
            let results: Vec<_> = results.collect();
            assert_eq!(results.len(), 9, "{workers} workers");
            for (job, result) in (0u64..).zip(results) {
                match (job, result) {
                    (3 | 5, Err(text)) => assert!(text.contains(&format!("job {job}")), "{text}"),
                    (7, Err(text)) => assert!(text.contains("seven"), "{text}"),
                    (job, result) => assert_eq!(result, Ok(job)),
                }
            }
        }
    }

    #[test]
    fn a_panic_of_the_list_arrives_in_its_turn() {
        let jobs = (0..9u64).inspect(|job| assert!(*job != 3, "no order"));
        let mut results = ordered("test", 2, Budget::new(10), jobs, Slow, Arc::default()).unwrap();
        assert_eq!(results.by_ref().take(3).count(), 3);
        let panic = caught(|| results.next()).unwrap_err();
        assert!(panic.to_string().contains("no order"), "{panic}");
    }
}
