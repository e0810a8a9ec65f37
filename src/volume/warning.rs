//! Warnings: input that is suspicious, and used all the same.

use serde::{Deserialize, Serialize};

/// What a warning is about; the name in the table `warnings` is the variant in snake_case.
///
/// A new kind is a variant here and a line in [`WarningKind::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// A file's header contradicts itself or was completed by a default.
    Header,
    /// Volumes of one subject do not share their grid or their field of view.
    Geometry,
    /// A file, a link or a row of a table was left out when the source was opened.
    Source,
    /// A label map holds values that were not declared.
    Label,
    /// All voxels of an image have the same value.
    ConstantImage,
    /// More than half of an image's voxels are NaN or infinite.
    NotFinite,
    /// A stage found no foreground in an image.
    NoForeground,
    /// The foreground a stage takes its statistics from has one value.
    ConstantForeground,
    /// A class to be trained has no labelled voxel in any training subject.
    UntrainedClass,
    /// No subject that chooses the best checkpoint has a voxel of a foreground class.
    UnscoredValidation,
    /// An entry of the cache was damaged; it was made again.
    DamagedEntry,
    /// The network that predicts was trained on a modality that the source does not have.
    AbsentModality,
}

impl WarningKind {
    /// The name in the table `warnings`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Geometry => "geometry",
            Self::Source => "source",
            Self::Label => "label",
            Self::ConstantImage => "constant_image",
            Self::NotFinite => "not_finite",
            Self::NoForeground => "no_foreground",
            Self::ConstantForeground => "constant_foreground",
            Self::UntrainedClass => "untrained_class",
            Self::UnscoredValidation => "unscored_validation",
            Self::DamagedEntry => "damaged_entry",
            Self::AbsentModality => "absent_modality",
        }
    }
}

/// One warning: where it arose, what kind it is, and the reason in words.
///
/// A source or a stage adds it to its row with [`Row::warn`](super::Row::warn); a source that has no row at hand
/// returns it from [`Cohort::warnings`](crate::source::Cohort::warnings); training and scoring add
/// it to the run's [`Warnings`](crate::run::warnings::Warnings).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Stage path in the pipeline such as `stages[1].zscore`, or `source`, `cache`, `train`, `score`.
    pub stage: String,
    /// Column it is about: a modality, `label` or `label.<modality>`; `None` for the whole subject.
    pub modality: Option<String>,
    /// Kind.
    pub kind: WarningKind,
    /// What was found, and what it means for the subject.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::*;

    #[test]
    fn names_are_those_of_serde_and_stages_are_filled_in_once() {
        for kind in [
            WarningKind::Header,
            WarningKind::Geometry,
            WarningKind::Source,
            WarningKind::Label,
            WarningKind::ConstantImage,
            WarningKind::NotFinite,
            WarningKind::NoForeground,
            WarningKind::ConstantForeground,
            WarningKind::UntrainedClass,
            WarningKind::UnscoredValidation,
            WarningKind::DamagedEntry,
        ] {
            let text = serde_json::to_string(&kind).unwrap();
            assert_eq!(text, format!("\"{}\"", kind.name()));
        }
        let mut row = Row::default();
        row.warn(WarningKind::Header, None, "pixdim is 0");
        row.attribute_warnings("source");
        row.warn(WarningKind::NoForeground, Some("ct"), "nothing above 0");
        row.attribute_warnings("stages[0].zscore");
        let stages: Vec<&str> = row.warnings.iter().map(|w| w.stage.as_str()).collect();
        assert_eq!(stages, ["source", "stages[0].zscore"]);
        assert_eq!(row.warnings[1].modality.as_deref(), Some("ct"));
    }
}
