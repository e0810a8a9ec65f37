//! What a query may take, and what it answered.

use arrow::array::RecordBatch;
use datafusion::physical_plan::ExecutionPlan;
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

/// Bytes of a batch's own rows; buffers that it shares with others count once for each.
pub(super) fn batch_bytes(batch: &RecordBatch) -> u64 {
    let columns = batch.columns().iter();
    let sizes = columns.map(|c| c.to_data().get_slice_memory_size().unwrap_or(0));
    sizes.sum::<usize>() as u64
}

/// Bytes of columns that the scans of a plan have read.
pub(super) fn bytes_read(plan: &dyn ExecutionPlan) -> u64 {
    let own = plan.metrics().and_then(|m| m.sum_by_name("bytes_scanned"));
    let own = own.map_or(0, |value| value.as_usize() as u64);
    let children = plan.children().into_iter();
    own + children
        .map(|child| bytes_read(child.as_ref()))
        .sum::<u64>()
}
