//! What some steps measure beside their figures: each term's own gradient, and how alike the modalities'
//! channels are. Nothing of the training depends on it.

use super::super::TrainError;
use super::super::figures::Sums;
use super::super::objective::csc::{Similarity, similarity_all};
use super::super::objective::{Term, Terms};
use super::Trainer;
use crate::nn::gradients::Gradients;
use candle_core::Tensor;

/// What was measured so far in a step.
#[derive(Default)]
pub(super) struct Measured {
    gradients: Terms<Option<Gradients>>,
    similarities: Vec<Similarity>,
}

impl Trainer {
    /// Adds each term's own gradient of a loss to what is measured.
    pub(super) fn measure_gradients(
        &mut self,
        terms: &Terms<Option<Tensor>>,
        share: f64,
    ) -> Result<(), TrainError> {
        let weights = self.weights();
        let Some(measured) = &mut self.measured else {
            return Ok(());
        };
        let params = &self.student.model.params;
        for term in Term::ALL {
            let Some(loss) = terms[term].as_ref().filter(|_| weights[term] > 0.0) else {
                continue;
            };
            let gradients = match &mut measured.gradients[term] {
                Some(gradients) => gradients,
                none => none.insert(Gradients::zeros(params)?),
            };
            let loss = (loss * (weights[term] * share))?;
            gradients.add(loss.backward()?, params)?;
        }
        Ok(())
    }

    /// Adds the similarity of the modalities' features to what is measured.
    pub(super) fn measure_features(
        &mut self,
        features: &[Option<Tensor>],
    ) -> Result<(), TrainError> {
        if let Some(measured) = &mut self.measured {
            measured.similarities.extend(similarity_all(features)?);
        }
        Ok(())
    }

    /// Ends what the step measured, and makes figures of it.
    pub(super) fn take_measured(&mut self, sums: &mut Sums) -> Result<(), TrainError> {
        let Some(measured) = self.measured.take() else {
            return Ok(());
        };
        for term in Term::ALL {
            let norm = measured.gradients[term]
                .as_ref()
                .map(Gradients::global_norm);
            sums.norms[term] = norm.transpose()?;
        }
        sums.similarity = Similarity::mean(&measured.similarities);
        Ok(())
    }
}
