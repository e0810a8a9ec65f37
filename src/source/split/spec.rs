//! What an author says of a split.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Divides a cohort into training, validation and test, and says who keeps labels.
///
/// **Law** Lists are placed first. Then counts are filled in the order test, validation, train,
/// each with the next subjects by rank; test and validation take only subjects with labels, as they
/// are scored. Without `train` all others are trained on; with it, others are not used. Subjects
/// that the manifest itself places in validation or test stay there.
///
/// Where the source names patients, every count is of patients: they are ranked instead of subjects,
/// and all subjects of a patient are in one part. The other subjects of a listed subject's patient join
/// it. In test and validation subjects without labels are then not used, as they are not scored.
///
/// With `folds`, those that are not in test are dealt to so many parts by rank; one part validates and
/// the others are trained on. Who has no labels is trained on in every fold, apart from other subjects
/// of a patient that validates, which are then not used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitSpec {
    /// Seed of the ranks; another seed gives another split. Independent of the pipeline's seed.
    #[serde(default)]
    pub seed: u64,
    /// Subjects to train on; default: all that are in no other part.
    #[serde(default)]
    pub train: Option<SplitPart>,
    /// Subjects that choose the best checkpoint; default: none.
    #[serde(default)]
    pub validation: Option<SplitPart>,
    /// Subjects scored once at the end; default: none.
    #[serde(default)]
    pub test: Option<SplitPart>,
    /// Training subjects whose labels are used; the label files of all others are never opened.
    /// Default: all that have labels. A larger count contains every smaller one.
    #[serde(default)]
    pub labelled: Option<SplitPart>,
    /// Number of folds of a cross-validation, from 2, instead of `train` and `validation`: each patient
    /// with labels that is not in test validates in one of them. `run --fold all` trains them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<usize>,
    /// The fold that validates, from 0; `run --fold` sets it. Default: 0, but a training must name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// What every fold receives its share of; default: `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratify: Option<Stratify>,
}

/// A count of subjects, or of patients where the source names them, or a list of subjects' ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a count such as 160, or a list of subject ids such as [\"s1\", \"s2\"]"
)]
pub enum SplitPart {
    /// So many subjects or patients, by rank.
    Count(usize),
    /// These subjects.
    Subjects(Vec<String>),
}

/// What every fold receives its share of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stratify {
    /// The modalities and label maps that subjects have; no file is opened.
    #[default]
    Files,
    /// The classes that label maps contain; all of them are read whenever the source is opened.
    Classes,
}

impl Stratify {
    /// What it looks at, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Files => "modalities and label maps that are present",
            Self::Classes => "classes in the label maps",
        }
    }
}
