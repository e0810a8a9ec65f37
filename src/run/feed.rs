//! The two streams of a training: labelled and unlabelled samples, as the rows of a step.

use super::context::{is_labelled, is_unlabelled};
use super::counters::Counters;
use super::prepare::Preparer;
use super::stream::{Position, Sample, SampleStream, Viewer};
use crate::error::Error;
use crate::plan::Plan;
use crate::plan::regions::resolved;
use crate::plan::sections::TrainSection;
use crate::train::model::ModelSpec;
use crate::train::trainer::{StepRows, TrainerConfig};
use crate::volume::Row;
use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where both streams stand.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Positions {
    labelled: Position,
    unlabelled: Position,
}

/// Positions of the subjects of both streams in the cohort.
#[derive(Debug, Clone)]
pub struct TrainingSubjects {
    /// Training subjects with a label.
    pub labelled: Vec<usize>,
    /// Training subjects without.
    pub unlabelled: Vec<usize>,
}

impl TrainingSubjects {
    /// Those of a cohort, at most `limit` each.
    ///
    /// **Errors** when there are none of a kind that the section asks for.
    pub fn new(
        preparer: &Preparer,
        section: &TrainSection,
        limit: Option<usize>,
    ) -> Result<Self, Error> {
        let of = |pick: fn(&crate::source::SubjectRecord) -> bool| -> Vec<usize> {
            let all = preparer.cohort().subjects().iter().enumerate();
            let picked = all.filter(|(_, s)| pick(s)).map(|(i, _)| i);
            picked.take(limit.unwrap_or(usize::MAX)).collect()
        };
        let found = Self {
            labelled: of(is_labelled),
            unlabelled: of(is_unlabelled),
        };
        if found.labelled.is_empty() {
            return Err(Error::run(
                "no training subject has a label; look at the source's `split` and `labels`",
            ));
        }
        if section.batch.unlabelled() > 0 && found.unlabelled.is_empty() {
            let problem = "`train.batch.unlabelled` asks for unlabelled rows, but every training subject is labelled; set it to 0, or `split.labelled` lower";
            return Err(Error::run(problem));
        }
        Ok(found)
    }
}

/// Streams that feed a trainer.
pub struct Feed<'a> {
    section: &'a TrainSection,
    labelled: SampleStream,
    unlabelled: Option<SampleStream>,
}

impl<'a> Feed<'a> {
    /// Starts both streams at `positions`; `workers` and half of `memory` serve each of them.
    ///
    /// **Errors** when no thread can be started.
    pub fn start(
        plan: &Arc<Plan>,
        preparer: &Arc<Preparer>,
        section: &'a TrainSection,
        subjects: TrainingSubjects,
        positions: Positions,
        (workers, memory): (usize, u64),
        counters: &Counters,
    ) -> Result<Self, Error> {
        let viewer = Arc::new(Viewer::new(plan, preparer, counters));
        let start = |name, subjects, position| {
            SampleStream::start(
                name,
                &viewer,
                subjects,
                plan.pipeline.seed,
                position,
                (workers, memory / 2),
                counters,
            )
            .map_err(|e| Error::run(format!("worker threads cannot be started: {e}")))
        };
        Ok(Self {
            section,
            labelled: start("labelled", subjects.labelled, positions.labelled)?,
            unlabelled: match section.batch.unlabelled() {
                0 => None,
                _ => Some(start(
                    "unlabelled",
                    subjects.unlabelled,
                    positions.unlabelled,
                )?),
            },
        })
    }

    /// The rows of one optimiser step, one batch for each gradient that is accumulated.
    ///
    /// **Errors** when every subject of a stream failed.
    pub fn step(&mut self) -> Result<Vec<StepRows>, Error> {
        let batch = &self.section.batch;
        let mut batches = Vec::new();
        for _ in 0..self.section.accumulate {
            let mut rows = StepRows::default();
            for sample in take(&mut self.labelled, batch.labelled, "labelled")? {
                rows.labelled.push(row(&sample.weak)?);
            }
            if let Some(stream) = &mut self.unlabelled {
                for sample in take(stream, batch.unlabelled(), "unlabelled")? {
                    let strong = sample
                        .strong
                        .iter()
                        .map(row)
                        .collect::<Result<_, Error>>()?;
                    rows.unlabelled.push((row(&sample.weak)?, strong));
                }
            }
            batches.push(rows);
        }
        Ok(batches)
    }

    /// Passes over the unlabelled subjects, or without them the labelled ones.
    pub fn epoch(&self) -> u64 {
        self.unlabelled.as_ref().unwrap_or(&self.labelled).epoch()
    }

    /// From where another feed would go on.
    pub fn positions(&self) -> Positions {
        let unlabelled = self.unlabelled.as_ref();
        Positions {
            labelled: self.labelled.position(),
            unlabelled: unlabelled.map(SampleStream::position).unwrap_or_default(),
        }
    }
}

fn take(stream: &mut SampleStream, count: u32, name: &str) -> Result<Vec<Sample>, Error> {
    if let Some(samples) = stream.take(count as usize) {
        return Ok(samples);
    }
    Err(Error::run(match stream.last_failure() {
        Some(f) => format!(
            "no {name} training subject can be used; the last, {} in {}: {}",
            f.subject, f.stage, f.cause
        ),
        None => format!(
            "steps leave no {name} training subject: look at `filter` in the plan (`voxstream explain`), and at `--limit`"
        ),
    }))
}

fn row(batch: &RecordBatch) -> Result<Row, Error> {
    Row::from_batch(batch, 0).map_err(|e| Error::Sink(e.into()))
}

/// How a plan's section trains, for a cohort of these modalities.
pub fn trainer_config(plan: &Plan, section: &TrainSection, modalities: &[String]) -> TrainerConfig {
    let pipeline = &plan.pipeline;
    let teacher = pipeline.pseudo_label.as_ref().map(|(section, _)| section);
    TrainerConfig {
        model: ModelSpec {
            network: section.network.clone(),
            classes: section.classes.clone(),
            modalities: modalities.to_vec(),
            regions: resolved(section.regions.as_ref(), &section.classes),
        },
        objective: section.objective.clone(),
        teacher: teacher.map(|p| (p.threshold.clone(), p.ema)),
        steps: section.steps,
        lr: section.optimizer.lr,
        optimizer: section.optimizer.config(),
        schedule: section.optimizer.schedule,
        warmup: section.optimizer.warmup,
        clip_norm: section.clip_norm,
        seed: pipeline.seed,
        precision: section.precision,
        gradient_norms: section.gradient_norms,
        recompute: section.recompute,
    }
}
