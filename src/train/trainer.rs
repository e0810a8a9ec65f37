//! One optimiser step: labelled rows supervise, unlabelled rows follow the teacher.

pub use super::batch::StepRows;
pub use super::config::TrainerConfig;

use super::TrainError;
use super::batch::{Batch, collate};
use super::figures::{Figure, Sums};
use super::learner::Learner;
use super::model::Model;
use super::objective::class_statistics::ClassStatistics;
use super::objective::threshold::Thresholds;
use super::process_group::Rank;
use super::schedule::learning_rate;
use crate::nn::ema;
use crate::volume::Row;
use ahead::Ahead;
use candle_core::{Device, Tensor};
use measured::Measured;

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
    /// The step whose weights of the terms are kept, where they are.
    held: Option<u64>,
    /// Batches of the next step.
    ahead: Ahead,
    /// What is measured in the step under way, if it is one that measures.
    measured: Option<Box<Measured>>,
}

/// Norms of the student's gradient and of the peer's.
type Norms = (f64, Option<f64>);

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
            held: None,
            ahead: Ahead::default(),
            measured: None,
        })
    }

    /// Makes means over all devices of the gradients and of what was seen on the way; every device
    /// calls it, also one whose own part failed.
    ///
    /// **Errors** as `walked`, when another device failed, or when the devices lose each other.
    fn average(&mut self, rank: Rank, walked: Result<Norms, TrainError>) -> Result<(), TrainError> {
        if let Err(e) = rank.agree(walked) {
            self.rank = Some(rank);
            return Err(e);
        }
        // A device that fails from here on leaves with its rank, and no other waits for it.
        self.student.average(&rank)?;
        if let Some(peer) = &mut self.peer {
            peer.average(&rank)?;
        }
        rank.share(&mut self.thresholds, &mut self.statistics)?;
        self.rank = Some(rank);
        Ok(())
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
        self.train_at(batches, self.lr())
    }

    /// As [`train`](Self::train) with this learning rate, whatever the schedule says.
    ///
    /// **Errors** as there.
    pub fn train_at(&mut self, batches: &[StepRows], lr: f64) -> Result<Vec<Figure>, TrainError> {
        let sums = self.advance(batches, lr)?;
        Ok(self.figures(&sums))
    }

    /// Learning rate of the step under way.
    pub(super) fn lr(&self) -> f64 {
        let config = &self.config;
        learning_rate(
            self.step,
            config.steps,
            config.lr,
            config.warmup,
            config.schedule,
        )
    }

    /// Returns `true` if rows of one step are pasted into each other.
    pub(super) fn mixes_rows(&self) -> bool {
        let spec = self.config.objective.pseudo_label.as_ref();
        spec.is_some_and(|spec| spec.cutmix.is_some())
    }

    /// The figures of a step that was done.
    pub(super) fn figures(&self, sums: &Sums) -> Vec<Figure> {
        sums.figures(
            &self.config.objective,
            &self.config.model.classes,
            self.thresholds.as_ref(),
        )
    }

    /// One step with this learning rate; what this device's own rows showed.
    ///
    /// **Errors** as [`train`](Self::train).
    pub(super) fn advance(&mut self, batches: &[StepRows], lr: f64) -> Result<Sums, TrainError> {
        let mut sums = Sums {
            kept: vec![(0.0, 0.0); self.student.model.classes()],
            lr,
            ..Sums::default()
        };
        let walked = self.walk(batches, &mut sums);
        let (norm, of_peer) = match self.rank.take() {
            None => walked?,
            Some(rank) => {
                self.average(rank, walked)?;
                self.norms(batches)?
            }
        };
        sums.norm = norm;
        self.student.update(norm, self.config.clip_norm, lr)?;
        if let (Some(peer), Some(norm)) = (&mut self.peer, of_peer) {
            peer.update(norm, self.config.clip_norm, lr)?;
        }
        self.step += 1;
        if let (Some(teacher), Some((_, decay))) = (&self.teacher, &self.config.teacher) {
            let student = &self.student.model.params;
            ema::follow(&teacher.params, student, self.step, *decay)?;
        }
        Ok(sums)
    }

    /// Walks back from the losses of all rows.
    ///
    /// With several devices each looks at its own gradient first: their mean would not show whose
    /// rows made it infinite.
    fn walk(&mut self, batches: &[StepRows], sums: &mut Sums) -> Result<Norms, TrainError> {
        self.student.clear()?;
        if let Some(peer) = &mut self.peer {
            peer.clear()?;
        }
        let every = self.config.gradient_norms;
        let measures = every.is_some_and(|every| self.step.is_multiple_of(every.get()));
        self.measured = measures.then(Box::default);
        for rows in batches {
            self.labelled(rows, batches.len(), sums)?;
            self.unlabelled(rows, batches.len(), sums)?;
        }
        self.prepare_ahead();
        self.read_losses(sums)?;
        if let Some(measured) = self.measured.take() {
            measured.report(sums)?;
        }
        self.norms(batches)
    }

    /// Norms of the gradients.
    ///
    /// **Errors** where one is not finite.
    fn norms(&self, batches: &[StepRows]) -> Result<Norms, TrainError> {
        let norm = self.student.gradient_norm()?;
        let of_peer = self.peer.as_ref().map(Learner::gradient_norm).transpose()?;
        match [Some(norm), of_peer]
            .into_iter()
            .flatten()
            .find(|n| !n.is_finite())
        {
            None => Ok((norm, of_peer)),
            Some(value) => {
                let rows = batches
                    .iter()
                    .flat_map(|b| b.labelled.iter().chain(b.unlabelled.iter().map(|(w, _)| w)));
                Err(TrainError::NotFinite {
                    step: self.step,
                    term: "gradient",
                    value,
                    subjects: rows.map(|r| r.subject.clone()).collect(),
                })
            }
        }
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

    fn collated(&mut self, rows: &[&Row]) -> Result<Batch, TrainError> {
        if let Some(batch) = self.ahead.take(rows) {
            return Ok(batch);
        }
        let model = &self.student.model;
        collate(rows, model.heads(), model.classes(), model.device())
    }
}

mod ahead;
mod bcp;
mod cps;
mod descent;
mod expected;
mod labelled;
mod measured;
mod unlabelled;

#[cfg(test)]
mod tests;
