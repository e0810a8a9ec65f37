//! What some steps measure beside their figures: each term's own gradient, and how alike the modalities'
//! channels are. Nothing of the training depends on it.

use super::super::TrainError;
use super::super::figures::Sums;
use super::super::objective::csc::{Similarity, similarity_all};
use super::super::objective::{Term, Terms};
use crate::nn::gradients::Gradients;
use crate::nn::params::Params;
use candle_core::Tensor;

/// What was measured so far in a step.
#[derive(Default)]
pub(super) struct Measured {
    gradients: Terms<Option<Gradients>>,
    similarities: Vec<Similarity>,
}

impl Measured {
    /// Adds each term's own gradient of a loss, times its weight and `share`.
    ///
    /// **Errors** where the device refuses.
    pub(super) fn add_losses(
        &mut self,
        terms: &Terms<Option<Tensor>>,
        weights: &Terms<f64>,
        share: f64,
        params: &Params,
    ) -> Result<(), TrainError> {
        for term in Term::ALL {
            let Some(loss) = terms[term].as_ref().filter(|_| weights[term] > 0.0) else {
                continue;
            };
            let gradients = match &mut self.gradients[term] {
                Some(gradients) => gradients,
                none => none.insert(Gradients::zeros(params)?),
            };
            let loss = (loss * (weights[term] * share))?;
            gradients.add(loss.backward()?, params)?;
        }
        Ok(())
    }

    /// Adds the similarity of the modalities' features.
    ///
    /// **Errors** where their shapes differ.
    pub(super) fn add_features(&mut self, features: &[Option<Tensor>]) -> Result<(), TrainError> {
        self.similarities.extend(similarity_all(features)?);
        Ok(())
    }

    /// Makes figures of what was measured.
    ///
    /// **Errors** where the device refuses.
    pub(super) fn report(self, sums: &mut Sums) -> Result<(), TrainError> {
        for term in Term::ALL {
            let norm = self.gradients[term].as_ref().map(Gradients::global_norm);
            sums.norms[term] = norm.transpose()?;
        }
        sums.similarity = Similarity::mean(&self.similarities);
        Ok(())
    }
}
