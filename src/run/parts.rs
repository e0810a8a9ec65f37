//! The parts of one run: which are committed, which is being written, which are removed.

use super::attempts::{Again, Attempts};
use super::context::RunContext;
use super::counters::NodeCounts;
use super::cut::Stretch;
use super::folder::InParts;
use crate::error::Error;
use crate::sink::parts::{Attempt, DamagedRecord};
use crate::sink::{
    EdgeRow, FailureRow, Ledger, PartRow, PartWriter, TableRow, WarningRow, causes, write_table,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// The parts of a run under way.
pub(super) struct Parts {
    run: PathBuf,
    ledger: Ledger,
    attempt: Attempt,
    pending: Option<PartWriter>,
    attempts: Arc<Attempts>,
    /// Returns `true` if parts in which a subject failed are made again.
    retry_failed: bool,
    /// Parts that belong to the run: made, or found again.
    names: BTreeSet<String>,
    /// Whether the commit record of a part has what nodes counted, for the process that holds the run.
    counts_nodes: bool,
}

impl Parts {
    /// Opens the ledger of a run, removes what an interrupted start had not committed, and writes
    /// the tables of what concerns the run as a whole.
    ///
    /// **Errors** if the folder cannot be read or written.
    pub(super) fn open(cx: &RunContext) -> Result<Self, Error> {
        let run = cx.folder.path.clone();
        let mut ledger = Ledger::survey(&run)?;
        for DamagedRecord { path, problem, .. } in ledger.drop_damaged()? {
            tracing::warn!(record = %path.display(), reason = %problem, "a commit record could not be read and was removed: what it names is made again");
        }
        let swept = ledger.sweep(true)?;
        if !swept.is_empty() {
            tracing::info!(
                files = swept.len(),
                "removed what an interrupted start had not committed"
            );
        }
        write_table::<FailureRow>(&run.join(FailureRow::TABLE.file_name()), &[])?;
        let warnings = cx.preparer.warnings().rows();
        write_table(&run.join(WarningRow::TABLE.file_name()), &warnings)?;
        let attempt = Attempt {
            host: sysinfo::System::host_name().unwrap_or_default(),
            number: cx.folder.starts,
        };
        let attempts = Attempts::open(&run, None, Again::Part, cx.retry_failed)?;
        Ok(Self {
            run,
            ledger,
            attempt,
            pending: None,
            attempts: Arc::new(attempts),
            retry_failed: cx.retry_failed,
            names: BTreeSet::new(),
            counts_nodes: false,
        })
    }

    /// The attempts at subjects.
    pub(super) fn attempts(&self) -> Arc<Attempts> {
        Arc::clone(&self.attempts)
    }

    /// Names of the parts that an earlier start committed, whose files are there and in which no subject
    /// is to be tried again; each with the number of subjects that failed in it.
    pub(super) fn committed(&self) -> BTreeMap<String, u64> {
        let whole = self.ledger.whole_parts();
        let stays = |row: &&PartRow| row.retry == 0 && !(self.retry_failed && row.failures > 0);
        let whole = whole.into_iter().filter(stays);
        let failures = |n: i64| u64::try_from(n).unwrap_or(0);
        whole
            .map(|row| (row.part.clone(), failures(row.failures)))
            .collect()
    }

    /// Keeps parts of an earlier start.
    pub(super) fn keep(&mut self, names: impl IntoIterator<Item = String>) {
        self.names.extend(names);
    }

    /// The part of a stretch; parts of other inputs in its place are removed when it begins.
    ///
    /// **Errors** if one of their files cannot be removed.
    pub(super) fn writer(
        &mut self,
        cx: &RunContext,
        stretch: &Stretch,
    ) -> Result<&mut PartWriter, Error> {
        let part = match self.pending.take() {
            Some(part) => part,
            None => {
                self.retire(cx, stretch)?;
                PartWriter::new(&self.run, &stretch.name, &stretch.digest, &self.attempt)
            }
        };
        Ok(self.pending.insert(part))
    }

    /// Removes parts of other inputs in the place of a stretch, before it is made.
    ///
    /// **Errors** if one of their files cannot be removed.
    pub(super) fn retire(&mut self, cx: &RunContext, stretch: &Stretch) -> Result<(), Error> {
        let id = |index: Option<&usize>| index.map(|i| cx.preparer.subject(*i).id.as_str());
        let (first, last) = (id(stretch.subjects.first()), id(stretch.subjects.last()));
        if let (Some(first), Some(last)) = (first, last) {
            self.ledger.retire(first, last)?;
        }
        Ok(())
    }

    /// Commits the part of a stretch, all subjects of which are in it.
    ///
    /// **Errors** if a file cannot be written, or another process has taken the run over.
    pub(super) fn commit(&mut self, cx: &RunContext, stretch: &Stretch) -> Result<(), Error> {
        cx.folder.check_held()?;
        if let Some(mut part) = self.pending.take() {
            // Files that vanished and come back as they were do not change the name of the part.
            if !part.failures().is_empty() && stretch.has_changed(&cx.preparer) {
                part.retry_later();
            }
            if self.counts_nodes {
                part.add_nodes(cx.counters.take().into_iter().map(as_json).collect());
            }
            part.commit(&mut self.ledger)?;
            self.names.insert(stretch.name.clone());
        }
        Ok(())
    }

    /// Ends the run: removes parts that it does not contain any more, and merges small tables of many parts.
    /// If the run failed, the part that was being written is lost, but the failures of its subjects are
    /// written to the run's `failures`.
    ///
    /// **Errors** those of the run, if a file cannot be removed, or another process has taken the run over.
    pub(super) fn close(mut self, cx: &RunContext, done: Result<(), Error>) -> Result<(), Error> {
        if let (Err(_), Some(part)) = (&done, &self.pending) {
            let path = self.run.join(FailureRow::TABLE.file_name());
            if let Err(unwritten) = write_table(&path, part.failures()) {
                tracing::warn!(reason = %unwritten, "the failures of the last part could not be written");
            }
        }
        done?;
        cx.folder.check_held()?;
        let before = self.ledger.parts().len();
        self.ledger.retain(&self.names)?;
        let parts = self.ledger.parts();
        cx.folder.in_parts(InParts {
            parts: parts.len() as u64,
            subjects: (parts.iter().map(|row| row.subjects.unsigned_abs())).sum(),
        });
        let removed = before - self.ledger.parts().len();
        if removed > 0 {
            tracing::warn!(
                parts = removed,
                "removed parts of subjects that the cohort does not have any more"
            );
        }
        self.attempts.close()?;
        self.compact();
        Ok(())
    }

    /// Merges the small tables of many parts. The run is complete without it, so what goes wrong is a
    /// warning, and the next start tries again.
    fn compact(&mut self) {
        match self.ledger.compact() {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "small files of tables were merged: so many fewer"),
            Err(e) => {
                tracing::warn!(
                    reason = %causes(&e),
                    "the small files of the tables were not merged; the tables are complete as they are"
                );
                // What was written for it takes room that others may need.
                self.ledger.sweep(true).ok();
            }
        }
    }
}

/// What a node counted, as a commit record has it.
fn as_json(counts: NodeCounts) -> String {
    serde_json::to_string(&EdgeRow::from(counts)).expect("a row is plain data")
}

/// What a run on many machines needs beside: one process holds the run and reads what others commit.
#[cfg(feature = "cluster")]
impl Parts {
    /// A single part of a run that another process holds, to be made here on behalf of `host`.
    ///
    /// **Errors** if the part is committed already and its record is damaged.
    pub(super) fn joined(cx: &RunContext, part: &str, host: &str) -> Result<Self, Error> {
        let run = cx.folder.path.clone();
        Ok(Self {
            ledger: Ledger::of_part(&run, part)?,
            attempts: Arc::new(Attempts::open(&run, Some(part), Again::Part, false)?),
            retry_failed: false,
            run,
            attempt: Attempt {
                host: host.to_owned(),
                number: cx.folder.starts,
            },
            pending: None,
            names: BTreeSet::new(),
            counts_nodes: true,
        })
    }

    /// Ends the attempts at the subjects of a part.
    ///
    /// **Errors** if their log cannot be written.
    pub(super) fn end_attempts(&self) -> Result<(), Error> {
        self.attempts.close()
    }

    /// The commit record of a part, if it was read or written here.
    pub(super) fn record(&self, part: &str) -> Option<&PartRow> {
        self.ledger.record_of(part)
    }

    /// Reads the records that others committed since the last call; their parts belong to the run.
    ///
    /// **Errors** if one is damaged or the folder cannot be read.
    pub(super) fn read_new(&mut self) -> Result<Vec<PartRow>, Error> {
        let new = self.ledger.read_new()?;
        self.names.extend(new.iter().map(|row| row.part.clone()));
        Ok(new)
    }

    /// Reads the record of one part, whether a list names it or not.
    ///
    /// **Errors** if it is damaged.
    pub(super) fn read_one(&mut self, part: &str) -> Result<Option<PartRow>, Error> {
        let row = self.ledger.read_one(part)?;
        self.names.extend(row.iter().map(|row| row.part.clone()));
        Ok(row)
    }
}
