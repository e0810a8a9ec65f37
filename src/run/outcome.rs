//! What a run learnt of one subject, as the rows of its tables.

use super::chain::Failure;
use super::guard::guarded;
use super::warnings::{key, report};
use crate::sink::{FailureRow, QualityRow, SubjectRow, WarningRow};
use crate::source::{Cohort, SubjectRecord};
use crate::volume::{Role, Row, Warning};
use std::collections::BTreeMap;

/// How the preparation of a subject went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It has rows.
    Ok,
    /// It failed; the table `failures` has the cause.
    Failed,
    /// A step dropped it.
    LeftOut,
}

impl Status {
    /// Its name in the table `subjects`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::LeftOut => "left_out",
        }
    }
}

/// Everything a run learnt of a subject, apart from its voxels.
#[derive(Debug)]
pub struct Outcome {
    /// Its row of the table `subjects`.
    pub subject: SubjectRow,
    /// What steps measured.
    pub quality: Vec<QualityRow>,
    /// What was suspicious: one message for each stage, modality and kind.
    pub warnings: Vec<WarningRow>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

impl Outcome {
    /// The outcome of a subject whose preparation gave these rows; warnings are reported.
    pub fn new(
        cohort: &dyn Cohort,
        record: &SubjectRecord,
        rows: &Result<Vec<Row>, Failure>,
        seconds: f64,
    ) -> Self {
        let (rows, failure) = match rows {
            Ok(rows) => (rows.as_slice(), None),
            Err(failure) => (&[][..], Some(failure.clone())),
        };
        let status = match (&failure, rows.is_empty()) {
            (Some(_), _) => Status::Failed,
            (None, true) => Status::LeftOut,
            (None, false) => Status::Ok,
        };
        let shape = rows.first().and_then(Row::first_image);
        let shape = shape.map(|(_, volume)| volume.grid().shape_xyz());
        Self {
            subject: subject_row(cohort, record, shape, Some(seconds), status),
            quality: rows.iter().flat_map(quality_rows).collect(),
            warnings: warning_rows(&record.id, rows.iter().flat_map(|row| &row.warnings)),
            failure,
        }
    }

    /// Makes the subject one that failed after its preparation.
    pub fn fail(&mut self, failure: Failure) {
        Status::Failed.name().clone_into(&mut self.subject.status);
        self.failure = Some(failure);
    }
}

fn quality_rows(row: &Row) -> impl Iterator<Item = QualityRow> + '_ {
    row.quality.iter().map(|measure| QualityRow {
        subject_id: row.subject.clone(),
        sample: row.sample as i32,
        step: measure.step as i32,
        modality: measure.modality.clone(),
        name: measure.name.clone(),
        value: measure.value,
    })
}

fn warning_rows<'a>(subject: &str, warnings: impl Iterator<Item = &'a Warning>) -> Vec<WarningRow> {
    let mut rows = BTreeMap::new();
    for warning in warnings {
        rows.entry(key(Some(subject), warning)).or_insert_with(|| {
            report(Some(subject), warning);
            WarningRow::new(Some(subject), warning)
        });
    }
    rows.into_values().collect()
}

impl WarningRow {
    /// The row of a warning.
    pub(super) fn new(subject: Option<&str>, warning: &Warning) -> Self {
        Self {
            subject_id: subject.map(str::to_owned),
            stage: warning.stage.clone(),
            modality: warning.modality.clone(),
            kind: warning.kind.name().to_owned(),
            message: warning.message.clone(),
        }
    }
}

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

impl From<&Failure> for FailureRow {
    fn from(failure: &Failure) -> Self {
        Self {
            subject_id: failure.subject.clone(),
            stage: failure.stage.clone(),
            cause: failure.cause.clone(),
            file: failure.file.as_ref().map(|p| p.display().to_string()),
        }
    }
}

/// A subject's row; headers that cannot be read leave zeros, and the reason stands in `failures`.
pub fn subject_row(
    cohort: &dyn Cohort,
    record: &SubjectRecord,
    prepared_shape_xyz: Option<[usize; 3]>,
    seconds: Option<f64>,
    status: Status,
) -> SubjectRow {
    let headers = guarded(&record.id, "source", || {
        Ok(cohort.headers(record).unwrap_or_default())
    });
    let headers = headers.unwrap_or_default();
    let first = headers
        .iter()
        .find(|h| h.role == Role::Image)
        .map(|h| h.grid);
    let shape = first.map_or([0; 3], |g| g.shape_xyz().map(|n| n as i32));
    let spacing = first.map_or([0.0; 3], |g| g.spacing_mm());
    let prepared = prepared_shape_xyz.map(|s| s.map(|n| n as i32));
    let images = headers.iter().filter(|h| h.role == Role::Image);
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
        seconds,
        bytes: headers
            .iter()
            .map(|h| (h.grid.voxel_count() * h.dtype.bytes()) as i64)
            .sum(),
        status: status.name().to_owned(),
    }
}
