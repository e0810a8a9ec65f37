//! What an author says of a phantom cohort.

use super::anatomy::MAX_ORGANS;
use crate::draw::check_probability;
use crate::source::name_problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A seeded synthetic multimodal cohort; needs no files.
///
/// Every subject has a body with fat and spine, organs (smoothly deformed ellipsoids at random places,
/// of random size and orientation; some touch, the last class is small) and unlabelled blobs with
/// the organs' intensities. A modality named `ct` is CT-like (HU); the first other one is MR-like;
/// each further one has a contrast of its own drawn from the seed. A subject depends on these
/// parameters, the seed and its number alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhantomSpec {
    /// Subjects in all, `validation` and `test` included.
    pub subjects: usize,
    /// Voxels along x, y, z; at least 16 each.
    #[serde(default = "default_size")]
    pub size: [usize; 3],
    /// Voxel size along x, y, z in mm.
    #[serde(default = "default_spacing")]
    pub spacing_mm: [f64; 3],
    /// Modalities in the order of columns; the labels follow the first.
    #[serde(default = "default_modalities")]
    pub modalities: Vec<String>,
    /// Organs, 1 to 8; label values are 1 to this number.
    #[serde(default = "default_classes")]
    pub classes: u8,
    /// Training subjects whose labels are used, the first by number; default: all.
    #[serde(default)]
    pub labelled: Option<usize>,
    /// Subjects that choose the best checkpoint.
    #[serde(default)]
    pub validation: usize,
    /// Subjects scored at the end.
    #[serde(default)]
    pub test: usize,
    /// Seed of the anatomy; default: the pipeline's.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Standard deviation of Gaussian noise, as a fraction of the modality's range (400 HU; in MR the
    /// subject's gain).
    #[serde(default = "default_noise")]
    pub noise: f64,
    /// Strength of the smooth multiplicative bias field of MR-like modalities: values are scaled by
    /// up to exp(±`bias_field`).
    #[serde(default = "default_bias")]
    pub bias_field: f64,
    /// Largest displacement in mm by which every modality but the first is moved, as a rigid motion
    /// drawn for each subject.
    #[serde(default)]
    pub misalign_mm: f64,
    /// Probability that a modality is missing; one always remains.
    #[serde(default)]
    pub missing: f64,
    /// Probability that an axial slice of a labelled training subject is not annotated: its voxels
    /// hold 255. At least one slice is annotated.
    #[serde(default)]
    pub partial_labels: f64,
}

fn default_size() -> [usize; 3] {
    [48; 3]
}

fn default_spacing() -> [f64; 3] {
    [1.5; 3]
}

fn default_modalities() -> Vec<String> {
    vec!["ct".to_owned(), "mr".to_owned()]
}

fn default_classes() -> u8 {
    3
}

fn default_noise() -> f64 {
    0.05
}

fn default_bias() -> f64 {
    0.3
}

/// Subjects of the largest made-up cohort: no study has more.
const MOST_SUBJECTS: usize = 1_000_000;

impl PhantomSpec {
    pub(in crate::source) fn problems(&self) -> Vec<String> {
        let mut problems = name_problems("modality", self.modalities.iter().map(String::as_str));
        let mut refuse = |condition: bool, problem: String| {
            if condition {
                problems.push(problem);
            }
        };
        refuse(
            self.modalities.is_empty(),
            "`modalities` is empty; name at least one".to_owned(),
        );
        refuse(
            !(1..=MOST_SUBJECTS).contains(&self.subjects),
            format!(
                "`subjects` is {}; ask for 1 to {MOST_SUBJECTS}",
                self.subjects
            ),
        );
        refuse(
            self.size.iter().any(|&n| !(16..=1024).contains(&n)),
            format!(
                "`size` is {:?}; every axis needs 16 to 1024 voxels",
                self.size
            ),
        );
        refuse(
            self.spacing_mm.iter().any(|s| !(0.01..=100.0).contains(s)),
            format!(
                "`spacing_mm` is {:?}; every axis needs 0.01 to 100 mm",
                self.spacing_mm
            ),
        );
        refuse(
            !(1..=MAX_ORGANS).contains(&self.classes),
            format!(
                "`classes` is {}; allowed is 1 to {MAX_ORGANS}",
                self.classes
            ),
        );
        let kept = self.validation.saturating_add(self.test);
        refuse(
            kept > self.subjects,
            format!(
                "`validation` and `test` are {kept} of {} `subjects`; raise `subjects`",
                self.subjects
            ),
        );
        let train = self.subjects.saturating_sub(kept);
        refuse(
            self.labelled.is_some_and(|n| n > train),
            format!(
                "`labelled` is {}, but {train} subjects are left for training; lower it",
                self.labelled.unwrap_or_default()
            ),
        );
        for (name, value, most) in [
            ("noise", self.noise, 1.0),
            ("bias_field", self.bias_field, 2.0),
            ("misalign_mm", self.misalign_mm, 1000.0),
        ] {
            refuse(
                !(0.0..=most).contains(&value),
                format!("`{name}` is {value}; allowed is 0 to {most}"),
            );
        }
        for (name, p) in [
            ("missing", self.missing),
            ("partial_labels", self.partial_labels),
        ] {
            if let Err(problem) = check_probability(p) {
                problems.push(problem.replace("`p`", &format!("`{name}`")));
            }
        }
        problems
    }
}
