//! One optimiser step: labelled rows supervise, unlabelled rows follow the teacher.

use super::TrainError;
use super::batch::{Batch, collate, groups};
use super::device::Precision;
use super::figures::{Figure, Sums};
use super::model::{Model, ModelSpec};
use super::objective::supervised::supervised_deep;
use super::objective::threshold::{ThresholdSpec, Thresholds};
use super::objective::{ObjectiveSpec, Term, Terms, cac::cac_all, csc::csc_all};
use super::schedule::{Schedule, learning_rate};
use crate::nn::ema::Ema;
use crate::nn::gradients::Gradients;
use crate::nn::optimizer::{Optimizer, OptimizerConfig};
use crate::volume::Row;
use candle_core::{Device, Tensor};

/// How a run trains, apart from its data.
#[derive(Debug, Clone)]
pub struct TrainerConfig {
    /// Network, classes and modalities.
    pub model: ModelSpec,
    /// Loss terms.
    pub objective: ObjectiveSpec,
    /// Confidence a pseudo-label needs, and the teacher's largest decay; `None` trains without a teacher.
    pub teacher: Option<(ThresholdSpec, f64)>,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Largest learning rate.
    pub lr: f64,
    /// Optimiser and its constants.
    pub optimizer: OptimizerConfig,
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// Fraction of the steps with a growing rate.
    pub warmup: f64,
    /// Largest global gradient norm.
    pub clip_norm: Option<f64>,
    /// Seed of the initial weights.
    pub seed: u64,
    /// Arithmetic of the activations.
    pub precision: Precision,
}

/// Rows of one batch: labelled ones in the weak view, unlabelled ones in all views.
#[derive(Debug, Default)]
pub struct StepRows {
    /// Labelled rows.
    pub labelled: Vec<Row>,
    /// Unlabelled rows: weak view and strong views of the same patch.
    pub unlabelled: Vec<(Row, Vec<Row>)>,
}

/// Trains a student, and a teacher that follows it.
pub struct Trainer {
    config: TrainerConfig,
    /// The network that is trained.
    pub student: Model,
    /// Its moving average.
    pub teacher: Option<Model>,
    /// Running thresholds of the pseudo-labels.
    pub thresholds: Option<Thresholds>,
    /// The optimiser's state.
    pub optimizer: Optimizer,
    gradients: Gradients,
    /// Steps done.
    pub step: u64,
}

impl Trainer {
    /// A trainer at step 0; the teacher starts as a copy of the student.
    ///
    /// **Errors** when the network cannot be built.
    pub fn new(config: TrainerConfig, device: &Device) -> Result<Self, TrainError> {
        let model =
            || Model::new(&config.model, config.seed, device)?.with_precision(config.precision);
        let student = model()?;
        let teacher = match &config.teacher {
            Some(_) => {
                let teacher = model()?;
                teacher.params.set(&student.params.snapshot()?)?;
                Some(teacher)
            }
            None => None,
        };
        let thresholds = config
            .teacher
            .as_ref()
            .map(|(spec, _)| Thresholds::new(spec.clone(), student.classes()));
        let optimizer = Optimizer::new(&student.params, config.optimizer)?;
        let gradients = Gradients::zeros(&student.params)?;
        Ok(Self {
            config,
            student,
            teacher,
            thresholds,
            optimizer,
            gradients,
            step: 0,
        })
    }

    /// The model that predicts: the teacher where there is one.
    pub fn predictor(&self) -> &Model {
        self.teacher.as_ref().unwrap_or(&self.student)
    }

    /// One optimiser step over one or more batches.
    ///
    /// **Errors** when a loss or the gradient is not finite (nothing is changed then), or rows do
    /// not form a batch.
    pub fn train(&mut self, batches: &[StepRows]) -> Result<Vec<Figure>, TrainError> {
        self.gradients.clear()?;
        let mut sums = Sums {
            kept: vec![(0.0, 0.0); self.student.classes()],
            ..Sums::default()
        };
        for rows in batches {
            self.labelled(rows, batches.len(), &mut sums)?;
            self.unlabelled(rows, batches.len(), &mut sums)?;
        }
        let norm = self.gradients.global_norm()?;
        if !norm.is_finite() {
            let rows = batches
                .iter()
                .flat_map(|b| b.labelled.iter().chain(b.unlabelled.iter().map(|(w, _)| w)));
            let subjects = rows.map(|r| r.subject.clone()).collect();
            return Err(TrainError::NotFinite {
                step: self.step,
                term: "gradient",
                value: norm,
                subjects,
            });
        }
        if let Some(limit) = self.config.clip_norm.filter(|limit| norm > *limit) {
            self.gradients.scale(limit / norm)?;
        }
        let lr = learning_rate(
            self.step,
            self.config.steps,
            self.config.lr,
            self.config.warmup,
            self.config.schedule,
        );
        self.optimizer.step(&self.gradients, lr)?;
        self.step += 1;
        if let (Some(teacher), Some((_, decay))) = (&self.teacher, &self.config.teacher) {
            Ema::update(&teacher.params, &self.student.params, self.step, *decay)?;
        }
        Ok(sums.figures(
            &self.config.objective,
            &self.config.model.classes,
            self.thresholds.as_ref(),
            (norm, lr),
        ))
    }

    fn labelled(
        &mut self,
        rows: &StepRows,
        batches: usize,
        sums: &mut Sums,
    ) -> Result<(), TrainError> {
        for group in groups(&rows.labelled) {
            let rows_of_group: Vec<&Row> = group.iter().map(|&i| &rows.labelled[i]).collect();
            let share = group.len() as f64 / (rows.labelled.len() * batches) as f64;
            let batch = collate(
                &rows_of_group,
                self.student.heads(),
                self.student.classes(),
                self.student.device(),
            )?;
            let output = self.student.forward(&batch)?;
            let mut terms: Terms<Option<Tensor>> = Terms::default();
            if let Some(spec) = &self.config.objective.supervised {
                terms[Term::Supervised] =
                    supervised_deep(&output.logits, &output.deep, &batch.targets, &spec.loss())?;
            }
            if rows.unlabelled.is_empty() {
                self.across(&output.features, &output.logits, &mut terms)?;
            }
            self.descend(&terms, share, &batch, sums)?;
        }
        Ok(())
    }

    /// Weights of the terms at this step.
    fn weights(&self) -> Terms<f64> {
        let progress = self.step as f64 / self.config.steps as f64;
        self.config.objective.weights(progress)
    }

    /// The terms that compare modalities.
    fn across(
        &self,
        features: &[Option<Tensor>],
        logits: &[Option<Tensor>],
        terms: &mut Terms<Option<Tensor>>,
    ) -> Result<(), TrainError> {
        let (objective, weights) = (&self.config.objective, self.weights());
        if let Some(spec) = objective.csc.as_ref().filter(|_| weights[Term::Csc] > 0.0) {
            terms[Term::Csc] = csc_all(features, spec.temperature)?;
        }
        if weights[Term::Cac] > 0.0 {
            terms[Term::Cac] = cac_all(logits)?;
        }
        Ok(())
    }

    /// Weighs the terms, walks back, and adds the gradient.
    fn descend(
        &mut self,
        terms: &Terms<Option<Tensor>>,
        share: f64,
        batch: &Batch,
        sums: &mut Sums,
    ) -> Result<(), TrainError> {
        for term in Term::ALL {
            let Some(tensor) = &terms[term] else { continue };
            let value = f64::from(tensor.to_scalar::<f32>()?);
            if !value.is_finite() {
                return Err(TrainError::NotFinite {
                    step: self.step,
                    term: term.name(),
                    value,
                    subjects: batch.subjects.clone(),
                });
            }
            sums.terms[term] += share * value;
        }
        let progress = self.step as f64 / self.config.steps as f64;
        if let Some(total) = self.config.objective.total(terms, progress)? {
            let total = (total * share)?;
            sums.total += f64::from(total.to_scalar::<f32>()?);
            self.gradients
                .add(total.backward()?, &self.student.params)?;
        }
        Ok(())
    }
}

mod bcp;
mod unlabelled;

#[cfg(test)]
mod tests;
