//! A run folder: a ledger that says what ran, how far it came, and from which a run resumes.

mod stamp;
mod status;

use super::lease::{Held, hold, is_of_lease};
use super::ledger::{difference, pipeline_alone};
use super::machine::Machine;
use crate::error::Error;
use crate::plan::Plan;
use crate::sink::parquet::{is_draft, write_whole};
use crate::store;
use crate::train::device::{Device, name};
use serde_json::Value;
pub use stamp::create_stamped;
use status::{Files, PIPELINE, PLAN, Status, files, is_of_parts};
pub use status::{
    InParts, Presence, Progress, STATUS, committed, is_in_parts, origin, presence, progress,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// One run's folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    /// The folder, or the URL of one in a store.
    pub path: PathBuf,
    /// How far the run had come when it was opened.
    pub progress: Progress,
    /// Whether it resumes an earlier start.
    pub resumed: bool,
    /// How often the run was started, this time included.
    pub starts: u32,
    started: String,
    pipeline: Option<PathBuf>,
    /// What trains or predicts, for the reader of the report.
    device: Option<String>,
    /// Held while the run is under way: two processes never write one run. `None` in a process that makes
    /// parts for the one that holds it.
    held: Option<Held>,
    /// What was committed by the end; the clones of a folder share it.
    in_parts: Arc<OnceLock<InParts>>,
}

impl RunFolder {
    /// Opens the folder of a run: `out` itself, or a new `runs/<name>/<stamp>`.
    ///
    /// `ledger` is what must not change between start and resume.
    ///
    /// **Errors** when a fresh run would overwrite another, there is nothing to resume, or the
    /// pipeline or its inputs changed since the start.
    pub fn open(
        out: Option<&Path>,
        plan: &Plan,
        ledger: &Value,
        resume: bool,
    ) -> Result<Self, Error> {
        let name = &plan.pipeline.name;
        let runs = Path::new("runs").join(name);
        let path = match (out, resume) {
            (Some(out), _) => out.to_owned(),
            (None, false) => create_stamped(&runs)?,
            (None, true) => newest(&runs, |run| run.join(STATUS).exists())?,
        };
        let status_file = path.join(STATUS);
        let is_there = store::exists(&status_file);
        if resume && is_there.map_err(Error::io(&status_file, "looking for the run"))? {
            let folder = Self::reopen(path, ledger)?;
            let pipeline = folder.join(PIPELINE);
            let is_there = store::exists(&pipeline);
            if !is_there.map_err(Error::io(&pipeline, "looking it up"))? {
                write_whole(&pipeline, plan.file.text.as_bytes())?;
            }
            return Ok(folder);
        }
        if resume {
            let problem = format!(
                "{}: there is no run to resume (no status.json); start it without `--resume`",
                path.display()
            );
            return Err(Error::run(problem));
        }
        refuse_occupied(&path)?;
        if !store::is_url(&path) {
            std::fs::create_dir_all(&path).map_err(Error::io(&path, "creating the folder"))?;
        }
        let folder = Self {
            held: Some(hold(&path)?),
            in_parts: Arc::default(),
            path,
            progress: Progress::Started,
            resumed: false,
            starts: 1,
            started: chrono::Local::now().to_rfc3339(),
            pipeline: whole_path(plan.file.path()),
            device: None,
        };
        write_whole(&folder.join(PLAN), format!("{ledger:#}\n").as_bytes())?;
        write_whole(&folder.join(PIPELINE), plan.file.text.as_bytes())?;
        folder.note_start()?;
        Ok(folder)
    }

    fn reopen(path: PathBuf, ledger: &Value) -> Result<Self, Error> {
        let read = |name: &'static str| -> Result<String, Error> {
            let file = path.join(name);
            store::read_to_string(&file).map_err(Error::io(&file, "reading"))
        };
        let not_ours = |name: &str, e: serde_json::Error| {
            Error::run(format!(
                "{}: {e}; the ledger is damaged, start afresh",
                path.join(name).display()
            ))
        };
        let held = hold(&path)?;
        let status: Status =
            serde_json::from_str(&read(STATUS)?).map_err(|e| not_ours(STATUS, e))?;
        let old: Value = serde_json::from_str(&read(PLAN)?).map_err(|e| not_ours(PLAN, e))?;
        let changed = match is_of_parts(ledger) {
            // Parts know what they were made from: only the pipeline must be the same.
            true => difference("", &pipeline_alone(&old), &pipeline_alone(ledger)),
            false => difference("", &old, ledger),
        };
        if let Some(place) = changed {
            let what = match place.strip_prefix("subjects.") {
                Some(subject) if subject.ends_with("[2]") => format!(
                    "files of subject `{}` have changed since (their content, time or place)",
                    subject.trim_end_matches("[2]")
                ),
                _ => format!(
                    "the run was started with another pipeline or other inputs; they differ at `{place}`"
                ),
            };
            let problem = format!(
                "{}: {what}. Start a new run, or undo the change",
                path.display()
            );
            return Err(Error::run(problem));
        }
        if old["predictor"] != ledger["predictor"] {
            let text = format!("{ledger:#}\n");
            write_whole(&path.join(PLAN), text.as_bytes())?;
        }
        if status.version != env!("CARGO_PKG_VERSION") {
            tracing::warn!(started_with = %status.version, "resuming with another version: figures may differ in the last digits");
        }
        Ok(Self {
            path,
            progress: status.progress,
            resumed: true,
            starts: status.starts + 1,
            started: status.started,
            pipeline: status.pipeline,
            device: None,
            held: Some(held),
            in_parts: Arc::default(),
        })
    }

    /// The folder of a run that another process holds, to make parts for its start of this number.
    #[cfg(feature = "cluster")]
    pub(super) fn member(path: &Path, starts: u32) -> Self {
        Self {
            path: path.to_owned(),
            progress: Progress::Started,
            resumed: starts > 1,
            starts,
            started: String::new(),
            pipeline: None,
            device: None,
            held: None,
            in_parts: Arc::default(),
        }
    }

    /// The folder of a run on these devices.
    #[must_use]
    pub fn on(self, devices: &[Device]) -> Self {
        let names: Vec<String> = devices.iter().map(name).collect();
        Self {
            device: Some(names.join(", ")),
            ..self
        }
    }

    /// Tells the run from every other one, and stays through resumes.
    pub(super) fn identity(&self) -> String {
        format!("{} {}", self.path.display(), self.started)
    }

    /// Keeps what was committed by the end, for the note that the run is finished.
    pub(super) fn in_parts(&self, committed: InParts) {
        self.in_parts.set(committed).ok();
    }

    /// Notes that the run was started, or goes on.
    ///
    /// **Errors** when the status cannot be written.
    pub fn note_start(&self) -> Result<(), Error> {
        self.note(Progress::Started, None)
    }

    /// Notes that every output is written, and which files there are with which content, so that `verify` misses
    /// those that are removed or damaged later. Commit records name the files of a run `in_parts`.
    ///
    /// **Errors** when a file cannot be read, or the status not be written.
    pub fn note_end(&self, in_parts: bool) -> Result<(), Error> {
        let files = files(&self.path, in_parts);
        let files = files.map_err(Error::io(&self.path, "reading the files of the run"))?;
        self.note(Progress::Finished, Some(files))
    }

    fn note(&self, progress: Progress, files: Option<Files>) -> Result<(), Error> {
        let status = Status {
            progress,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started.clone(),
            pipeline: self.pipeline.clone(),
            starts: self.starts,
            machine: Some(Machine::this(self.device.clone())),
            in_parts: self.in_parts.get().copied(),
            files,
        };
        let text = status.text();
        Ok(write_whole(&self.path.join(STATUS), text.as_bytes())?)
    }

    /// Checks that no other process has taken the run over, and, for a member, that the run was not started
    /// again since.
    ///
    /// **Errors** if one has: what is not committed yet is lost.
    pub fn check_held(&self) -> Result<(), Error> {
        let taken = |why: &str| {
            Error::run(format!(
                "{}: {why}; what was committed is kept",
                self.path.display()
            ))
        };
        match &self.held {
            Some(held) if held.is_held() => Ok(()),
            Some(_) => Err(taken(
                "another process has taken the run over, as this one could not renew its lease",
            )),
            None => match Status::read(&self.path)?.starts {
                now if now == self.starts => Ok(()),
                now => Err(taken(&format!(
                    "the run was started again (start {now}), so this part of start {} is not committed",
                    self.starts
                ))),
            },
        }
    }

    /// A file or folder in the run folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The path of a pipeline file from anywhere; `None` if the current folder is gone.
pub(super) fn whole_path(path: PathBuf) -> Option<PathBuf> {
    match store::is_url(&path) {
        true => Some(path),
        false => std::path::absolute(path).ok(),
    }
}

/// Refuses a folder in which something is already, but for what a start leaves that was killed before it
/// noted its status: that one is neither to be resumed nor in the way.
///
/// **Errors** say so, or that it cannot be read.
pub fn refuse_occupied(path: &Path) -> Result<(), Error> {
    let entries = match store::list(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(Error::io(path, "reading the folder"))?,
    };
    let has = |name: &str| entries.iter().any(|entry| entry.path.ends_with(name));
    // The plan is written first: a pipeline file without one is the user's.
    let is_begun = has(PLAN) && !has(STATUS);
    let is_left = |path: &Path| {
        let is_written = [PLAN, PIPELINE].iter().any(|name| path.ends_with(name));
        is_of_lease(path) || is_draft(path) || (is_begun && is_written)
    };
    if !entries.iter().all(|entry| is_left(&entry.path)) {
        let problem = format!(
            "{}: the folder is not empty; choose another `--out`, or go on with `--resume`",
            path.display()
        );
        return Err(Error::run(problem));
    }
    Ok(())
}

/// The last of the stamped folders that holds a run.
///
/// **Errors** when there is none.
pub fn newest(parent: &Path, is_run: impl Fn(&Path) -> bool) -> Result<PathBuf, Error> {
    let entries =
        std::fs::read_dir(parent).map_err(Error::io(parent, "looking for a run to resume"))?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| is_run(p))
        .collect();
    folders.sort();
    folders.pop().ok_or_else(|| {
        Error::run(format!(
            "{}: there is no run to resume; start one without `--resume`",
            parent.display()
        ))
    })
}

/// Notes that a run lacks outputs that it had, so that it is to be resumed.
///
/// **Errors** when its status cannot be read or written.
pub fn note_incomplete(run: &Path) -> Result<(), Error> {
    let status = Status {
        progress: Progress::Started,
        files: None,
        ..Status::read(run)?
    };
    Ok(write_whole(&run.join(STATUS), status.text().as_bytes())?)
}

#[cfg(test)]
mod tests;
