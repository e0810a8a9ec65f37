//! Runs a pipeline from its plan to its closed run folder.

use super::chain::Failure;
use super::context::RunContext;
use super::counters::Counters;
use super::display::Display;
use super::feed::TrainingSubjects;
use super::folder::{Progress, RunFolder};
use super::guard::{Panic, caught};
use super::ordered::{Ordered, Work, ordered};
use super::prediction::{predict, predictor};
use super::prepare::Preparer;
use super::watchdog::{PATIENCE, Watchdog};
use super::{budget::Budget, training::train};
use crate::error::Error;
use crate::plan::sections::TrainSection;
use crate::plan::{Plan, explain};
use crate::sink::{FailureRow, PreparedWriter, ScoreRow, WarningRow, read_notes, read_table};
use crate::source::Cohort;
use crate::train::device::DeviceChoice;
use crate::train::infer::Window;
use crate::train::model::Model;
use crate::volume::Row;
use candle_core::Device;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub use super::options::RunOptions;

/// What a run came to.
#[derive(Debug)]
pub struct RunOutcome {
    /// The run folder.
    pub folder: PathBuf,
    /// Subjects that failed.
    pub failures: Vec<Failure>,
    /// Scores, where the run scored.
    pub scores: Vec<ScoreRow>,
    /// Input that was suspicious and used all the same.
    pub warnings: Vec<WarningRow>,
}

/// Runs a plan on an opened cohort.
///
/// **Errors** when the run cannot start, go on or write; what is complete stays, nothing partial
/// is left under a final name.
pub fn run(plan: Plan, cohort: Box<dyn Cohort>, options: &RunOptions) -> Result<RunOutcome, Error> {
    let cohort: Arc<dyn Cohort> = Arc::from(cohort);
    let plan = Arc::new(plan);
    let ledger = ledger(&plan, &*cohort, options);
    let memory = options.take_memory(&plan);
    let counters = Counters::default();
    let devices = devices(options)?;
    let preparer = Arc::new(Preparer::new(&plan, cohort, memory, &counters)?);
    // What cannot start leaves no folder.
    let job = Job::new(&plan, &preparer, &devices[0], options.limit)?;
    let folder = RunFolder::open(options.out.as_deref(), &plan, &ledger, options.resume)?;
    if folder.progress == Progress::Finished {
        tracing::info!(folder = %folder.path.display(), "this run is finished already; nothing to do");
        return finished(folder);
    }
    let cx = RunContext {
        preparer,
        plan: Arc::clone(&plan),
        counters,
        folder,
        device: devices[0].clone(),
        devices,
        workers: options.threads(),
        memory,
        limit: options.limit,
        progress: options.progress,
    };
    let watchdog = Watchdog::start(cx.counters.clone(), PATIENCE).map_err(|source| Error::Io {
        path: cx.folder.path.clone(),
        action: "starting the watchdog",
        source,
    })?;
    let display = options
        .progress
        .then(|| Display::start(cx.counters.clone()))
        .transpose()
        .map_err(|source| Error::Io {
            path: cx.folder.path.clone(),
            action: "starting the display",
            source,
        })?;
    let done = caught(|| match job {
        Job::Train(section, subjects) => train(&cx, section, subjects).map(|s| (s, Vec::new())),
        Job::Predict(model, window) => predict(&cx, &model, window).map(|s| (s, Vec::new())),
        Job::Prepare => prepare(&cx).map(|seconds| (Vec::new(), seconds)),
    });
    // A panic outside any subject's work ends the run; its tables are written all the same.
    let done = done.unwrap_or_else(|panic| Err(panic.into()));
    drop((watchdog, display));
    let (scores, seconds) = match done {
        Ok(done) => done,
        Err(error) => {
            // Which subjects failed until then is worth knowing all the more; but who stops a run does
            // not wait for every header to be read.
            if !matches!(error, Error::Cancelled)
                && let Err(unwritten) = cx.close(&[])
            {
                tracing::warn!(reason = %unwritten, "the run's tables could not be written");
            }
            return Err(error);
        }
    };
    let failures = cx.close(&seconds)?;
    crate::report::write(&cx.folder.path)?;
    // Last of all: a run whose report failed is resumed, not taken for finished.
    cx.folder.note(Progress::Finished)?;
    Ok(RunOutcome {
        folder: cx.folder.path.clone(),
        failures,
        scores,
        warnings: cx.preparer.warnings().rows(),
    })
}

/// What a run does, with all that it needs at hand.
enum Job<'a> {
    Train(&'a TrainSection, TrainingSubjects),
    Predict(Box<Model>, Window),
    Prepare,
}

impl<'a> Job<'a> {
    /// The job of a plan.
    ///
    /// **Errors** when subjects or the checkpoint are not what it needs.
    fn new(
        plan: &'a Plan,
        preparer: &Preparer,
        device: &Device,
        limit: Option<usize>,
    ) -> Result<Self, Error> {
        if let Some((section, _)) = &plan.pipeline.train {
            let subjects = TrainingSubjects::new(preparer, section, limit)?;
            return Ok(Self::Train(section, subjects));
        }
        let Some((section, _)) = &plan.pipeline.predict else {
            return Ok(Self::Prepare);
        };
        let (model, window) = predictor(plan, section, preparer.cohort().modalities(), device)?;
        Ok(Self::Predict(Box::new(model), window))
    }
}

/// What a run that is finished came to, read from its tables.
fn finished(folder: RunFolder) -> Result<RunOutcome, Error> {
    let failures: Vec<FailureRow> = read_table(&folder.join("failures.parquet"))?;
    let scores = folder.join("scores.parquet");
    let warnings = folder.join("warnings.parquet");
    Ok(RunOutcome {
        scores: match scores.exists() {
            true => read_table(&scores)?,
            false => Vec::new(),
        },
        warnings: match warnings.exists() {
            true => read_table(&warnings)?,
            false => Vec::new(),
        },
        failures: failures.into_iter().map(Failure::from).collect(),
        folder: folder.path,
    })
}

/// Every device of a run, at least one.
///
/// **Errors** when one is not there, or is named twice.
fn devices(options: &RunOptions) -> Result<Vec<Device>, Error> {
    let named = &options.devices;
    if let Some(twice) = (1..named.len()).find(|i| named[..*i].contains(&named[*i])) {
        let problem = format!("`--devices` names device {} twice", named[twice]);
        return Err(Error::run(problem));
    }
    match &named[..] {
        [] => Ok(vec![options.device.open()?]),
        _ => Ok((named.iter().map(|i| DeviceChoice::open_cuda(*i))).collect::<Result<_, _>>()?),
    }
}

/// What must not change between a start and a resume.
fn ledger(plan: &Plan, cohort: &dyn Cohort, options: &RunOptions) -> serde_json::Value {
    let mut ledger: serde_json::Value = explain::json(plan);
    let digests: serde_json::Map<_, _> = cohort
        .subjects()
        .iter()
        // A subject without a digest has an unreadable file: it fails when it is loaded.
        .map(|s| {
            (
                s.id.clone(),
                serde_json::json!([
                    s.split.name(),
                    s.labelled,
                    cohort.digest(s).unwrap_or_default()
                ]),
            )
        })
        .collect();
    ledger["subjects"] = digests.into();
    ledger["limit"] = options.limit.into();
    ledger
}

struct PrepareSubject {
    preparer: Arc<Preparer>,
}

type Prepared = (usize, f64, Result<Vec<Row>, Failure>);

impl Work<usize, Prepared> for PrepareSubject {
    fn estimate(&self, subject: &usize) -> u64 {
        // A subject whose headers cannot be read fails when it is loaded, with its reason.
        self.preparer.estimate(*subject).unwrap_or(0)
    }
    fn run(&self, subject: usize) -> Prepared {
        let start = Instant::now();
        let rows = self.preparer.rows(subject, 0);
        (subject, start.elapsed().as_secs_f64(), rows)
    }
    fn bytes(&self, (_, _, rows): &Prepared) -> u64 {
        let rows = rows.iter().flatten();
        let bytes: u64 = rows.map(|row| row.bytes() as u64).sum();
        bytes + PreparedWriter::bytes_beside(bytes)
    }
    fn panicked(&self, subject: usize, panic: &Panic) -> Prepared {
        let record = self.preparer.subject(subject);
        let failure = Failure::new(&record.id, "stages", panic.to_string());
        self.preparer.note(failure.clone());
        (subject, 0.0, Err(failure))
    }
}

/// Prepares subjects in parallel; results come in the order asked for.
///
/// **Errors** when the system starts no thread.
pub(super) fn prepared_rows(
    preparer: &Arc<Preparer>,
    subjects: Vec<usize>,
    workers: usize,
    memory: u64,
) -> std::io::Result<Ordered<Prepared>> {
    let node = preparer.counters().node("prepare");
    let work = PrepareSubject {
        preparer: Arc::clone(preparer),
    };
    let budget = Budget::new(memory);
    ordered("prepare", workers, budget, subjects.into_iter(), work, node)
}

/// Prepares every subject into the sinks; returns the seconds of each.
fn prepare(cx: &RunContext) -> Result<Vec<(usize, f64)>, Error> {
    let formats = cx.plan.pipeline.sinks.prepared.clone();
    let writer = match &formats {
        Some(f) => Some(PreparedWriter::create(
            &cx.folder.join("prepared"),
            f.nifti,
        )?),
        None => None,
    };
    let done = |s: &str| cx.folder.resumed && writer.as_ref().is_some_and(|w| w.contains(s));
    for index in cx.subjects(|s| done(&s.id)) {
        if let Some(writer) = &writer {
            restore_notes(cx, index, &writer.path(&cx.preparer.subject(index).id))?;
        }
    }
    let subjects = cx.subjects(|s| !done(&s.id));
    let bar = cx.bar(subjects.len() as u64, "prepare");
    let node = cx.counters.node("prepare");
    let results = prepared_rows(&cx.preparer, subjects, cx.workers, cx.memory);
    let results = results.map_err(|source| Error::Io {
        path: cx.folder.path.clone(),
        action: "starting worker threads",
        source,
    })?;
    let mut seconds = Vec::new();
    for (subject, time, rows) in results {
        cx.check()?;
        if let (Ok(rows), Some(writer)) = (rows, &writer) {
            let id = &cx.preparer.subject(subject).id;
            let (count, bytes) = (rows.len(), rows.iter().map(Row::bytes).sum());
            let write = || node.busy(|| writer.write(rows).map(drop).map_err(Error::from));
            if cx.write_for(id, "prepare", write)? {
                node.passed(count, bytes);
            }
        }
        seconds.push((subject, time));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(seconds)
}

/// Takes figures and warnings of a subject that was prepared before a resume from its file.
///
/// **Errors** if the file is damaged.
fn restore_notes(cx: &RunContext, index: usize, path: &Path) -> Result<(), Error> {
    let mut measured = Vec::new();
    for row in read_notes(path)? {
        cx.preparer.note_warnings(index, &row.warnings);
        let sample = row.sample;
        measured.extend(row.quality.into_iter().map(|measure| (sample, measure)));
    }
    cx.preparer.restore_quality(index, measured);
    Ok(())
}
