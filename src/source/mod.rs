//! Where subjects come from: tables of paths, folders with a naming pattern, seeded phantoms.
//!
//! A source lists subjects and says what each is for; voxels are read one subject at a time. It
//! never opens a label file of an unlabelled training subject, so such files need not exist.

mod agreement;
mod error;
mod files;
pub mod folders;
mod labels;
pub mod manifest;
mod named;
mod path;
pub mod phantom;
pub mod reading;
mod spec;
pub mod split;
mod strata;

use agreement::Agreement;

pub use error::SourceError;
pub use files::FileCohort;
pub use folders::FoldersSpec;
pub use manifest::ManifestSpec;
pub use named::{ModalityNames, Named};
pub use phantom::PhantomSpec;
pub use split::{Fold, Folds, SplitError, SplitPart, SplitSpec, fold_folder, fold_number};

pub use labels::LabelsSpec;
pub use reading::RegistrationSpec;
pub use spec::{SourceKind, SourceSpec};

pub use path::{check_place, new_path, resolve_path};

use crate::stage::{EdgeSchema, SubjectFacts};
use crate::volume::nifti::LabelValues;
use crate::volume::{Channel, Dtype, Grid, Role, Row, Split, VolumeError, Warning};
use rayon::prelude::*;
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

/// Subjects that can be read one by one, from any thread.
pub trait Cohort: Send + Sync {
    /// Image columns of every row, in order.
    fn modalities(&self) -> &[String];
    /// Label columns of every row, in order: modalities, or one empty name for one label for all.
    fn label_names(&self) -> &[String];
    /// Every subject in use, sorted by id.
    fn subjects(&self) -> &[SubjectRecord];
    /// Reads a subject: images always, labels where [`SubjectRecord::reads_labels`].
    ///
    /// **Errors** when a file is absent or broken, or the subject has no image at all.
    fn load(&self, subject: &SubjectRecord) -> Result<Row, VolumeError>;
    /// Reads the label maps on their own grid, for scoring; none where they may not be read.
    ///
    /// **Errors** when a file is absent or broken.
    fn load_labels(&self, subject: &SubjectRecord) -> Result<Vec<Channel>, VolumeError>;
    /// Headers of the volumes that [`Cohort::load`] would read; voxels are not decoded.
    ///
    /// **Errors** when a file is absent or its header is broken.
    fn headers(&self, subject: &SubjectRecord) -> Result<Vec<VolumeHeader>, VolumeError>;
    /// Gets the headers of all subjects ready where that takes a way to a store and back each.
    fn prefetch_headers(&self) {}
    /// Bytes that [`Cohort::load`] holds beside the voxels of a subject: those on their way from a store.
    fn fetch_bytes(&self, _subject: &SubjectRecord) -> u64 {
        0
    }
    /// How values of label files become classes, which changes what [`Cohort::load`] returns; `None` if
    /// there are no files.
    fn label_values(&self) -> Option<&LabelValues> {
        None
    }
    /// The folds of a cross-validation, one of which validates; `None` where the split has none.
    fn folds(&self) -> Option<&Folds> {
        None
    }
    /// Digest of what [`Cohort::load`] would read: path, size and time of change of each file (of an object
    /// in a store its tag instead of the time), or the parameters of a phantom. Cheap; voxels are not read.
    ///
    /// **Errors** when a file is absent.
    fn digest(&self, subject: &SubjectRecord) -> Result<String, VolumeError>;

    /// What was suspicious when the source was opened, each with the subject it is about; `None`
    /// for the cohort as a whole. What is found while a subject is read goes into its row, with
    /// [`Row::warn`].
    fn warnings(&self) -> Vec<(Option<String>, Warning)> {
        Vec::new()
    }

    /// What [`Cohort::load`] returns, from the headers of all subjects.
    ///
    /// A field on which subjects agree is known, any other is `None`. Subjects whose headers
    /// cannot be read are passed over: they fail when their turn comes.
    ///
    /// **Errors** the first one, when no subject's headers can be read.
    fn schema(&self) -> Result<EdgeSchema, VolumeError> {
        let mut columns = agreements(self);
        let (mut readable, mut first_error) = (false, None);
        self.prefetch_headers();
        // So many headers at a time, in the subjects' order: a cohort may be large.
        for subjects in self.subjects().chunks(HEADERS) {
            let headers: Vec<_> = subjects.par_iter().map(|s| self.headers(s)).collect();
            for headers in headers {
                match headers {
                    Ok(headers) => {
                        readable |= !headers.is_empty();
                        columns.iter_mut().for_each(|column| column.add(&headers));
                    }
                    Err(error) => {
                        first_error.get_or_insert(error);
                    }
                }
            }
        }
        if let (false, Some(error)) = (readable, first_error) {
            return Err(error);
        }
        Ok(EdgeSchema {
            channels: columns.iter().map(Agreement::schema).collect(),
            rows_per_subject: Some(1),
        })
    }

    /// What [`Cohort::load`] returns for each subject whose headers can be read, with the columns that
    /// the subject has.
    fn subject_schemas(&self) -> Vec<EdgeSchema> {
        (all_headers(self).into_iter().flatten())
            .map(|headers| self.subject_schema(&headers))
            .collect()
    }

    /// What [`Cohort::load`] returns for the subject with these headers.
    fn subject_schema(&self, headers: &[VolumeHeader]) -> EdgeSchema {
        let mut columns = agreements(self);
        columns.iter_mut().for_each(|column| column.add(headers));
        let present = columns.iter().filter(|column| !column.is_empty());
        EdgeSchema {
            channels: present.map(Agreement::schema).collect(),
            rows_per_subject: Some(1),
        }
    }
}

/// Subjects whose headers are in memory together.
const HEADERS: usize = 4096;

/// Headers of every subject, in the subjects' order.
fn all_headers<C: Cohort + ?Sized>(cohort: &C) -> Vec<Result<Vec<VolumeHeader>, VolumeError>> {
    cohort.prefetch_headers();
    let subjects = cohort.subjects().par_iter();
    subjects.map(|s| cohort.headers(s)).collect()
}

/// Every column of a row: images, then labels.
fn agreements<C: Cohort + ?Sized>(cohort: &C) -> Vec<Agreement> {
    let images = cohort.modalities().iter().map(|name| (Role::Image, name));
    let labels = cohort.label_names().iter().map(|name| (Role::Label, name));
    let columns = images.chain(labels);
    columns
        .map(|(role, name)| Agreement::of(role, name))
        .collect()
}

/// Problems of names that become columns: empty, repeated, or with characters a column cannot bear.
fn name_problems<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let names: Vec<&str> = names.into_iter().collect();
    let mut problems = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let sound = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || c == '_' || c == '-');
        if !sound {
            problems.push(format!(
                "`{name}` cannot name a {what}; use letters, digits, `_` and `-`"
            ));
        }
        if names[..i].contains(name) {
            problems.push(format!("{what} `{name}` is named twice; name it once"));
        }
    }
    problems
}

#[cfg(test)]
mod tests;
