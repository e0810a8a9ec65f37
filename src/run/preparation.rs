//! A run that prepares: subjects of a cohort into the sinks, part by part.

use super::attempts::Attempts;
use super::budget::Budget;
use super::context::RunContext;
use super::counters::Node;
use super::cut::{Cut, Stretch, Weigh};
use super::failure::Failure;
use super::guard::{Panic, written};
use super::ordered::{Work, ordered};
use super::outcome::{Outcome, Used};
use super::parts::Parts;
use super::prepare::Preparer;
use crate::error::Error;
use crate::plan::sections::FileFormats;
use crate::sink::{SinkError, encode_prepared, file_stem, write_nifti};
use crate::volume::Row;
use arrow::array::RecordBatch;
use indicatif::ProgressBar;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Where the NIfTI files of prepared subjects are, below the run folder.
const NIFTI: &str = "prepared/nifti";

/// A subject to be prepared, and the part it belongs to.
#[derive(Clone)]
struct Job {
    stretch: Arc<Stretch>,
    subject: usize,
}

/// The result of a job.
struct Done {
    job: Job,
    outcome: Outcome,
    /// Encoded rows and NIfTI files; the error is one of the disk.
    kept: Result<Kept, Error>,
}

#[derive(Default)]
struct Kept {
    rows: Option<RecordBatch>,
    /// Below the run folder.
    files: Vec<PathBuf>,
    /// Bytes of voxels before they were encoded.
    voxels: usize,
}

struct PrepareSubject {
    preparer: Arc<Preparer>,
    attempts: Arc<Attempts>,
    formats: FileFormats,
    run: PathBuf,
}

impl PrepareSubject {
    /// Encodes rows, and writes their NIfTI files.
    fn keep(&self, rows: &[Row]) -> Result<Kept, SinkError> {
        let mut kept = Kept::default();
        let Some(first) = rows.first() else {
            return Ok(kept);
        };
        if self.formats.parquet {
            kept.rows = Some(encode_prepared(rows)?);
        }
        if self.formats.nifti {
            let folder = self.run.join(NIFTI).join(file_stem(&first.subject));
            for (index, row) in rows.iter().enumerate() {
                let files = write_nifti(&folder, row, (rows.len() > 1).then_some(index))?;
                let below = files.into_iter().map(|file| {
                    let below = file.strip_prefix(&self.run).map(Path::to_owned);
                    below.unwrap_or(file)
                });
                kept.files.extend(below);
            }
        }
        kept.voxels = rows.iter().map(Row::bytes).sum();
        Ok(kept)
    }

    fn done(&self, job: Job, rows: Result<Vec<Row>, Failure>, start: Instant) -> Done {
        let record = self.preparer.subject(job.subject);
        let (rows, failure) = match rows {
            Ok(rows) => (rows, None),
            Err(failure) => (Vec::new(), Some(failure)),
        };
        let (seconds, cohort) = (start.elapsed().as_secs_f64(), self.preparer.cohort());
        let used = Used::of(&rows);
        let mut outcome = Outcome::new(&**cohort, record, &used, failure, seconds);
        let kept = written(&record.id, "prepare", || Ok(self.keep(&rows)?));
        let kept = kept.map(|kept| {
            kept.unwrap_or_else(|failure| {
                outcome.fail(failure);
                Kept::default()
            })
        });
        Done { job, outcome, kept }
    }
}

impl Work<Job, Done> for PrepareSubject {
    fn estimate(&self, job: &Job) -> u64 {
        // A subject whose headers cannot be read fails when it is loaded, with its reason.
        self.preparer.estimate(job.subject).unwrap_or(0)
    }

    fn run(&self, job: Job) -> Done {
        let start = Instant::now();
        // Until its files are encoded and written, too.
        let (rows, _attempt) = match self.attempts.begin(&self.preparer.subject(job.subject).id) {
            Ok(attempt) => (self.preparer.rows(job.subject, 0), Some(attempt)),
            Err(failure) => (Err(failure), None),
        };
        let done = self.done(job, rows, start);
        self.preparer.forget(done.job.subject);
        done
    }

    fn bytes(&self, done: &Done) -> u64 {
        // Beside the batch the writer holds the column's page, and the page in the order of the file.
        let rows = done.kept.as_ref().ok().and_then(|kept| kept.rows.as_ref());
        rows.map_or(0, |rows| 3 * rows.get_array_memory_size() as u64)
    }

    fn panicked(&self, job: Job, panic: &Panic) -> Done {
        let record = self.preparer.subject(job.subject);
        let failure = Failure::new(&record.id, "stages", panic.to_string());
        self.done(job, Err(failure), Instant::now())
    }
}

/// The parts of an earlier start that the list has passed so far.
#[derive(Debug, Default)]
struct Earlier {
    parts: Vec<String>,
    failures: u64,
}

/// Lists the subjects of the parts that are not committed yet.
struct Jobs<S> {
    stretches: S,
    preparer: Arc<Preparer>,
    attempts: Arc<Attempts>,
    /// Names of the committed parts that are kept, with the number of failures in each.
    committed: BTreeMap<String, u64>,
    earlier: Arc<Mutex<Earlier>>,
    bar: ProgressBar,
    current: Option<(Arc<Stretch>, usize)>,
}

impl<S: Iterator<Item = Stretch>> Iterator for Jobs<S> {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        loop {
            if let Some((stretch, place)) = &mut self.current
                && let Some(&subject) = stretch.subjects.get(*place)
            {
                *place += 1;
                let stretch = Arc::clone(stretch);
                return Some(Job { stretch, subject });
            }
            let stretch = self.stretches.next()?;
            let Some(failures) = self.committed.get(&stretch.name) else {
                let ids = stretch.ids(&self.preparer);
                self.attempts.expect(&stretch.name, ids);
                self.current = Some((Arc::new(stretch), 0));
                continue;
            };
            self.bar.inc(stretch.subjects.len() as u64);
            let mut earlier = lock(&self.earlier);
            earlier.failures += failures;
            earlier.parts.push(stretch.name);
        }
    }
}

fn lock(earlier: &Mutex<Earlier>) -> std::sync::MutexGuard<'_, Earlier> {
    earlier.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prepares every subject into the sinks. Parts that an earlier start committed, from the same
/// inputs by the same plan, are kept; the others are made again, and parts of subjects that are
/// gone are removed.
///
/// **Errors** when the run is stopped or an output cannot be written; committed parts stay.
pub(super) fn prepare(cx: &RunContext, plan_digest: &str) -> Result<(), Error> {
    let mut parts = Parts::open(cx)?;
    let subjects = cx.subjects(|_| true);
    let bar = cx.bar(subjects.len() as u64, "prepare");
    let stretches = stretches(cx, subjects, plan_digest);
    let done = make_parts(cx, stretches, &bar, &mut parts);
    parts.close(cx, done)
}

/// The files that a run keeps of prepared subjects.
fn formats(cx: &RunContext) -> FileFormats {
    let formats = cx.plan.pipeline.sinks.prepared.clone();
    formats.unwrap_or(FileFormats {
        parquet: false,
        nifti: false,
    })
}

/// Cuts subjects into stretches of the size of a part.
pub(super) fn stretches(cx: &RunContext, subjects: Vec<usize>, plan_digest: &str) -> Cut {
    let (formats, most) = (formats(cx), cx.plan.pipeline.sinks.part_bytes());
    let weigh: Weigh = match formats.parquet || formats.nifti {
        true => Box::new(Preparer::output_bytes),
        false => Box::new(|_, _| 0),
    };
    Cut::new(&cx.preparer, subjects, most, weigh, plan_digest)
}

/// Makes the parts of stretches, in order, unless they are committed already.
///
/// **Errors** as [`prepare`].
pub(super) fn make_parts(
    cx: &RunContext,
    stretches: impl Iterator<Item = Stretch> + Send + 'static,
    bar: &ProgressBar,
    parts: &mut Parts,
) -> Result<(), Error> {
    let node = cx.counters.node("prepare");
    let earlier = Arc::<Mutex<Earlier>>::default();
    let jobs = Jobs {
        stretches,
        preparer: Arc::clone(&cx.preparer),
        attempts: parts.attempts(),
        committed: parts.committed(),
        earlier: Arc::clone(&earlier),
        bar: bar.clone(),
        current: None,
    };
    let work = PrepareSubject {
        preparer: Arc::clone(&cx.preparer),
        attempts: parts.attempts(),
        formats: formats(cx),
        run: cx.folder.path.clone(),
    };
    let budget = Budget::new(cx.memory);
    let results = ordered("prepare", cx.workers, budget, jobs, work, Arc::clone(&node));
    let results = results.map_err(|source| Error::Io {
        path: cx.folder.path.clone(),
        action: "starting worker threads",
        source,
    })?;
    for done in results {
        let job = done.job.clone();
        add(cx, &node, parts, done)?;
        bar.inc(1);
        cx.check_with(lock(&earlier).failures)?;
        if job.stretch.subjects.last() == Some(&job.subject) {
            node.busy(|| parts.commit(cx, &job.stretch))?;
        }
    }
    bar.finish_and_clear();
    parts.keep(std::mem::take(&mut lock(&earlier).parts));
    Ok(())
}

/// Adds the result of a job to its part.
fn add(cx: &RunContext, node: &Node, parts: &mut Parts, done: Done) -> Result<(), Error> {
    let Done {
        job,
        mut outcome,
        kept,
    } = done;
    let (kept, part) = (kept?, parts.writer(cx, &job.stretch)?);
    let id = &cx.preparer.subject(job.subject).id;
    if let Some(rows) = &kept.rows {
        let write = || Ok(part.write_volumes("prepared", id, rows)?);
        if let Err(failure) = node.busy(|| written(id, "prepare", write))? {
            outcome.fail(failure);
        }
    }
    match &outcome.failure {
        Some(failure) => {
            node.failed();
            cx.preparer.note(failure.clone());
        }
        None => node.passed(usize::from(kept.voxels > 0), kept.voxels),
    }
    kept.files.into_iter().for_each(|file| part.add_file(file));
    outcome.add_to(part);
    Ok(())
}
