//! A training run: streams feed the trainer, validation chooses, checkpoints keep.

mod finish;

use super::attempts::{Again, Attempts};
use super::context::{RunContext, training_window};
use super::evaluate::summary;
use super::feed::{Feed, Positions, TrainingSubjects, trainer_config};
use super::inference::Inference;
use super::initial::Initial;
use super::noted::Known;
use super::recorder::Recorder;
use super::trackers::Trackers;
use super::unlearnt::{unscored, untrained};
use crate::error::Error;
use crate::metric::{ClassUnion, Wanted};
use crate::plan::sections::TrainSection;
use crate::sink::{MetricRow, read_table, write_table};
use crate::store;
use crate::train::TrainError;
use crate::train::checkpoint::{self, Best, ModelFile, State};
use crate::train::data_parallel::DataParallel;
use crate::train::figures::Figure;
use crate::train::infer::Window;
use crate::train::postprocessing::PostProcessing;
use crate::train::trainer::StepRows;
use crate::volume::Split;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two writes of the metrics: a table of a long run is large.
const PUBLISHED: Duration = Duration::from_secs(10);

/// One training run under way.
struct Training<'a> {
    cx: &'a RunContext,
    section: &'a TrainSection,
    trainers: DataParallel,
    window: Window,
    metrics: Vec<MetricRow>,
    best: Option<Best>,
    validation: Vec<usize>,
    /// When the metrics were written last.
    published: Instant,
    /// Records views, where the pipeline asks for it.
    recorder: Option<Recorder>,
    /// Who is told of the figures.
    trackers: Trackers,
    /// Unions of classes that are scored beside what is trained.
    unions: Vec<ClassUnion>,
}

/// Trains, scores and writes every table of a training run.
///
/// **Errors** when a stream has no subject left, a loss is not finite, an output cannot be
/// written, or the run is stopped; a checkpoint is written before a stop.
pub fn train(
    cx: &RunContext,
    section: &TrainSection,
    subjects: &TrainingSubjects,
) -> Result<(), Error> {
    let attempts = Attempts::open(&cx.folder.path, None, Again::Training, false)?;
    let attempts = Arc::new(attempts);
    cx.preparer.write_down(&attempts);
    let mut training = Training::new(cx, section)?;
    let positions = training.resume()?;
    training.trackers = Trackers::start(cx)?;
    let done = training.train(positions, subjects);
    let told = training.trackers.end(done.is_ok());
    done.and(told)?;
    attempts.close()
}

impl<'a> Training<'a> {
    fn new(cx: &'a RunContext, section: &'a TrainSection) -> Result<Self, Error> {
        let modalities = cx.preparer.cohort().modalities();
        let config = trainer_config(&cx.plan, section, modalities);
        let trainers = DataParallel::new(&config, &cx.devices)?;
        let window = training_window(cx, section)?;
        let spec = &trainers.first.student.model.spec;
        let unions = cx
            .plan
            .scored_regions(&spec.classes, &spec.regions)
            .map_err(|diagnostics| Error::Pipeline { diagnostics })?;
        let every = section.validate.subjects.unwrap_or(usize::MAX);
        let validation = cx
            .subjects(|s| s.split == Split::Validation)
            .into_iter()
            .take(every)
            .collect();
        tracing::info!(parameters = trainers.first.student.model.params.count(), device = ?cx.device.location(), devices = cx.devices.len(), "network built");
        Ok(Self {
            cx,
            section,
            trainers,
            window,
            metrics: Vec::new(),
            best: None,
            validation,
            published: Instant::now(),
            recorder: None,
            trackers: Trackers::default(),
            unions,
        })
    }

    /// Loads the initial weights of `train.initial`.
    fn begin(&mut self) -> Result<Positions, Error> {
        if let Some(initial) = Initial::read(&self.cx.plan, self.section)? {
            initial.give(|weights, skip| self.trainers.begin_with(weights, skip))?;
        }
        Ok(Positions::default())
    }

    /// Goes on from the last checkpoint, where the run has one.
    fn resume(&mut self) -> Result<Positions, Error> {
        let Some(folder) = checkpoint::last(&self.cx.folder.join("checkpoints"))?
            .filter(|_| self.cx.folder.resumed)
        else {
            return self.begin();
        };
        let state: State<Positions> = self.trainers.restore(&folder)?;
        self.metrics = read_table(&folder.join("metrics.parquet"))?;
        let warnings = folder.join("warnings.parquet");
        // Checkpoints of earlier versions hold none.
        if store::exists(&warnings).map_err(Error::io(&warnings, "looking it up"))? {
            self.cx.preparer.warnings().restore(read_table(&warnings)?);
        }
        self.cx.preparer.noted().restore(Known::read(&folder)?);
        self.best = state.best;
        tracing::info!(step = state.step, "resumed");
        Ok(state.positions)
    }

    fn train(&mut self, from: Positions, subjects: &TrainingSubjects) -> Result<(), Error> {
        self.run(from, subjects.clone())?;
        let (preparer, classes) = (&self.cx.preparer, &self.section.classes);
        let known = preparer.noted().known();
        let records = preparer.cohort().subjects();
        if let Some((kind, message)) = untrained(&known, &subjects.labelled, records, classes) {
            preparer.warnings().add_run("train", kind, message);
        }
        self.finish(&subjects.unlabelled)
    }

    fn run(&mut self, mut positions: Positions, subjects: TrainingSubjects) -> Result<(), Error> {
        let cx = self.cx;
        self.recorder = Recorder::start(cx, self.trainers.first.step)?;
        let mut feed = Feed::start(
            &cx.plan,
            &cx.preparer,
            self.section,
            subjects,
            positions,
            (cx.workers, cx.memory / 2),
            &cx.counters,
        )?;
        let node = cx.counters.node("train");
        let bar = cx.bar(self.section.steps, "train");
        bar.set_position(self.trainers.first.step);
        // One step ahead of the trainer, so that it can make the next tensors while the device computes.
        let mut next = None;
        while self.trainers.first.step < self.section.steps && !self.stalls() {
            let stopped = cx.check();
            if stopped.is_err() {
                self.checkpoint(positions)?;
                stopped?;
            }
            let batches = match next.take() {
                Some(batches) => batches,
                None => feed.step(),
            }?;
            let epoch = feed.epoch();
            let after = feed.positions();
            if self.trainers.first.step + 1 < self.section.steps {
                let coming = feed.step();
                if let Ok(rows) = &coming {
                    self.trainers.expect(rows.clone());
                }
                next = Some(coming);
            }
            let of = |rows: &StepRows| rows.labelled.len() + rows.unlabelled.len();
            let count = batches.iter().map(of).sum();
            if let Some(recorder) = &mut self.recorder {
                recorder.add(self.trainers.first.step + 1, &batches);
            }
            let figures = node.busy(|| self.trainers.train(batches))?;
            node.passed(count, 0);
            positions = after;
            self.record(epoch, &figures);
            self.publish()?;
            bar.set_message(format!("loss {:.4}", figures[0].value));
            bar.inc(1);
            let step = self.trainers.first.step;
            if step.is_multiple_of(self.section.validate.every) || step == self.section.steps {
                self.validate(epoch)?;
                self.checkpoint(positions)?;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Returns `true` if validation has not improved for as long as the author waits.
    fn stalls(&self) -> bool {
        let validate = &self.section.validate;
        let (Some(patience), Some(best)) = (validate.patience, &self.best) else {
            return false;
        };
        // Without scores there is nothing to wait for.
        let since = self.trainers.first.step.saturating_sub(best.step) / validate.every.max(1);
        let stalls = best.score.is_some() && since >= patience.get();
        if stalls {
            let (step, best) = (self.trainers.first.step, best.step);
            tracing::info!(step, best, "stopped early: no better validation since");
        }
        stalls
    }

    fn record(&mut self, epoch: u64, figures: &[Figure]) {
        let step = self.trainers.first.step as i64;
        self.metrics.extend(figures.iter().map(|f| MetricRow {
            step,
            epoch: epoch as i64,
            split: Split::Train.name().to_owned(),
            subject_id: None,
            modality: None,
            class: f.class.clone(),
            name: f.name.to_owned(),
            value: f.value,
            unit: "1".to_owned(),
        }));
    }

    /// Writes the metrics so far every few seconds, for who follows the run.
    fn publish(&mut self) -> Result<(), Error> {
        if self.published.elapsed() >= PUBLISHED {
            self.write_metrics()?;
            self.published = Instant::now();
        }
        Ok(())
    }

    fn write_metrics(&mut self) -> Result<(), Error> {
        write_table(&self.cx.folder.join("metrics.parquet"), &self.metrics)?;
        self.trackers.report(&self.metrics)
    }

    fn validate(&mut self, epoch: u64) -> Result<(), Error> {
        let mut scores = Vec::new();
        let model = self.trainers.first.predictor();
        let trained_regions = model.spec.regions.len();
        let wanted = Wanted {
            unions: self.unions.clone(),
            ..Wanted::default()
        };
        self.cx.evaluate(
            Inference::of(model, self.window),
            &wanted,
            &self.validation,
            "validate",
            |record, results| {
                for result in results {
                    scores.extend(result.score_rows(&record.id, "validation", "last"));
                }
                Ok(())
            },
        )?;
        let warnings = self.cx.preparer.warnings();
        if let Some((kind, message)) = unscored(&scores) {
            warnings.add_run("score", kind, message);
        }
        let (step, summary) = (self.trainers.first.step, summary(&scores, trained_regions));
        self.metrics
            .extend(summary.metric_rows(step, epoch, Split::Validation.name()));
        // Without validation subjects the last checkpoint is the best there is.
        if summary.overall.is_none() || self.best.as_ref().and_then(|b| b.score) < summary.overall {
            self.best = Some(Best {
                step,
                score: summary.overall,
            });
        }
        match summary.overall {
            Some(mean_dice) => tracing::info!(step, mean_dice, "validated"),
            None => tracing::info!(
                step,
                "nothing to validate on; the last checkpoint counts as the best"
            ),
        }
        Ok(())
    }

    /// Writes a checkpoint, unless another process has taken the run over.
    fn checkpoint(&mut self, positions: Positions) -> Result<(), Error> {
        self.cx.folder.check_held()?;
        if let Some(recorder) = &mut self.recorder {
            recorder.write(self.trainers.first.step)?;
        }
        let state = State {
            step: self.trainers.first.step,
            positions,
            thresholds: self.trainers.first.thresholds.clone(),
            statistics: self.trainers.first.statistics.clone(),
            best: self.best.clone(),
        };
        let file = ModelFile {
            model: self.trainers.first.student.model.spec.clone(),
            window: self.window.size_xyz,
            overlap: self.window.overlap,
            flips: self.window.flips,
            stages: self.cx.plan.stages_json(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            predictor: if self.trainers.first.teacher.is_some() {
                "teacher"
            } else {
                "student"
            }
            .to_owned(),
            postprocessing: PostProcessing::NONE,
        };
        checkpoint::save(
            &self.cx.folder.join("checkpoints"),
            &self.trainers.first,
            &state,
            &file,
            |folder| {
                let warnings = self.cx.preparer.warnings().rows();
                let known = self.cx.preparer.noted().known();
                write_table(&folder.join("metrics.parquet"), &self.metrics)
                    .and_then(|_| write_table(&folder.join("warnings.parquet"), &warnings))
                    .and_then(|_| known.write(folder))
                    .map_err(|e| TrainError::Checkpoint {
                        path: folder.to_owned(),
                        problem: e.to_string(),
                    })
            },
        )?;
        self.write_metrics()
    }
}
