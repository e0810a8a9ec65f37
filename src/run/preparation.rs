//! A run that prepares: subjects of a cohort into the sinks, part by part.

use super::budget::Budget;
use super::chain::Failure;
use super::context::RunContext;
use super::cut::{Cut, Stretch};
use super::guard::{Panic, caught};
use super::ordered::{Work, ordered};
use super::outcome::Outcome;
use super::prepare::Preparer;
use crate::error::Error;
use crate::plan::sections::FileFormats;
use crate::sink::parts::Attempt;
use crate::sink::{
    FailureRow, Ledger, PartWriter, SinkError, TableRow, WarningRow, encode_prepared, file_stem,
    write_nifti, write_table,
};
use crate::volume::Row;
use arrow::array::RecordBatch;
use indicatif::ProgressBar;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
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

/// What a job came to.
struct Done {
    job: Job,
    outcome: Outcome,
    /// Encoded rows and NIfTI files; the error is one of the disk.
    kept: Result<Kept, SinkError>,
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
        let seconds = start.elapsed().as_secs_f64();
        let mut outcome = Outcome::new(&**self.preparer.cohort(), record, &rows, seconds);
        let kept = caught(|| self.keep(rows.as_deref().unwrap_or_default()));
        let failed = match kept {
            Ok(Err(e)) if e.is_of_one_subject() => Failure::from_error(&record.id, "prepare", &e),
            Err(panic) => Failure::new(&record.id, "prepare", panic.to_string()),
            Ok(kept) => return Done { job, outcome, kept },
        };
        self.preparer.note(failed.clone());
        outcome.fail(failed);
        let kept = Ok(Kept::default());
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
        let rows = self.preparer.rows(job.subject, 0);
        let done = self.done(job, rows, start);
        self.preparer.forget(done.job.subject);
        done
    }

    fn bytes(&self, done: &Done) -> u64 {
        let rows = done.kept.as_ref().ok().and_then(|kept| kept.rows.as_ref());
        rows.map_or(0, |rows| rows.get_array_memory_size() as u64)
    }

    fn panicked(&self, job: Job, panic: &Panic) -> Done {
        let record = self.preparer.subject(job.subject);
        let failure = Failure::new(&record.id, "stages", panic.to_string());
        self.preparer.note(failure.clone());
        self.done(job, Err(failure), Instant::now())
    }
}

/// What the parts that an earlier start committed hold, as far as they were met.
#[derive(Debug, Default)]
struct Earlier {
    parts: BTreeSet<String>,
    failures: u64,
}

/// Lists the subjects of the parts that are not there yet.
struct Jobs {
    cut: Cut,
    /// Names of the parts that are there, with their failures.
    there: BTreeMap<String, i64>,
    earlier: Arc<Mutex<Earlier>>,
    bar: ProgressBar,
    current: Option<(Arc<Stretch>, Range<usize>)>,
}

impl Iterator for Jobs {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        loop {
            if let Some((stretch, left)) = &mut self.current
                && let Some(subject) = left.next()
            {
                let stretch = Arc::clone(stretch);
                return Some(Job { stretch, subject });
            }
            let stretch = self.cut.next()?;
            match self.there.get(&stretch.name) {
                Some(failures) => {
                    let mut earlier = lock(&self.earlier);
                    earlier.failures += u64::try_from(*failures).unwrap_or(0);
                    earlier.parts.insert(stretch.name.clone());
                    self.bar.inc(stretch.subjects.len() as u64);
                }
                None => {
                    let subjects = stretch.subjects.clone();
                    self.current = Some((Arc::new(stretch), subjects));
                }
            }
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
    let mut ledger = Ledger::open(&cx.folder.path)?;
    let swept = ledger.sweep()?;
    if swept > 0 {
        tracing::info!(
            files = swept,
            "removed what an interrupted start had not committed"
        );
    }
    write_table::<FailureRow>(&cx.folder.join(&FailureRow::TABLE.file_name()), &[])?;
    let warnings = cx.preparer.warnings().rows();
    write_table::<WarningRow>(&cx.folder.join(&WarningRow::TABLE.file_name()), &warnings)?;
    let mut pending = None;
    let done = make_parts(cx, plan_digest, &mut ledger, &mut pending);
    if let (Err(_), Some(part)) = (&done, &pending) {
        // The part is lost; why its subjects failed is not.
        let part: &PartWriter = part;
        write_table(
            &cx.folder.join(&FailureRow::TABLE.file_name()),
            part.failures(),
        )?;
    }
    let parts = done?;
    ledger.retain(&parts)?;
    remove_strangers(cx)
}

/// Makes the parts that are not there; returns the names of all parts of the run.
fn make_parts(
    cx: &RunContext,
    plan_digest: &str,
    ledger: &mut Ledger,
    pending: &mut Option<PartWriter>,
) -> Result<BTreeSet<String>, Error> {
    let sinks = &cx.plan.pipeline.sinks;
    let formats = sinks.prepared.clone().unwrap_or(FileFormats {
        parquet: false,
        nifti: false,
    });
    let count = cx.subjects(|_| true).len();
    let bar = cx.bar(count as u64, "prepare");
    let node = cx.counters.node("prepare");
    let names: Vec<(String, i64)> = (ledger.parts().iter())
        .filter(|row| ledger.whole(&row.part).is_some())
        .map(|row| (row.part.clone(), row.failures))
        .collect();
    let earlier = Arc::<Mutex<Earlier>>::default();
    let keeps = formats.parquet || formats.nifti;
    let jobs = Jobs {
        cut: Cut::new(
            &cx.preparer,
            count,
            sinks.part_bytes(),
            keeps,
            plan_digest.to_owned(),
        ),
        there: names.into_iter().collect(),
        earlier: Arc::clone(&earlier),
        bar: bar.clone(),
        current: None,
    };
    let work = PrepareSubject {
        preparer: Arc::clone(&cx.preparer),
        formats,
        run: cx.folder.path.clone(),
    };
    let budget = Budget::new(cx.memory);
    let results = ordered("prepare", cx.workers, budget, jobs, work, Arc::clone(&node));
    let results = results.map_err(|source| Error::Io {
        path: cx.folder.path.clone(),
        action: "starting worker threads",
        source,
    })?;
    let attempt = Attempt {
        host: sysinfo::System::host_name().unwrap_or_default(),
        number: cx.folder.starts,
    };
    let mut made = BTreeSet::new();
    for done in results {
        let Done {
            job,
            mut outcome,
            kept,
        } = done;
        let (stretch, preparer) = (&job.stretch, &cx.preparer);
        let kept = kept?;
        let part = match pending {
            Some(part) => part,
            None => {
                let last = &preparer.subject(stretch.subjects.end - 1).id;
                ledger.retire(&preparer.subject(stretch.subjects.start).id, last)?;
                pending.insert(PartWriter::new(
                    &cx.folder.path,
                    &stretch.name,
                    &stretch.digest,
                    &attempt,
                ))
            }
        };
        let id = &outcome.subject.subject_id;
        if let Some(rows) = &kept.rows {
            let written = node.busy(|| caught(|| part.write_prepared(id, rows)));
            let failed = match written {
                Ok(Ok(())) => None,
                Ok(Err(e)) if e.is_of_one_subject() => Some(Failure::from_error(id, "prepare", &e)),
                Ok(Err(e)) => return Err(e.into()),
                Err(panic) => return Err(panic.into()),
            };
            if let Some(failure) = failed {
                preparer.note(failure.clone());
                outcome.fail(failure);
            }
        }
        match &outcome.failure {
            Some(_) => node.failed(),
            None => node.passed(usize::from(kept.voxels > 0), kept.voxels),
        }
        kept.files.into_iter().for_each(|file| part.add_file(file));
        let failure = outcome.failure.as_ref().map(FailureRow::from);
        part.add(outcome.subject, outcome.quality, outcome.warnings, failure);
        bar.inc(1);
        let failures = lock(&earlier).failures;
        cx.check_with(failures)?;
        if job.subject + 1 == stretch.subjects.end
            && let Some(part) = pending.take()
        {
            node.busy(|| part.commit(ledger))?;
            made.insert(stretch.name.clone());
        }
    }
    bar.finish_and_clear();
    // A list that ended early is a panic in reading headers, which `ordered` passes on.
    made.append(&mut lock(&earlier).parts);
    Ok(made)
}

/// Removes the NIfTI files of subjects that the cohort does not have any more.
fn remove_strangers(cx: &RunContext) -> Result<(), Error> {
    let folder = cx.folder.join(NIFTI);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return Ok(());
    };
    let known: BTreeSet<String> = (cx.subjects(|_| true).into_iter())
        .map(|index| file_stem(&cx.preparer.subject(index).id))
        .collect();
    for entry in entries.flatten() {
        if !known.contains(&*entry.file_name().to_string_lossy()) {
            let path = entry.path();
            std::fs::remove_dir_all(&path).map_err(|source| Error::Io {
                path,
                action: "removing the files of a subject that is gone",
                source,
            })?;
        }
    }
    Ok(())
}
