//! Parts of a phantom's description: what differs between modalities, motion, lesions, label frames.

use crate::draw::Range;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One value for all modalities, or one for each that is named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a number, or one for each modality such as `{ ct: 0.02, mr: 0.1 }`"
)]
pub enum PerModality {
    /// The same for all modalities.
    All(f64),
    /// By modality; those that are not named take the default.
    Each(BTreeMap<String, f64>),
}

impl PerModality {
    /// The value of a modality.
    pub fn of(&self, modality: &str, default: f64) -> f64 {
        match self {
            Self::All(value) => *value,
            Self::Each(values) => values.get(modality).copied().unwrap_or(default),
        }
    }

    /// What is wrong with the names, and with values that `check` refuses.
    ///
    /// `check` receives what the value is called, and the value.
    pub(super) fn problems(
        &self,
        field: &str,
        modalities: &[String],
        check: impl Fn(&str, f64) -> Result<(), String>,
    ) -> Vec<String> {
        match self {
            Self::All(value) => check(&format!("`{field}`"), *value)
                .err()
                .into_iter()
                .collect(),
            Self::Each(values) => {
                let unknown = unknown_modalities(field, values.keys(), modalities);
                let outside = (values.iter()).filter_map(|(name, value)| {
                    check(&format!("`{field}` of `{name}`"), *value).err()
                });
                unknown.into_iter().chain(outside).collect()
            }
        }
    }
}

/// A problem for each name that is no modality of the phantom.
pub(super) fn unknown_modalities<'a>(
    field: &str,
    names: impl Iterator<Item = &'a String>,
    modalities: &[String],
) -> Vec<String> {
    let unknown = names.filter(|name| !modalities.contains(name));
    let told = |name| {
        let known = modalities.join(", ");
        format!("`{field}` names `{name}`, which is no modality of this phantom; it has {known}")
    };
    unknown.map(told).collect()
}

/// Which modalities show the border of an organ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Contrast {
    /// All of them, some organs better in one and some in another.
    #[default]
    Shared,
    /// One modality for each organ, in turn: label 1 shows in the first modality, label 2 in the second, and so on. In the others it has the intensity of the muscle around it, as an iso-dense lesion or an isointense nucleus: no network finds it there without the other modality.
    Complementary,
}

/// In whose frame subjects are annotated, which matters if modalities are moved against each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelFrames {
    /// One label map, which follows the first modality: column `label`.
    #[default]
    First,
    /// One label map for each modality, which follows it: columns `label.<modality>`. A missing modality has none.
    Each,
    /// As `each`, but a labelled training subject is annotated in one of its modalities alone, drawn for each subject; validation and test subjects in all.
    One,
}

/// How modalities lie beside the first one, drawn for each subject and modality.
///
/// The anatomy moves before it is imaged, so that no interpolation blurs the voxels: the patient moved,
/// breathed or lay differently between two acquisitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Misalignment {
    /// Length of a shift in a random direction, in mm: a number, a pair to draw uniformly between, or a `choice`.
    #[serde(default = "none")]
    pub shift_mm: Range,
    /// Angle of a turn about a random axis through the grid's centre, in degrees, 0 to 180.
    #[serde(default = "none")]
    pub rotation_deg: Range,
    /// Mean length over the grid of a smooth displacement, in mm, at most a tenth of the largest extent, so that tissue does not fold.
    #[serde(default = "none")]
    pub elastic_mm: Range,
}

fn none() -> Range {
    Range::Fixed(0.0)
}

/// Largest mean displacement as a share of the largest extent. The waves of `motion.rs` are as long as
/// the extent and longer; a test finds no fold at this size.
const MOST_ELASTIC: f64 = 0.1;

impl Misalignment {
    pub(super) fn problems(&self, extent_mm: f64) -> Vec<String> {
        let checks = [
            self.shift_mm.check("misalignment.shift_mm", 0.0, 1000.0),
            self.rotation_deg
                .check("misalignment.rotation_deg", 0.0, 180.0),
            self.elastic_mm
                .check("misalignment.elastic_mm", 0.0, MOST_ELASTIC * extent_mm),
        ];
        checks.into_iter().filter_map(Result::err).collect()
    }
}

/// Small round lesions inside the organs, a class of their own: the label after the last organ's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lesions {
    /// Lesions of a subject: a number, a pair to draw uniformly between, or a `choice`; rounded; at most 16.
    #[serde(default = "one")]
    pub count: Range,
    /// Radius in mm.
    #[serde(default = "radius")]
    pub radius_mm: Range,
    /// Modalities that show them: darker than muscle in CT, bright in MR-like modalities. In the others a lesion looks like the organ around it. Default: all.
    #[serde(default)]
    pub seen_in: Option<Vec<String>>,
}

fn one() -> Range {
    Range::Fixed(1.0)
}

fn radius() -> Range {
    Range::Uniform([3.0, 6.0])
}

impl Lesions {
    pub(super) fn is_seen_in(&self, modality: &str) -> bool {
        let named = self.seen_in.as_ref();
        named.is_none_or(|names| names.iter().any(|name| name == modality))
    }

    pub(super) fn problems(&self, modalities: &[String]) -> Vec<String> {
        let checks = [
            self.count.check("lesions.count", 0.0, 16.0),
            self.radius_mm.check("lesions.radius_mm", 0.1, 1000.0),
        ];
        let named = self.seen_in.iter().flatten();
        let mut problems = unknown_modalities("lesions.seen_in", named, modalities);
        problems.extend(checks.into_iter().filter_map(Result::err));
        problems
    }
}
