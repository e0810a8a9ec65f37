//! Requests that `voxstream tap` leaves in a run folder, and their answers.

use super::point::Catch;
use super::summary::RowSummary;
use crate::run::counters::{Counters, Node};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Folder of requests and answers below a run.
pub const FOLDER: &str = "tap";
/// Ending of a request: `<id>.request.json`.
pub const REQUEST: &str = ".request.json";
/// Ending of an answer, a line of JSON a row: `<id>.rows.jsonl`.
pub const ANSWER: &str = ".rows.jsonl";
/// Age at which a request that no run has served counts as left behind.
const STALE: Duration = Duration::from_secs(600);

/// What is asked of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Name of the node.
    pub node: String,
    /// Rows to look at.
    pub count: u64,
}

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A row that passed.
    Row(RowSummary),
    /// The request cannot be served: what was found, what was expected.
    Refused(String),
}

/// A request that is being served.
#[derive(Debug)]
struct Served {
    node: Arc<Node>,
    catch: Arc<Catch>,
    /// Rows that the answer does not have yet.
    left: u64,
}

/// Serves the requests of one run.
#[derive(Debug)]
pub struct Requests {
    folder: PathBuf,
    counters: Counters,
    served: BTreeMap<String, Served>,
}

impl Requests {
    /// Of a run in a local folder.
    pub fn new(run: &Path, counters: Counters) -> Self {
        Self {
            folder: run.join(FOLDER),
            counters,
            served: BTreeMap::new(),
        }
    }

    /// Opens taps for new requests, and writes what was caught for the others. Returns `true` while a request
    /// is being served.
    ///
    /// **Errors** if a file cannot be read or written; the next call tries again.
    pub fn serve(&mut self) -> io::Result<bool> {
        let ids = self.asked()?;
        let gone = |id: &String| !ids.contains(id);
        let ended: Vec<String> = self.served.keys().filter(|id| gone(id)).cloned().collect();
        for id in ended {
            // The command went away: nobody reads the answer.
            self.end(&id);
            remove(&self.file(&id, ANSWER))?;
        }
        for id in ids {
            if !self.served.contains_key(&id) {
                self.begin(&id)?;
            }
        }
        let open: Vec<String> = self.served.keys().cloned().collect();
        for id in open {
            self.write(&id)?;
        }
        Ok(!self.served.is_empty())
    }

    /// Names of the requests in the folder; those that were left behind are removed.
    fn asked(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(id) = name.strip_suffix(REQUEST).filter(|id| !id.starts_with('.')) else {
                continue;
            };
            let modified = entry.metadata().and_then(|m| m.modified()).ok();
            let age = modified.and_then(|at| at.elapsed().ok());
            match age.is_some_and(|age| age > STALE) && !self.served.contains_key(id) {
                true => remove(&entry.path())?,
                false => ids.push(id.to_owned()),
            }
        }
        ids.sort();
        Ok(ids)
    }

    fn begin(&mut self, id: &str) -> io::Result<()> {
        let refuse = |problem: String| -> io::Result<()> {
            self.append(id, &[Answer::Refused(problem)])?;
            remove(&self.file(id, REQUEST))
        };
        let text = fs::read_to_string(self.file(id, REQUEST))?;
        let request: Request = match serde_json::from_str(&text) {
            Ok(request) => request,
            Err(e) => return refuse(format!("the request cannot be read: {e}")),
        };
        let Some(node) = self.counters.find(&request.node) else {
            let names: Vec<String> = (self.counters.snapshot().into_iter())
                .map(|counts| counts.node)
                .collect();
            return refuse(format!(
                "the run has no node `{}` yet; its nodes are {}",
                request.node,
                names.join(", ")
            ));
        };
        let served = Served {
            catch: node.tap().open(&request.node, request.count),
            node,
            left: request.count,
        };
        self.served.insert(id.to_owned(), served);
        Ok(())
    }

    /// Appends what was caught, and ends the request once that is all.
    fn write(&mut self, id: &str) -> io::Result<()> {
        let Some(served) = self.served.get_mut(id) else {
            return Ok(());
        };
        let rows = served.catch.take();
        served.left = served.left.saturating_sub(rows.len() as u64);
        let is_done = served.left == 0;
        let lines: Vec<Answer> = rows.into_iter().map(Answer::Row).collect();
        self.append(id, &lines)?;
        if is_done {
            self.end(id);
            remove(&self.file(id, REQUEST))?;
        }
        Ok(())
    }

    fn end(&mut self, id: &str) {
        if let Some(served) = self.served.remove(id) {
            served.node.tap().close(&served.catch);
        }
    }

    fn append(&self, id: &str, answers: &[Answer]) -> io::Result<()> {
        if answers.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        for answer in answers {
            serde_json::to_writer(&mut text, answer)?;
            text.push(b'\n');
        }
        let path = self.file(id, ANSWER);
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(&text)
    }

    fn file(&self, id: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{id}{ending}"))
    }
}

impl Drop for Requests {
    /// Closes the taps and removes requests that were left behind; a command that still waits sees that the
    /// run has ended.
    fn drop(&mut self) {
        let open: Vec<String> = self.served.keys().cloned().collect();
        for id in open {
            self.write(&id).ok();
            self.end(&id);
        }
        for id in self.asked().unwrap_or_default() {
            remove(&self.file(&id, REQUEST)).ok();
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests;
