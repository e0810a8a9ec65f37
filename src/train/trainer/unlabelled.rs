//! The unlabelled rows of a step: the teacher looks at weak views, the student learns on all.

use super::super::TrainError;
use super::super::batch::{Batch, groups_of_views};
use super::super::figures::Sums;
use super::super::objective::as_released::as_released;
use super::super::objective::cutmix::{CutMixSpec, mix};
use super::super::objective::feature_dropout::{ChannelDraw, Half};
use super::super::objective::mean_teacher::{Belief, mean_teacher};
use super::super::objective::pseudo_label::{consistency, probability_stats, pseudo_target};
use super::super::objective::{Term, Terms};
use super::{StepRows, Trainer};
use crate::nn::network::{Output, Perturb};
use crate::volume::Row;
use candle_core::Tensor;

/// Pseudo-labels and probabilities of the teacher, one a head; none without a term that asks for them.
type Taught = (Vec<Option<Tensor>>, Vec<Option<Belief>>);

impl Trainer {
    /// The unlabelled rows of one batch.
    pub(super) fn unlabelled(
        &mut self,
        rows: &StepRows,
        batches: usize,
        sums: &mut Sums,
    ) -> Result<(), TrainError> {
        // Before their terms begin, unlabelled rows would be predicted for nothing.
        let weights = self.weights();
        let of_unlabelled = Term::ALL.iter().filter(|t| **t != Term::Supervised);
        if of_unlabelled.map(|t| weights[*t]).sum::<f64>() == 0.0 {
            return Ok(());
        }
        self.check_bcp(rows)?;
        for group in groups_of_views(&rows.unlabelled) {
            let weak: Vec<&Row> = group.iter().map(|&i| &rows.unlabelled[i].0).collect();
            let batch = self.collated(&weak)?;
            let share = group.len() as f64 / (rows.unlabelled.len() * batches) as f64;
            let predicted = self.predicted(&batch)?;
            let labels = self.pseudo_labels(&predicted, sums)?;
            let beliefs = self.beliefs(&weak, &batch, &predicted)?;
            self.weak_view(&weak, &batch, &labels, share, sums)?;
            self.released(&batch, share, sums)?;
            self.bcp(rows, &group, (&weak, &batch, &predicted), share, sums)?;
            self.cps(&batch, share, sums)?;
            if (self.config.objective.first(Term::looks_at_strong_views)).is_none() {
                continue;
            }
            let views = rows.unlabelled[group[0]].1.len();
            // One view after the other: only one graph is kept at a time.
            for view in 0..views {
                let strong: Vec<&Row> =
                    group.iter().map(|&i| &rows.unlabelled[i].1[view]).collect();
                let taught = (labels.clone(), beliefs.clone());
                self.strong_view(&strong, view, taught, share / views as f64, sums)?;
            }
        }
        Ok(())
    }

    /// The teacher's logits of the weak views of a group, one a head; none where no term asks for them.
    fn predicted(&self, batch: &Batch) -> Result<Vec<Option<Tensor>>, TrainError> {
        let objective = &self.config.objective;
        let wanted = objective.needs_pseudo_labels()
            || objective.mean_teacher.is_some()
            || self.weights()[Term::Bcp] > 0.0;
        match self.teacher.as_ref().filter(|_| wanted) {
            Some(teacher) => teacher.infer(&batch.images),
            None => Ok(Vec::new()),
        }
    }

    /// What the teacher is sure of in its prediction; one a head, none without the term.
    fn pseudo_labels(
        &mut self,
        predicted: &[Option<Tensor>],
        sums: &mut Sums,
    ) -> Result<Vec<Option<Tensor>>, TrainError> {
        let wanted = self.config.objective.needs_pseudo_labels();
        let (true, Some(thresholds)) = (wanted, &mut self.thresholds) else {
            return Ok(Vec::new());
        };
        let mut labels = Vec::new();
        for logits in predicted {
            let Some(logits) = logits else {
                labels.push(None);
                continue;
            };
            thresholds.update(&probability_stats(
                logits,
                thresholds.spec().confident_at(),
            )?);
            let target = pseudo_target(logits, &thresholds.current())?;
            for (sum, (kept, predicted)) in sums
                .kept
                .iter_mut()
                .zip(target.kept_fraction.iter().zip(&target.predicted_fraction))
            {
                sum.0 += f64::from(kept * predicted);
                sum.1 += f64::from(*predicted);
            }
            labels.push(Some(target.labels));
        }
        Ok(labels)
    }

    /// The teacher's probabilities on the weak views; one a head, none without the term.
    fn beliefs(
        &self,
        rows: &[&Row],
        batch: &Batch,
        predicted: &[Option<Tensor>],
    ) -> Result<Vec<Option<Belief>>, TrainError> {
        let (Some(spec), Some(teacher)) = (&self.config.objective.mean_teacher, &self.teacher)
        else {
            return Ok(Vec::new());
        };
        let progress = self.step as f64 / self.config.steps as f64;
        let (mut limit, mut noisy) = (0.0, Vec::new());
        if let Some(uncertainty) = &spec.uncertainty {
            limit = uncertainty.limit(progress, teacher.classes());
            for pass in 0..uncertainty.passes {
                let mut images = batch.images.clone();
                for (m, image) in images.iter_mut().enumerate() {
                    let Some(image) = image else { continue };
                    let noise = uncertainty.noise(self.config.seed, rows, (m, pass), image)?;
                    *image = (&*image + noise)?;
                }
                noisy.push(teacher.infer(&images)?);
            }
        }
        let mut beliefs = Vec::new();
        for (head, logits) in predicted.iter().enumerate() {
            let passes: Vec<Tensor> = noisy.iter().filter_map(|p| p[head].clone()).collect();
            let belief = logits
                .as_ref()
                .map(|logits| Belief::new(logits, &passes, limit));
            beliefs.push(belief.transpose()?);
        }
        Ok(beliefs)
    }

    /// The term of the weak view with dropped features.
    fn weak_view(
        &mut self,
        rows: &[&Row],
        batch: &Batch,
        labels: &[Option<Tensor>],
        share: f64,
        sums: &mut Sums,
    ) -> Result<(), TrainError> {
        let weight = self.weights()[Term::FeatureDropout];
        let spec = self.config.objective.feature_dropout.as_ref();
        let Some(spec) = spec.filter(|_| weight > 0.0 && !labels.is_empty()) else {
            return Ok(());
        };
        let output = self.dropped(rows, batch, ChannelDraw::Single(spec.p))?;
        let mut terms: Terms<Option<Tensor>> = Terms::default();
        terms[Term::FeatureDropout] =
            consistency(&output.logits, labels, &spec.loss(), spec.normalize)?;
        self.descend(&terms, share, batch, sums)
    }

    /// The losses of the released CMC code, of a prediction that keeps nothing for gradients.
    fn released(&mut self, batch: &Batch, share: f64, sums: &mut Sums) -> Result<(), TrainError> {
        if self.weights()[Term::CmcAsReleased] == 0.0 {
            return Ok(());
        }
        let output = self.student.model.observe(&batch.images)?;
        let progress = self.step as f64 / self.config.steps as f64;
        let mut terms: Terms<Option<Tensor>> = Terms::default();
        terms[Term::CmcAsReleased] = as_released(&output.features, &output.logits, progress)?;
        self.descend(&terms, share, batch, sums)
    }

    /// The student's output with channels of its features dropped.
    fn dropped(
        &self,
        rows: &[&Row],
        batch: &Batch,
        draw: ChannelDraw,
    ) -> Result<Output, TrainError> {
        let (seed, device) = (self.config.seed, self.student.model.device());
        let perturb = Perturb::new(|encoder, level, channels| {
            draw.factors(seed, rows, (encoder, level, channels), device)
        });
        self.student.model.forward_with(batch, &perturb)
    }

    /// The terms of one strong view.
    fn strong_view(
        &mut self,
        rows: &[&Row],
        view: usize,
        (mut labels, mut beliefs): Taught,
        share: f64,
        sums: &mut Sums,
    ) -> Result<(), TrainError> {
        let mut batch = self.collated(rows)?;
        let mut terms: Terms<Option<Tensor>> = Terms::default();
        let pseudo = self.config.objective.pseudo_label.as_ref();
        let pseudo = pseudo.filter(|_| !labels.is_empty());
        if let Some(cutmix) = pseudo.and_then(|spec| spec.cutmix.as_ref()) {
            let mut mixed: Vec<&mut Tensor> = labels.iter_mut().flatten().collect();
            for belief in beliefs.iter_mut().flatten() {
                mixed.extend([&mut belief.probabilities, &mut belief.certain]);
            }
            cut_mix(cutmix, self.config.seed, rows, &mut batch, mixed)?;
        }
        let output = match pseudo.filter(|spec| spec.complementary_dropout) {
            Some(_) => {
                let half = if view == 0 { Half::Drawn } else { Half::Other };
                self.dropped(rows, &batch, ChannelDraw::Complementary(half))?
            }
            None => self.student.model.forward(&batch)?,
        };
        if !beliefs.is_empty() {
            terms[Term::MeanTeacher] = mean_teacher(&output.logits, &beliefs)?;
        }
        if let Some(spec) = pseudo {
            terms[Term::PseudoLabel] =
                consistency(&output.logits, &labels, &spec.loss(), spec.normalize)?;
        }
        self.across(&output.features, &output.logits, &mut terms)?;
        self.descend(&terms, share, &batch, sums)
    }
}

/// Mixes the strong views of a batch and what is taught of them, all by the same boxes.
fn cut_mix(
    spec: &CutMixSpec,
    seed: u64,
    rows: &[&Row],
    batch: &mut Batch,
    targets: Vec<&mut Tensor>,
) -> Result<(), TrainError> {
    let Some(first) = batch.images.iter().flatten().next() else {
        return Ok(());
    };
    let (_, d, h, w, _) = first.dims5()?;
    let mask = spec.mask(seed, rows, [d, h, w], first.device())?;
    for tensor in batch.images.iter_mut().flatten().chain(targets) {
        *tensor = mix(tensor, &mask)?;
    }
    Ok(())
}
