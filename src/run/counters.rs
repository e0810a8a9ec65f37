//! What every node of a run counts: rows, bytes, busy, starved and blocked time.

use super::tap::Tap;
use crate::sink::EdgeRow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counters of one node; written by many threads.
#[derive(Debug, Default)]
pub struct Node {
    rows: AtomicU64,
    bytes: AtomicU64,
    busy: AtomicU64,
    starved: AtomicU64,
    blocked: AtomicU64,
    failures: AtomicU64,
    tap: Tap,
}

fn add(counter: &AtomicU64, time: Duration) {
    counter.fetch_add(time.as_nanos() as u64, Relaxed);
}

impl Node {
    /// Counts rows that left the node.
    pub fn passed(&self, rows: usize, bytes: usize) {
        self.rows.fetch_add(rows as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Where the rows that leave the node can be looked at.
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    /// Counts a subject that failed here.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// Runs `work` and counts its time as busy.
    pub fn busy<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        add(&self.busy, start.elapsed());
        result
    }

    /// Counts time spent at work.
    pub fn worked(&self, time: Duration) {
        add(&self.busy, time);
    }

    /// Counts time spent waiting for input.
    pub fn starved(&self, time: Duration) {
        add(&self.starved, time);
    }

    /// Counts time spent waiting for room behind the node.
    pub fn blocked(&self, time: Duration) {
        add(&self.blocked, time);
    }
}

/// One node's counters at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeCounts {
    /// Stage path, `source`, `train`, ….
    pub node: String,
    /// Rows that left it.
    pub rows: u64,
    /// Bytes of voxels in them.
    pub bytes: u64,
    /// Time at work, summed over threads.
    pub busy: Duration,
    /// Time waiting for input.
    pub starved: Duration,
    /// Time waiting for room.
    pub blocked: Duration,
    /// Subjects that failed in it.
    pub failures: u64,
}

impl From<EdgeRow> for NodeCounts {
    /// A row of the table `edges`; negative counts and times, which no run writes, become 0.
    fn from(row: EdgeRow) -> Self {
        let count = |n: i64| u64::try_from(n).unwrap_or_default();
        let time = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Self {
            rows: count(row.rows),
            bytes: count(row.bytes),
            busy: time(row.busy_seconds),
            starved: time(row.starved_seconds),
            blocked: time(row.blocked_seconds),
            failures: count(row.failures),
            node: row.node,
        }
    }
}

impl From<NodeCounts> for EdgeRow {
    fn from(counts: NodeCounts) -> Self {
        Self {
            node: counts.node,
            rows: counts.rows as i64,
            bytes: counts.bytes as i64,
            busy_seconds: counts.busy.as_secs_f64(),
            starved_seconds: counts.starved.as_secs_f64(),
            blocked_seconds: counts.blocked.as_secs_f64(),
            failures: counts.failures as i64,
        }
    }
}

/// All nodes of a run, in the order of their first use.
#[derive(Debug, Default, Clone)]
pub struct Counters(Arc<Mutex<NamedNodes>>);

/// Nodes in the order of their first use.
type NamedNodes = Vec<(String, Arc<Node>)>;

impl Counters {
    /// The node of that name; made at the first call.
    pub fn node(&self, name: &str) -> Arc<Node> {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, node)) = nodes.iter().find(|(n, _)| n == name) {
            return Arc::clone(node);
        }
        let node = Arc::new(Node::default());
        nodes.push((name.to_owned(), Arc::clone(&node)));
        node
    }

    /// The node of that name, if it was made.
    pub fn find(&self, name: &str) -> Option<Arc<Node>> {
        let nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = nodes.iter().find(|(n, _)| n == name);
        found.map(|(_, node)| Arc::clone(node))
    }

    /// Every node's counters now.
    pub fn snapshot(&self) -> Vec<NodeCounts> {
        self.read(|counter| counter.load(Relaxed))
    }

    /// Every node's counters, which begin at 0 again.
    pub fn take(&self) -> Vec<NodeCounts> {
        self.read(|counter| counter.swap(0, Relaxed))
    }

    /// Adds what a node of the same name counted in another process.
    pub fn add(&self, counts: &NodeCounts) {
        let node = self.node(&counts.node);
        node.passed(counts.rows as usize, counts.bytes as usize);
        node.worked(counts.busy);
        node.starved(counts.starved);
        node.blocked(counts.blocked);
        node.failures.fetch_add(counts.failures, Relaxed);
    }

    fn read(&self, number: impl Fn(&AtomicU64) -> u64) -> Vec<NodeCounts> {
        let nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let time = |counter| Duration::from_nanos(number(counter));
        nodes
            .iter()
            .map(|(name, n)| NodeCounts {
                node: name.clone(),
                rows: number(&n.rows),
                bytes: number(&n.bytes),
                busy: time(&n.busy),
                starved: time(&n.starved),
                blocked: time(&n.blocked),
                failures: number(&n.failures),
            })
            .collect()
    }
}
