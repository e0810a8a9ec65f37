//! The jobs of a run that a scheduler may still work on, in the file `cluster.json` of the run folder.
//!
//! A driver that is killed leaves its jobs running. The next start cancels them before it looks at what is
//! committed, so that two starts never write one part at a time.

use super::client::{Client, JobState};
use crate::error::Error;
use crate::run::context::RunContext;
use crate::sink::parquet::write_whole;
use crate::store;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const FILE: &str = "cluster.json";
/// How long the end of a cancelled job is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Noted {
    scheduler: String,
    jobs: BTreeSet<String>,
}

/// The jobs of a run under way.
pub(super) struct Jobs {
    path: PathBuf,
    noted: Noted,
}

impl Jobs {
    /// Cancels the jobs of an earlier start of the run.
    ///
    /// **Errors** if the scheduler does not answer, or the file cannot be read.
    pub(super) fn open(cx: &RunContext, client: &Client, scheduler: &str) -> Result<Self, Error> {
        let path = cx.folder.join(FILE);
        let earlier: Noted = match store::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|e| Error::run(format!("{}: {e}; remove it", path.display())))?,
            Err(e) if e.kind() == ErrorKind::NotFound => Noted::default(),
            Err(e) => return Err(Error::io(&path, "reading the jobs of an earlier start")(e)),
        };
        if earlier.scheduler == scheduler {
            for job in &earlier.jobs {
                cancel_and_wait(client, job)?;
            }
        } else if !earlier.jobs.is_empty() {
            tracing::warn!(scheduler = %earlier.scheduler, jobs = earlier.jobs.len(),
                "an earlier start sent jobs to another scheduler; their parts are not committed any more");
        }
        let noted = Noted {
            scheduler: scheduler.to_owned(),
            jobs: BTreeSet::new(),
        };
        Ok(Self { path, noted })
    }

    /// Notes a job that was sent.
    ///
    /// **Errors** if the file cannot be written.
    pub(super) fn add(&mut self, job: &str) -> Result<(), Error> {
        self.noted.jobs.insert(job.to_owned());
        self.write()
    }

    /// Forgets a job that ended.
    ///
    /// **Errors** if the file cannot be written.
    pub(super) fn remove(&mut self, job: &str) -> Result<(), Error> {
        self.noted.jobs.remove(job);
        self.write()
    }

    /// Cancels the jobs that were not forgotten, where the scheduler still answers.
    pub(super) fn cancel(&self, client: &Client) {
        for job in &self.noted.jobs {
            if let Err(e) = cancel_and_wait(client, job) {
                tracing::warn!(%job, reason = %e, "the job was not cancelled; `--resume` does it");
            }
        }
    }

    fn write(&self) -> Result<(), Error> {
        if self.noted.jobs.is_empty() {
            return store::remove(&self.path)
                .map_err(Error::io(&self.path, "removing the list of jobs"));
        }
        let text = serde_json::to_vec(&self.noted).expect("a list of jobs is plain data");
        Ok(write_whole(&self.path, &text)?)
    }
}

/// Cancels a job and waits for its end.
fn cancel_and_wait(client: &Client, job: &str) -> Result<(), Error> {
    if client.state(job)? != JobState::Open {
        return Ok(());
    }
    client.cancel(job)?;
    let start = Instant::now();
    while client.state(job)? == JobState::Open && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
    }
    tracing::info!(%job, "cancelled");
    Ok(())
}
