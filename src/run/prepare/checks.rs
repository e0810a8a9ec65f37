//! What is checked of a subject, and what it costs, before its voxels are used.

use super::retries::retried;
use super::{Labels, Preparer};
use crate::kernel::region::runs;
use crate::run::failure::Failure;
use crate::run::guard::guarded;
use crate::source::reading::Severity;
use crate::source::{SubjectRecord, VolumeHeader};
use crate::train::batch::check_classes;
use crate::volume::nifti::{IGNORED, LabelValues};
use crate::volume::{Role, Row, Split, Volume, Warning, WarningKind};
use std::collections::BTreeSet;
use std::sync::PoisonError;

impl Preparer {
    /// Most bytes a subject takes while it is prepared: as stored, and once more as f32, or what goes
    /// into a pass and comes out of it; with what is on its way from a store.
    ///
    /// **Errors** if its headers cannot be read, or its volumes do not fit each other by
    /// `source.registration`.
    pub fn estimate(&self, index: usize) -> Result<u64, Failure> {
        let estimates = || (self.estimates.lock()).unwrap_or_else(PoisonError::into_inner);
        if let Some(&bytes) = estimates().get(&index) {
            return Ok(bytes);
        }
        let record = self.subject(index);
        let bytes = guarded(&record.id, "source", || {
            let read = || self.cohort.headers(record);
            let headers = retried(&record.id, self.retries, read)
                .map_err(|e| Failure::from_error(&record.id, "source", &e))?;
            let warnings = self.check_registration(record, &headers)?;
            self.header_warnings
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(index, warnings);
            let volumes = headers.iter();
            let decoded = volumes.map(|h| (h.grid.voxel_count() * (h.dtype.bytes() + 4)) as u64);
            let schema = self.cohort.subject_schema(&headers);
            let fetched = self.cohort.fetch_bytes(record);
            Ok(self.stages.most_in_flight(schema).max(decoded.sum()) + fetched)
        })?;
        estimates().insert(index, bytes);
        Ok(bytes)
    }

    /// Bytes of the rows that `stages` make of a subject, by its headers: as planned where sizes are
    /// known before voxels are, else as read, images as f32. 0 if its headers cannot be read.
    pub fn output_bytes(&self, index: usize) -> u64 {
        let record = self.subject(index);
        let headers = guarded(&record.id, "source", || {
            let headers = self.cohort.headers(record);
            headers.map_err(|e| Failure::from_error(&record.id, "source", &e))
        });
        let Ok(headers) = headers else { return 0 };
        let planned = self
            .stages
            .output_bytes(self.cohort.subject_schema(&headers));
        planned.unwrap_or_else(|| {
            let volumes = headers.iter();
            let bytes = volumes.map(|h| {
                let voxel = match h.role {
                    Role::Image => h.dtype.bytes().max(4),
                    Role::Label => h.dtype.bytes(),
                };
                (h.grid.voxel_count() * voxel) as u64
            });
            bytes.sum()
        })
    }

    /// Bytes of a predicted label map a modality of a subject, by its headers; 0 if they cannot be
    /// read.
    pub fn label_bytes(&self, index: usize) -> u64 {
        let record = self.subject(index);
        let headers = guarded(&record.id, "source", || {
            Ok(self.cohort.headers(record).unwrap_or_default())
        });
        let headers = headers.unwrap_or_default();
        let images = headers.iter().filter(|h| h.role == Role::Image);
        images.map(|h| h.grid.voxel_count() as u64).sum()
    }

    /// Compares the headers of a subject; returns what is suspicious, one warning a column and kind.
    ///
    /// **Errors** if the volumes do not fit each other.
    fn check_registration(
        &self,
        record: &SubjectRecord,
        headers: &[VolumeHeader],
    ) -> Result<Vec<Warning>, Failure> {
        let mut warnings: Vec<Warning> = Vec::new();
        for finding in self.registration.findings(headers) {
            match finding.severity {
                Severity::Failure => {
                    let problem = format!("{} {}", finding.column, finding.problem);
                    return Err(Failure::new(&record.id, "source", problem));
                }
                Severity::Warning => {
                    let column = finding.column;
                    let modality = column.strip_prefix("image.").unwrap_or(&column).to_owned();
                    let same = |w: &&mut Warning| {
                        w.kind == finding.kind && w.modality.as_ref() == Some(&modality)
                    };
                    match warnings.iter_mut().find(same) {
                        Some(first) => {
                            first.message.push_str("; ");
                            first.message.push_str(&finding.problem);
                        }
                        None => warnings.push(Warning {
                            stage: "source".to_owned(),
                            modality: Some(modality),
                            kind: finding.kind,
                            message: finding.problem,
                        }),
                    }
                }
                Severity::Note => {}
            }
        }
        Ok(warnings)
    }

    /// Adds what the headers of a subject say to a row that does not have it yet: a row from the
    /// cache was prepared under the `registration` of its day.
    pub(super) fn add_header_warnings(&self, index: usize, row: &mut Row) {
        let known = self.header_warnings.lock();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        for warning in known.get(&index).into_iter().flatten() {
            if !row.warnings.contains(warning) {
                row.warnings.push(warning.clone());
            }
        }
    }

    /// Looks once at all labels of a training subject: a patch would meet a stray one by chance.
    ///
    /// A 255 that was neither declared nor made by a step is a warning of every row.
    pub(super) fn check_classes(&self, index: usize, row: &mut Row) -> Result<(), Failure> {
        let checked = || self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(classes) = self.classes.filter(|_| self.needs_classes(row)) else {
            return Ok(());
        };
        let known = checked().get(&index).map(|labels| labels.marked);
        let marked = match known {
            Some(marked) => marked,
            None => {
                let labels = self.look_at_labels(row, classes)?;
                let marked = labels.marked;
                checked().insert(index, labels);
                marked
            }
        };
        if marked {
            row.warn(
                WarningKind::Label,
                Some("label"),
                format!(
                    "label value {IGNORED} marks voxels that nobody annotated, and no loss counts them; write `labels: {{ ignore: {IGNORED} }}` in `source` if that is so, else give the class another number with `remap`"
                ),
            );
            row.attribute_warnings("train.classes");
        }
        Ok(())
    }

    /// Returns `true` if the labels of a row must name the classes of the training.
    pub(super) fn needs_classes(&self, row: &Row) -> bool {
        self.classes.is_some() && row.split == Split::Train
    }

    /// Notes the classes of a training subject that is used; nothing where its labels were not looked at.
    pub(in crate::run) fn note_classes(&self, index: usize) {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(labels) = checked.get(&index) {
            self.noted.classes(index, &labels.classes);
        }
    }

    /// Looks at every voxel of the label maps of a row.
    ///
    /// **Errors** if one holds a value that is neither a class nor 255.
    fn look_at_labels(&self, row: &Row, classes: usize) -> Result<Labels, Failure> {
        let unexplained = self.is_unexplained(row);
        let mut found = Labels::default();
        for label in row.labels.iter().filter_map(|c| c.volume.as_ref()) {
            let values = values_of(label);
            found.marked |= unexplained && values.contains(&IGNORED);
            check_classes(label, classes)
                .map_err(|cause| Failure::new(&row.subject, "train.classes", cause))?;
            found
                .classes
                .extend(values.iter().filter(|v| usize::from(**v) < classes));
        }
        Ok(found)
    }

    /// Returns `true` if a 255 in the labels of a row was neither declared nor made by a step.
    fn is_unexplained(&self, row: &Row) -> bool {
        let subjects = self.cohort.subjects();
        let found = subjects.binary_search_by(|s| s.id.as_str().cmp(&row.subject));
        let from_file = found.is_ok_and(|i| subjects[i].labels.iter().any(|l| l.file().is_some()));
        let relabels = self.stages.steps().iter().any(|s| s.stage.relabels());
        let marks = self.cohort.label_values().is_some_and(LabelValues::marks);
        from_file && !relabels && !marks
    }
}

/// The values that a label map holds.
fn values_of(label: &Volume) -> BTreeSet<u16> {
    let (narrow, wide) = (label.as_slice::<u8>(), label.as_slice::<u16>());
    let narrow = runs(narrow.unwrap_or_default()).map(|(value, _)| u16::from(value));
    let wide = runs(wide.unwrap_or_default()).map(|(value, _)| value);
    narrow.chain(wide).collect()
}
