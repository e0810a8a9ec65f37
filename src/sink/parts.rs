//! Parts: what a run writes and commits together.
//!
//! A part holds everything a run learnt of a stretch of its subjects: one file a table,
//! `<table>/<part>.parquet`, and a **commit record**, `parts/<part>.parquet`, which is written last
//! and names every other file with its size and digest. A file without a commit record does not
//! exist for readers, and is removed when the run is resumed. So a killed run loses the part it was
//! writing and no other, and its tables can be read while it runs: each is the union of the files of
//! its committed parts, and of `<table>.parquet` where the run has something to say as a whole.
//!
//! When a run ends, the small tables of many parts are merged into few files ([`Ledger::compact`]): an index,
//! `parts/merged.parquet`, then says of each of these parts which files its rows are in, and takes the
//! place of their commit records. Files with volumes stay as they are.
//!
//! A run may be in a store: its URL takes the place of the folder. Files of a part are uploaded when they are
//! complete, the record last, and only where there is none.
//!
//! The name of a part ends in the digest of its inputs and plan ([`part_name`]): a resumed run skips
//! the parts whose names it would write again.

mod compact;
mod damaged;
mod merge;
mod read;
mod record;
mod removal;
mod set;
mod unrecorded;
mod verify;
mod writer;

pub use damaged::DamagedRecord;
pub use unrecorded::verify_unrecorded;
pub use verify::{Fault, verify};
pub use writer::{Attempt, PartWriter};

use super::parquet::{is_draft, read_table};
use super::{PartRow, SinkError, SubjectRow, TableRow, file_stem, io_error};
use crate::store;
use set::PartSet;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The folder of commit records, and the name of their table.
const RECORDS: &str = "parts";
/// Tables that parts may have a file of; those with volumes come first.
const TABLES: [&str; 8] = [
    "prepared",
    "predictions",
    "pseudo_labels",
    "subjects",
    "quality",
    "scores",
    "failures",
    "warnings",
];
/// How many of them carry volumes.
const VOLUMES: usize = 3;
/// Those of them that carry no volumes, so that parts may share a file.
const SMALL: [&str; 5] = ["subjects", "quality", "scores", "failures", "warnings"];
/// Stem of the index of merged parts, in the folder of commit records.
const INDEX: &str = "merged";
/// Beginning of the names of files that several parts share.
const MERGED: &str = "merged-";
/// Digits of its digest that a part's name ends in.
const DIGITS: usize = 12;
/// Bytes of a subject's id that a part's name shows.
const SHOWN_ID: usize = 80;

/// The name of a part: `part-<first subject>-<digest>`, so that names sort as subjects do and stay
/// when subjects are added elsewhere.
pub fn part_name(first_subject: &str, digest: &str) -> String {
    name_of("part-", first_subject, digest)
}

/// Returns `true` if a file in the folder of a table has a name that only parts have: it exists for readers if
/// a commit record names it.
pub fn is_of_part(name: &str) -> bool {
    let stem = name.strip_suffix(".parquet").unwrap_or(name);
    let is_digest = |text: &str| {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        text.len() == DIGITS && text.bytes().all(is_hex)
    };
    let digest = stem.rsplit_once('-').map(|(_, digest)| digest);
    (stem.starts_with("part-") || stem.starts_with(MERGED)) && digest.is_some_and(is_digest)
}

fn name_of(beginning: &str, first_subject: &str, digest: &str) -> String {
    let mut stem = file_stem(first_subject);
    // An escape cut in half is still a name of its own by the digest.
    stem.truncate(SHOWN_ID);
    format!("{beginning}{stem}-{}", &digest[..digest.len().min(DIGITS)])
}

/// The commit records of a run folder.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    parts: PartSet,
    /// Records that cannot be read.
    damaged: Vec<DamagedRecord>,
    /// NIfTI files of parts that were removed, below the run folder.
    left: BTreeSet<String>,
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
        self.parts.in_order().collect()
    }

    /// The committed part of this name whose files are all there, by their sizes.
    pub fn whole(&self, part: &str) -> Option<&PartRow> {
        let row = self.parts.get(part)?;
        self.is_whole(row, &BTreeMap::new()).then_some(row)
    }

    /// The committed parts whose files are all there, by their sizes.
    pub fn whole_parts(&self) -> Vec<&PartRow> {
        let parts = self.parts();
        // A file that parts share is looked at once.
        let shared: BTreeSet<PartFile<'_>> = (parts.iter().flat_map(|row| row.part_files()))
            .filter(|file| file.is_merged())
            .collect();
        let shared: Vec<PartFile<'_>> = shared.into_iter().collect();
        let found = self.each(&shared, |file| self.is_there(file));
        let known = shared.iter().map(|file| file.path).zip(found).collect();
        let whole = self.each(&parts, |row| self.is_whole(row, &known));
        let kept = parts.into_iter().zip(whole);
        kept.filter_map(|(row, whole)| whole.then_some(row))
            .collect()
    }

    /// Answers for each item, in parallel where each is a request to a store.
    fn each<T: Sync>(&self, items: &[T], answer: impl Fn(&T) -> bool + Sync) -> Vec<bool> {
        match self.of_store {
            Some(_) => store::many(items, answer),
            None => items.iter().map(answer).collect(),
        }
    }

    fn is_whole(&self, row: &PartRow, known: &BTreeMap<&str, bool>) -> bool {
        row.files.iter().all(|text| {
            let file = PartFile::parse(text);
            file.is_some_and(|file| match known.get(file.path) {
                Some(is_there) => *is_there,
                None => self.is_there(&file),
            })
        })
    }

    fn is_there(&self, file: &PartFile<'_>) -> bool {
        let found = store::metadata(&self.folder.join(file.path));
        found.is_ok_and(|version| version.bytes == file.bytes)
    }

    /// Files of a table: that of the run as a whole, if there is one, and those of its parts.
    pub fn files(&self, table: &str) -> Vec<PathBuf> {
        let whole = self.folder.join(format!("{table}.parquet"));
        let is_there = match &self.of_store {
            Some(names) => names.contains(&whole),
            None => whole.is_file(),
        };
        let own = is_there.then_some(whole);
        let parts = self.parts();
        if table == RECORDS {
            let is_any_merged = parts.iter().any(|row| row.is_merged());
            let index = is_any_merged.then(|| self.record(INDEX));
            let alone = parts.iter().filter(|row| !row.is_merged());
            let records = alone.map(|row| self.record(&row.part));
            return own.into_iter().chain(index).chain(records).collect();
        }
        let of_table = parts.iter().filter_map(|row| row.file_of(table));
        // Neighbours may share a file.
        let mut files: Vec<&str> = of_table.map(|file| file.path).collect();
        files.dedup();
        let files = files.into_iter().map(|path| self.folder.join(path));
        own.into_iter().chain(files).collect()
    }

    /// Files of a table with volumes, each with the subjects of its part that have the status `ok`.
    ///
    /// **Errors** if the table of subjects cannot be read.
    pub fn files_with_subjects(
        &self,
        table: &str,
    ) -> Result<Vec<(PathBuf, Vec<String>)>, SinkError> {
        let parts = self.parts();
        let files = parts
            .into_iter()
            .filter_map(|row| Some((row.file_of(table)?, row)));
        let files: Vec<_> = files.collect();
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.read::<SubjectRow>()?.into_iter();
        let done: BTreeSet<String> = (rows.filter(|row| row.status == "ok"))
            .map(|row| row.subject_id)
            .collect();
        let with_subjects = files.into_iter().map(|(file, row)| {
            let range = row.first_subject.clone()..=row.last_subject.clone();
            let subjects = done.range(range).cloned().collect();
            (self.folder.join(file.path), subjects)
        });
        Ok(with_subjects.collect())
    }

    /// Reads a table of the run; empty where nothing of it is committed.
    ///
    /// **Errors** as [`read_table`].
    pub fn read<R: TableRow>(&self) -> Result<Vec<R>, SinkError> {
        match self.read_files() {
            // A run under way merged files of parts, or made parts again, since the ledger was opened.
            Err(e) if e.is_absent() => Self::open(&self.folder)?.read_files(),
            rows => rows,
        }
    }

    fn read_files<R: TableRow>(&self) -> Result<Vec<R>, SinkError> {
        let mut rows = Vec::new();
        for path in self.files(R::TABLE.name) {
            rows.extend(read_table::<R>(&path)?);
        }
        Ok(rows)
    }

    /// Adds a part that was just committed.
    pub(super) fn add(&mut self, row: PartRow) {
        self.parts.insert(row);
    }

    fn record(&self, part: &str) -> PathBuf {
        self.folder.join(RECORDS).join(format!("{part}.parquet"))
    }
}

/// A file that a commit record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

    /// The table it is a file of, and its stem; `None` of files in deeper folders.
    fn of_table(&self) -> Option<(&'a str, &'a str)> {
        let (table, name) = self.path.split_once('/')?;
        let stem = name.strip_suffix(".parquet")?;
        (!stem.contains('/')).then_some((table, stem))
    }

    /// Returns `true` if parts share it.
    fn is_merged(&self) -> bool {
        let stem = self.of_table().map(|(_, stem)| stem);
        stem.is_some_and(|stem| stem.starts_with(MERGED))
    }
}

impl PartRow {
    /// Its files, as far as they are named in a form that is known.
    fn part_files(&self) -> impl DoubleEndedIterator<Item = PartFile<'_>> {
        self.files.iter().filter_map(|file| PartFile::parse(file))
    }

    /// Its file of a table.
    fn file_of(&self, table: &str) -> Option<PartFile<'_>> {
        // Tables are named last.
        let mut files = self.part_files().rev();
        files.find(|file| file.of_table().is_some_and(|(name, _)| name == table))
    }

    /// Returns `true` if its small tables are in files that it shares.
    fn is_merged(&self) -> bool {
        let subjects = self.file_of(SMALL[0]);
        subjects.is_some_and(|file| file.is_merged())
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

/// Returns `true` if a folder of this name in a run holds the files of a table of parts, which commit records name.
pub fn is_table_of_parts(folder: &str) -> bool {
    TABLES.contains(&folder)
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
