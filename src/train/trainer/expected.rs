//! Makes the batches of the next step while the device computes this one.

use super::ahead::keys;
use super::{StepRows, Trainer};
use crate::train::batch::{groups, groups_of_views};
use crate::train::objective::Term;
use crate::volume::Row;

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
