//! Subjects before they are divided.

use crate::volume::Split;

/// A subject before the split.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct Candidate<'a> {
    /// Its id.
    pub(in crate::source) id: &'a str,
    /// Its patient; `None` if it is a patient of its own.
    pub(in crate::source) patient: Option<&'a str>,
    /// Where the manifest places it.
    pub(in crate::source) placed: Option<Split>,
    /// Whether it has labels that may be used.
    pub(in crate::source) has_labels: bool,
    /// What folds are stratified by.
    pub(in crate::source) traits: &'a [String],
}

/// Which subjects count where a part is scored.
pub(super) const WITH_LABELS: &str = " with labels";
