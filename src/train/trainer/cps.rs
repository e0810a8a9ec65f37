//! The step of cross pseudo supervision: two networks look at one weak view.

use super::super::TrainError;
use super::super::batch::Batch;
use super::super::figures::Sums;
use super::super::objective::cps::classes;
use super::super::objective::{Term, Terms};
use super::{Pupil, Trainer};
use candle_core::Tensor;

impl Trainer {
    /// The term of one group of unlabelled weak views, for both networks; one graph at a time.
    pub(super) fn cps(
        &mut self,
        batch: &Batch,
        share: f64,
        sums: &mut Sums,
    ) -> Result<(), TrainError> {
        let weight = self.weights()[Term::Cps];
        let spec = self.config.objective.cps.clone();
        let (Some(spec), Some(peer)) = (spec.filter(|_| weight > 0.0), &self.peer) else {
            return Ok(());
        };
        let mut of_other = classes(&peer.model.infer(&batch.images)?)?;
        for pupil in [Pupil::Student, Pupil::Peer] {
            let output = self.learner(pupil).model.forward(batch)?;
            let own = classes(&output.logits)?;
            let mut terms: Terms<Option<Tensor>> = Terms::default();
            terms[Term::Cps] = spec.loss(&output.logits, &of_other)?;
            self.descend_as(pupil, &terms, share, batch, sums)?;
            of_other = own;
        }
        Ok(())
    }
}
