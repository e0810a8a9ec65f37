//! How far a run came, as it notes in `status.json`.

use crate::error::Error;
use crate::run::machine::Machine;
use crate::store;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Started, or stopped before its end.
    Started,
    /// Every output is written.
    Finished,
}

/// The file in which a run notes how far it came.
pub const STATUS: &str = "status.json";

/// What a run in parts has committed when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InParts {
    /// Parts, each of which has a commit record or is in the index of merged parts.
    pub parts: u64,
    /// Subjects in them, those that failed among them.
    pub subjects: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) progress: Progress,
    pub(super) version: String,
    pub(super) started: String,
    /// The file that the pipeline was read from, absolute; relative paths in it begin there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pipeline: Option<PathBuf>,
    #[serde(default)]
    pub(super) starts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) machine: Option<Machine>,
    /// Of a run in parts that is finished: commit records that are lost are missed by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) in_parts: Option<InParts>,
}

/// The pipeline file that a run was started with; `None` if the run did not note it.
///
/// **Errors** if the folder has no `status.json` or it is damaged.
pub fn origin(run: &Path) -> Result<Option<PathBuf>, Error> {
    Ok(read_status(run)?.pipeline)
}

/// What a run had committed when it ended; `None` of a training, of one that is not finished or did not note
/// it, and of a folder without `status.json`.
///
/// **Errors** if `status.json` cannot be read or is damaged.
pub fn committed(run: &Path) -> Result<Option<InParts>, Error> {
    Ok(known(run)?.and_then(|status| status.in_parts))
}

/// How far a run came; `None` if the folder is none of a run.
///
/// **Errors** if `status.json` cannot be read or is damaged.
pub fn progress(run: &Path) -> Result<Option<Progress>, Error> {
    Ok(known(run)?.map(|status| status.progress))
}

/// The status of a folder that may be none of a run.
fn known(run: &Path) -> Result<Option<Status>, Error> {
    let file = run.join(STATUS);
    let is_there = store::exists(&file).map_err(Error::io(&file, "looking for the run"))?;
    is_there.then(|| read_status(run)).transpose()
}

pub(super) fn read_status(run: &Path) -> Result<Status, Error> {
    let file = run.join(STATUS);
    let text =
        store::read_to_string(&file).map_err(Error::io(&file, "reading the run's status"))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::run(format!("{}: {e}; the file is damaged", file.display())))
}
