//! Parts: what a run writes and commits together.
//!
//! A part holds everything a run learnt of a stretch of its subjects: one file a table,
//! `<table>/<part>.parquet`, and a **commit record**, `parts/<part>.parquet`, which is written last
//! and names every other file with its size and digest. A file without a commit record does not
//! exist for readers, and is removed when the run is resumed. So a killed run loses the part it was
//! writing and no other, and its tables can be read while it runs: each is the union of the files of
//! its committed parts, and of `<table>.parquet` where the run has something to say as a whole.
//!
//! A run may be in a store: its URL takes the place of the folder. Files of a part are uploaded when they are
//! complete, the record last, and only where there is none.
//!
//! The name of a part ends in the digest of its inputs and plan ([`part_name`]): a resumed run skips
//! the parts whose names it would write again.

mod read;
mod verify;
mod writer;

pub use verify::{Fault, verify};
pub use writer::{Attempt, PartWriter};

use super::parquet::{is_draft, read_table};
use super::{PartRow, SinkError, TableRow, file_stem, io_error};
use crate::store;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The folder of commit records, and the name of their table.
const RECORDS: &str = "parts";
/// Tables that parts may have a file of.
const TABLES: [&str; 7] = [
    "prepared",
    "predictions",
    "subjects",
    "quality",
    "scores",
    "failures",
    "warnings",
];
/// Bytes of a subject's id that a part's name shows.
const SHOWN_ID: usize = 80;

/// The name of a part: `part-<first subject>-<digest>`, so that names sort as subjects do and stay
/// when subjects are added elsewhere.
pub fn part_name(first_subject: &str, digest: &str) -> String {
    let mut stem = file_stem(first_subject);
    // An escape cut in half is still a name of its own by the digest.
    stem.truncate(SHOWN_ID);
    format!("part-{stem}-{}", &digest[..digest.len().min(12)])
}

/// The commit records of a run folder.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    parts: BTreeMap<String, PartRow>,
    /// What is in the folder itself, if it is in a store: as it was when the ledger was opened.
    of_store: Option<BTreeSet<PathBuf>>,
}

impl Ledger {
    /// The run folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every committed part, in the order of their first subjects.
    pub fn parts(&self) -> Vec<&PartRow> {
        let mut parts: Vec<&PartRow> = self.parts.values().collect();
        parts.sort_by(|a, b| a.first_subject.cmp(&b.first_subject));
        parts
    }

    /// The committed part of this name whose files are all there, by their sizes.
    pub fn whole(&self, part: &str) -> Option<&PartRow> {
        let row = self.parts.get(part)?;
        let is_there = |file: &PartFile<'_>| {
            let found = store::metadata(&self.folder.join(file.path));
            found.is_ok_and(|version| version.bytes == file.bytes)
        };
        let files: Option<Vec<_>> = row.files.iter().map(|f| PartFile::parse(f)).collect();
        files?.iter().all(is_there).then_some(row)
    }

    /// The committed parts whose files are all there, by their sizes.
    pub fn whole_parts(&self) -> Vec<&PartRow> {
        let parts = self.parts();
        let whole = |row: &&PartRow| self.whole(&row.part).is_some();
        let found: Vec<bool> = match self.of_store {
            Some(_) => store::many(&parts, whole),
            None => parts.iter().map(whole).collect(),
        };
        let kept = parts.into_iter().zip(found);
        kept.filter_map(|(row, found)| found.then_some(row))
            .collect()
    }

    /// Files of a table: that of the run as a whole, if there is one, and those of its parts.
    pub fn files(&self, table: &str) -> Vec<PathBuf> {
        let whole = self.folder.join(format!("{table}.parquet"));
        let is_there = match &self.of_store {
            Some(names) => names.contains(&whole),
            None => whole.is_file(),
        };
        let own = is_there.then_some(whole);
        if table == RECORDS {
            let records = self.parts().into_iter().map(|row| self.record(&row.part));
            return own.into_iter().chain(records).collect();
        }
        let parts = self.parts();
        let files = parts.iter().flat_map(|row| &row.files);
        let files = files.filter_map(|file| Some(PartFile::parse(file)?.path));
        let of_table = files.filter(|path| {
            let rest = path.strip_prefix(table).and_then(|r| r.strip_prefix('/'));
            rest.is_some_and(|name| !name.contains('/'))
        });
        own.into_iter()
            .chain(of_table.map(|path| self.folder.join(path)))
            .collect()
    }

    /// Reads a table of the run; empty where nothing of it is committed.
    ///
    /// **Errors** as [`read_table`].
    pub fn read<R: TableRow>(&self) -> Result<Vec<R>, SinkError> {
        let mut rows = Vec::new();
        for path in self.files(R::TABLE.name) {
            rows.extend(read_table::<R>(&path)?);
        }
        Ok(rows)
    }

    /// Removes the parts that contain a subject between `first` and `last`, both included: other
    /// parts take their place. The records go first.
    ///
    /// **Errors** if a file cannot be removed.
    pub fn retire(&mut self, first: &str, last: &str) -> Result<(), SinkError> {
        self.remove_where(|row| {
            row.first_subject.as_str() <= last && row.last_subject.as_str() >= first
        })
    }

    /// Removes every part whose name is not among `names`.
    ///
    /// **Errors** if a file cannot be removed.
    pub fn retain(&mut self, names: &BTreeSet<String>) -> Result<(), SinkError> {
        self.remove_where(|row| !names.contains(&row.part))
    }

    fn remove_where(&mut self, is_stale: impl Fn(&PartRow) -> bool) -> Result<(), SinkError> {
        let stale: Vec<String> = (self.parts.values().filter(|row| is_stale(row)))
            .map(|row| row.part.clone())
            .collect();
        for name in stale {
            remove(&self.record(&name))?;
            self.parts.remove(&name);
            for table in TABLES {
                remove(&self.folder.join(table).join(format!("{name}.parquet")))?;
            }
        }
        Ok(())
    }

    /// Adds a part that was just committed.
    pub(super) fn add(&mut self, row: PartRow) {
        self.parts.insert(row.part.clone(), row);
    }

    /// Removes what an interrupted run left: files of parts that no record names, and drafts.
    /// Returns how many files went.
    ///
    /// **Errors** if the folder cannot be read or a file not be removed.
    pub fn sweep(&self) -> Result<usize, SinkError> {
        let mut removed = 0;
        for table in TABLES.into_iter().chain([RECORDS, ""]) {
            let folder = self.folder.join(table);
            for store::Entry { path, .. } in entries(&folder)? {
                let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or("");
                let is_orphan = !table.is_empty()
                    && stem.starts_with("part-")
                    && path.extension().is_some_and(|e| e == "parquet")
                    && !self.parts.contains_key(stem);
                if is_orphan && self.is_committed(stem)? {
                    continue;
                }
                if is_orphan || is_draft(&path) {
                    remove(&path)?;
                    removed += 1;
                }
            }
        }
        // NIfTI files are in folders of their subjects. A store has no drafts.
        let tables = match self.of_store {
            Some(_) => &[][..],
            None => &["prepared", "predictions"][..],
        };
        for table in tables {
            let below = walkdir::WalkDir::new(self.folder.join(table)).min_depth(2);
            for entry in below.into_iter().filter_map(Result::ok) {
                if entry.file_type().is_file() && is_draft(entry.path()) {
                    remove(entry.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Returns `true` if a part has a commit record that the list of a store did not name yet.
    fn is_committed(&self, part: &str) -> Result<bool, SinkError> {
        let record = self.record(part);
        match self.of_store {
            Some(_) => store::exists(&record).map_err(io_error(&record, "looking for the record")),
            None => Ok(false),
        }
    }

    fn record(&self, part: &str) -> PathBuf {
        self.folder.join(RECORDS).join(format!("{part}.parquet"))
    }
}

/// A file that a commit record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartFile<'a> {
    /// Path below the run folder, with `/`.
    path: &'a str,
    bytes: u64,
    /// BLAKE3 of the file, in hex.
    digest: &'a str,
}

impl<'a> PartFile<'a> {
    /// Reads `<digest> <bytes> <path>`.
    fn parse(text: &'a str) -> Option<Self> {
        let (digest, rest) = text.split_once(' ')?;
        let (bytes, path) = rest.split_once(' ')?;
        Some(Self {
            path,
            bytes: bytes.parse().ok()?,
            digest,
        })
    }
}

impl std::fmt::Display for PartFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.digest, self.bytes, self.path)
    }
}

/// Reads a table of a run folder: of its parts, or the one file of it.
///
/// **Errors** as [`read_table`].
pub fn read_run_table<R: TableRow>(run: &Path) -> Result<Vec<R>, SinkError> {
    Ledger::open(run)?.read()
}

/// Entries of a folder in order; none if it does not exist.
fn entries(folder: &Path) -> Result<Vec<store::Entry>, SinkError> {
    match store::list(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(io_error(folder, "listing the folder")),
    }
}

/// Parquet files of a folder that have their final names.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, SinkError> {
    let is_table = |entry: &store::Entry| {
        let path = &entry.path;
        !is_draft(path) && path.extension().is_some_and(|e| e == "parquet") && !entry.is_folder
    };
    let entries = entries(folder)?.into_iter().filter(is_table);
    Ok(entries.map(|entry| entry.path).collect())
}

fn remove(path: &Path) -> Result<(), SinkError> {
    store::remove(path).map_err(io_error(path, "removing"))
}

#[cfg(test)]
mod tests;
