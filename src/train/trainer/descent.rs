//! From losses to gradients: weighs the terms of a step and walks back.

use super::super::TrainError;
use super::super::batch::Batch;
use super::super::figures::{Sums, Unread};
use super::super::objective::{Term, Terms};
use super::{Pupil, Trainer};
use candle_core::Tensor;

impl Trainer {
    /// How much of the training is done, as far as the weights of the terms are concerned.
    pub(super) fn progress(&self) -> f64 {
        self.held.unwrap_or(self.step) as f64 / self.config.steps as f64
    }

    /// Keeps the weights of the terms as they are now, however many steps follow.
    pub fn hold_weights(&mut self) {
        self.held = Some(self.step);
    }

    /// Weights of the terms at this step.
    pub(super) fn weights(&self) -> Terms<f64> {
        self.config.objective.weights(self.progress())
    }

    /// Weighs the terms, walks back, and adds the gradient to the student's.
    pub(super) fn descend(
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
    pub(super) fn descend_as(
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
            sums.unread.push(Unread {
                term: Some(term),
                factor: counted * share,
                loss: tensor.detach(),
                subjects: batch.subjects.clone(),
            });
        }
        let progress = self.progress();
        if let Some(measured) = self.measured.as_mut().filter(|_| pupil == Pupil::Student) {
            let weights = self.config.objective.weights(progress);
            measured.add_losses(terms, &weights, share, &self.student.model.params)?;
        }
        if let Some(total) = self.config.objective.total(terms, progress)? {
            let total = (total * share)?;
            sums.unread.push(Unread {
                term: None,
                factor: counted,
                loss: total.detach(),
                subjects: batch.subjects.clone(),
            });
            let learner = match (pupil, &mut self.peer) {
                (Pupil::Peer, Some(peer)) => peer,
                _ => &mut self.student,
            };
            learner.add(&total)?;
        }
        Ok(())
    }

    /// Reads the losses of a step, now that all of it is on its way: the device is waited for once.
    ///
    /// **Errors** where a loss is not finite; the gradient is then of no use.
    pub(super) fn read_losses(&self, sums: &mut Sums) -> Result<(), TrainError> {
        for unread in std::mem::take(&mut sums.unread) {
            let value = f64::from(unread.loss.to_scalar::<f32>()?);
            match unread.term {
                Some(term) if !value.is_finite() => {
                    return Err(TrainError::NotFinite {
                        step: self.step,
                        term: term.name(),
                        value,
                        subjects: unread.subjects,
                    });
                }
                Some(term) => sums.terms[term] += unread.factor * value,
                None => sums.total += unread.factor * value,
            }
        }
        Ok(())
    }
}
