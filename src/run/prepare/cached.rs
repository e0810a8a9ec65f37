//! Prepared rows by way of the cache, whose entries may turn out damaged while they are read.

use super::Preparer;
use crate::cache::Damage;
use crate::run::failure::Failure;
use crate::run::kept::KeptRow;
use crate::volume::{Row, Warning, WarningKind};
use std::sync::PoisonError;

/// How much of a prepared row is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Every voxel: all are checked before work begins.
    Whole,
    /// Parts: they are checked as they are read, and work is repeated if one of them is damaged.
    Parts,
}

impl Preparer {
    /// The one prepared row of a subject, kept from an earlier epoch or run where it is; `None`
    /// where a step left it out. Every voxel of it is checked.
    ///
    /// **Errors** as [`Preparer::rows`]; a chain that makes several rows is one.
    pub fn prepared(&self, index: usize, epoch: u64) -> Result<Option<Row>, Failure> {
        self.with_prepared(index, epoch, Reading::Whole, Ok)
    }

    /// Calls `work` with [`Preparer::prepared`]'s row.
    ///
    /// **Law** no result of damaged voxels is returned: if an entry of the cache turns out damaged
    /// until `work` has ended, it is removed and reported, the subject is prepared again, and `work`
    /// is called again. What `work` returns must not read the row's voxels for the first time later.
    ///
    /// **Errors** as [`Preparer::prepared`], and those of `work`.
    pub fn with_prepared<T>(
        &self,
        index: usize,
        epoch: u64,
        reading: Reading,
        mut work: impl FnMut(Row) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        loop {
            if self.is_left_out(index) {
                return Ok(None);
            }
            // Before anything is held: a suspected subject waits until it is alone.
            let id = &self.subject(index).id;
            let attempt = self.attempts.get().map(|attempts| attempts.begin_view(id));
            let _attempt = attempt.transpose().or_else(|failure| self.fail(failure))?;
            // A kept row was made under the policy of its day.
            self.estimate(index).or_else(|failure| self.fail(failure))?;
            let kept = match self.kept.get(index) {
                Ok(Some(kept)) => kept,
                Ok(None) => match self.prepare_and_keep(index, epoch)? {
                    Some(kept) => kept,
                    None => return Ok(None),
                },
                Err(damage) => {
                    self.drop_damaged(index, &damage);
                    continue;
                }
            };
            let KeptRow { mut row, file } = kept;
            let damage = || file.as_ref().and_then(|file| file.damage());
            row.epoch = epoch;
            self.add_header_warnings(index, &mut row);
            let rows = self.last_steps(index, row, reading);
            // What is noted of a subject below is noted once, so it must not come from damage.
            if let Some(damage) = damage() {
                self.drop_damaged(index, &damage);
                continue;
            }
            let mut row = self.one(index, rows?)?;
            if let Some(row) = &mut row {
                self.check_classes(index, row)?;
            }
            let done = row.map(&mut work).transpose();
            match damage() {
                None => return done,
                Some(damage) => self.drop_damaged(index, &damage),
            }
        }
    }

    /// Prepares a subject up to the cut and keeps its row; `None` where a step left it out.
    fn prepare_and_keep(&self, index: usize, epoch: u64) -> Result<Option<KeptRow>, Failure> {
        let id = &self.subject(index).id;
        let attempt = self.attempts.get().map(|attempts| attempts.begin(id));
        let _attempt = attempt.transpose().or_else(|failure| self.fail(failure))?;
        // Two streams have a budget each; nothing is waited for while this is held.
        let _held = self.preparing.reserve(self.estimate(index)?);
        let rows = self.first_rows(index, epoch, self.cut)?;
        let Some(row) = self.one(index, rows)? else {
            return Ok(None);
        };
        row.verify()
            .map_err(|e| Failure::from_error(&row.subject, "cache", &e))?;
        // Found before voxels are warped or cut, once for all epochs.
        Ok(Some(self.kept.put(index, row.with_sites())))
    }

    /// The steps behind the cut; every voxel that `reading` and the checks of a subject ask for was
    /// read when it returns.
    fn last_steps(&self, index: usize, row: Row, reading: Reading) -> Result<Vec<Row>, Failure> {
        let rows = (self.stages).run_steps(row, self.cut..self.stages.steps().len())?;
        for row in &rows {
            match reading {
                Reading::Whole => row.check_bytes(),
                Reading::Parts if self.checks_classes(index, row) => row.check_label_bytes(),
                Reading::Parts => {}
            }
        }
        Ok(rows)
    }

    /// Removes a damaged entry and reports it.
    fn drop_damaged(&self, index: usize, damage: &Damage) {
        self.kept.remove(index, damage);
        let warning = Warning {
            stage: "cache".to_owned(),
            modality: None,
            kind: WarningKind::DamagedEntry,
            message: format!(
                "{damage}; the entry was removed and the subject prepared again, so no result depends on it"
            ),
        };
        self.warnings.add(Some(&self.subject(index).id), &warning);
    }

    /// Returns `true` if the labels of a row are still to be looked at as a whole.
    fn checks_classes(&self, index: usize, row: &Row) -> bool {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        self.needs_classes(row) && !checked.contains_key(&index)
    }
}
