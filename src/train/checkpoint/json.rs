//! The JSON files of a checkpoint, and what is wrong with one of its files.

use crate::sink::parquet::write_whole;
use crate::store;
use crate::train::TrainError;
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

/// The error that names a file of a checkpoint.
pub(super) fn refuse(path: &Path, problem: impl std::fmt::Display) -> TrainError {
    TrainError::Checkpoint {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

/// Writes a JSON file whole, replacing an older one; an object is put in its store.
///
/// **Errors** name the file.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), TrainError> {
    let text = serde_json::to_vec_pretty(value).map_err(|e| refuse(path, e))?;
    write_whole(path, &text).map_err(|e| refuse(path, format!("cannot be written: {e}")))
}

/// Reads a JSON file of a checkpoint.
///
/// **Errors** name the file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, TrainError> {
    let text =
        store::read_to_string(path).map_err(|e| refuse(path, format!("cannot be read: {e}")))?;
    serde_json::from_str(&text)
        .map_err(|e| refuse(path, format!("is not what this version writes: {e}")))
}
