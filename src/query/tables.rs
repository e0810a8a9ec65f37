//! Which tables a run folder holds.

use super::QueryError;
use crate::sink::{Ledger, causes};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Tables that are folders of Parquet files.
const FOLDERS: [&str; 3] = ["predictions", "prepared", "pseudo_labels"];
/// Tables whose files are named by the commit records of parts.
const OF_PARTS: [&str; 8] = [
    "failures",
    "parts",
    "predictions",
    "prepared",
    "quality",
    "scores",
    "subjects",
    "warnings",
];

/// Returns `true` if a folder of this name in a run folder belongs to the run's own tables.
pub(super) fn is_of_run(name: &str) -> bool {
    FOLDERS.contains(&name) || OF_PARTS.contains(&name)
}

/// The tables of a folder with their files, in order: `*.parquet` files, what the commit records of
/// parts name, and the Parquet files of table folders.
///
/// **Errors** if the folder cannot be listed or a commit record is damaged.
pub(super) fn tables(run_dir: &Path) -> Result<Vec<(String, Vec<PathBuf>)>, QueryError> {
    let mut tables = BTreeMap::new();
    let ledger = Ledger::open(run_dir).map_err(|e| QueryError::Table {
        path: run_dir.to_owned(),
        problem: causes(&e),
    })?;
    for table in OF_PARTS {
        let files = ledger.files(table);
        if !files.is_empty() {
            tables.insert(table.to_owned(), files);
        }
    }
    for path in entries(run_dir)? {
        let Some(stem) = path.file_stem().and_then(|s| s.to_str()) else {
            continue;
        };
        let files = if path.is_dir() {
            match FOLDERS.contains(&stem) && path.extension().is_none() {
                true => parquet_below(&path),
                false => Vec::new(),
            }
        } else if is_parquet(&path) {
            vec![path.clone()]
        } else {
            Vec::new()
        };
        if !files.is_empty() {
            tables.entry(stem.to_owned()).or_insert(files);
        }
    }
    Ok(tables.into_iter().collect())
}

/// Folders in a folder, in order.
pub(super) fn folders(run_dir: &Path) -> Result<Vec<PathBuf>, QueryError> {
    let mut folders = entries(run_dir)?;
    folders.retain(|p| p.is_dir());
    Ok(folders)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, QueryError> {
    let listed = fs::read_dir(folder).and_then(|entries| {
        entries
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<Vec<_>, _>>()
    });
    let mut paths = listed.map_err(|source| QueryError::Io {
        path: folder.to_owned(),
        action: "listing the folder",
        source,
    })?;
    paths.sort();
    Ok(paths)
}

/// Parquet files in a folder and below, in order.
fn parquet_below(folder: &Path) -> Vec<PathBuf> {
    let files = WalkDir::new(folder).sort_by_file_name().into_iter();
    let files = files.flatten().map(walkdir::DirEntry::into_path);
    files.filter(|path| is_parquet(path)).collect()
}

/// Hidden files are tables in the making.
fn is_parquet(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|n| n.to_string_lossy().starts_with('.'));
    !hidden && path.extension().is_some_and(|e| e == "parquet") && path.is_file()
}
