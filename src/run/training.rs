//! A training run: streams feed the trainer, validation chooses, checkpoints keep.

use super::context::{RunContext, is_labelled, is_unlabelled, training_window};
use super::evaluate::summary;
use super::stream::{Position, Sample, SampleStream, Viewer};
use crate::error::Error;
use crate::metric::Wanted;
use crate::plan::sections::TrainSection;
use crate::sink::{MetricRow, ScoreRow, read_table, write_table};
use crate::train::checkpoint::{self, Best, ModelFile, State};
use crate::train::figures::Figure;
use crate::train::infer::Window;
use crate::train::model::ModelSpec;
use crate::train::trainer::{StepRows, Trainer, TrainerConfig};
use crate::train::{TrainError, checkpoint::restore};
use crate::volume::{Row, Split};
use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where both streams stand.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Positions {
    labelled: Position,
    unlabelled: Position,
}

/// One training run under way.
struct Training<'a> {
    cx: &'a RunContext,
    section: &'a TrainSection,
    trainer: Trainer,
    window: Window,
    metrics: Vec<MetricRow>,
    best: Option<Best>,
    validation: Vec<usize>,
}

/// Trains, scores and writes every table of a training run.
///
/// **Errors** when a stream has no subject left, a loss is not finite, an output cannot be
/// written, or the run is stopped; a checkpoint is written before a stop.
pub fn train(cx: &RunContext, section: &TrainSection) -> Result<Vec<ScoreRow>, Error> {
    let labelled = cx.subjects(is_labelled);
    let unlabelled = cx.subjects(is_unlabelled);
    if labelled.is_empty() {
        return Err(Error::run(
            "no training subject has a label; look at the source's `split` and `labels`",
        ));
    }
    if section.batch.unlabelled > 0 && unlabelled.is_empty() {
        let problem = "`train.batch.unlabelled` asks for unlabelled rows, but every training subject is labelled; set it to 0, or `split.labelled` lower";
        return Err(Error::run(problem));
    }
    let mut training = Training::new(cx, section)?;
    let positions = training.resume()?;
    training.run(positions, labelled, &unlabelled)?;
    training.finish(&unlabelled)
}

impl<'a> Training<'a> {
    fn new(cx: &'a RunContext, section: &'a TrainSection) -> Result<Self, Error> {
        let pipeline = &cx.plan.pipeline;
        let model = ModelSpec {
            network: section.network.clone(),
            classes: section.classes.clone(),
            modalities: cx.preparer.cohort().modalities().to_vec(),
        };
        let config = TrainerConfig {
            model,
            objective: section.objective.clone(),
            teacher: pipeline
                .pseudo_label
                .as_ref()
                .map(|p| (p.threshold.clone(), p.ema)),
            steps: section.steps,
            lr: section.optimizer.lr,
            optimizer: section.optimizer.config(),
            schedule: section.optimizer.schedule,
            warmup: section.optimizer.warmup,
            clip_norm: section.clip_norm,
            seed: pipeline.seed,
            precision: section.precision,
            recompute: section.recompute,
        };
        let trainer = Trainer::new(config, &cx.device)?;
        let window = training_window(cx, section)?;
        let every = section.validate.subjects.unwrap_or(usize::MAX);
        let validation = cx
            .subjects(|s| s.split == Split::Validation)
            .into_iter()
            .take(every)
            .collect();
        tracing::info!(parameters = trainer.student.model.params.count(), device = ?cx.device.location(), "network built");
        Ok(Self {
            cx,
            section,
            trainer,
            window,
            metrics: Vec::new(),
            best: None,
            validation,
        })
    }

    /// Goes on from the last checkpoint, where the run has one.
    fn resume(&mut self) -> Result<Positions, Error> {
        let Some(folder) = checkpoint::last(&self.cx.folder.join("checkpoints"))?
            .filter(|_| self.cx.folder.resumed)
        else {
            return Ok(Positions::default());
        };
        let state: State<Positions> = restore(&folder, &mut self.trainer)?;
        self.metrics = read_table(&folder.join("metrics.parquet"))?;
        self.best = state.best;
        tracing::info!(step = state.step, "resumed");
        Ok(state.positions)
    }

    fn run(
        &mut self,
        positions: Positions,
        labelled: Vec<usize>,
        unlabelled: &[usize],
    ) -> Result<(), Error> {
        let cx = self.cx;
        let viewer = Arc::new(Viewer::new(&cx.plan, &cx.preparer, &cx.counters));
        let seed = cx.plan.pipeline.seed;
        let start = |name, subjects, position| {
            let thread = |source| Error::Io {
                path: cx.folder.path.clone(),
                action: "starting worker threads",
                source,
            };
            let budget = (cx.workers, cx.memory / 4);
            SampleStream::start(
                name,
                &viewer,
                subjects,
                seed,
                position,
                budget,
                &cx.counters,
            )
            .map_err(thread)
        };
        let batch = &self.section.batch;
        let mut labelled = start("labelled", labelled, positions.labelled)?;
        let mut unlabelled = match batch.unlabelled {
            0 => None,
            _ => Some(start(
                "unlabelled",
                unlabelled.to_vec(),
                positions.unlabelled,
            )?),
        };
        let node = cx.counters.node("train");
        let bar = cx.bar(self.section.steps, "train");
        bar.set_position(self.trainer.step);
        while self.trainer.step < self.section.steps && !self.stalls() {
            let stopped = cx.check();
            if stopped.is_err() {
                self.checkpoint(&labelled, unlabelled.as_ref())?;
                stopped?;
            }
            let mut batches = Vec::new();
            for _ in 0..self.section.accumulate {
                let mut rows = StepRows::default();
                let supervised = take(&mut labelled, batch.labelled)?;
                rows.labelled = supervised
                    .iter()
                    .map(|s| row(&s.weak))
                    .collect::<Result<_, _>>()?;
                if let Some(stream) = &mut unlabelled {
                    let both = take(stream, batch.unlabelled)?;
                    rows.unlabelled = both
                        .iter()
                        .map(|s| {
                            let strong = s.strong.iter().map(row).collect::<Result<_, Error>>()?;
                            Ok((row(&s.weak)?, strong))
                        })
                        .collect::<Result<_, Error>>()?;
                }
                batches.push(rows);
            }
            let epoch = unlabelled.as_ref().unwrap_or(&labelled).epoch();
            let figures = node.busy(|| self.trainer.train(&batches))?;
            node.passed(
                batches
                    .iter()
                    .map(|b| b.labelled.len() + b.unlabelled.len())
                    .sum(),
                0,
            );
            self.record(epoch, &figures);
            bar.set_message(format!("loss {:.4}", figures[0].value));
            bar.inc(1);
            let step = self.trainer.step;
            if step.is_multiple_of(self.section.validate.every) || step == self.section.steps {
                self.validate(epoch)?;
                self.checkpoint(&labelled, unlabelled.as_ref())?;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Whether validation has not improved for as long as the author waits.
    fn stalls(&self) -> bool {
        let validate = &self.section.validate;
        let (Some(patience), Some(best)) = (validate.patience, &self.best) else {
            return false;
        };
        // Without scores there is nothing to wait for.
        let since = self.trainer.step.saturating_sub(best.step) / validate.every.max(1);
        let stalls = best.score.is_some() && since >= patience.get();
        if stalls {
            let (step, best) = (self.trainer.step, best.step);
            tracing::info!(step, best, "stopped early: no better validation since");
        }
        stalls
    }

    fn record(&mut self, epoch: u64, figures: &[Figure]) {
        let step = self.trainer.step as i64;
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

    fn validate(&mut self, epoch: u64) -> Result<(), Error> {
        let mut scores = Vec::new();
        let model = self.trainer.predictor();
        self.cx.evaluate(
            model,
            self.window,
            &Wanted::default(),
            &self.validation,
            "validate",
            |record, results| {
                for result in results {
                    scores.extend(result.score_rows(
                        &model.spec.classes,
                        &record.id,
                        "validation",
                        "last",
                    ));
                }
                Ok(())
            },
        )?;
        let (step, summary) = (self.trainer.step, summary(&scores));
        self.metrics
            .extend(summary.metric_rows(step, epoch, Split::Validation.name()));
        // Without validation subjects the last checkpoint is the best there is.
        if summary.overall.is_none() || self.best.as_ref().and_then(|b| b.score) < summary.overall {
            self.best = Some(Best {
                step,
                score: summary.overall,
            });
        }
        tracing::info!(step, mean_dice = summary.overall, "validated");
        Ok(())
    }

    fn checkpoint(
        &self,
        labelled: &SampleStream,
        unlabelled: Option<&SampleStream>,
    ) -> Result<(), Error> {
        let positions = Positions {
            labelled: labelled.position(),
            unlabelled: unlabelled.map(SampleStream::position).unwrap_or_default(),
        };
        let state = State {
            step: self.trainer.step,
            positions,
            thresholds: self.trainer.thresholds.clone(),
            statistics: self.trainer.statistics.clone(),
            best: self.best.clone(),
        };
        let file = ModelFile {
            model: self.trainer.student.model.spec.clone(),
            window: self.window.size_xyz,
            overlap: self.window.overlap,
            flips: self.window.flips,
            stages: self.cx.plan.stages_json(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            predictor: if self.trainer.teacher.is_some() {
                "teacher"
            } else {
                "student"
            }
            .to_owned(),
        };
        checkpoint::save(
            &self.cx.folder.join("checkpoints"),
            &self.trainer,
            &state,
            &file,
            |folder| {
                let written = write_table(&folder.join("metrics.parquet"), &self.metrics);
                written.map(|_| ()).map_err(|e| TrainError::Checkpoint {
                    path: folder.to_owned(),
                    problem: e.to_string(),
                })
            },
        )?;
        write_table(&self.cx.folder.join("metrics.parquet"), &self.metrics)?;
        Ok(())
    }

    /// Scores the last and the best checkpoint, and draws the final pseudo-labels.
    fn finish(&mut self, unlabelled: &[usize]) -> Result<Vec<ScoreRow>, Error> {
        let epoch = self.metrics.last().map_or(0, |m| m.epoch as u64);
        let step = self.trainer.step;
        if let (Some(teacher), Some(thresholds)) = (&self.trainer.teacher, &self.trainer.thresholds)
        {
            self.cx.draw_pseudo_labels(
                teacher,
                self.window,
                (epoch, step),
                &thresholds.current(),
                unlabelled,
            )?;
        }
        let best = checkpoint::best(&self.cx.folder.join("checkpoints"))?;
        let last_is_best = self.best.as_ref().is_some_and(|b| b.step == step);
        let last = self.trainer.predictor();
        let mut scores = if last_is_best {
            self.cx.score(last, self.window, epoch, "best")?
        } else {
            let (model, _) = checkpoint::open(&best, &self.cx.device)?;
            self.cx.score(&model, self.window, epoch, "best")?
        };
        let of_last = if last_is_best {
            // One checkpoint is both: its scores are told under both names.
            let renamed = |s: &ScoreRow| ScoreRow {
                checkpoint: "last".to_owned(),
                ..s.clone()
            };
            scores.iter().map(renamed).collect()
        } else {
            self.cx.score(last, self.window, epoch, "last")?
        };
        scores.extend(of_last);
        write_table(&self.cx.folder.join("metrics.parquet"), &self.metrics)?;
        write_table(&self.cx.folder.join("scores.parquet"), &scores)?;
        Ok(scores)
    }
}

fn take(stream: &mut SampleStream, count: u32) -> Result<Vec<Sample>, Error> {
    stream
        .take(count as usize)
        .ok_or_else(|| Error::run("every subject of a training stream failed; see `failures`"))
}

fn row(batch: &RecordBatch) -> Result<Row, Error> {
    Row::from_batch(batch, 0).map_err(|e| Error::Sink(e.into()))
}
