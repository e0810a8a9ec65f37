//! What is checked of a subject, and what it costs, before its voxels are used.

use super::Preparer;
use crate::run::chain::Failure;
use crate::run::guard::guarded;
use crate::source::reading::Severity;
use crate::source::{SubjectRecord, VolumeHeader};
use crate::train::batch::check_classes;
use crate::volume::nifti::IGNORED;
use crate::volume::{Row, Split, Volume};
use std::sync::PoisonError;

impl Preparer {
    /// Most bytes a subject takes while it is prepared: as stored, and once more as f32, or what goes
    /// into a pass and comes out of it.
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
            let headers = self
                .cohort
                .headers(record)
                .map_err(|e| Failure::from_error(&record.id, "source", &e))?;
            self.check_registration(record, &headers)?;
            let volumes = headers.iter();
            let decoded = volumes.map(|h| (h.grid.voxel_count() * (h.dtype.bytes() + 4)) as u64);
            let schema = self.cohort.subject_schema(&headers);
            Ok(self.stages.most_in_flight(schema).max(decoded.sum()))
        })?;
        estimates().insert(index, bytes);
        Ok(bytes)
    }

    /// **Errors** if the volumes of a subject do not fit each other; a warning names what is suspicious.
    fn check_registration(
        &self,
        record: &SubjectRecord,
        headers: &[VolumeHeader],
    ) -> Result<(), Failure> {
        for finding in self.registration.findings(headers) {
            let problem = format!("{} {}", finding.column, finding.problem);
            match finding.severity {
                Severity::Failure => return Err(Failure::new(&record.id, "source", problem)),
                Severity::Warning => {
                    tracing::warn!(subject = %record.id, stage = "source", "{problem}");
                }
                Severity::Note => {}
            }
        }
        Ok(())
    }

    /// Looks once at all labels of a training subject: a patch would meet a stray one by chance.
    pub(super) fn check_classes(&self, index: usize, row: &Row) -> Result<(), Failure> {
        let checked = || self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(classes) = self.classes else {
            return Ok(());
        };
        if row.split != Split::Train || checked().contains(&index) {
            return Ok(());
        }
        for label in row.labels.iter().filter_map(|c| c.volume.as_ref()) {
            if self.is_unexplained(row) && has_mark(label) {
                tracing::warn!(
                    subject = %row.subject, stage = "train.classes",
                    "label value {IGNORED} marks voxels that nobody annotated, and no loss counts them; write `labels: {{ ignore: {IGNORED} }}` in `source` if that is so, else give the class another number with `remap`"
                );
            }
            check_classes(label, classes)
                .map_err(|cause| Failure::new(&row.subject, "train.classes", cause))?;
        }
        checked().insert(index);
        Ok(())
    }

    /// Returns `true` if a 255 in the labels of a row was neither declared nor made by a step.
    fn is_unexplained(&self, row: &Row) -> bool {
        let subjects = self.cohort.subjects();
        let found = subjects.binary_search_by(|s| s.id.as_str().cmp(&row.subject));
        let from_file = found.is_ok_and(|i| subjects[i].labels.iter().any(|l| l.file().is_some()));
        let relabels = self.stages.steps().iter().any(|s| s.stage.relabels());
        from_file && !relabels && self.cohort.ignored().is_empty()
    }
}

/// Returns `true` if a voxel of a label map is marked as ignored.
fn has_mark(label: &Volume) -> bool {
    match (label.as_slice::<u8>(), label.as_slice::<u16>()) {
        (Some(values), _) => values.iter().any(|v| u16::from(*v) == IGNORED),
        (None, Some(values)) => values.contains(&IGNORED),
        (None, None) => false,
    }
}
