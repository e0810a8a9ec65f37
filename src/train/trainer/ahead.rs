//! The batches of the next step, made while the device computes this one.

use super::super::batch::{Batch, StepRows};
use crate::volume::Row;
use std::collections::HashMap;

/// What identifies a row of a run: subject, epoch, sample, view.
pub(super) type RowKey = (String, u64, u32, String);

/// Rows of the next step, and the batches that were made of them.
#[derive(Default)]
pub(super) struct Ahead {
    pub(super) rows: Vec<StepRows>,
    pub(super) made: HashMap<Vec<RowKey>, Batch>,
}

/// What identifies these rows.
pub(super) fn keys(rows: &[&Row]) -> Vec<RowKey> {
    let key = |row: &&Row| (row.subject.clone(), row.epoch, row.sample, row.view.clone());
    rows.iter().map(key).collect()
}

impl Ahead {
    /// Returns `true` if no batch is there.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// The batch of these rows, if it was made.
    pub(super) fn take(&mut self, rows: &[&Row]) -> Option<Batch> {
        match self.made.is_empty() {
            true => None,
            false => self.made.remove(&keys(rows)),
        }
    }
}
