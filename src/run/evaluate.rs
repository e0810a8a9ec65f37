//! Predicts subjects on their own grid and scores them against their truth.

use super::agreement::{Cleaned, Scored, Truth};
use super::failure::Failure;
use super::inference::Inference;
use super::outcome::Used;
use super::prepare::{Preparer, Reading};
use crate::metric::volume::relative_difference;
use crate::metric::{Wanted, mean};
use crate::sink::{MetricRow, PredictionRow, ScoreRow};
use crate::source::VolumeHeader;
use crate::train::infer::predict;
use crate::volume::grid::SAME_GRID_TOLERANCE_MM;
use crate::volume::region::table_number;
use crate::volume::{Grid, Role, Volume};

/// One head's prediction of one subject.
pub struct HeadResult {
    /// The head: a modality, or `joint`.
    pub head: String,
    /// Predicted classes on the grid of the head's modality as stored; of a joint head on that of the first one.
    pub label: Volume,
    /// Probability of the predicted class at each voxel.
    pub confidence: Vec<f32>,
    /// Agreement with the truth, class by class, then region by region; empty without truth.
    pub scored: Vec<Scored>,
    /// What keeping largest components alone does; empty unless the inference tries that.
    pub cleaned: Vec<Cleaned>,
    /// Tolerances of the normalised surface Dice, mm.
    nsd_tolerance_mm: Vec<f32>,
}

/// Predicts one subject on the grids of its images, and scores it on those of its truth; `used` receives what
/// the tables say of its prepared row.
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
    let headers = preparer.cohort().headers(record);
    let headers = headers.map_err(|e| failure("source")(&e))?;
    let (mut results, model) = (Vec::new(), inference.first());
    for (head, probabilities) in model.head_names().into_iter().zip(heads) {
        let Some(probabilities) = probabilities else {
            continue;
        };
        let on = |grid: &Grid| {
            let (classes, confidence) = probabilities.on_grid(grid);
            let regions = &model.spec.regions;
            let shape = grid.shape_xyz();
            let processed = (inference.postprocessing).apply(&head, &classes, shape, regions);
            (processed.unwrap_or(classes), confidence)
        };
        let grid = image_grid(&headers, &head);
        let grid =
            grid.ok_or_else(|| Failure::new(&record.id, "source", "no modality is present"))?;
        let (classes, confidence) = on(&grid);
        let own = truth
            .iter()
            .find(|c| c.name == head)
            .or_else(|| truth.iter().find(|c| c.name.is_empty() || head == "joint"));
        let (mut scored, mut cleaned) = (Vec::new(), Vec::new());
        if let Some(truth) = own.and_then(|c| c.volume.as_ref()) {
            let failed = failure("score");
            let same = truth.grid().is_same(&grid, SAME_GRID_TOLERANCE_MM);
            // Nobody annotated the voxels of another grid.
            let moved = (!same).then(|| on(truth.grid()).0);
            let classes = moved.as_ref().unwrap_or(&classes);
            let truth = Truth::new(&model.spec, truth, &record.id).map_err(|e| failed(&e))?;
            scored = (truth.scored(classes, wanted)).map_err(|e| failed(e.as_ref()))?;
            if inference.tries_largest {
                cleaned = truth.cleaned(classes).map_err(|e| failed(e.as_ref()))?;
            }
        }
        let label = Volume::from_vec(classes, grid).map_err(|e| failure("predict")(&e))?;
        results.push(HeadResult {
            head,
            label,
            confidence,
            scored,
            cleaned,
            nsd_tolerance_mm: wanted.nsd_tolerance_mm.iter().map(|t| *t as f32).collect(),
        });
    }
    Ok(results)
}

/// The grid of the image that a head is of, or of the first one, as stored; `None` without any.
fn image_grid(headers: &[VolumeHeader], head: &str) -> Option<Grid> {
    let mut images = headers.iter().filter(|h| h.role == Role::Image);
    let own = images.clone().find(|h| h.name == head);
    own.or_else(|| images.next()).map(|h| h.grid)
}

impl HeadResult {
    /// The result as rows of `scores`, the background left out.
    pub fn score_rows(&self, subject: &str, split: &str, checkpoint: &str) -> Vec<ScoreRow> {
        let foreground = self.scored.iter().filter(|scored| scored.number != 0);
        foreground
            .map(|scored| {
                let (s, f) = (&scored.score, &scored.figures);
                ScoreRow {
                    subject_id: subject.to_owned(),
                    split: split.to_owned(),
                    checkpoint: checkpoint.to_owned(),
                    modality: self.head.clone(),
                    class_id: scored.number,
                    class: scored.name.clone(),
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
                }
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

/// Mean Dice of scores: over subjects for each head and class or region, then over heads and those that
/// were trained: regions where there are any, else classes. Regions that are scored only are in no mean over several.
pub struct Summary {
    /// Head, class or region, mean Dice over the subjects where it is defined.
    pub means: Vec<(String, String, f64)>,
    /// Mean over heads and classes; over heads and regions where regions were trained, never over both.
    /// `None` when nothing was defined.
    pub overall: Option<f64>,
}

/// Summarises scores of a network that was trained on so many regions, 0 for one that learns classes.
pub fn summary(scores: &[ScoreRow], trained_regions: usize) -> Summary {
    let mut sums: Vec<(&str, i32, &str, f64, f64)> = Vec::new();
    for s in scores {
        let Some(dice) = s.dice else { continue };
        let mut known = sums.iter_mut();
        match known.find(|(head, number, ..)| *head == s.modality && *number == s.class_id) {
            Some((.., sum, n)) => (*sum, *n) = (*sum + dice, *n + 1.0),
            None => sums.push((&s.modality, s.class_id, &s.class, dice, 1.0)),
        }
    }
    let trained = sums.iter().filter(|(_, number, ..)| match trained_regions {
        0 => *number > 0,
        count => (1..=count).any(|region| *number == table_number(region - 1)),
    });
    let overall = mean(trained.map(|(.., sum, n)| Some(sum / n)));
    let means = sums.into_iter();
    let means = means.map(|(head, _, name, sum, n)| (head.to_owned(), name.to_owned(), sum / n));
    Summary {
        means: means.collect(),
        overall,
    }
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
