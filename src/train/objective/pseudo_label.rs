//! Pseudo-labels: what the teacher is sure of on the weak view teaches the strong view.

use candle_core::{D, DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::softmax;
use super::supervised::supervised;
use crate::nn::dice_ce::{DiceCe, IGNORE};

/// Labels made from a teacher's prediction, with what was kept of it. Nothing here has a gradient.
#[derive(Debug, Clone)]
pub struct PseudoTarget {
    /// Class of each voxel, u8 `[n, d, h, w]`; 255 (ignored) where the class's threshold is not reached.
    pub labels: Tensor,
    /// The largest class probability, f32 `[n, d, h, w]`.
    pub confidence: Tensor,
    /// Of the voxels predicted as each class, the share that was kept; 0 where none was predicted.
    pub kept_fraction: Vec<f32>,
    /// Share of all voxels predicted as each class, kept or not.
    pub predicted_fraction: Vec<f32>,
    /// Share of all voxels that were kept.
    pub valid_fraction: f32,
}

/// What adaptive thresholds learn from one prediction of the teacher.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbabilityStats {
    /// Mean over voxels of the largest class probability.
    pub mean_confidence: f64,
    /// Mean over voxels of each class's probability.
    pub mean_probability: Vec<f64>,
    /// Share of all voxels predicted as each class with at least the probability asked for.
    pub confident_fraction: Vec<f64>,
}

/// A teacher's prediction as voxel rows, `[slices, voxels a slice, …]`: sums go by slices first,
/// as one running f32 sum over a batch would lose small terms.
struct Prediction {
    probabilities: Tensor,
    confidence: Tensor,
    class: Tensor,
    one_hot: Tensor,
    classes: usize,
}

impl Prediction {
    fn new(logits: &Tensor) -> Result<Self> {
        let (n, d, h, w, classes) = logits.dims5()?;
        if !(2..=usize::from(IGNORE)).contains(&classes) {
            candle_core::bail!("logits have {classes} classes, expected 2 to {IGNORE}");
        }
        let rows = logits.detach().reshape((n * d, h * w, classes))?;
        let probabilities = softmax(&rows)?;
        let confidence = probabilities.max_keepdim(D::Minus1)?;
        let class = probabilities.argmax_keepdim(D::Minus1)?;
        let ids = Tensor::arange(0, classes as u32, logits.device())?;
        let one_hot = class
            .broadcast_eq(&ids.reshape((1, 1, classes))?)?
            .to_dtype(DType::F32)?;
        Ok(Self {
            probabilities,
            confidence,
            class,
            one_hot,
            classes,
        })
    }

    /// Mean over all voxels of `[slices, voxels, k]`.
    fn mean(values: &Tensor) -> Result<Vec<f32>> {
        values.mean(1)?.mean(0)?.to_vec1()
    }
}

/// Statistics of a teacher's `[n, d, h, w, classes]` logits for
/// [`Thresholds::update`](super::threshold::Thresholds::update); `confident_at` is the probability
/// from which a voxel counts as confident.
pub fn probability_stats(teacher_logits: &Tensor, confident_at: f64) -> Result<ProbabilityStats> {
    let prediction = Prediction::new(teacher_logits)?;
    let sure = prediction.confidence.ge(confident_at)?;
    let sure = prediction
        .one_hot
        .broadcast_mul(&sure.to_dtype(DType::F32)?)?;
    let widen = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
    Ok(ProbabilityStats {
        mean_confidence: f64::from(Prediction::mean(&prediction.confidence)?[0]),
        mean_probability: widen(Prediction::mean(&prediction.probabilities)?),
        confident_fraction: widen(Prediction::mean(&sure)?),
    })
}

/// Hard labels where the teacher's largest probability reaches its class's threshold.
///
/// A voxel below is *ignored* (255). It is not background: that would teach the student to delete
/// whatever the teacher is unsure of.
///
/// **Errors** when there is not one threshold a class.
pub fn pseudo_target(teacher_logits: &Tensor, thresholds: &[f32]) -> Result<PseudoTarget> {
    let (n, d, h, w, classes) = teacher_logits.dims5()?;
    if thresholds.len() != classes {
        candle_core::bail!(
            "found {} thresholds for {classes} classes, expected one a class",
            thresholds.len()
        );
    }
    let prediction = Prediction::new(teacher_logits)?;
    let device = teacher_logits.device();
    let limits = Tensor::new(thresholds, device)?.reshape((1, 1, classes))?;
    let limit = prediction
        .one_hot
        .broadcast_mul(&limits)?
        .sum_keepdim(D::Minus1)?;
    let keep = prediction.confidence.ge(&limit)?;
    let class = prediction.class.to_dtype(DType::U8)?;
    let ignored = (class.zeros_like()? + f64::from(IGNORE))?;
    let labels = keep.where_cond(&class, &ignored)?;
    let kept = prediction
        .one_hot
        .broadcast_mul(&keep.to_dtype(DType::F32)?)?;
    let kept = Prediction::mean(&kept)?;
    let predicted_fraction = Prediction::mean(&prediction.one_hot)?;
    let kept_fraction = (0..prediction.classes)
        .map(|c| match predicted_fraction[c] {
            0.0 => 0.0,
            predicted => kept[c] / predicted,
        })
        .collect();
    Ok(PseudoTarget {
        labels: labels.reshape((n, d, h, w))?,
        confidence: prediction.confidence.reshape((n, d, h, w))?,
        kept_fraction,
        predicted_fraction,
        valid_fraction: kept.iter().sum(),
    })
}

/// By how many voxels the pseudo-label loss is divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// The voxels that were kept: the term has one scale however few they are.
    #[default]
    Kept,
    /// All voxels: the term grows with the share that was kept, as in UniMatch.
    All,
}

/// Mean over heads of the Dice and cross-entropy loss of the student's strong view against
/// pseudo-labels, `labels[i]` u8 `[n, d, h, w]` with 255 where ignored.
///
/// `None` when no head has both. The loss is 0, with zero gradient, where nothing was kept.
///
/// **Errors** as [`supervised`].
pub fn consistency(
    student_logits: &[Option<Tensor>],
    labels: &[Option<Tensor>],
    loss: &DiceCe,
    normalize: Normalize,
) -> Result<Option<Tensor>> {
    if student_logits.len() != labels.len() {
        candle_core::bail!(
            "found {} heads but {} pseudo-labels, expected one a head (`None` where missing)",
            student_logits.len(),
            labels.len()
        );
    }
    if normalize == Normalize::Kept {
        return supervised(student_logits, labels, loss);
    }
    let mut losses = Vec::new();
    for (logits, labels) in student_logits.iter().zip(labels) {
        let head = supervised(
            std::slice::from_ref(logits),
            std::slice::from_ref(labels),
            loss,
        )?;
        if let (Some(head), Some(labels)) = (head, labels) {
            let (n, d, h, w) = labels.dims4()?;
            let valid = labels.ne(IGNORE)?.to_dtype(DType::F32)?;
            let valid = valid.reshape((n * d, h * w))?.mean(1)?.mean(0)?;
            losses.push((head * valid)?);
        }
    }
    super::mean_of(&losses)
}
