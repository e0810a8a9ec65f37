//! One optimiser step: labelled rows supervise, unlabelled rows follow the teacher.

use super::TrainError;
use super::batch::{Batch, collate, groups};
use super::device::Precision;
use super::figures::{Figure, Sums};
use super::model::{Model, ModelSpec};
use super::objective::cutmix::{CutMixSpec, mix};
use super::objective::pseudo_label::{consistency, probability_stats, pseudo_target};
use super::objective::supervised::supervised;
use super::objective::threshold::{ThresholdSpec, Thresholds};
use super::objective::{ObjectiveSpec, Terms, cac::cac_all, csc::csc_all};
use super::schedule::learning_rate;
use crate::nn::adamw::{AdamW, AdamWConfig};
use crate::nn::ema::Ema;
use crate::nn::gradients::Gradients;
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
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// Fraction of the steps with a growing rate.
    pub warmup: f64,
    /// Largest global gradient norm.
    pub clip_norm: Option<f64>,
    /// Seed of the initial weights.
    pub seed: u64,
    /// Arithmetic of the activations.
    pub precision: Precision,
}

/// Rows of one batch: labelled ones in the weak view, unlabelled ones in both views.
#[derive(Debug, Default)]
pub struct StepRows {
    /// Labelled rows.
    pub labelled: Vec<Row>,
    /// Unlabelled rows: weak view and strong view of the same patch.
    pub unlabelled: Vec<(Row, Row)>,
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
    pub optimizer: AdamW,
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
        let adamw = AdamWConfig {
            lr: config.lr,
            weight_decay: config.weight_decay,
            ..AdamWConfig::default()
        };
        let optimizer = AdamW::new(&student.params, adamw);
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
                .flat_map(|b| b.labelled.iter().chain(b.unlabelled.iter().map(|(_, s)| s)));
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
                terms.supervised = supervised(&output.logits, &batch.targets, &spec.loss())?;
            }
            if rows.unlabelled.is_empty() {
                self.across(&output.features, &output.logits, &mut terms)?;
            }
            self.descend(&terms, share, &batch, sums)?;
        }
        Ok(())
    }

    fn unlabelled(
        &mut self,
        rows: &StepRows,
        batches: usize,
        sums: &mut Sums,
    ) -> Result<(), TrainError> {
        // Before their terms begin, unlabelled rows would be predicted for nothing.
        let weights = self.weights();
        if weights.pseudo_label + weights.csc + weights.cac == 0.0 {
            return Ok(());
        }
        let strong: Vec<Row> = rows.unlabelled.iter().map(|(_, s)| s.clone()).collect();
        for group in groups(&strong) {
            let share = group.len() as f64 / (strong.len() * batches) as f64;
            let (heads, classes) = (self.student.heads(), self.student.classes());
            let of =
                |pick: &dyn Fn(usize) -> usize, strong_view: bool| -> Result<Batch, TrainError> {
                    let picked: Vec<&Row> = group
                        .iter()
                        .map(|&i| {
                            if strong_view {
                                &rows.unlabelled[pick(i)].1
                            } else {
                                &rows.unlabelled[pick(i)].0
                            }
                        })
                        .collect();
                    collate(&picked, heads, classes, self.student.device())
                };
            let mut strong_batch = of(&|i| i, true)?;
            let mut terms: Terms<Option<Tensor>> = Terms::default();
            let mut targets = Vec::new();
            if let (Some(_), Some(teacher), Some(thresholds)) = (
                &self.config.objective.pseudo_label,
                &self.teacher,
                &mut self.thresholds,
            ) {
                let weak_batch = of(&|i| i, false)?;
                for logits in teacher.infer(&weak_batch.images)? {
                    let Some(logits) = logits else {
                        targets.push(None);
                        continue;
                    };
                    thresholds.update(&probability_stats(
                        &logits,
                        thresholds.spec().confident_at(),
                    )?);
                    let target = pseudo_target(&logits, &thresholds.current())?;
                    for (sum, (kept, predicted)) in sums
                        .kept
                        .iter_mut()
                        .zip(target.kept_fraction.iter().zip(&target.predicted_fraction))
                    {
                        sum.0 += f64::from(kept * predicted);
                        sum.1 += f64::from(*predicted);
                    }
                    targets.push(Some(target.labels));
                }
            }
            let pseudo = self.config.objective.pseudo_label.as_ref();
            let pseudo = pseudo.filter(|_| !targets.is_empty());
            if let Some(cutmix) = pseudo.and_then(|spec| spec.cutmix.as_ref()) {
                let picked: Vec<&Row> = group.iter().map(|&i| &strong[i]).collect();
                cut_mix(
                    cutmix,
                    self.config.seed,
                    &picked,
                    &mut strong_batch,
                    &mut targets,
                )?;
            }
            let output = self.student.forward(&strong_batch)?;
            if let Some(spec) = pseudo {
                terms.pseudo_label =
                    consistency(&output.logits, &targets, &spec.loss(), spec.normalize)?;
            }
            self.across(&output.features, &output.logits, &mut terms)?;
            self.descend(&terms, share, &strong_batch, sums)?;
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
        if let Some(spec) = objective.csc.as_ref().filter(|_| weights.csc > 0.0) {
            terms.csc = csc_all(features, spec.temperature)?;
        }
        if weights.cac > 0.0 {
            terms.cac = cac_all(logits)?;
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
        let named = [
            ("supervised", &terms.supervised, &mut sums.terms.supervised),
            ("csc", &terms.csc, &mut sums.terms.csc),
            ("cac", &terms.cac, &mut sums.terms.cac),
            (
                "pseudo_label",
                &terms.pseudo_label,
                &mut sums.terms.pseudo_label,
            ),
        ];
        for (term, tensor, sum) in named {
            let Some(tensor) = tensor else { continue };
            let value = f64::from(tensor.to_scalar::<f32>()?);
            if !value.is_finite() {
                return Err(TrainError::NotFinite {
                    step: self.step,
                    term,
                    value,
                    subjects: batch.subjects.clone(),
                });
            }
            *sum += share * value;
        }
        let progress = self.step as f64 / self.config.steps as f64;
        if let Some(total) = self.config.objective.total(terms, progress)? {
            let total = (total * share)?;
            sums.total += f64::from(total.to_scalar::<f32>()?);
            self.gradients
                .add(&total.backward()?, &self.student.params)?;
        }
        Ok(())
    }
}

/// Mixes the strong views of a batch and their pseudo-labels, all by the same boxes.
fn cut_mix(
    spec: &CutMixSpec,
    seed: u64,
    rows: &[&Row],
    batch: &mut Batch,
    targets: &mut [Option<Tensor>],
) -> Result<(), TrainError> {
    let Some(first) = batch.images.iter().flatten().next() else {
        return Ok(());
    };
    let (_, d, h, w, _) = first.dims5()?;
    let mask = spec.mask(seed, rows, [d, h, w], first.device())?;
    for tensor in batch.images.iter_mut().chain(targets).flatten() {
        *tensor = mix(tensor, &mask)?;
    }
    Ok(())
}
