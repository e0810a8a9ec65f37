//! Rows of the small tables of neighbouring parts, written into files that the parts share.
//!
//! **Law** at every instant each row of a committed part is in exactly one file that the ledger names:
//!
//! 1. the shared files are written; nothing names them yet,
//! 2. the index is replaced, which is one rename or one request: from here on it counts,
//! 3. commit records of the parts in the index are removed; the index counts more than they do,
//! 4. files that nothing names any more are removed.
//!
//! What a process that ends between two steps leaves behind is removed by [`Ledger::sweep`].

use super::writer::digest_of;
use super::{INDEX, Ledger, MERGED, PartFile, RECORDS, SMALL, name_of, record, remove};
use crate::sink::parquet::{TableWriter, for_each_batch, sync_folder};
use crate::sink::{PartRow, SinkError};
use crate::store;
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use std::collections::BTreeSet;
use std::path::Path;

/// Parts whose rows are in other files than before, once the index says so.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// The parts, with their new files.
    pub(super) rows: Vec<PartRow>,
    /// Parts that are in the index and do not exist any more.
    pub(super) gone: BTreeSet<String>,
    /// Files below the run folder that had the rows before.
    pub(super) replaced: BTreeSet<String>,
}

impl Merged {
    /// Adds neighbouring parts, whose rows go into one file a table. If `cut`, those files hold rows of
    /// other parts too, which are left behind.
    ///
    /// **Errors** if a file cannot be read or written, or tables of the parts have different columns.
    pub(super) fn add(
        &mut self,
        folder: &Path,
        parts: &[PartRow],
        cut: bool,
    ) -> Result<(), SinkError> {
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
            return Ok(());
        };
        let (stem, mut shared) = (merged_name(parts), Vec::new());
        for table in SMALL {
            let path = format!("{table}/{stem}.parquet");
            let files = parts.iter().filter_map(|row| row.file_of(table));
            let mut files: Vec<&str> = files.map(|file| file.path).collect();
            files.dedup();
            self.replaced
                .extend(files.iter().map(|file| (*file).to_owned()));
            let range = cut.then_some((&*first.first_subject, &*last.last_subject));
            shared.extend(merged_file(folder, &path, &files, range)?);
        }
        self.rows.extend(parts.iter().map(|row| {
            let own = (row.files.iter()).filter(|text| !is_small(text));
            let files = own.chain(&shared).cloned().collect();
            PartRow {
                files,
                ..row.clone()
            }
        }));
        Ok(())
    }
}

impl Ledger {
    /// Replaces the index by one with the new files of parts.
    ///
    /// **Errors** if it cannot be written; the ledger is as it was then.
    pub(super) fn write_index(&mut self, merged: &Merged) -> Result<(), SinkError> {
        let mut parts = self.parts.clone();
        merged.gone.iter().for_each(|part| parts.remove(part));
        merged.rows.iter().for_each(|row| parts.insert(row.clone()));
        let rows: Vec<PartRow> = (parts.in_order().filter(|r| r.is_merged()))
            .cloned()
            .collect();
        self.sync(&SMALL)?;
        let index = self.record(INDEX);
        match rows.is_empty() {
            true => remove(&index)?,
            false => record::write(&index, rows)?,
        }
        self.parts = parts;
        // What the index replaces is removed once it survives a crash of the machine.
        self.sync(&[RECORDS])
    }

    /// Removes the records that the index replaces, then the files that nothing names any more.
    ///
    /// **Errors** if one cannot be removed; the tables are right all the same.
    pub(super) fn remove_replaced(&self, merged: &Merged) -> Result<(), SinkError> {
        let records: Vec<_> = (merged.rows.iter().map(|row| &row.part))
            .chain(&merged.gone)
            .map(|part| self.record(part))
            .collect();
        let files: Vec<_> = (merged.replaced.iter().map(|file| self.folder.join(file))).collect();
        for paths in [records, files] {
            match self.of_store {
                Some(_) => (store::many(&paths, |path| remove(path)).into_iter()).collect(),
                None => paths.iter().try_for_each(|path| remove(path)),
            }?;
        }
        Ok(())
    }

    /// Makes the names in folders of tables survive a crash of the machine.
    fn sync(&self, tables: &[&str]) -> Result<(), SinkError> {
        if self.of_store.is_some() {
            return Ok(());
        }
        let folders = tables.iter().map(|table| self.folder.join(table));
        let mut folders = folders.filter(|folder| folder.is_dir());
        folders.try_for_each(|folder| sync_folder(&folder))
    }
}

/// The name of the files of parts that share them; other parts, or other attempts at them, have another.
fn merged_name(parts: &[PartRow]) -> String {
    let mut hasher = blake3::Hasher::new();
    for row in parts {
        for text in [&row.part, &row.committed] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    let first = parts.first().map_or("", |row| &row.first_subject);
    name_of(MERGED, first, &hasher.finalize().to_hex())
}

/// Returns `true` if a commit record names a file of a small table by this text.
fn is_small(text: &str) -> bool {
    let file = PartFile::parse(text).and_then(|file| file.of_table());
    file.is_some_and(|(table, _)| SMALL.contains(&table))
}

/// Writes the rows of files, those of the subjects between two ids if they are given, into one file; returns
/// how commit records name it, or `None` if there is no row.
fn merged_file(
    folder: &Path,
    path: &str,
    files: &[&str],
    range: Option<(&str, &str)>,
) -> Result<Option<String>, SinkError> {
    let (to, mut writer) = (folder.join(path), None);
    for file in files {
        for_each_batch(&folder.join(file), |batch| {
            let batch = match range {
                Some(range) => between(&batch, range)?,
                None => batch,
            };
            if batch.num_rows() == 0 {
                return Ok(());
            }
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(TableWriter::create(&to, batch.schema())?),
            };
            writer.write(&batch)
        })?;
    }
    let Some(writer) = writer else {
        return Ok(None);
    };
    let receipt = writer.close()?;
    let (digest, bytes) = match receipt.digest {
        Some(digest) => (digest, receipt.bytes),
        None => digest_of(&to)?,
    };
    let (path, digest) = (path, &*digest);
    let file = PartFile {
        path,
        bytes,
        digest,
    };
    Ok(Some(file.to_string()))
}

/// The rows of subjects between two ids, both included.
fn between(batch: &RecordBatch, (first, last): (&str, &str)) -> Result<RecordBatch, SinkError> {
    let problem = |problem: String| SinkError::Rows { problem };
    let column = batch.column_by_name("subject_id");
    let ids = column.and_then(|column| column.as_string_opt::<i32>());
    let ids = ids.ok_or_else(|| problem("a table of a part has no column `subject_id`".into()))?;
    let keep: BooleanArray = (ids.iter())
        .map(|id| id.map(|id| first <= id && id <= last))
        .collect();
    filter_record_batch(batch, &keep).map_err(|e| problem(format!("rows of a part: {e}")))
}
