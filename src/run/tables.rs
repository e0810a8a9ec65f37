//! The tables every run has: subjects, edges, failures, warnings.

use super::chain::Failure;
use super::context::RunContext;
use crate::error::Error;
use crate::sink::{EdgeRow, FailureRow, QualityRow, SubjectRow, write_table};
use crate::source::SubjectRecord;
use crate::volume::Role;

impl From<FailureRow> for Failure {
    fn from(row: FailureRow) -> Self {
        Self {
            subject: row.subject_id,
            stage: row.stage,
            cause: row.cause,
            file: row.file.map(Into::into),
        }
    }
}

impl RunContext {
    /// Writes the tables every run has: subjects, edges, failures, warnings. Returns the failures.
    ///
    /// **Errors** when a table cannot be written.
    pub fn close(&self, seconds: &[(usize, f64)]) -> Result<Vec<Failure>, Error> {
        let failures = self.preparer.failures();
        let cohort = self.preparer.cohort();
        let subjects: Vec<SubjectRow> = cohort
            .subjects()
            .iter()
            .enumerate()
            .map(|(i, r)| self.subject_row(i, r, &failures, seconds))
            .collect();
        write_table(&self.folder.join("subjects.parquet"), &subjects)?;
        self.write_quality()?;
        let edges: Vec<EdgeRow> = self
            .counters
            .snapshot()
            .into_iter()
            .map(|n| EdgeRow {
                node: n.node,
                rows: n.rows as i64,
                bytes: n.bytes as i64,
                busy_seconds: n.busy.as_secs_f64(),
                starved_seconds: n.starved.as_secs_f64(),
                blocked_seconds: n.blocked.as_secs_f64(),
                failures: n.failures as i64,
            })
            .collect();
        write_table(&self.folder.join("edges.parquet"), &edges)?;
        let rows: Vec<FailureRow> = failures
            .iter()
            .map(|f| FailureRow {
                subject_id: f.subject.clone(),
                stage: f.stage.clone(),
                cause: f.cause.clone(),
                file: f.file.as_ref().map(|p| p.display().to_string()),
            })
            .collect();
        write_table(&self.folder.join("failures.parquet"), &rows)?;
        let warnings = self.preparer.warnings().rows();
        write_table(&self.folder.join("warnings.parquet"), &warnings)?;
        Ok(failures)
    }

    /// Writes what steps measured of images; no table where none did.
    fn write_quality(&self) -> Result<(), Error> {
        let path = self.folder.join("quality.parquet");
        let measured = self.preparer.quality();
        if measured.is_empty() {
            return Ok(());
        }
        let rows: Vec<QualityRow> = measured
            .into_iter()
            .flat_map(|(index, figures)| {
                let subject = &self.preparer.subject(index).id;
                figures.into_iter().map(|(sample, measure)| QualityRow {
                    subject_id: subject.clone(),
                    sample: sample as i32,
                    step: measure.step as i32,
                    modality: measure.modality,
                    name: measure.name,
                    value: measure.value,
                })
            })
            .collect();
        write_table(&path, &rows)?;
        Ok(())
    }

    fn subject_row(
        &self,
        index: usize,
        record: &SubjectRecord,
        failures: &[Failure],
        seconds: &[(usize, f64)],
    ) -> SubjectRow {
        let cohort = self.preparer.cohort();
        // Unreadable headers leave zeros; the reason stands in `failures`.
        let headers = cohort.headers(record).unwrap_or_default();
        let first = headers
            .iter()
            .find(|h| h.role == Role::Image)
            .map(|h| h.grid);
        let shape = first.map_or([0; 3], |g| g.shape_xyz().map(|n| n as i32));
        let spacing = first.map_or([0.0; 3], |g| g.spacing_mm());
        let prepared = self
            .preparer
            .prepared_shape(index)
            .map(|s| s.map(|n| n as i32));
        let images = headers.iter().filter(|h| h.role == Role::Image);
        let failed = failures.iter().any(|f| f.subject == record.id);
        SubjectRow {
            subject_id: record.id.clone(),
            patient: record.patient.as_ref().unwrap_or(&record.id).clone(),
            entities: record.entities.clone(),
            cohort: record.cohort.clone(),
            split: record.split.name().to_owned(),
            labelled: record.labelled,
            modalities: images.map(|h| h.name.clone()).collect(),
            shape_x: shape[0],
            shape_y: shape[1],
            shape_z: shape[2],
            spacing_x_mm: spacing[0],
            spacing_y_mm: spacing[1],
            spacing_z_mm: spacing[2],
            orientation: first.map(|g| g.orientation()).unwrap_or_default(),
            digest: cohort.digest(record).unwrap_or_default(),
            prepared_shape_x: prepared.map(|s| s[0]),
            prepared_shape_y: prepared.map(|s| s[1]),
            prepared_shape_z: prepared.map(|s| s[2]),
            seconds: seconds.iter().find(|(i, _)| *i == index).map(|(_, s)| *s),
            bytes: headers
                .iter()
                .map(|h| (h.grid.voxel_count() * h.dtype.bytes()) as i64)
                .sum(),
            status: match (failed, self.preparer.is_left_out(index)) {
                (true, _) => "failed",
                (false, true) => "left_out",
                (false, false) => "ok",
            }
            .to_owned(),
        }
    }
}
