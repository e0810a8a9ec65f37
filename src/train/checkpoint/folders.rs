//! The folders of a run's checkpoints, on disk or in a store.

use super::json::refuse;
use crate::store::{self, Entry};
use crate::train::TrainError;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The file without which a folder is no checkpoint.
pub(super) const STATE: &str = "state.json";

pub(super) fn step_folder(checkpoints: &Path, step: u64) -> PathBuf {
    checkpoints.join(format!("step-{step:08}"))
}

fn not_written(checkpoints: &Path) -> impl Fn(io::Error) -> TrainError + '_ {
    move |e| refuse(checkpoints, format!("cannot be written: {e}"))
}

/// A folder to write a checkpoint into: beside its place, or, of a store, in the system's temporary folder.
///
/// **Errors** if it cannot be made.
pub(super) fn draft(checkpoints: &Path) -> Result<TempDir, TrainError> {
    let mut drafts = tempfile::Builder::new();
    let drafts = drafts.prefix(".writing-");
    let made = match store::is_url(checkpoints) {
        true => drafts.tempdir(),
        false => fs::create_dir_all(checkpoints).and_then(|()| drafts.tempdir_in(checkpoints)),
    };
    made.map_err(not_written(checkpoints))
}

/// Gives a finished draft its place; a checkpoint of the same step is replaced.
///
/// **Errors** if that is refused; the checkpoints of other steps are as they were then.
pub(super) fn publish(
    draft: TempDir,
    checkpoints: &Path,
    step: u64,
) -> Result<PathBuf, TrainError> {
    let folder = step_folder(checkpoints, step);
    let published = match store::is_url(&folder) {
        true => upload(draft.path(), &folder),
        false => {
            let removed = match folder.exists() {
                true => fs::remove_dir_all(&folder),
                false => Ok(()),
            };
            removed.and_then(|()| fs::rename(draft.keep(), &folder))
        }
    };
    published.map_err(not_written(&folder))?;
    Ok(folder)
}

/// Puts the files of a checkpoint into a store, the one that makes it one last.
fn upload(draft: &Path, folder: &Path) -> io::Result<()> {
    let mut files: Vec<PathBuf> = (fs::read_dir(draft)?)
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    files.sort_by_key(|file| (file.ends_with(STATE), file.clone()));
    for file in files {
        let name = file.file_name().unwrap_or_default();
        store::upload(&file, &folder.join(name))?;
    }
    Ok(())
}

/// Steps of which there is a folder, whole or not, ascending.
pub(super) fn begun(checkpoints: &Path) -> io::Result<Vec<u64>> {
    let entries = match store::list(checkpoints) {
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        entries => entries?,
    };
    let step = |entry: &Entry| {
        let name = entry.path.file_name()?.to_str()?;
        name.strip_prefix("step-")?.parse().ok()
    };
    let mut steps: Vec<u64> = entries.iter().filter_map(step).collect();
    steps.sort_unstable();
    Ok(steps)
}

/// Keeps the last and the best; what an interrupted process left half-written goes, too.
///
/// **Errors** if the folder cannot be listed, or a checkpoint cannot be removed.
pub(super) fn prune(checkpoints: &Path, last: u64, best: Option<u64>) -> Result<(), TrainError> {
    let pruned = || -> io::Result<()> {
        for step in begun(checkpoints)? {
            if step != last && Some(step) != best {
                let folder = step_folder(checkpoints, step);
                // What is half removed must not count as a checkpoint.
                store::remove(&folder.join(STATE))?;
                store::remove_folder(&folder)?;
            }
        }
        Ok(())
    };
    pruned().map_err(not_written(checkpoints))
}

/// The last checkpoint of a run; `None` where there is none yet.
///
/// **Errors** when the folder cannot be read.
pub fn last(checkpoints: &Path) -> Result<Option<PathBuf>, TrainError> {
    let last = || -> io::Result<Option<PathBuf>> {
        for step in begun(checkpoints)?.into_iter().rev() {
            let folder = step_folder(checkpoints, step);
            if store::exists(&folder.join(STATE))? {
                return Ok(Some(folder));
            }
        }
        Ok(None)
    };
    last().map_err(|e| refuse(checkpoints, format!("cannot be read: {e}")))
}
