//! What a query may take, and what it answered.

use arrow::array::RecordBatch;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What a query may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes for sorts, joins, decoded volumes and the answer, each.
    pub memory: u64,
    /// Set from another thread to stop the statement that runs.
    pub stop: Arc<AtomicBool>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 4 << 30,
            stop: Arc::default(),
        }
    }
}

/// What a statement answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The rows; at least one batch.
    pub batches: Vec<RecordBatch>,
    /// What it took.
    pub stats: Stats,
}

/// What a statement took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stats {
    /// Rows of the answer.
    pub rows: usize,
    /// Bytes of columns that were read from files, compressed; without footers.
    pub bytes_read: u64,
    /// Time from the statement to its last row.
    pub time: Duration,
}
