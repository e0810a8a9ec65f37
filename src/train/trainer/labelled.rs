//! The labelled part of a step: supervision, and the terms that compare modalities.

use super::super::TrainError;
use super::super::batch::groups;
use super::super::figures::Sums;
use super::super::objective::cac::{Pairing, cac_all};
use super::super::objective::csc::csc_all;
use super::super::objective::supervised::{LabelLoss, supervised_deep};
use super::super::objective::{Term, Terms};
use super::{Pupil, StepRows, Trainer};
use crate::volume::Row;
use candle_core::Tensor;

impl Trainer {
    pub(super) fn labelled(
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
                    let model = &self.config.model;
                    let (regions, classes) = (&model.regions, model.classes.len());
                    let loss: Box<dyn LabelLoss> = match regions.is_empty() {
                        true => Box::new(spec.loss()),
                        false => Box::new(spec.loss_of_regions(regions, classes)),
                    };
                    let (logits, deep) = (&output.logits, &output.deep);
                    terms[Term::Supervised] =
                        supervised_deep(logits, deep, &batch.targets, &*loss)?;
                }
                if rows.unlabelled.is_empty() && pupil == Pupil::Student {
                    self.across(&output.features, &output.logits, &mut terms)?;
                }
                self.descend_as(pupil, &terms, share, &batch, sums)?;
            }
        }
        Ok(())
    }

    /// The terms that compare modalities.
    pub(super) fn across(
        &mut self,
        features: &[Option<Tensor>],
        logits: &[Option<Tensor>],
        terms: &mut Terms<Option<Tensor>>,
    ) -> Result<(), TrainError> {
        if let Some(measured) = &mut self.measured {
            measured.add_features(features)?;
        }
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
}
