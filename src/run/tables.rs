//! The tables every run has: subjects, edges, failures, warnings.

use super::chain::Failure;
use super::context::RunContext;
use super::outcome::{Status, subject_row};
use crate::error::Error;
use crate::sink::{EdgeRow, FailureRow, QualityRow, SubjectRow, write_table};
use std::collections::BTreeSet;

impl RunContext {
    /// Writes the tables every run has: subjects, edges, failures, warnings. Returns the failures.
    ///
    /// **Errors** when a table cannot be written.
    pub fn close(&self) -> Result<Vec<Failure>, Error> {
        let failures = self.preparer.failures();
        let failed: BTreeSet<&str> = failures.iter().map(|f| f.subject.as_str()).collect();
        let cohort = self.preparer.cohort();
        let subjects = cohort.subjects().iter().enumerate();
        let subjects = subjects.map(|(index, record)| {
            let status = match failed.contains(record.id.as_str()) {
                true => Status::Failed,
                false if self.preparer.is_left_out(index) => Status::LeftOut,
                false => Status::Ok,
            };
            let shape = self.preparer.prepared_shape(index);
            subject_row(&**cohort, record, shape, None, status)
        });
        let subjects: Vec<SubjectRow> = subjects.collect();
        write_table(&self.folder.join("subjects.parquet"), &subjects)?;
        self.write_quality()?;
        self.write_edges()?;
        let rows: Vec<FailureRow> = failures.iter().map(FailureRow::from).collect();
        write_table(&self.folder.join("failures.parquet"), &rows)?;
        let warnings = self.preparer.warnings().rows();
        write_table(&self.folder.join("warnings.parquet"), &warnings)?;
        Ok(failures)
    }

    /// Writes what flowed through the nodes of the run.
    ///
    /// **Errors** when the table cannot be written.
    pub fn write_edges(&self) -> Result<(), Error> {
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
        Ok(())
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
}
