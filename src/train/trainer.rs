//! One optimiser step: labelled rows supervise, unlabelled rows follow the teacher.

use super::TrainError;
use super::batch::{Batch, collate, groups};
use super::device::Precision;
use super::figures::{Figure, Sums};
use super::learner::Learner;
use super::model::{Model, ModelSpec};
use super::objective::cac::{Pairing, cac_all};
use super::objective::class_statistics::ClassStatistics;
use super::objective::supervised::supervised_deep;
use super::objective::threshold::{ThresholdSpec, Thresholds};
use super::objective::{ObjectiveSpec, Term, Terms, csc::csc_all};
use super::schedule::{Schedule, learning_rate};
use super::world::Rank;
use crate::nn::ema::Ema;
use crate::nn::optimizer::OptimizerConfig;
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
    /// Whether activations are made again in the backward pass instead of being kept.
    pub recompute: bool,
}

/// Rows of one batch: labelled ones in the weak view, unlabelled ones in all views.
#[derive(Debug, Default)]
pub struct StepRows {
    /// Labelled rows.
    pub labelled: Vec<Row>,
    /// Unlabelled rows: weak view and strong views of the same patch.
    pub unlabelled: Vec<(Row, Vec<Row>)>,
}

/// Trains a student, a teacher that follows it, and with CPS a second network beside it.
pub struct Trainer {
    config: TrainerConfig,
    /// The network that is trained.
    pub student: Learner,
    /// The other network of CPS.
    pub peer: Option<Learner>,
    /// The student's moving average.
    pub teacher: Option<Model>,
    /// Running thresholds of the pseudo-labels.
    pub thresholds: Option<Thresholds>,
    /// What unpaired modalities show of each class.
    pub statistics: ClassStatistics,
    /// Steps done.
    pub step: u64,
    /// Its place among the devices that train together.
    pub(super) rank: Option<Rank>,
}

/// Which network learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pupil {
    Student,
    Peer,
}

/// Added to the seed of the second network's initial weights.
const PEER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Trainer {
    /// A trainer at step 0; the teacher starts as a copy of the student.
    ///
    /// **Errors** when the network cannot be built.
    pub fn new(config: TrainerConfig, device: &Device) -> Result<Self, TrainError> {
        let student = Learner::new(&config, config.seed, device)?;
        let teacher = match &config.teacher {
            Some(_) => {
                let teacher = Model::new(&config.model, config.seed, device)?;
                teacher.params.set(&student.model.params.snapshot()?)?;
                Some(teacher.with_precision(config.precision)?)
            }
            None => None,
        };
        let peer = match config.objective.cps {
            Some(_) => {
                let seed = config.seed.wrapping_add(PEER);
                Some(Learner::new(&config, seed, device)?)
            }
            None => None,
        };
        let thresholds = config
            .teacher
            .as_ref()
            .map(|(spec, _)| Thresholds::new(spec.clone(), student.model.classes()));
        Ok(Self {
            config,
            student,
            peer,
            teacher,
            thresholds,
            statistics: ClassStatistics::default(),
            step: 0,
            rank: None,
        })
    }

    /// Makes means over all devices of the gradients and of what was seen on the way; every device
    /// calls it, also one whose own part failed.
    fn average(&mut self, walked: Result<(), TrainError>) -> Result<(), TrainError> {
        let Some(rank) = &self.rank else {
            return walked;
        };
        let all = rank.agree(walked.is_ok());
        walked?;
        if !all? {
            let problem = "another device of this training failed in this step";
            return Err(TrainError::Device(problem.to_owned()));
        }
        self.student.average(rank)?;
        if let Some(peer) = &mut self.peer {
            peer.average(rank)?;
        }
        rank.share(&mut self.thresholds, &mut self.statistics)
    }

    /// Begins with these weights instead of drawn ones, but for those that `skip` names; the teacher
    /// is a copy again. The second network of CPS keeps its own, or both would be one.
    ///
    /// Returns how many tensors were taken, and of how many.
    ///
    /// **Errors** as [`Params::set_some`](crate::nn::params::Params::set_some).
    pub fn begin_with(
        &mut self,
        weights: &[(String, Tensor)],
        skip: &[String],
    ) -> Result<(usize, usize), TrainError> {
        let params = &self.student.model.params;
        let taken = params.set_some(weights, skip)?;
        if let Some(teacher) = &self.teacher {
            teacher.params.set(&params.snapshot()?)?;
        }
        Ok((taken, params.named().len()))
    }

    /// The model that predicts: the teacher where there is one.
    pub fn predictor(&self) -> &Model {
        self.teacher.as_ref().unwrap_or(&self.student.model)
    }

    /// One optimiser step over one or more batches.
    ///
    /// **Errors** when a loss or the gradient is not finite (no weight is changed then), or rows do
    /// not form a batch.
    pub fn train(&mut self, batches: &[StepRows]) -> Result<Vec<Figure>, TrainError> {
        let lr = learning_rate(
            self.step,
            self.config.steps,
            self.config.lr,
            self.config.warmup,
            self.config.schedule,
        );
        self.train_at(batches, lr)
    }

    /// As [`train`](Self::train) with this learning rate, whatever the schedule says.
    ///
    /// **Errors** as there.
    pub fn train_at(&mut self, batches: &[StepRows], lr: f64) -> Result<Vec<Figure>, TrainError> {
        self.student.clear()?;
        if let Some(peer) = &mut self.peer {
            peer.clear()?;
        }
        let mut sums = Sums {
            kept: vec![(0.0, 0.0); self.student.model.classes()],
            ..Sums::default()
        };
        let walked = batches.iter().try_for_each(|rows| {
            self.labelled(rows, batches.len(), &mut sums)?;
            self.unlabelled(rows, batches.len(), &mut sums)
        });
        self.average(walked)?;
        let norm = self.student.gradient_norm()?;
        let of_peer = self.peer.as_ref().map(Learner::gradient_norm).transpose()?;
        if let Some(value) = [Some(norm), of_peer]
            .into_iter()
            .flatten()
            .find(|n| !n.is_finite())
        {
            let rows = batches
                .iter()
                .flat_map(|b| b.labelled.iter().chain(b.unlabelled.iter().map(|(w, _)| w)));
            let subjects = rows.map(|r| r.subject.clone()).collect();
            return Err(TrainError::NotFinite {
                step: self.step,
                term: "gradient",
                value,
                subjects,
            });
        }
        self.student.update(norm, self.config.clip_norm, lr)?;
        if let (Some(peer), Some(norm)) = (&mut self.peer, of_peer) {
            peer.update(norm, self.config.clip_norm, lr)?;
        }
        self.step += 1;
        if let (Some(teacher), Some((_, decay))) = (&self.teacher, &self.config.teacher) {
            Ema::update(
                &teacher.params,
                &self.student.model.params,
                self.step,
                *decay,
            )?;
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
            let batch = self.collated(&rows_of_group)?;
            for pupil in self.pupils() {
                let output = self.learner(pupil).model.forward(&batch)?;
                let mut terms: Terms<Option<Tensor>> = Terms::default();
                if let Some(spec) = &self.config.objective.supervised {
                    terms[Term::Supervised] = supervised_deep(
                        &output.logits,
                        &output.deep,
                        &batch.targets,
                        &spec.loss(),
                    )?;
                }
                if rows.unlabelled.is_empty() && pupil == Pupil::Student {
                    self.across(&output.features, &output.logits, &mut terms)?;
                }
                self.descend_as(pupil, &terms, share, &batch, sums)?;
            }
        }
        Ok(())
    }

    /// The networks that learn.
    fn pupils(&self) -> Vec<Pupil> {
        let peer = self.peer.as_ref().map(|_| Pupil::Peer);
        std::iter::once(Pupil::Student).chain(peer).collect()
    }

    fn learner(&self, pupil: Pupil) -> &Learner {
        match (pupil, &self.peer) {
            (Pupil::Peer, Some(peer)) => peer,
            _ => &self.student,
        }
    }

    fn collated(&self, rows: &[&Row]) -> Result<Batch, TrainError> {
        let model = &self.student.model;
        collate(rows, model.heads(), model.classes(), model.device())
    }

    /// Weights of the terms at this step.
    fn weights(&self) -> Terms<f64> {
        let progress = self.step as f64 / self.config.steps as f64;
        self.config.objective.weights(progress)
    }

    /// The terms that compare modalities.
    fn across(
        &mut self,
        features: &[Option<Tensor>],
        logits: &[Option<Tensor>],
        terms: &mut Terms<Option<Tensor>>,
    ) -> Result<(), TrainError> {
        let weights = self.weights();
        let objective = &self.config.objective;
        if let Some(spec) = objective.csc.as_ref().filter(|_| weights[Term::Csc] > 0.0) {
            terms[Term::Csc] = csc_all(features, spec.temperature)?;
        }
        if let Some(spec) = objective.cac.as_ref().filter(|_| weights[Term::Cac] > 0.0) {
            terms[Term::Cac] = match spec.pairing {
                Pairing::Paired => cac_all(logits)?,
                Pairing::Unpaired => self.statistics.compare(logits, features, spec.memory)?,
            };
        }
        Ok(())
    }

    /// Weighs the terms, walks back, and adds the gradient to the student's.
    fn descend(
        &mut self,
        terms: &Terms<Option<Tensor>>,
        share: f64,
        batch: &Batch,
        sums: &mut Sums,
    ) -> Result<(), TrainError> {
        self.descend_as(Pupil::Student, terms, share, batch, sums)
    }

    /// As [`descend`](Self::descend) for either network. Only the student's losses become figures,
    /// but a loss of the other that is not finite ends the step, too.
    fn descend_as(
        &mut self,
        pupil: Pupil,
        terms: &Terms<Option<Tensor>>,
        share: f64,
        batch: &Batch,
        sums: &mut Sums,
    ) -> Result<(), TrainError> {
        let counted = f64::from(u8::from(pupil == Pupil::Student));
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
            sums.terms[term] += counted * share * value;
        }
        let progress = self.step as f64 / self.config.steps as f64;
        if let Some(total) = self.config.objective.total(terms, progress)? {
            let total = (total * share)?;
            sums.total += counted * f64::from(total.to_scalar::<f32>()?);
            let learner = match (pupil, &mut self.peer) {
                (Pupil::Peer, Some(peer)) => peer,
                _ => &mut self.student,
            };
            learner.add(&total)?;
        }
        Ok(())
    }
}

mod bcp;
mod cps;
mod unlabelled;

#[cfg(test)]
mod tests;
