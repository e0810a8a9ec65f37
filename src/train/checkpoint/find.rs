//! Which checkpoints a path names.

use super::json::refuse;
use super::{TrainError, best};
use crate::source::fold_number;
use crate::store;
use std::path::{Path, PathBuf};

fn is_there(file: &Path) -> Result<bool, TrainError> {
    store::exists(file).map_err(|e| refuse(file, format!("cannot be looked up: {e}")))
}

/// The folders of a cross-validation's folds in a folder, by their numbers.
fn folds(path: &Path) -> Vec<(usize, PathBuf)> {
    let below = store::list(path).unwrap_or_default().into_iter();
    let numbered = below.filter_map(|entry| Some((fold_number(&entry.path)?, entry.path)));
    let mut folds: Vec<(usize, PathBuf)> = numbered.collect();
    folds.sort();
    folds
}

/// The folder of the best checkpoint of a run folder, or of one of the folders of its checkpoints.
fn of_run(path: &Path) -> Result<Option<PathBuf>, TrainError> {
    for folder in [path.to_owned(), path.join("checkpoints")] {
        if is_there(&folder.join("best.json"))? {
            return best(&folder).map(Some);
        }
    }
    Ok(None)
}

/// Finds the checkpoints a user names: of a group of folds the best one of each fold, in their order;
/// of a folder of runs those of the latest run or group that has one; else the one that [`find`] finds.
///
/// **Errors** say what was looked for, or which fold has none yet.
pub fn find_all(path: &Path) -> Result<Vec<PathBuf>, TrainError> {
    if is_there(&path.join("model.json"))? {
        return Ok(vec![path.to_owned()]);
    }
    if let Some(found) = of_run(path)? {
        return Ok(vec![found]);
    }
    let mut candidates = vec![path.to_owned()];
    let below = store::list(path).unwrap_or_default();
    candidates.extend(below.into_iter().rev().map(|entry| entry.path));
    for candidate in candidates {
        if let Some(found) = of_run(&candidate)? {
            return Ok(vec![found]);
        }
        let folds = folds(&candidate);
        if !folds.is_empty() {
            return folds.into_iter().map(|(_, fold)| of_fold(&fold)).collect();
        }
    }
    find(path).map(|found| vec![found])
}

fn of_fold(fold: &Path) -> Result<PathBuf, TrainError> {
    of_run(fold)?.ok_or_else(|| {
        refuse(
            fold,
            "is a fold without a checkpoint; finish it with `run --fold … --resume`, or list the folds to take",
        )
    })
}

/// Finds the checkpoint a user names: a checkpoint folder, a run folder (its best), or a folder of
/// runs (the best of the latest that has one).
///
/// **Errors** say what was looked for; a group of folds has several.
pub fn find(path: &Path) -> Result<PathBuf, TrainError> {
    if is_there(&path.join("model.json"))? {
        return Ok(path.to_owned());
    }
    if let Some((_, fold)) = folds(path).first() {
        let name = fold.file_name().unwrap_or_default();
        return Err(refuse(
            path,
            format!(
                "holds the folds of a cross-validation, and one checkpoint is needed; name one of them, such as `{}`",
                Path::new(name).display()
            ),
        ));
    }
    if let Some(found) = of_run(path)? {
        return Ok(found);
    }
    for run in store::list(path).unwrap_or_default().into_iter().rev() {
        let checkpoints = run.path.join("checkpoints");
        if is_there(&checkpoints.join("best.json"))? {
            return best(&checkpoints);
        }
    }
    Err(refuse(
        path,
        "is no checkpoint (no model.json), no run folder, no folder of runs (no checkpoints/best.json) and no group of folds (no fold_0)",
    ))
}
