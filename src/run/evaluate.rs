//! Predicts subjects on their own grid and scores them against their truth.

use super::failure::Failure;
use super::inference::Inference;
use super::outcome::Used;
use super::prepare::{Preparer, Reading};
use crate::metric::volume::relative_difference;
use crate::metric::{ClassFigures, ClassScore, Wanted, confusion, figures};
use crate::nn::dice_ce::IGNORE;
use crate::sink::{MetricRow, PredictionRow, ScoreRow};
use crate::train::batch::classes_of;
use crate::train::infer::predict;
use crate::train::model::Model;
use crate::train::postprocessing::every_class;
use crate::volume::{Dtype, Grid, Scaling, Volume, VolumeError};

/// One head's prediction of one subject.
pub struct HeadResult {
    /// The head: a modality, or `joint`.
    pub head: String,
    /// Predicted classes on the truth's grid, or the input's where there is no truth.
    pub label: Volume,
    /// Probability of the predicted class at each voxel.
    pub confidence: Vec<f32>,
    /// Agreement with the truth, class by class; empty without truth.
    pub scores: Vec<ClassScore>,
    /// Further figures, class by class; empty without truth.
    pub figures: Vec<ClassFigures>,
    /// Agreement with the truth if the largest component of every class is kept alone; empty unless the
    /// inference tries that.
    pub largest: Vec<ClassScore>,
    /// Tolerances of the normalised surface Dice, mm.
    nsd_tolerance_mm: Vec<f32>,
}

/// Predicts one subject; `used` receives what the tables say of its prepared row.
///
/// **Errors** the subject's failure, with the part that failed.
pub fn subject(
    inference: Inference<'_>,
    preparer: &Preparer,
    index: usize,
    wanted: &Wanted,
    used: &mut Used,
) -> Result<Vec<HeadResult>, Failure> {
    let record = preparer.subject(index);
    let failure = |stage: &'static str| {
        move |e: &(dyn std::error::Error + 'static)| Failure::from_error(&record.id, stage, e)
    };
    let heads = preparer.with_prepared(index, 0, Reading::Whole, |row| {
        *used = Used::of(std::slice::from_ref(&row));
        predict(inference.models, &row, inference.window).map_err(|e| failure("predict")(&e))
    })?;
    let Some(heads) = heads else {
        return Ok(Vec::new());
    };
    let truth = preparer
        .cohort()
        .load_labels(record)
        .map_err(|e| failure("score")(&e))?;
    let truth = preparer.relabelled(index, truth)?;
    let input = input_grid(preparer, index)?;
    let (mut results, model) = (Vec::new(), inference.first());
    for (head, probabilities) in model.head_names().into_iter().zip(heads) {
        let Some(probabilities) = probabilities else {
            continue;
        };
        let own = truth
            .iter()
            .find(|c| c.name == head)
            .or_else(|| truth.iter().find(|c| c.name.is_empty() || head == "joint"));
        let truth = own.and_then(|c| c.volume.as_ref());
        let grid = truth.map_or(input, |t| *t.grid());
        let (classes, confidence) = probabilities.on_grid(&grid);
        let processed = inference.postprocessing;
        let processed = processed.apply(&head, &classes, grid.shape_xyz());
        let classes = processed.unwrap_or(classes);
        let (scores, figures) = match truth {
            Some(truth) => score(model, &classes, truth, &record.id, wanted)
                .map_err(|e| failure("score")(e.as_ref()))?,
            None => (Vec::new(), Vec::new()),
        };
        let largest = match truth.filter(|_| inference.tries_largest) {
            Some(truth) => match every_class(&classes, grid.shape_xyz()) {
                Some(largest) => class_scores(model, &largest, truth, &record.id)
                    .map_err(|e| failure("score")(e.as_ref()))?,
                None => scores.clone(),
            },
            None => Vec::new(),
        };
        let label = Volume::from_vec(classes, grid).map_err(|e| failure("predict")(&e))?;
        results.push(HeadResult {
            head,
            label,
            confidence,
            scores,
            figures,
            largest,
            nsd_tolerance_mm: wanted.nsd_tolerance_mm.iter().map(|t| *t as f32).collect(),
        });
    }
    Ok(results)
}

/// The grid of the first image as stored.
fn input_grid(preparer: &Preparer, index: usize) -> Result<Grid, Failure> {
    let record = preparer.subject(index);
    let headers = preparer
        .cohort()
        .headers(record)
        .map_err(|e| Failure::from_error(&record.id, "source", &e))?;
    let first = headers
        .iter()
        .find(|h| h.role == crate::volume::Role::Image);
    first
        .map(|h| h.grid)
        .ok_or_else(|| Failure::new(&record.id, "source", "no modality is present"))
}

type Scored = (Vec<ClassScore>, Vec<ClassFigures>);

/// Agreement on each class over the voxels that somebody annotated: the others say nothing about the
/// prediction.
fn class_scores(
    model: &Model,
    predicted: &[u8],
    truth: &Volume,
    subject: &str,
) -> Result<Vec<ClassScore>, Box<dyn std::error::Error>> {
    let classes = classes_of(truth, model.classes(), subject)?;
    let annotated = predicted.iter().copied().zip(classes.iter().copied());
    let annotated = annotated.filter(|(_, t)| *t != IGNORE);
    let (kept, kept_truth): (Vec<u8>, Vec<u8>) = annotated.unzip();
    let counts = confusion(&kept, &kept_truth, model.classes())?;
    Ok(counts.scores(truth.grid().voxel_volume_mm3()))
}

fn score(
    model: &Model,
    predicted: &[u8],
    truth: &Volume,
    subject: &str,
    wanted: &Wanted,
) -> Result<Scored, Box<dyn std::error::Error>> {
    let (scores, grid) = (
        class_scores(model, predicted, truth, subject)?,
        truth.grid(),
    );
    let mut truth = classes_of(truth, model.classes(), subject)?;
    let mut predicted = std::borrow::Cow::Borrowed(predicted);
    if truth.contains(&IGNORE) {
        // A shape needs its neighbours: there both maps hold background.
        for (t, p) in truth.iter_mut().zip(predicted.to_mut()) {
            if *t == IGNORE {
                (*t, *p) = (0, 0);
            }
        }
    }
    let place = (grid.shape_xyz(), grid.spacing_mm());
    let figures = figures(&predicted, &truth, place, model.classes(), wanted)?;
    Ok((scores, figures))
}

impl HeadResult {
    /// The result as rows of `scores`, the background left out.
    pub fn score_rows(
        &self,
        classes: &[String],
        subject: &str,
        split: &str,
        checkpoint: &str,
    ) -> Vec<ScoreRow> {
        let foreground = self.scores.iter().zip(&self.figures).skip(1);
        foreground
            .map(|(s, f)| ScoreRow {
                subject_id: subject.to_owned(),
                split: split.to_owned(),
                checkpoint: checkpoint.to_owned(),
                modality: self.head.clone(),
                class_id: s.class_id as i32,
                class: classes[s.class_id].clone(),
                dice: s.dice,
                truth_ml: s.truth_ml,
                predicted_ml: s.predicted_ml,
                truth_voxels: s.truth_voxels as i64,
                predicted_voxels: s.predicted_voxels as i64,
                missed: s.truth_voxels > 0 && s.predicted_voxels == 0,
                volume_difference: relative_difference(s.predicted_ml, s.truth_ml),
                hd95_mm: f.hd95_mm,
                hd95_monai_mm: f.hd95_monai_mm,
                hd95_medpy_mm: f.hd95_medpy_mm,
                assd_mm: f.assd_mm,
                nsd: f.nsd.iter().map(|v| *v as f32).collect(),
                nsd_tolerance_mm: match f.nsd.is_empty() {
                    true => Vec::new(),
                    false => self.nsd_tolerance_mm.clone(),
                },
                lesion_f1: f.lesions.and_then(|l| l.f1()),
                truth_lesions: f.lesions.map(|l| l.truth as i64),
                found_lesions: f.lesions.map(|l| l.found as i64),
                invented_lesions: f.lesions.map(|l| l.invented as i64),
            })
            .collect()
    }

    /// The result as a row of `predictions`.
    pub fn prediction_row(
        &self,
        subject: &str,
        split: &str,
        epoch: u64,
        checkpoint: &str,
    ) -> PredictionRow {
        PredictionRow {
            subject_id: subject.to_owned(),
            split: split.to_owned(),
            epoch: epoch as i64,
            modality: self.head.clone(),
            checkpoint: checkpoint.to_owned(),
            label: self.label.clone(),
        }
    }
}

/// Mean Dice of scores: over subjects for each head and class, then over heads and classes.
pub struct Summary {
    /// Head, class, mean Dice over the subjects where it is defined.
    pub means: Vec<(String, String, f64)>,
    /// Mean of those means; `None` when nothing was defined.
    pub overall: Option<f64>,
}

/// Summarises scores.
pub fn summary(scores: &[ScoreRow]) -> Summary {
    let mut sums: Vec<(String, String, f64, f64)> = Vec::new();
    for s in scores {
        let Some(dice) = s.dice else { continue };
        match sums
            .iter_mut()
            .find(|(head, class, ..)| *head == s.modality && *class == s.class)
        {
            Some((_, _, sum, n)) => (*sum, *n) = (*sum + dice, *n + 1.0),
            None => sums.push((s.modality.clone(), s.class.clone(), dice, 1.0)),
        }
    }
    let means: Vec<_> = sums
        .into_iter()
        .map(|(head, class, sum, n)| (head, class, sum / n))
        .collect();
    let overall = (!means.is_empty())
        .then(|| means.iter().map(|(.., m)| m).sum::<f64>() / means.len() as f64);
    Summary { means, overall }
}

impl Summary {
    /// The summary as rows of `metrics`.
    pub fn metric_rows(&self, step: u64, epoch: u64, split: &str) -> Vec<MetricRow> {
        let row = |modality, class, name: &str, value| MetricRow {
            step: step as i64,
            epoch: epoch as i64,
            split: split.to_owned(),
            subject_id: None,
            modality,
            class,
            name: name.to_owned(),
            value,
            unit: "1".to_owned(),
        };
        let means = self
            .means
            .iter()
            .map(|(head, class, mean)| row(Some(head.clone()), Some(class.clone()), "dice", *mean));
        means
            .chain(self.overall.map(|mean| row(None, None, "mean_dice", mean)))
            .collect()
    }
}

/// Confidence as bytes: stored 255 stands for probability 1.
///
/// **Errors** when the values are not as many as the grid's voxels.
pub fn quantised(confidence: &[f32], grid: &Grid) -> Result<Volume, VolumeError> {
    let bytes: Vec<u8> = confidence
        .iter()
        .map(|p| (p.clamp(0.0, 1.0) * 255.0).round() as u8)
        .collect();
    Volume::try_new(
        bytes.into(),
        Dtype::U8,
        Scaling {
            slope: 1.0 / 255.0,
            intercept: 0.0,
        },
        *grid,
    )
}

/// For each class the fraction of its predicted voxels whose confidence reaches the class's threshold.
pub fn kept_fraction(classes: &[u8], confidence: &[f32], thresholds: &[f32]) -> Vec<f32> {
    let mut counts = vec![(0u64, 0u64); thresholds.len()];
    for (&class, &p) in classes.iter().zip(confidence) {
        let count = &mut counts[usize::from(class)];
        count.1 += 1;
        count.0 += u64::from(p >= thresholds[usize::from(class)]);
    }
    counts
        .into_iter()
        .map(|(kept, all)| {
            if all == 0 {
                0.0
            } else {
                kept as f32 / all as f32
            }
        })
        .collect()
}
