//! The batches of the next step, made while the device computes this one.

use super::super::batch::{Batch, groups, groups_of_views};
use super::super::objective::Term;
use super::{StepRows, Trainer};
use crate::volume::Row;
use std::collections::HashMap;

/// What identifies a row of a run: subject, epoch, sample, view.
type RowKey = (String, u64, u32, String);

/// Rows of the next step, and the batches that were made of them.
#[derive(Default)]
pub(super) struct Ahead {
    rows: Vec<StepRows>,
    made: HashMap<Vec<RowKey>, Batch>,
}

fn keys(rows: &[&Row]) -> Vec<RowKey> {
    let key = |row: &&Row| (row.subject.clone(), row.epoch, row.sample, row.view.clone());
    rows.iter().map(key).collect()
}

impl Ahead {
    /// Whether no batch is there.
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

impl Trainer {
    /// Tells which rows the step after the next call of [`train`](Self::train) will get: their tensors
    /// are made while the device is busy with that call. Other rows may come all the same.
    pub fn expect(&mut self, rows: Vec<StepRows>) {
        self.ahead.rows = rows;
    }

    /// Makes the batches of the expected rows. What does not fit is reported by its own step.
    pub(super) fn prepare_ahead(&mut self) {
        self.ahead.made.clear();
        let rows = std::mem::take(&mut self.ahead.rows);
        let weights = self.weights();
        let of_unlabelled = Term::ALL.iter().filter(|t| **t != Term::Supervised);
        let unlabelled = of_unlabelled.map(|t| weights[*t]).sum::<f64>() > 0.0;
        let strong = (self.config.objective.first(Term::looks_at_strong_views)).is_some();
        for rows in &rows {
            for group in groups(&rows.labelled) {
                self.prepare(group.iter().map(|&i| &rows.labelled[i]));
            }
            for group in groups_of_views(&rows.unlabelled) {
                if !unlabelled {
                    continue;
                }
                let of = |&i: &usize| &rows.unlabelled[i];
                self.prepare(group.iter().map(|i| &of(i).0));
                let views = if strong { of(&group[0]).1.len() } else { 0 };
                for view in 0..views {
                    self.prepare(group.iter().map(|i| &of(i).1[view]));
                }
            }
        }
    }

    fn prepare<'a>(&mut self, rows: impl Iterator<Item = &'a Row>) {
        let rows: Vec<&Row> = rows.collect();
        if let Ok(batch) = self.collated(&rows) {
            self.ahead.made.insert(keys(&rows), batch);
        }
    }
}
