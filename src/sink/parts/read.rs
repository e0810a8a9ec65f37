//! Reads commit records: all of a run, those that are new, or that of one part.

use super::set::PartSet;
use super::{INDEX, Ledger, RECORDS, files_in, record};
use crate::sink::{PartRow, SinkError};
use crate::store;
use std::collections::BTreeSet;
use std::path::Path;

impl Ledger {
    /// Reads the commit records of a run; there are none in a new folder.
    ///
    /// **Errors** if a record is damaged or the folder cannot be read.
    pub fn open(run: &Path) -> Result<Self, SinkError> {
        let ledger = Self::survey(run)?;
        ledger.refuse_damaged()?;
        Ok(ledger)
    }

    /// Reads the commit records of a run that can be read; the others are [`Ledger::damaged`].
    ///
    /// **Errors** if the folder cannot be read, or a record for another reason than damage.
    pub fn survey(run: &Path) -> Result<Self, SinkError> {
        let of_store = match store::is_url(run) {
            true => Some(files_in(run)?.into_iter().collect()),
            false => None,
        };
        let mut ledger = Self {
            folder: run.to_owned(),
            parts: PartSet::default(),
            damaged: Vec::new(),
            left: BTreeSet::new(),
            of_store,
        };
        ledger.read_records()?;
        // Behind the records: what was merged while they were read is found here.
        ledger.read_index()?;
        // The index counts more than the record of a part, whatever that one holds.
        let parts = &ledger.parts;
        ledger
            .damaged
            .retain(|record| parts.get(&record.part).is_none());
        Ok(ledger)
    }

    /// Reads the index of merged parts; what it says of a part counts, and not a record of that part, which
    /// an interrupted start left.
    fn read_index(&mut self) -> Result<(), SinkError> {
        let rows = match record::read(&self.record(INDEX)) {
            Err(e) if e.is_absent() => return Ok(()),
            Err(e) => return self.note_damaged(INDEX, e),
            Ok(rows) => rows,
        };
        rows.into_iter().for_each(|row| self.add(row));
        Ok(())
    }

    /// A ledger that knows of one part alone, if it is committed: for a process that makes it.
    ///
    /// **Errors** if its record is damaged.
    pub fn of_part(run: &Path, part: &str) -> Result<Self, SinkError> {
        let mut ledger = Self {
            folder: run.to_owned(),
            parts: PartSet::default(),
            damaged: Vec::new(),
            left: BTreeSet::new(),
            of_store: None,
        };
        ledger.read_one(part)?;
        Ok(ledger)
    }

    /// Reads the records that were committed since the ledger was opened or this was called, and returns
    /// them.
    ///
    /// **Errors** if a record is damaged or the folder cannot be read.
    pub fn read_new(&mut self) -> Result<Vec<PartRow>, SinkError> {
        let new = self.read_records()?;
        self.refuse_damaged()?;
        Ok(new)
    }

    fn read_records(&mut self) -> Result<Vec<PartRow>, SinkError> {
        let mut records = files_in(&self.folder.join(RECORDS))?;
        records.retain(|path| {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            stem.is_none_or(|stem| stem != INDEX && self.parts.get(stem).is_none())
        });
        let in_store = store::is_url(&self.folder);
        let read: Vec<_> = match in_store {
            true => store::many(&records, |path| record::read(path)),
            false => records.iter().map(|path| record::read(path)).collect(),
        };
        let mut new = Vec::new();
        self.damaged.clear();
        for (path, rows) in records.iter().zip(read) {
            match rows {
                Ok(rows) => new.extend(rows),
                // Removed since it was listed: merged, or made again.
                Err(e) if e.is_absent() => {}
                Err(e) => {
                    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                    self.note_damaged(&stem, e)?;
                }
            }
        }
        new.iter().for_each(|row| self.add(row.clone()));
        Ok(new)
    }

    /// Reads the record of one part, whether a list of its folder names it or not; `None` if it is not
    /// committed.
    ///
    /// **Errors** if the record is damaged.
    pub fn read_one(&mut self, part: &str) -> Result<Option<PartRow>, SinkError> {
        let rows = match record::read(&self.record(part)) {
            Err(e) if e.is_absent() => return Ok(None),
            rows => rows?,
        };
        let row = rows.into_iter().find(|row| row.part == part);
        row.iter().for_each(|row| self.add(row.clone()));
        Ok(row)
    }

    /// The commit record of a part, if the ledger knows of it.
    pub fn record_of(&self, part: &str) -> Option<&PartRow> {
        self.parts.get(part)
    }
}
