//! Commit records that cannot be read: named, and removed once somebody decides so.

use super::{INDEX, Ledger, remove};
use crate::sink::{SinkError, causes};
use std::path::PathBuf;

/// A commit record that cannot be read. Whatever part it names does not exist for readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRecord {
    /// The part, or `merged` for the index of merged parts.
    pub part: String,
    /// The record.
    pub path: PathBuf,
    /// Why it cannot be read.
    pub problem: String,
}

impl DamagedRecord {
    /// Returns `true` if it is the index, which names many parts.
    pub fn is_index(&self) -> bool {
        self.part == INDEX
    }
}

/// The causes of an error without its own words, which name the file.
fn reason(error: &SinkError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| causes(error), causes)
}

impl Ledger {
    /// Commit records that cannot be read, in the order of their names.
    pub fn damaged(&self) -> &[DamagedRecord] {
        &self.damaged
    }

    /// Removes the commit records that cannot be read, and returns them. The files that they name are removed
    /// by [`Ledger::sweep`].
    ///
    /// **Errors** if one cannot be removed.
    pub fn drop_damaged(&mut self) -> Result<Vec<DamagedRecord>, SinkError> {
        for record in &self.damaged {
            remove(&record.path)?;
        }
        Ok(std::mem::take(&mut self.damaged))
    }

    /// Notes a record that cannot be read.
    ///
    /// **Errors** with `error` if its bytes are not at fault: another try may read it.
    pub(super) fn note_damaged(&mut self, part: &str, error: SinkError) -> Result<(), SinkError> {
        if !error.is_damage() {
            return Err(error);
        }
        self.damaged.push(DamagedRecord {
            part: part.to_owned(),
            path: self.record(part),
            problem: reason(&error),
        });
        Ok(())
    }

    /// Refuses a ledger that does not know of every part.
    ///
    /// **Errors** with the first record that cannot be read, and what to do.
    pub(super) fn refuse_damaged(&self) -> Result<(), SinkError> {
        match self.damaged.first() {
            None => Ok(()),
            Some(record) => Err(SinkError::Record {
                path: record.path.clone(),
                run: self.folder.clone(),
                problem: record.problem.clone(),
            }),
        }
    }
}
