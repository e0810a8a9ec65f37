//! The step of bidirectional copy-paste: two mixed batches of a group of unlabelled rows.

use super::super::TrainError;
use super::super::batch::Batch;
use super::super::figures::Sums;
use super::super::objective::bcp::{boxes, largest_components, part, paste};
use super::super::objective::{Term, Terms};
use super::{StepRows, Trainer};
use crate::volume::Row;
use candle_core::{Result, Tensor};

/// Combines what both sides have; `None` where either has nothing.
fn both(
    a: &[Option<Tensor>],
    b: &[Option<Tensor>],
    of: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Vec<Option<Tensor>>> {
    let each = a.iter().zip(b).map(|pair| match pair {
        (Some(a), Some(b)) => of(a, b).map(Some),
        _ => Ok(None),
    });
    each.collect()
}

fn refuse(row: &Row, problem: String) -> TrainError {
    TrainError::Batch {
        subject: row.subject.clone(),
        problem,
    }
}

impl Trainer {
    /// Refuses a step whose unlabelled rows have no labelled one to be mixed with.
    pub(super) fn check_bcp(&self, rows: &StepRows) -> std::result::Result<(), TrainError> {
        if self.weights()[Term::Bcp] == 0.0 || !rows.labelled.is_empty() {
            return Ok(());
        }
        let Some((row, _)) = rows.unlabelled.first() else {
            return Ok(());
        };
        let problem = format!(
            "`bcp` mixes labelled with unlabelled rows, but the step has 0 labelled and {} unlabelled; \
             set `batch.labelled` to 1 or more",
            rows.unlabelled.len()
        );
        Err(refuse(row, problem))
    }

    /// The term of one group of unlabelled weak views, each with a labelled row: the row of the same
    /// number, counted round where there are fewer labelled ones.
    ///
    /// `predicted` are the teacher's logits of the weak views, one a head. A modality that a row of either
    /// side lacks is left out of the mixed batch.
    pub(super) fn bcp(
        &mut self,
        rows: &StepRows,
        group: &[usize],
        (weak_rows, weak, predicted): (&[&Row], &Batch, &[Option<Tensor>]),
        share: f64,
        sums: &mut Sums,
    ) -> std::result::Result<(), TrainError> {
        let weight = self.weights()[Term::Bcp];
        let spec = self.config.objective.bcp.clone();
        let (Some(spec), true) = (spec.filter(|_| weight > 0.0), self.teacher.is_some()) else {
            return Ok(());
        };
        let partners: Vec<&Row> = (group.iter())
            .map(|i| &rows.labelled[i % rows.labelled.len()])
            .collect();
        let labelled = self.collated(&partners)?;
        let shape =
            |batch: &Batch| (batch.images.iter().flatten().next()).map(|t| t.dims().to_vec());
        let (found, expected) = (shape(&labelled), shape(weak));
        let (Some(expected), true) = (&expected, found == expected) else {
            let problem = format!(
                "labelled patches of {found:?} and unlabelled ones of {expected:?} \
                 ([n, d, h, w, 1]) cannot be mixed by `bcp`; both need the same `patch`"
            );
            return Err(refuse(weak_rows[0], problem));
        };
        let mut pseudo = Vec::new();
        for logits in predicted {
            pseudo.push(logits.as_ref().map(largest_components).transpose()?);
        }
        let zyx = [expected[1], expected[2], expected[3]];
        let mask = boxes(
            self.config.seed,
            weak_rows,
            zyx,
            self.student.model.device(),
        )?;
        // The unlabelled box in the labelled frame, then the reverse; one graph at a time.
        for inside in [1, 0] {
            let place = mask.eq(inside)?;
            let images = both(&weak.images, &labelled.images, |u, l| paste(u, l, &place))?;
            let known = both(&labelled.targets, &pseudo, |l, _| {
                part(l, &mask, 1 - inside)
            })?;
            let taught = both(&pseudo, &labelled.targets, |u, _| part(u, &mask, inside))?;
            if images.iter().all(Option::is_none) || known.iter().all(Option::is_none) {
                let problem = format!(
                    "shares no modality, or no head with a label, with the labelled row of {}; \
                     `bcp` cannot mix them",
                    partners[0].subject
                );
                return Err(refuse(weak_rows[0], problem));
            }
            let mixed = Batch {
                subjects: [weak.subjects.clone(), labelled.subjects.clone()].concat(),
                modalities: weak.modalities.clone(),
                images,
                targets: Vec::new(),
            };
            let output = self.student.model.forward(&mixed)?;
            let mut terms: Terms<Option<Tensor>> = Terms::default();
            terms[Term::Bcp] = spec.loss(&output.logits, (&known, &taught))?;
            self.descend(&terms, share, &mixed, sums)?;
        }
        Ok(())
    }
}
