//! The sections of a pipeline file as plain data; their doc comments are the user's reference.

use super::checkpoints::Checkpoints;
use super::optimizer::OptimizerSection;
use super::regions::RegionSection;
pub use super::sinks::{FileFormats, SinksSection, ViewsSection};
use crate::metric::{Metric, MissedDistance, Wanted};
use crate::nn::network::NetworkSpec;
use crate::source::Named;
use crate::stage::spatial::Axis;
use crate::train::device::Precision;
use crate::train::infer::Window;
use crate::train::objective::{ObjectiveSpec, threshold::ThresholdSpec};
use crate::volume::Split;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// How pseudo-labels are drawn from the teacher. A file that predicts and keeps them (`sinks.pseudo_labels`) may fix
/// the threshold here; without it, those that training ended with count.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PseudoLabelSection {
    /// Confidence a voxel's class needs to be kept; voxels below it are ignored, never background.
    #[serde(default)]
    pub threshold: ThresholdSpec,
    /// Largest decay of the teacher's moving average: min(1 - 1/(t+1), ema).
    #[serde(default = "default_ema")]
    pub ema: f64,
}

fn default_ema() -> f64 {
    0.99
}

/// What is trained, on what, for how long.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    /// Class names by label value; the first is the background.
    pub classes: Vec<String>,
    /// Unions of classes that may overlap, by name, each a list of names or numbers of `classes`, such as
    /// `{ whole_tumour: [edema, necrosis, enhancing], tumour_core: [necrosis, enhancing], enhancing_tumour: [enhancing] }`.
    /// The network then has one output with a sigmoid a region instead of a softmax over classes. Predicted label
    /// maps hold classes: regions are painted in the order they are written in, each over those before it where its
    /// probability is above 0.5, with the one class that no later region holds; so regions that contain others are
    /// listed first. Scores are of classes and of regions, and validation takes the mean Dice of the regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Named<RegionSection>>,
    /// The network.
    pub network: NetworkSpec,
    /// Weights to begin with; left out, they are drawn from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<InitialSection>,
    /// Loss terms and their weights.
    #[serde(default)]
    pub objective: ObjectiveSpec,
    /// Optimiser steps.
    pub steps: u64,
    /// Rows of one step.
    #[serde(default)]
    pub batch: BatchSection,
    /// Batches whose gradients are summed into one optimiser step.
    #[serde(default = "one")]
    pub accumulate: u32,
    /// Optimiser and learning rate.
    #[serde(default)]
    pub optimizer: OptimizerSection,
    /// Arithmetic of the activations; bf16 needs CUDA.
    #[serde(default)]
    pub precision: Precision,
    /// Makes the activations of each level again in the backward pass instead of keeping them: less memory, one more forward pass a step.
    #[serde(default)]
    pub recompute: bool,
    /// Gradients are scaled down to this global norm, a positive number; null leaves them.
    #[serde(default = "default_clip")]
    pub clip_norm: Option<f64>,
    /// Measures every so many steps, from the first on, how much of the gradient each term makes: `grad_norm_<term>` in
    /// `metrics`, the norm of the gradient of that term alone, as it is weighted; and how alike the modalities' features
    /// are, as the mean cosine of channels that CSC pulls together (`similarity_same_channel`) and pushes apart
    /// (`similarity_other_channels`). Such a step walks back once more for each term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_norms: Option<NonZeroU64>,
    /// When the validation subjects are scored and a checkpoint is written.
    #[serde(default)]
    pub validate: ValidateSection,
    /// Sliding window of validation, prediction and scoring; default: the training patch, overlap 0.5.
    #[serde(default)]
    pub window: Option<WindowSection>,
    /// Chooses on all validation subjects at the end, class by class or region by region, whether predictions keep the
    /// largest connected component alone: where that raises the mean Dice. The best checkpoint notes the
    /// choice and is scored with it; the table `postprocessing` says why.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub postprocess: bool,
}

fn one() -> u32 {
    1
}

fn default_clip() -> Option<f64> {
    Some(12.0)
}

/// Weights that a training begins with.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InitialSection {
    /// A file that `voxstream convert` wrote, a checkpoint folder, or a run folder, whose best checkpoint is taken; on this machine or the URL of one in a store;
    /// a relative path begins at the folder of the pipeline file.
    pub from: String,
    /// Tensors to leave out, by whole name or by a part between dots, such as `head` for another number of classes. What the file does not have or this leaves out is drawn from the seed.
    #[serde(default)]
    pub skip: Vec<String>,
}

/// Rows of one training batch.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchSection {
    /// Rows of labelled subjects.
    #[serde(default = "default_labelled")]
    pub labelled: u32,
    /// Rows of unlabelled subjects; 0 leaves the unlabelled part out, and terms that learn from it wait. Terms that cannot do without must be given a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlabelled: Option<u32>,
}

impl BatchSection {
    /// Rows of unlabelled subjects.
    pub fn unlabelled(&self) -> u32 {
        self.unlabelled.unwrap_or(0)
    }
}

fn default_labelled() -> u32 {
    2
}

impl Default for BatchSection {
    fn default() -> Self {
        Self {
            labelled: default_labelled(),
            unlabelled: None,
        }
    }
}

/// When the validation subjects are scored.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidateSection {
    /// Steps between validations; a checkpoint follows each.
    #[serde(default = "default_every")]
    pub every: u64,
    /// Score at most this many validation subjects in training; null scores all.
    #[serde(default)]
    pub subjects: Option<usize>,
    /// End training after so many validations in a row without a better mean Dice (of `regions` where there are any, else of classes); null never does.
    #[serde(default)]
    pub patience: Option<NonZeroU64>,
}

fn default_every() -> u64 {
    100
}

impl Default for ValidateSection {
    fn default() -> Self {
        Self {
            every: default_every(),
            subjects: None,
            patience: None,
        }
    }
}

/// A sliding window with Gaussian blending (sigma an eighth of the window).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowSection {
    /// Voxels along x, y, z.
    pub size: [usize; 3],
    /// Fraction by which neighbouring windows overlap, from 0 to below 1.
    #[serde(default = "default_overlap")]
    pub overlap: f64,
    /// Axes along which each window is also predicted mirrored; the mean of all predictions counts, 2 to the power of the axes. For anatomy without a left and right of its own.
    #[serde(default)]
    pub flips: Vec<Axis>,
}

impl WindowSection {
    /// The window that prediction uses.
    pub fn window(&self) -> Window {
        Window {
            size_xyz: self.size,
            overlap: self.overlap,
            flips: Axis::ALL.map(|axis| self.flips.contains(&axis)),
        }
    }
}

fn default_overlap() -> f64 {
    0.5
}

/// Predicts with a trained network instead of training one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictSection {
    /// A checkpoint folder, a run folder, whose best checkpoint is taken, or the folder of a group of
    /// folds, of which all are taken; on this machine or in a store (`s3://…`). A list of them is an
    /// ensemble, too: the probabilities of all networks are averaged. A relative path begins at the
    /// folder of the pipeline file.
    pub checkpoint: Checkpoints,
    /// Applies the post-processing that was chosen on the validation subjects; of an ensemble what more
    /// than half of its members chose.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub postprocess: bool,
    /// Sliding window; default: the one the checkpoints were validated with.
    #[serde(default)]
    pub window: Option<WindowSection>,
}

/// Which subjects are scored against their truth at the end, and how.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreSection {
    /// Parts of the cohort; default: `test`, in a cross-validation `validation` and `test`.
    #[serde(default = "default_splits")]
    pub splits: Vec<Split>,
    /// Figures of each class; Dice and volumes are always there. Surface distances take the head's label map and the truth on the truth's grid, voxel sizes along its axes.
    #[serde(default = "default_metrics")]
    pub metrics: Vec<Metric>,
    /// Tolerances of `nsd` in mm, at least 0.
    #[serde(default = "default_tolerances")]
    pub nsd_tolerance_mm: Vec<f64>,
    /// Surface distances of a class that is in one of prediction and truth only.
    #[serde(default)]
    pub missed_distance: MissedDistance,
}

fn default_metrics() -> Vec<Metric> {
    vec![Metric::Dice, Metric::VolumeMl, Metric::VolumeDifference]
}

fn default_tolerances() -> Vec<f64> {
    vec![1.0, 2.0]
}

impl ScoreSection {
    /// What is computed.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            metrics: self.metrics.clone(),
            nsd_tolerance_mm: self.nsd_tolerance_mm.clone(),
            missed_distance: self.missed_distance,
        }
    }

    /// Refuses tolerances that are none.
    ///
    /// **Errors** say what was found and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        if self.metrics.contains(&Metric::Nsd) && self.nsd_tolerance_mm.is_empty() {
            return Err("`nsd_tolerance_mm` is empty, and `nsd` is wanted; write `[1, 2]`".into());
        }
        let tolerances = self.nsd_tolerance_mm.iter();
        match tolerances.copied().find(|t| !(0.0..=1e6).contains(t)) {
            Some(wrong) => Err(format!(
                "`nsd_tolerance_mm` names {wrong}; expected distances in mm from 0 to 1e6"
            )),
            None => Ok(()),
        }
    }
}

fn default_splits() -> Vec<Split> {
    vec![Split::Test]
}

impl Default for ScoreSection {
    fn default() -> Self {
        Self {
            splits: default_splits(),
            metrics: default_metrics(),
            nsd_tolerance_mm: default_tolerances(),
            missed_distance: MissedDistance::default(),
        }
    }
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}
