//! Records which views a training took: the table `views`, a file for each checkpoint.
//!
//! A file is named by the steps that were done when it was written, and is written before the checkpoint of
//! that step. So a run that goes on from a checkpoint removes the files of later steps and writes their
//! rows again.

use super::context::RunContext;
use super::expect::digest;
use crate::error::Error;
use crate::sink::{TableRow as _, ViewRow, write_table};
use crate::store::{self, Entry};
use crate::train::trainer::StepRows;
use crate::volume::Row;
use std::io::ErrorKind;
use std::path::PathBuf;

/// The views of a training that are not written yet.
#[derive(Debug)]
pub(super) struct Recorder {
    folder: PathBuf,
    every: u64,
    rows: Vec<ViewRow>,
}

impl Recorder {
    /// Records the views of a run that goes on behind `step`; `None` if its pipeline does not ask for it.
    ///
    /// **Errors** if files of later steps cannot be removed.
    pub(super) fn start(cx: &RunContext, step: u64) -> Result<Option<Self>, Error> {
        let Some(section) = &cx.plan.pipeline.sinks.views else {
            return Ok(None);
        };
        let recorder = Self {
            folder: cx.folder.join(ViewRow::TABLE.name),
            every: section.every.get(),
            rows: Vec::new(),
        };
        recorder.remove_behind(step)?;
        Ok(Some(recorder))
    }

    fn remove_behind(&self, step: u64) -> Result<(), Error> {
        let entries = match store::list(&self.folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(Error::io(&self.folder, "listing the folder"))?,
        };
        for Entry { path, .. } in entries {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let written: Option<u64> = stem.and_then(|stem| stem.parse().ok());
            if written.is_some_and(|written| written > step) {
                let remove = store::remove(&path);
                remove.map_err(Error::io(&path, "removing the views of later steps"))?;
            }
        }
        Ok(())
    }

    /// Records the rows of an optimiser step, counted from 1, if it is one of those that are recorded.
    pub(super) fn add(&mut self, step: u64, batches: &[StepRows]) {
        if !(step - 1).is_multiple_of(self.every) {
            return;
        }
        for batch in batches {
            let both = batch.unlabelled.iter();
            let both = both.flat_map(|(weak, strong)| std::iter::once(weak).chain(strong));
            let rows = batch.labelled.iter().chain(both);
            self.rows.extend(rows.map(|row| recorded(step, row)));
        }
    }

    /// Writes what was recorded since the last call, when so many steps are done.
    ///
    /// **Errors** if the table cannot be written.
    pub(super) fn write(&mut self, step: u64) -> Result<(), Error> {
        if !self.rows.is_empty() {
            write_table(&self.folder.join(format!("{step:010}.parquet")), &self.rows)?;
            self.rows.clear();
        }
        Ok(())
    }
}

/// What the table says of a row.
fn recorded(step: u64, row: &Row) -> ViewRow {
    let columns = row.columns();
    let digests = columns.map(|(column, _, volume)| (column, digest(volume)));
    ViewRow {
        step: step as i64,
        subject_id: row.subject.clone(),
        epoch: row.epoch as i64,
        sample: row.sample as i32,
        view: row.view.clone(),
        draws: serde_json::to_string(&row.draws).expect("draws are plain JSON values"),
        digests: digests.collect(),
    }
}
