//! What is known of a data set once its layout is recognised.

use crate::source::SourceKind;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A data set whose layout is known.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Name of the layout, such as `BIDS with sessions`.
    pub kind: String,
    /// The source; its path is absolute.
    pub source: SourceKind,
    /// Names of classes by the value that is stored for each, as far as the data set tells.
    pub classes: BTreeMap<i64, String>,
    /// Unions of stored values that the data set is to be learnt and scored by, in its order.
    pub regions: Vec<DeclaredRegion>,
    /// Values that mark unannotated voxels.
    pub ignore: Vec<i64>,
    /// What a reader of the pipeline should know, one sentence each.
    pub notes: Vec<String>,
    /// Every NIfTI file below the folder; none where a table lists the files.
    pub(in crate::init) files: BTreeSet<PathBuf>,
    /// Those of them that the notes say are left out.
    pub(in crate::init) noted: BTreeSet<PathBuf>,
}

/// A union of stored values, such as the whole tumour; regions may overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredRegion {
    /// Its name.
    pub name: String,
    /// The values of its voxels.
    pub values: Vec<i64>,
    /// The value that its voxels get in a predicted label map, where the data set says so.
    pub paints: Option<i64>,
}

impl Layout {
    pub(super) fn new(kind: impl Into<String>, source: SourceKind) -> Self {
        Self {
            kind: kind.into(),
            source,
            classes: BTreeMap::new(),
            regions: Vec::new(),
            ignore: Vec::new(),
            notes: Vec::new(),
            files: BTreeSet::new(),
            noted: BTreeSet::new(),
        }
    }
}
