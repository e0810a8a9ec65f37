//! A subject as its source lists it, before the split.

use super::VolumeRef;
use crate::volume::Split;
use std::collections::BTreeMap;

/// A subject as its source lists it, before the split.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) id: String,
    /// The patient it shows; `None` where the source names none.
    pub(super) patient: Option<String>,
    /// What the placeholders of its paths stand for.
    pub(super) entities: BTreeMap<String, String>,
    /// Where the source places it.
    pub(super) placed: Option<Split>,
    /// Whether the source allows its labels to be used in training.
    pub(super) may_label: bool,
    pub(super) images: Vec<VolumeRef>,
    pub(super) labels: Vec<VolumeRef>,
}

impl Listed {
    /// A subject without volumes.
    pub(super) fn new(id: String) -> Self {
        Self {
            id,
            patient: None,
            entities: BTreeMap::new(),
            placed: None,
            may_label: true,
            images: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// Returns `true` if it has a label map that may be used.
    pub(super) fn has_labels(&self) -> bool {
        self.may_label && self.labels.iter().any(|l| l.location.is_some())
    }
}
