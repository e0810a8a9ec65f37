//! The runs that an executor takes part in: opens them once, and makes their parts.

use super::manifest::PartRequest;
use super::options::{ExecutorOptions, OpenPipeline};
use super::task::RunTask;
use crate::error::Error;
use crate::metric::Wanted;
use crate::run::context::RunContext;
use crate::run::counters::Counters;
use crate::run::cut::{Stretch, stretch_digest};
use crate::run::failure::causes;
use crate::run::folder::RunFolder;
use crate::run::guard::caught;
use crate::run::ledger::{ledger, plan_digest};
use crate::run::options::RunOptions;
use crate::run::parts::Parts;
use crate::run::prediction::make_parts as predict_parts;
use crate::run::predictor::{Predictor, predictor};
use crate::run::preparation::make_parts as prepare_parts;
use crate::run::prepare::Preparer;
use crate::sink::PartRow;
use datafusion::common::DataFusionError;
use indicatif::ProgressBar;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs that are kept open.
const OPEN: usize = 4;

/// What an executor makes parts with.
pub(super) struct Site {
    name: String,
    options: RunOptions,
    /// Parts made at a time.
    parts: usize,
    open: OpenPipeline,
    opened: Mutex<Vec<(RunTask, Arc<OpenRun>)>>,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Site({})", self.name)
    }
}

/// A run, as an executor sees it.
struct OpenRun {
    cx: RunContext,
    /// What predicts; one part at a time, as a prediction uses every core by itself.
    predictor: Option<Mutex<Predictor>>,
    wanted: Wanted,
    digest: String,
}

impl Site {
    /// The site of an executor of this name, as it is shown in the table `parts`.
    pub(super) fn new(name: String, options: &ExecutorOptions, open: OpenPipeline) -> Self {
        Self {
            name,
            options: RunOptions {
                device: options.device,
                workers: options.workers,
                memory: options.memory,
                ..RunOptions::default()
            },
            parts: options.parts.max(1),
            open,
            opened: Mutex::default(),
        }
    }

    /// Name of the executor.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Makes a part and returns its commit record; the record of one that is committed already is returned
    /// as it is.
    ///
    /// **Errors** of a disk or a store are of the kind that the scheduler has tried again, elsewhere; all
    /// others end the job. Failures of subjects are no errors.
    pub(super) fn make(
        &self,
        task: &RunTask,
        request: &PartRequest,
        stop: Arc<AtomicBool>,
    ) -> Result<PartRow, DataFusionError> {
        let made = caught(|| self.try_make(task, request, stop));
        let made = made.unwrap_or_else(|panic| Err(panic.into()));
        made.map_err(|error| {
            let text = format!("⟦executor {}: {}⟧", self.name, causes(&error));
            if !matches!(error, Error::Cancelled) {
                tracing::warn!(part = %request.part, reason = %causes(&error), "the part was not made");
            }
            match error {
                Error::Io { .. } | Error::Sink(_) => {
                    DataFusionError::IoError(std::io::Error::other(text))
                }
                _ => DataFusionError::Execution(text),
            }
        })
    }

    fn try_make(
        &self,
        task: &RunTask,
        request: &PartRequest,
        stop: Arc<AtomicBool>,
    ) -> Result<PartRow, Error> {
        let run = self.opened(task)?;
        let cx = RunContext {
            stop,
            ..run.cx.clone()
        };
        let stretch = run.stretch(request)?;
        let mut parts = Parts::joined(&cx, &request.part, &self.name)?;
        let (stretches, bar) = (std::iter::once(stretch), ProgressBar::hidden());
        match &run.predictor {
            None => prepare_parts(&cx, stretches, &bar, &mut parts)?,
            Some(predictor) => {
                let predictor = predictor.lock().unwrap_or_else(PoisonError::into_inner);
                predict_parts(&cx, &predictor, &run.wanted, stretches, &bar, &mut parts)?;
            }
        }
        parts.end_attempts()?;
        let made = parts
            .record(&request.part)
            .cloned()
            .ok_or_else(|| Error::run(format!("part {}: it was not committed", request.part)))?;
        tracing::info!(part = %made.part, subjects = made.subjects, failed = made.failures,
            seconds = format!("{:.2}", made.seconds), "committed");
        Ok(made)
    }

    /// A run that is open already, or is opened now; other tasks wait meanwhile.
    fn opened(&self, task: &RunTask) -> Result<Arc<OpenRun>, Error> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, run)) = opened.iter().find(|(known, _)| known == task) {
            return Ok(Arc::clone(run));
        }
        tracing::info!(run = %task.run, start = task.starts, "takes part in");
        let run = Arc::new(self.open_run(task)?);
        if opened.len() == OPEN {
            opened.remove(0);
        }
        // Earlier starts of the run are over.
        opened.retain(|(known, _)| known.run != task.run);
        opened.push((task.clone(), Arc::clone(&run)));
        Ok(run)
    }

    fn open_run(&self, task: &RunTask) -> Result<OpenRun, Error> {
        let (plan, cohort) = (self.open)(&task.source_file())?;
        let plan = Arc::new(match task.optimized {
            true => plan,
            false => plan.unoptimized(),
        });
        let memory = self.options.take_memory(&plan) / self.parts as u64;
        let (counters, device) = (Counters::default(), self.options.device.open()?);
        let preparer = Preparer::new(&plan, Arc::from(cohort), memory, &counters)?;
        let predictor = match &plan.pipeline.predict {
            None => None,
            Some((section, _)) => {
                let modalities = preparer.cohort().modalities();
                Some(predictor(&plan, section, modalities, &device)?)
            }
        };
        let weights = predictor.as_ref().map_or("", |p| p.digest.as_str());
        let digest = plan_digest(&ledger(&plan, None, task.limit), weights);
        if digest != task.plan {
            return Err(Error::run(format!(
                "{}: planned here its digest is {}, where the run was started it is {}: the pipeline, its checkpoint or the program differ; use the same files and the same build on every machine",
                task.file,
                short(&digest),
                short(&task.plan)
            )));
        }
        let cx = RunContext {
            preparer: Arc::new(preparer),
            plan,
            counters,
            folder: RunFolder::member(Path::new(&task.run), task.starts),
            device: device.clone(),
            devices: vec![device],
            workers: (self.options.threads() / self.parts).max(1),
            memory,
            limit: task.limit,
            retry_failed: false,
            progress: false,
            stop: Arc::default(),
        };
        let wanted = match &predictor {
            Some(predictor) => cx.wanted(predictor.unions.clone()),
            None => Wanted::default(),
        };
        Ok(OpenRun {
            cx,
            predictor: predictor.map(Mutex::new),
            wanted,
            digest,
        })
    }
}

impl OpenRun {
    /// The stretch of a part.
    ///
    /// **Errors** if its subjects or their files are others here than where the run was started.
    fn stretch(&self, request: &PartRequest) -> Result<Stretch, Error> {
        let preparer = &self.cx.preparer;
        let known = preparer.cohort().subjects().len();
        if let Some(beyond) = request.subjects.iter().find(|i| **i >= known) {
            return Err(Error::run(format!(
                "part {}: it has subject number {beyond}, the cohort has {known} here; every machine must see the same cohort",
                request.part
            )));
        }
        let digest = stretch_digest(preparer, &self.digest, &request.subjects);
        if digest != request.digest {
            let id = |i: Option<&usize>| i.map_or("", |i| &preparer.subject(*i).id);
            let (first, last) = (id(request.subjects.first()), id(request.subjects.last()));
            return Err(Error::run(format!(
                "part {}: subjects {first} to {last} are others here than where the run was started, or their files differ in place, size or time; every machine must see the same files at the same paths",
                request.part
            )));
        }
        Ok(Stretch {
            subjects: request.subjects.clone(),
            name: request.part.clone(),
            digest,
            plan: self.digest.clone(),
        })
    }
}

/// The first digits of a digest.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
