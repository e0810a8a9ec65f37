//! What an author says of a phantom cohort.

use super::anatomy::MAX_ORGANS;
use super::settings::{
    Contrast, LabelFrames, Lesions, Misalignment, PerModality, unknown_modalities,
};
use crate::draw::check_probability;
use crate::source::name_problems;
use crate::spec::{agreeing, counted};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A seeded synthetic multimodal cohort; needs no files.
///
/// Every subject has a body with fat and spine, organs (smoothly deformed ellipsoids at random places,
/// of random size and orientation; some touch, the last class is small) and unlabelled blobs with
/// the organs' intensities. A modality named `ct` is CT-like (HU); the first other one is MR-like;
/// each further one has a contrast of its own drawn from the seed. A subject depends on these
/// parameters, the seed and its number alone.
///
/// What makes several modalities worth having, and hard to use, is off unless it is asked for:
/// organs that show in one modality alone (`contrast`), motion between the acquisitions
/// (`misalignment`), voxel sizes of their own (`acquired_mm`), label maps in the frame of each
/// modality or of one (`labels`), and `lesions` that one modality shows.
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
    /// subject's gain); one number, or one for each modality such as `{ ct: 0.02, mr: 0.1 }`. Default of each 0.05.
    #[serde(default = "default_noise")]
    pub noise: PerModality,
    /// Strength of the smooth multiplicative bias field of MR-like modalities: values are scaled by
    /// up to exp(±`bias_field`); one number, or one for each modality. Default of each 0.3.
    #[serde(default = "default_bias")]
    pub bias_field: PerModality,
    /// Largest displacement in mm by which every modality but the first is moved, as a rigid motion
    /// drawn for each subject: the amount is uniform from 0, shared at random between shift and turn.
    /// Not together with `misalignment`.
    #[serde(default)]
    pub misalign_mm: f64,
    /// How every modality but the first is moved, in known amounts: for curves of robustness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misalignment: Option<Misalignment>,
    /// Which modalities show the border of an organ.
    #[serde(default, skip_serializing_if = "is_default")]
    pub contrast: Contrast,
    /// Voxel size along x, y, z in mm of modalities that are acquired on a grid of their own, such as `{ mr: [1.5, 1.5, 6.0] }` for thick slices, over which the tissue is averaged; all grids share their centre.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub acquired_mm: BTreeMap<String, [f64; 3]>,
    /// In whose frame subjects are annotated.
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: LabelFrames,
    /// Small lesions, a class behind the organs; default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lesions: Option<Lesions>,
    /// Probability that a modality is missing; one number, or one for each modality (default of each 0). One always remains.
    #[serde(default = "default_missing")]
    pub missing: PerModality,
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

/// Noise of modalities that no map names.
pub(super) const NOISE: f64 = 0.05;
/// Bias field of modalities that no map names.
pub(super) const BIAS_FIELD: f64 = 0.3;

fn default_noise() -> PerModality {
    PerModality::All(NOISE)
}

fn default_bias() -> PerModality {
    PerModality::All(BIAS_FIELD)
}

fn default_missing() -> PerModality {
    PerModality::All(0.0)
}

/// Returns `true` if a field has its default value; it is left out of plans, whose digests stay.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Refuses values below 0 and above `most`.
fn up_to(most: f64) -> impl Fn(&str, f64) -> Result<(), String> {
    move |name, value| match (0.0..=most).contains(&value) {
        true => Ok(()),
        false => Err(format!("{name} is {value}; allowed is 0 to {most}")),
    }
}

/// Refuses what is no probability.
fn probability(name: &str, value: f64) -> Result<(), String> {
    check_probability(value).map_err(|problem| problem.replace("`p`", name))
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
                "`labelled` is {}, but {} {} left for training; lower it",
                self.labelled.unwrap_or_default(),
                counted(train, "subject"),
                agreeing(train, "is", "are")
            ),
        );
        problems.extend(up_to(1000.0)("`misalign_mm`", self.misalign_mm).err());
        problems.extend(probability("`partial_labels`", self.partial_labels).err());
        problems.extend(self.modality_problems());
        problems
    }

    /// What is wrong with what is said of single modalities, motion and lesions.
    fn modality_problems(&self) -> Vec<String> {
        let modalities = &self.modalities;
        let mut problems = [
            self.noise.problems("noise", modalities, up_to(1.0)),
            self.bias_field
                .problems("bias_field", modalities, up_to(2.0)),
            self.missing.problems("missing", modalities, probability),
            unknown_modalities("acquired_mm", self.acquired_mm.keys(), modalities),
        ]
        .concat();
        if let Some(lesions) = &self.lesions {
            problems.extend(lesions.problems(modalities));
        }
        if let Some(misalignment) = &self.misalignment {
            let extent_mm = [0, 1, 2].map(|axis| self.size[axis] as f64 * self.spacing_mm[axis]);
            let longest_mm = extent_mm.into_iter().fold(0.0, f64::max);
            problems.extend(misalignment.problems(longest_mm));
            if self.misalign_mm != 0.0 {
                problems.push(
                    "`misalign_mm` and `misalignment` both move modalities; remove one".to_owned(),
                );
            }
        }
        if self.contrast == Contrast::Complementary && modalities.len() < 2 {
            problems.push(
                "`contrast: complementary` needs two modalities or more; with one, organs would be invisible".to_owned(),
            );
        }
        for (name, spacing_mm) in &self.acquired_mm {
            let parts = [0, 1, 2].map(|axis| spacing_mm[axis] / self.spacing_mm[axis]);
            if parts.iter().any(|ratio| !(0.1..=16.0).contains(ratio)) {
                problems.push(format!(
                    "`acquired_mm` of `{name}` is {spacing_mm:?}; every axis needs 0.1 to 16 times `spacing_mm`, which is {:?}",
                    self.spacing_mm
                ));
            }
        }
        problems
    }

    /// Label columns of the cohort: one empty name for one label map for all modalities.
    pub fn label_names(&self) -> Vec<String> {
        match self.labels {
            LabelFrames::First => vec![String::new()],
            LabelFrames::Each | LabelFrames::One => self.modalities.clone(),
        }
    }
}
