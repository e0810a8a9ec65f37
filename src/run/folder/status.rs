//! `status.json`: how far a run came, and once it is finished, which files it has.

use super::super::machine::Machine;
use super::super::tap;
use crate::error::Error;
use crate::sink::parts::is_table_of_parts;
use crate::store;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
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

/// Files below the folder of a run, each with its BLAKE3 in hex; `None` where it carries a checksum itself.
pub(super) type Files = BTreeMap<String, Option<String>>;

/// Endings of files that carry a checksum, or have a digest beside them: they are large, and not read once more.
const CHECKED: [&str; 2] = [".nii.gz", ".safetensors"];

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

/// What ran: plan and inputs.
pub(super) const PLAN: &str = "plan.json";
/// The pipeline file as it was read, overrides included.
pub(super) const PIPELINE: &str = "pipeline.yaml";

/// What a finished run has, if it was written by a version that did not list its files.
const OF_EVERY_RUN: [&str; 5] = [
    PIPELINE,
    PLAN,
    "edges.parquet",
    "failures.parquet",
    "warnings.parquet",
];
/// What a finished training has beside.
const OF_TRAINING: [&str; 4] = [
    "subjects.parquet",
    "metrics.parquet",
    "scores.parquet",
    "checkpoints/best.json",
];

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
    /// Files of a finished run, below its folder, apart from those that commit records name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<Files>,
}

impl Status {
    /// Reads the status of a run.
    ///
    /// **Errors** if the folder has no `status.json` or it is damaged.
    pub(super) fn read(run: &Path) -> Result<Self, Error> {
        let file = run.join(STATUS);
        let text =
            store::read_to_string(&file).map_err(Error::io(&file, "reading the run's status"))?;
        serde_json::from_str(&text)
            .map_err(|e| Error::run(format!("{}: {e}; the file is damaged", file.display())))
    }

    /// The same of a folder that may be none of a run.
    fn known(run: &Path) -> Result<Option<Self>, Error> {
        let file = run.join(STATUS);
        let is_there = store::exists(&file).map_err(Error::io(&file, "looking for the run"))?;
        is_there.then(|| Self::read(run)).transpose()
    }

    /// Its text in `status.json`.
    pub(super) fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("a status is plain data");
        format!("{text}\n")
    }
}

/// The pipeline file that a run was started with; `None` if the run did not note it.
///
/// **Errors** if the folder has no `status.json` or it is damaged.
pub fn origin(run: &Path) -> Result<Option<PathBuf>, Error> {
    Ok(Status::read(run)?.pipeline)
}

/// What a run had committed when it ended; `None` of a training, of one that is not finished or did not note
/// it, and of a folder without `status.json`.
///
/// **Errors** if `status.json` cannot be read or is damaged.
pub fn committed(run: &Path) -> Result<Option<InParts>, Error> {
    let status = Status::known(run)?.filter(|status| status.progress == Progress::Finished);
    Ok(status.and_then(|status| status.in_parts))
}

/// How far a run came; `None` if the folder is none of a run.
///
/// **Errors** if `status.json` cannot be read or is damaged.
pub fn progress(run: &Path) -> Result<Option<Progress>, Error> {
    Ok(Status::known(run)?.map(|status| status.progress))
}

/// Returns `true` if the subjects of a run are committed in parts: its ledger names no inputs, so the run is
/// resumed with what the inputs are then. Of a folder without a readable plan it is `false`.
pub fn is_in_parts(run: &Path) -> bool {
    plan_of(run).is_some_and(|ledger| is_of_parts(&ledger))
}

/// Returns `true` if a run is resumed with other inputs than it began with: its ledger names none.
pub(super) fn is_of_parts(ledger: &Value) -> bool {
    ledger.get("subjects").is_none()
}

fn plan_of(run: &Path) -> Option<Value> {
    let text = store::read_to_string(&run.join(PLAN)).ok()?;
    serde_json::from_str(&text).ok()
}

/// What a run must have, apart from what commit records name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    /// Returns `true` if the run has written all that it writes.
    pub is_finished: bool,
    /// Files that it had at its end and has no more, below its folder.
    pub missing: Vec<String>,
    /// Files that are not what they were at its end, below its folder.
    pub changed: Vec<String>,
}

/// Looks for the files that a run had when it was finished, and at their digests. A run that is not finished may
/// have any.
///
/// **Errors** if its status is damaged, or a file cannot be looked up.
pub fn presence(run: &Path) -> Result<Presence, Error> {
    let is_there = |path: &Path| store::exists(path).map_err(Error::io(path, "looking it up"));
    let file = run.join(STATUS);
    if !is_there(&file)? {
        return Ok(Presence {
            missing: vec![STATUS.to_owned()],
            ..Presence::default()
        });
    }
    let status = Status::read(run)?;
    if status.progress != Progress::Finished {
        return Ok(Presence::default());
    }
    let expected = status.files.unwrap_or_else(|| of_earlier_versions(run));
    let expected: Vec<(String, Option<String>)> = expected.into_iter().collect();
    let found = of_each(run, &expected, |(name, digest)| {
        let path = run.join(name);
        match digest {
            None => Ok(is_there(&path)?.then_some(true)),
            Some(digest) => match store::digest(&path) {
                Ok((found, _)) => Ok(Some(found == *digest)),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(Error::io(&path, "reading")(e)),
            },
        }
    });
    let mut presence = Presence {
        is_finished: true,
        ..Presence::default()
    };
    for ((name, _), found) in expected.into_iter().zip(found) {
        match found? {
            Some(true) => {}
            Some(false) => presence.changed.push(name),
            None => presence.missing.push(name),
        }
    }
    Ok(presence)
}

/// Answers for each file of a run, in parallel where each is a request to a store.
fn of_each<T: Sync, A: Send>(run: &Path, files: &[T], answer: impl Fn(&T) -> A + Sync) -> Vec<A> {
    match store::is_url(run) {
        true => store::many(files, answer),
        false => files.iter().map(answer).collect(),
    }
}

fn of_earlier_versions(run: &Path) -> Files {
    let mut names = OF_EVERY_RUN.to_vec();
    if plan_of(run).is_some_and(|ledger| !is_of_parts(&ledger)) {
        names.extend(OF_TRAINING);
    }
    let names = names.into_iter().map(|name| (name.to_owned(), None));
    names.collect()
}

/// The files of a run below its folder, with `/`: without hidden ones, the status itself, pages that are drawn from
/// the tables, and what is asked of a run from outside. Of a run `in_parts`, commit records name the files of tables
/// of parts.
///
/// **Errors** if a folder cannot be listed, or a file not be read.
pub(super) fn files(run: &Path, in_parts: bool) -> io::Result<Files> {
    let mut files = Vec::new();
    let skipped = |name: &str, is_folder: bool| match is_folder {
        true => name == tap::FOLDER || (in_parts && is_table_of_parts(name)),
        false => name == STATUS || name.ends_with(".html"),
    };
    collect(run, "", &skipped, &mut files)?;
    let known = of_each(run, &files, |name| {
        if CHECKED.iter().any(|end| name.ends_with(end)) {
            return Ok(Some((name.clone(), None)));
        }
        match store::digest(&run.join(name)) {
            // A list may still name what its store has no more.
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            found => found.map(|(digest, _)| Some((name.clone(), Some(digest)))),
        }
    });
    known
        .into_iter()
        .filter_map(io::Result::transpose)
        .collect()
}

fn collect(
    folder: &Path,
    below: &str,
    skipped: &dyn Fn(&str, bool) -> bool,
    files: &mut Vec<String>,
) -> io::Result<()> {
    let entries = match store::list(folder) {
        // What a store does not list yet is not looked for later.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for store::Entry { path, is_folder } in entries {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if name.starts_with('.') || (below.is_empty() && skipped(name, is_folder)) {
            continue;
        }
        let inner = format!("{below}{name}");
        match is_folder {
            true => collect(&path, &format!("{inner}/"), skipped, files)?,
            false => files.push(inner),
        }
    }
    Ok(())
}
