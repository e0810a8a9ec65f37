//! The driver of a run on many machines: cuts, sends parts in waves, watches commit records.

use super::address::ClusterAddress;
use super::client::{Client, JobState};
use super::jobs::Jobs;
use super::manifest;
use super::node::PartExec;
use super::progress::Progress;
use super::task::RunTask;
use crate::error::Error;
use crate::run::context::RunContext;
use crate::run::counters::Node;
use crate::run::cut::{Cut, Stretch};
use crate::run::parts::Parts;
use crate::run::{prediction, preparation};
use crate::sink::{EdgeRow, PartRow};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use indicatif::ProgressBar;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Parts of a job at most: what a scheduler holds of a run does not grow with the cohort.
const WAVE_PARTS: usize = 1000;
/// Subjects of a job at most, so that its list stays far below the largest message.
const WAVE_SUBJECTS: usize = 250_000;
/// Jobs in flight: one is worked on, the next waits for executors that have nothing left.
const AHEAD: usize = 2;
/// Time between two looks at the jobs.
const PERIOD: Duration = Duration::from_millis(100);
/// Listing the records takes at most this share of the time.
const LISTING: u32 = 10;
/// How long no executor makes a part before the driver says so, and how long a new job may be unknown.
const QUIET: Duration = Duration::from_secs(60);
const NEW: Duration = Duration::from_secs(10);

/// Checks that a run can go to a cluster, before anything is written.
///
/// **Errors** if it is a training, or no scheduler answers.
pub(in crate::run) fn check(address: &ClusterAddress, in_parts: bool) -> Result<(), Error> {
    match in_parts {
        true => Client::connect(address).map(drop),
        false => Err(Error::run(
            "a training is not made of parts, so `--cluster` cannot spread it; leave it out, or use `--devices` for several GPUs",
        )),
    }
}

/// Prepares every subject on the executors of a cluster, as [`preparation::prepare`] does here.
///
/// **Errors** when the run is stopped, the cluster fails or an output cannot be written; committed parts stay.
pub(in crate::run) fn prepare(
    cx: &RunContext,
    plan_digest: &str,
    address: &ClusterAddress,
) -> Result<(), Error> {
    let subjects = cx.subjects(|_| true);
    let bar = cx.bar(subjects.len() as u64, "prepare");
    let cut = preparation::stretches(cx, subjects, plan_digest);
    distribute(cx, cut, &bar, plan_digest, address)
}

/// Predicts and scores on the executors of a cluster, as [`prediction::predict`] does here.
///
/// **Errors** as [`prepare`].
pub(in crate::run) fn predict(
    cx: &RunContext,
    plan_digest: &str,
    address: &ClusterAddress,
) -> Result<(), Error> {
    let subjects = cx.scored();
    let bar = cx.bar(subjects.len() as u64, "score");
    let cut = prediction::stretches(cx, subjects, plan_digest);
    distribute(cx, cut, &bar, plan_digest, address)
}

fn distribute(
    cx: &RunContext,
    cut: Cut,
    bar: &ProgressBar,
    plan_digest: &str,
    address: &ClusterAddress,
) -> Result<(), Error> {
    let client = Client::connect(address)?;
    let jobs = Jobs::open(cx, &client, &address.to_string())?;
    let mut parts = Parts::open(cx)?;
    let task = RunTask::new(&cx.plan, cx.limit, plan_digest, &cx.folder);
    let mut drive = Drive {
        cx,
        client: &client,
        session: format!("{}-{}", task.plan, task.starts),
        task: Arc::new(task),
        committed: parts.committed(),
        parts: &mut parts,
        jobs,
        waves: Vec::new(),
        failures: 0,
        node: cx.counters.node("cluster"),
        bar,
        progress: Progress::new(cx.progress),
        heard: Instant::now(),
    };
    let done = drive.make(cut);
    if done.is_err() {
        drive.jobs.cancel(&client);
    }
    drive.progress.finish();
    bar.finish_and_clear();
    parts.close(cx, done)
}

/// A job that was sent.
struct Wave {
    job: String,
    sent: Instant,
    /// Its parts that are not committed yet.
    missing: BTreeSet<String>,
}

struct Drive<'a> {
    cx: &'a RunContext,
    client: &'a Client,
    session: String,
    task: Arc<RunTask>,
    /// Parts of an earlier start that are kept, with the failures in each.
    committed: BTreeMap<String, u64>,
    parts: &'a mut Parts,
    jobs: Jobs,
    waves: Vec<Wave>,
    failures: u64,
    node: Arc<Node>,
    bar: &'a ProgressBar,
    progress: Progress,
    /// When a part was committed last.
    heard: Instant,
}

impl Drive<'_> {
    fn make(&mut self, cut: Cut) -> Result<(), Error> {
        let mut cut = cut.peekable();
        let mut listed = Instant::now();
        loop {
            while self.waves.len() < AHEAD && cut.peek().is_some() {
                self.send(&mut cut)?;
            }
            self.cx.check_with(self.failures)?;
            self.cx.folder.check_held()?;
            if self.waves.is_empty() && cut.peek().is_none() {
                return Ok(());
            }
            std::thread::sleep(PERIOD);
            if Instant::now() >= listed {
                let start = Instant::now();
                for row in self.parts.read_new()? {
                    self.count(&row);
                }
                listed = Instant::now() + LISTING * start.elapsed();
            }
            self.look()?;
            if self.heard.elapsed() > QUIET {
                tracing::warn!(
                    "no part was committed for a minute: are executors connected to the scheduler, and do they work?"
                );
                self.heard = Instant::now();
            }
        }
    }

    /// Sends the next parts that are not committed yet, if there are any.
    fn send(&mut self, cut: &mut impl Iterator<Item = Stretch>) -> Result<(), Error> {
        let (mut wave, mut subjects) = (Vec::new(), 0);
        while wave.len() < WAVE_PARTS && subjects < WAVE_SUBJECTS {
            let Some(stretch) = cut.next() else { break };
            if let Some(failures) = self.committed.get(&stretch.name) {
                self.failures += failures;
                self.bar.inc(stretch.subjects.len() as u64);
                self.parts.keep([stretch.name]);
                continue;
            }
            self.parts.retire(self.cx, &stretch)?;
            subjects += stretch.subjects.len();
            wave.push(stretch);
        }
        if wave.is_empty() {
            return Ok(());
        }
        let job = self
            .client
            .submit(plan(&wave, &self.task)?, &self.session)?;
        tracing::debug!(%job, parts = wave.len(), subjects, "sent");
        self.jobs.add(&job)?;
        self.waves.push(Wave {
            job,
            sent: Instant::now(),
            missing: wave.into_iter().map(|stretch| stretch.name).collect(),
        });
        Ok(())
    }

    /// Counts a part that an executor committed.
    fn count(&mut self, row: &PartRow) {
        self.heard = Instant::now();
        let is_ours = |wave: &mut Wave| wave.missing.remove(&row.part);
        if !self.waves.iter_mut().any(is_ours) {
            return;
        }
        let number = |n: i64| u64::try_from(n).unwrap_or(0);
        self.failures += number(row.failures);
        self.bar.inc(number(row.subjects));
        self.node
            .passed(number(row.rows) as usize, number(row.bytes) as usize);
        self.progress.add(row);
        // A text that is none comes from another version, whose counts mean something else.
        let counts =
            (row.nodes.iter()).filter_map(|text| serde_json::from_str::<EdgeRow>(text).ok());
        counts.for_each(|counts| self.cx.counters.add(&counts.into()));
    }

    /// Looks at the jobs; one that is done leaves all its parts behind.
    fn look(&mut self) -> Result<(), Error> {
        for at in (0..self.waves.len()).rev() {
            let wave = &self.waves[at];
            match self.client.state(&wave.job)? {
                JobState::Open => {}
                JobState::Unknown if wave.sent.elapsed() < NEW => {}
                JobState::Unknown => {
                    return Err(Error::run(format!(
                        "the scheduler does not know job {} any more: it was started again. What is committed is kept; go on with `--resume`",
                        wave.job
                    )));
                }
                JobState::Failed(reason) => return Err(Error::run(reason)),
                JobState::Done => {
                    self.collect(at)?;
                    let wave = self.waves.remove(at);
                    self.jobs.remove(&wave.job)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the records of a job's last parts.
    fn collect(&mut self, at: usize) -> Result<(), Error> {
        for part in self.waves[at].missing.clone() {
            let Some(row) = self.parts.read_one(&part)? else {
                return Err(Error::run(format!(
                    "{}: an executor committed part {part}, but its record is not in this folder here; the folder must be shared by every machine under the same path, or be in a store",
                    self.cx.folder.path.display()
                )));
            };
            self.count(&row);
        }
        Ok(())
    }
}

/// The plan of a job: a task for each part, and one that gathers what they return.
fn plan(wave: &[Stretch], task: &Arc<RunTask>) -> Result<Arc<dyn ExecutionPlan>, Error> {
    let unplanned = |e| Error::run(format!("the parts cannot be listed: {e}"));
    let source = manifest::source(wave).map_err(unplanned)?;
    let parts = Arc::new(PartExec::new(Arc::clone(task), None, source));
    Ok(Arc::new(CoalescePartitionsExec::new(parts)))
}
