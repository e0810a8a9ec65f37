//! Which tables a run folder holds.

use super::QueryError;
use crate::sink::parts::is_of_part;
use crate::sink::{Ledger, causes};
use crate::store::{self, Entry};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Tables that are folders of Parquet files.
const FOLDERS: [&str; 4] = ["predictions", "prepared", "pseudo_labels", "views"];
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
    for Entry { path, is_folder } in entries(run_dir)? {
        let Some(stem) = path.file_stem().and_then(|s| s.to_str()) else {
            continue;
        };
        let is_folder_of_files = FOLDERS.contains(&stem) && path.extension().is_none();
        let files = match is_folder {
            true if is_folder_of_files => {
                let mut files = parquet_below(&path)?;
                // The records named none of the table, so what parts left here is not committed.
                files.retain(|file| !is_left_by_part(file, &path));
                files
            }
            false if is_parquet(&path) => vec![path.clone()],
            _ => Vec::new(),
        };
        if !files.is_empty() {
            tables.entry(stem.to_owned()).or_insert(files);
        }
    }
    Ok(tables.into_iter().collect())
}

/// Folders in a folder, in order.
pub(super) fn folders(run_dir: &Path) -> Result<Vec<PathBuf>, QueryError> {
    let entries = entries(run_dir)?.into_iter().filter(|e| e.is_folder);
    Ok(entries.map(|e| e.path).collect())
}

fn entries(folder: &Path) -> Result<Vec<Entry>, QueryError> {
    store::list(folder).map_err(listing(folder))
}

/// Names the folder that could not be listed.
pub(super) fn listing(folder: &Path) -> impl FnOnce(std::io::Error) -> QueryError + '_ {
    move |source| QueryError::Io {
        path: folder.to_owned(),
        action: "listing the folder",
        source,
    }
}

/// Parquet files in a folder and below, in order.
fn parquet_below(folder: &Path) -> Result<Vec<PathBuf>, QueryError> {
    if store::is_url(folder) {
        let objects = store::walk(folder).map_err(listing(folder))?;
        let paths = objects.iter().map(|(key, _)| folder.join(key));
        return Ok(paths.filter(|path| is_parquet(path)).collect());
    }
    let files = WalkDir::new(folder).sort_by_file_name().into_iter();
    let files = files.flatten().filter(|entry| entry.file_type().is_file());
    let paths = files.map(walkdir::DirEntry::into_path);
    Ok(paths.filter(|path| is_parquet(path)).collect())
}

/// Returns `true` for a file of a part directly in the folder of its table. Trainings have a folder a checkpoint.
fn is_left_by_part(file: &Path, folder: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    file.parent() == Some(folder) && name.is_some_and(is_of_part)
}

/// Hidden files are tables in the making.
fn is_parquet(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy());
    let hidden = name.is_none_or(|n| n.starts_with('.'));
    !hidden && path.extension().is_some_and(|e| e == "parquet")
}
