//! Which column of a table holds what.

use crate::source::{Named, name_problems};
use crate::spec::suggest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which column of the table holds what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestColumns {
    /// Column of the subject's id; one row a subject.
    pub subject: String,
    /// Modality and column of its path, in the order of the rows' columns. An empty path means that
    /// the modality is missing for that subject.
    pub images: Named<ColumnRef>,
    /// Modality and column of its label map's path.
    #[serde(default)]
    pub labels: Named<ColumnRef>,
    /// Column of the one label map for all modalities; instead of `labels`.
    #[serde(default)]
    pub label: Option<ColumnRef>,
    /// Column of the patient that a subject shows. Subjects of one patient are never in different parts
    /// of `split`, whose counts are then of patients. A row without one is a patient of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// Column that says `train`, `validation` or `test`.
    #[serde(default)]
    pub split: Option<String>,
    /// Column that says whether a subject's labels may be used in training (true or false).
    #[serde(default)]
    pub labelled: Option<String>,
}

/// A column of paths, or a column of 4-D files and which volume of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a column's name, or { column: name, index: 0 } for one volume of a 4-D file"
)]
pub enum ColumnRef {
    /// A column of paths.
    Column(String),
    /// One volume of 4-D files.
    #[serde(rename_all = "snake_case")]
    Indexed {
        /// The column of paths.
        column: String,
        /// Which volume, from 0.
        index: usize,
    },
}

impl ColumnRef {
    pub(super) fn column(&self) -> &str {
        match self {
            Self::Column(column) | Self::Indexed { column, .. } => column,
        }
    }

    pub(super) fn index(&self) -> Option<usize> {
        match self {
            Self::Column(_) => None,
            Self::Indexed { index, .. } => Some(*index),
        }
    }
}

impl ManifestColumns {
    /// Label columns by name; the one for all has no name.
    pub(super) fn all_labels(&self) -> Vec<(String, ColumnRef)> {
        let one = self.label.iter().map(|c| (String::new(), c.clone()));
        one.chain(self.labels.0.iter().cloned()).collect()
    }

    /// Columns that are text whatever they look like: an id `007` is not the number 7.
    pub(super) fn text_columns(&self) -> Vec<&str> {
        let paths = self
            .images
            .0
            .iter()
            .chain(&self.labels.0)
            .map(|(_, c)| c.column());
        std::iter::once(self.subject.as_str())
            .chain(paths)
            .chain(self.label.as_ref().map(ColumnRef::column))
            .chain(self.split.as_deref())
            .chain(self.patient.as_deref())
            .collect()
    }

    /// Every column that is named.
    pub(super) fn used(&self) -> Vec<&str> {
        let mut used = self.text_columns();
        used.extend(self.labelled.as_deref());
        used
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let images: Vec<&str> = self.images.0.iter().map(|(n, _)| n.as_str()).collect();
        let mut problems = name_problems("modality", images.iter().copied());
        if images.is_empty() {
            problems.push("`columns.images` is empty; name at least one modality".to_owned());
        }
        let labels = self.all_labels();
        for (name, _) in labels
            .iter()
            .filter(|(n, _)| !n.is_empty() && !images.contains(&n.as_str()))
        {
            problems.push(format!(
                "`columns.labels` names `{name}`, which is no modality; {}",
                suggest(name, &images)
            ));
        }
        if labels.len() > 1 && labels.iter().any(|(name, _)| name.is_empty()) {
            problems.push(
                "there are label maps for single modalities and one for all; keep one kind"
                    .to_owned(),
            );
        }
        problems
    }
}
