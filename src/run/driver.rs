//! Runs a pipeline from its plan to its closed run folder.

use super::cluster;
use super::context::RunContext;
use super::counters::Counters;
use super::display::Display;
use super::failure::Failure;
use super::feed::TrainingSubjects;
use super::folder::{Presence, Progress, RunFolder, presence};
use super::guard::caught;
use super::ledger::{ledger, plan_digest};
use super::live::Live;
use super::prediction::predict;
use super::predictor::{Predictor, predictor};
use super::preparation::prepare;
use super::prepare::Preparer;
use super::training::train;
use super::watchdog::{PATIENCE, Watchdog};
use crate::error::Error;
use crate::plan::Plan;
use crate::plan::sections::TrainSection;
use crate::report::ReportError;
use crate::sink::{FailureRow, Ledger, ScoreRow, WarningRow};
use crate::source::Cohort;
use crate::store;
use crate::train::device::DeviceChoice;
use crate::volume::WarningKind;
use candle_core::Device;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

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
    /// How many regions the network was trained on; 0 for a network that learns classes. Regions beyond them are
    /// scored and in no mean over what was trained.
    pub trained_regions: usize,
    /// Input that was suspicious and used all the same.
    pub warnings: Vec<WarningRow>,
}

impl RunOutcome {
    /// The process's exit code: 1 if subjects failed, 3 if one of them failed by an error of this program.
    pub fn exit_code(&self) -> u8 {
        match self.failures.iter().any(Failure::is_internal) {
            true => 3,
            false => u8::from(!self.failures.is_empty()),
        }
    }
}

/// Runs a plan on an opened cohort.
///
/// **Errors** when the run cannot start, go on or write; what is complete stays, nothing partial
/// is left under a final name.
pub fn run(plan: Plan, cohort: Box<dyn Cohort>, options: &RunOptions) -> Result<RunOutcome, Error> {
    if options.limit == Some(0) {
        return Err(Error::run(
            "`limit` is 0, so there is no subject to run; give 1 or more, or leave it out",
        ));
    }
    let cohort: Arc<dyn Cohort> = Arc::from(cohort);
    let plan = Arc::new(plan);
    let memory = options.take_memory(&plan);
    let counters = Counters::default();
    let devices = devices(options)?;
    let preparer = Arc::new(Preparer::new(&plan, cohort, memory, &counters)?);
    // What cannot start leaves no folder.
    let job = Job::new(&plan, &preparer, &devices[0], options.limit)?;
    let in_parts = !matches!(job, Job::Train(..));
    let trained_regions = job.regions();
    if options.retry_failed && !in_parts {
        return Err(Error::run(
            "`--retry-failed` concerns runs that prepare or predict; a training notes failures in its checkpoints: start it again without `--resume`",
        ));
    }
    if let Some(address) = &options.cluster {
        cluster::check(address, in_parts)?;
    }
    let inputs = (!in_parts).then(|| preparer.cohort());
    let mut ledger = ledger(&plan, inputs.map(|cohort| &**cohort), options.limit);
    if let Job::Predict(predictor) = &job {
        ledger["predictor"] = predictor.record();
    }
    let folder =
        RunFolder::open(options.out.as_deref(), &plan, &ledger, options.resume)?.on(&devices);
    // A run in parts looks at its inputs again: parts of those that are new or changed are made.
    if folder.progress == Progress::Finished && !in_parts {
        let path = folder.path.display();
        let Presence {
            missing, changed, ..
        } = presence(&folder.path)?;
        match (
            missing.len() + changed.len(),
            missing.iter().chain(&changed).next(),
        ) {
            (count, Some(first)) => {
                tracing::warn!(folder = %path, files = count, first, "this run is finished already, and files of it were lost or changed since: `voxstream verify` names them; restore them from a copy, or run the pipeline into another folder")
            }
            _ => tracing::info!(folder = %path, "this run is finished already; nothing to do"),
        }
        return finished(&folder, trained_regions);
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
        retry_failed: options.retry_failed,
        progress: options.progress,
        stop: Arc::default(),
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
    let live = Live::start(cx.counters.clone(), cx.folder.path.clone());
    let live = live.map_err(|source| Error::Io {
        path: cx.folder.path.clone(),
        action: "starting to write the table of edges",
        source,
    })?;
    let done = caught(|| {
        cx.folder.note_start()?;
        let digest = |weights: &str| plan_digest(&ledger, weights);
        match (job, &options.cluster) {
            (Job::Train(section, subjects), _) => train(&cx, section, &subjects),
            (Job::Predict(predictor), None) => predict(&cx, &predictor, &digest(&predictor.digest)),
            (Job::Prepare, None) => prepare(&cx, &digest("")),
            (Job::Predict(predictor), Some(address)) => {
                cluster::predict(&cx, &digest(&predictor.digest), address)
            }
            (Job::Prepare, Some(address)) => cluster::prepare(&cx, &digest(""), address),
        }
    });
    // A panic outside any subject's work ends the run; its tables are written all the same.
    let done = done.unwrap_or_else(|panic| Err(panic.into()));
    drop((watchdog, display, live));
    if let Err(error) = done {
        // Tables of the failures so far are written; but who stops a run does not wait for every
        // header to be read, and parts are committed already.
        if !matches!(error, Error::Cancelled)
            && !in_parts
            && let Err(unwritten) = cx.close()
        {
            tracing::warn!(reason = %unwritten, "the run's tables could not be written");
        }
        return Err(error);
    }
    match in_parts {
        true => cx.write_edges()?,
        false => cx.close()?,
    }
    match crate::report::write(&cx.folder.path) {
        Err(ReportError::Empty { path }) if store::is_url(&path) => {
            tracing::warn!(
                run = %path.display(),
                "the list of the store does not name what was just committed; write the page later with `voxstream report`"
            );
        }
        written => drop(written?),
    }
    // Last of all: a run whose report failed is resumed, not taken for finished.
    cx.folder.note_end(in_parts)?;
    let mut outcome = finished(&cx.folder, trained_regions)?;
    // The same list: what failed in this start is known without it.
    let listed: BTreeSet<String> = (outcome.failures.iter())
        .map(|failure| failure.subject.clone())
        .collect();
    let known = cx.preparer.noted().known().failures.into_values();
    (outcome.failures).extend(known.filter(|failure| !listed.contains(&failure.subject)));
    Ok(outcome)
}

/// What a run does, with all that it needs at hand.
enum Job<'a> {
    Train(&'a TrainSection, TrainingSubjects),
    Predict(Box<Predictor>),
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
            fold_is_named(plan)?;
            let subjects = TrainingSubjects::new(preparer, section, limit)?;
            return Ok(Self::Train(section, subjects));
        }
        if plan.pipeline.makes_views() {
            let problem = "the file has `views` and no `train`, so a run has nothing to make them for: add `train:`, remove `views:`, or stream them into another trainer (`voxstream.stream` in Python)";
            return Err(Error::run(problem));
        }
        let Some((section, _)) = &plan.pipeline.predict else {
            return Ok(Self::Prepare);
        };
        let modalities = preparer.cohort().modalities();
        let predictor = predictor(plan, section, modalities, device)?;
        if let Some(message) = predictor.absent(modalities) {
            let warnings = preparer.warnings();
            warnings.add_run("predict", WarningKind::AbsentModality, message);
        }
        Ok(Self::Predict(Box::new(predictor)))
    }

    /// How many regions the network learns or learnt.
    fn regions(&self) -> usize {
        match self {
            Self::Train(section, _) => section.regions.as_ref().map_or(0, |r| r.0.len()),
            Self::Predict(predictor) => predictor.regions(),
            Self::Prepare => 0,
        }
    }
}

/// A training of a cross-validation knows its fold.
///
/// **Errors** say how to name it.
fn fold_is_named(plan: &Plan) -> Result<(), Error> {
    let source = &plan.pipeline.source;
    match (source.folds(), source.fold()) {
        (Some(folds), None) => Err(Error::run(format!(
            "{}: the source has {folds} folds; say which one validates: `--fold 0` to `--fold {}`, or `--fold all` for each in turn",
            plan.file.name,
            folds - 1
        ))),
        _ => Ok(()),
    }
}

/// What a run that is finished came to, read from its tables.
fn finished(folder: &RunFolder, trained_regions: usize) -> Result<RunOutcome, Error> {
    let tables = Ledger::open(&folder.path)?;
    let failures = tables.read::<FailureRow>()?.into_iter();
    Ok(RunOutcome {
        scores: tables.read()?,
        trained_regions,
        warnings: tables.read()?,
        failures: failures.map(Failure::from).collect(),
        folder: folder.path.clone(),
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
