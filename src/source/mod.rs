//! Where subjects come from: tables of paths, folders with a naming pattern, seeded phantoms.
//!
//! A source lists subjects and says what each is for; voxels are read one subject at a time. It
//! never opens a label file of an unlabelled training subject, so such files need not exist.

mod agreement;
mod error;
mod files;
pub mod folders;
mod labels;
mod listed;
pub mod manifest;
mod named;
mod path;
pub mod phantom;
pub mod reading;
mod record;
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
pub use record::{Location, SubjectRecord, VolumeHeader, VolumeRef};
pub use spec::{SourceKind, SourceSpec};

pub use path::{check_place, new_path, resolve_path};

use crate::stage::EdgeSchema;
use crate::volume::nifti::LabelValues;
use crate::volume::{Channel, Role, Row, VolumeError, Warning};
use rayon::prelude::*;

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
    /// Gets the headers of these subjects ready where that takes a way to a store and back each.
    fn prefetch_headers(&self, _subjects: &[&SubjectRecord]) {}
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
        self.schema_of(&self.subjects().iter().collect::<Vec<_>>())
    }

    /// What [`Cohort::load`] returns for some of the subjects, as [`Cohort::schema`]; of no subject the
    /// columns alone.
    ///
    /// **Errors** the first one, when the headers of none of them can be read.
    fn schema_of(&self, subjects: &[&SubjectRecord]) -> Result<EdgeSchema, VolumeError> {
        let mut columns = agreements(self);
        let (mut readable, mut first_error) = (false, None);
        // So many headers at a time, in the subjects' order: a cohort may be large.
        for subjects in subjects.chunks(HEADERS) {
            self.prefetch_headers(subjects);
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
pub(crate) const HEADERS: usize = 4096;

/// Headers of every subject, in the subjects' order.
fn all_headers<C: Cohort + ?Sized>(cohort: &C) -> Vec<Result<Vec<VolumeHeader>, VolumeError>> {
    cohort.prefetch_headers(&cohort.subjects().iter().collect::<Vec<_>>());
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
