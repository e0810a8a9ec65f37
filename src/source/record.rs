//! A subject of a cohort: what it is, where its volumes are, what their headers say.

use crate::stage::SubjectFacts;
use crate::volume::{Dtype, Grid, Role, Split};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One subject of a cohort.
#[derive(Debug, Clone, PartialEq)]
pub struct SubjectRecord {
    /// Unique in the cohort.
    pub id: String,
    /// The patient it shows: the same for every study of one person. `None` if the source names
    /// none; then it is a patient of its own.
    pub patient: Option<String>,
    /// What the source says of the subject beside that, such as its `session`, by name.
    pub entities: BTreeMap<String, String>,
    /// Name of the cohort.
    pub cohort: String,
    /// What the subject is for.
    pub split: Split,
    /// Whether its labels may be used in training; false outside of training.
    pub labelled: bool,
    /// One entry a modality, in the cohort's order.
    pub images: Vec<VolumeRef>,
    /// One entry a label column, in the cohort's order.
    pub labels: Vec<VolumeRef>,
}

impl SubjectRecord {
    /// Returns `true` if its label maps are ever read: not those of unlabelled training subjects.
    pub fn reads_labels(&self) -> bool {
        self.split != Split::Train || self.labelled
    }

    /// What steps that order subjects may look at.
    pub fn facts(&self) -> SubjectFacts {
        let present = self.images.iter().filter(|i| i.location.is_some());
        SubjectFacts {
            id: self.id.clone(),
            cohort: self.cohort.clone(),
            split: self.split,
            labelled: self.labelled,
            modalities: present.map(|i| i.name.clone()).collect(),
        }
    }

    /// Takes away the locations of labels that may not be read, so that nothing can open them.
    pub(crate) fn seal(mut self) -> Self {
        if !self.reads_labels() {
            self.labels.iter_mut().for_each(|l| l.location = None);
        }
        self
    }
}

/// A volume of a subject and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeRef {
    /// Modality; for labels the modality they belong to, or empty for one label for all.
    pub name: String,
    /// Where it is; `None` where this subject has none, or where it may not be read.
    pub location: Option<Location>,
}

impl VolumeRef {
    /// Its file; `None` if it is missing or made on demand.
    pub fn file(&self) -> Option<&Path> {
        match &self.location {
            Some(Location::File { path, .. }) => Some(path),
            _ => None,
        }
    }
}

/// Where a volume is.
#[derive(Debug, Clone, PartialEq)]
pub enum Location {
    /// In a NIfTI file.
    File {
        /// The file, or the URL of an object ([`crate::store`]).
        path: PathBuf,
        /// Which volume of a 4-D file, from 0.
        index: Option<usize>,
    },
    /// Made on demand.
    Synthetic,
}

/// What a volume's header tells.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeHeader {
    /// Image or label.
    pub role: Role,
    /// Modality, or empty for one label for all.
    pub name: String,
    /// Where the voxels stand.
    pub grid: Grid,
    /// Stored type. A label map that is not u8 here is loaded as u8 or, where a class number needs
    /// it, u16: only its voxels tell.
    pub dtype: Dtype,
    /// What is usable, but suspicious about its geometry, as [`Header::remarks`](crate::volume::nifti::Header::remarks).
    pub remarks: Vec<String>,
}
