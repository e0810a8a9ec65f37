//! The tables every run has: subjects, edges, failures, warnings.

use super::context::RunContext;
use super::counters::Counters;
use super::noted::Known;
use super::outcome::{Status, quality_row, subject_row};
use crate::error::Error;
use crate::sink::{EdgeRow, FailureRow, QualityRow, SubjectRow, write_table};

impl RunContext {
    /// Writes the tables every run has: subjects, edges, failures, warnings.
    ///
    /// **Errors** when a table cannot be written.
    pub fn close(&self) -> Result<(), Error> {
        let known = self.preparer.noted().known();
        let cohort = self.preparer.cohort();
        let subjects = cohort.subjects().iter().enumerate();
        let subjects = subjects.map(|(index, record)| {
            let status = match known.failures.contains_key(&record.id) {
                true => Status::Failed,
                false if known.left_out.contains(&index) => Status::LeftOut,
                false => Status::Ok,
            };
            let shape = known.prepared.get(&index).and_then(|p| p.shape_xyz);
            subject_row(&**cohort, record, shape, None, status)
        });
        let subjects: Vec<SubjectRow> = subjects.collect();
        write_table(&self.folder.join("subjects.parquet"), &subjects)?;
        self.write_quality(&known)?;
        self.write_edges()?;
        let rows: Vec<FailureRow> = known.failures.values().map(FailureRow::from).collect();
        write_table(&self.folder.join("failures.parquet"), &rows)?;
        let warnings = self.preparer.warnings().rows();
        write_table(&self.folder.join("warnings.parquet"), &warnings)?;
        Ok(())
    }

    /// Writes what flowed through the nodes of the run.
    ///
    /// **Errors** when the table cannot be written.
    pub fn write_edges(&self) -> Result<(), Error> {
        let edges = edge_rows(&self.counters);
        write_table(&self.folder.join("edges.parquet"), &edges)?;
        Ok(())
    }

    /// Writes what steps measured of images; no table where none did.
    fn write_quality(&self, known: &Known) -> Result<(), Error> {
        let path = self.folder.join("quality.parquet");
        let rows = known.prepared.iter().flat_map(|(index, prepared)| {
            let subject = &self.preparer.subject(*index).id;
            let figures = prepared.quality.iter();
            figures.map(|(sample, measure)| quality_row(subject, *sample, measure))
        });
        let rows: Vec<QualityRow> = rows.collect();
        if !rows.is_empty() {
            write_table(&path, &rows)?;
        }
        Ok(())
    }
}

/// What flowed through every node so far.
pub(super) fn edge_rows(counters: &Counters) -> Vec<EdgeRow> {
    counters.snapshot().into_iter().map(EdgeRow::from).collect()
}
