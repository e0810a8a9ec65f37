//! What a run learnt of one subject, as the rows of its tables.

use super::failure::Failure;
use super::guard::guarded;
use super::noted::Prepared;
use super::warnings::{key, report};
use crate::sink::{FailureRow, PartWriter, QualityRow, SubjectRow, WarningRow};
use crate::source::{Cohort, SubjectRecord};
use crate::volume::row::Measure;
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

/// What the tables say of the prepared rows of a subject.
#[derive(Debug, Default)]
pub struct Used {
    /// Shape and figures; `None` if there is no row.
    pub prepared: Option<Prepared>,
    /// What was suspicious.
    pub warnings: Vec<Warning>,
}

impl Used {
    /// Collects it from rows.
    pub fn of(rows: &[Row]) -> Self {
        let mut prepared = rows.first().map(Prepared::of);
        if let Some(prepared) = &mut prepared {
            for row in &rows[1..] {
                prepared.quality.extend(Prepared::of(row).quality);
            }
        }
        Self {
            prepared,
            warnings: rows.iter().flat_map(|row| row.warnings.clone()).collect(),
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
    /// The outcome of a subject; warnings are reported.
    pub fn new(
        cohort: &dyn Cohort,
        record: &SubjectRecord,
        used: &Used,
        failure: Option<Failure>,
        seconds: f64,
    ) -> Self {
        let status = match (&failure, &used.prepared) {
            (Some(_), _) => Status::Failed,
            (None, None) => Status::LeftOut,
            (None, Some(_)) => Status::Ok,
        };
        let (id, prepared) = (&record.id, used.prepared.as_ref());
        let shape = prepared.and_then(|prepared| prepared.shape_xyz);
        let figures = prepared.into_iter().flat_map(|prepared| &prepared.quality);
        Self {
            subject: subject_row(cohort, record, shape, Some(seconds), status),
            quality: figures
                .map(|(sample, measure)| quality_row(id, *sample, measure))
                .collect(),
            warnings: warning_rows(id, used.warnings.iter()),
            failure,
        }
    }

    /// Adds it to the part that its subject belongs to.
    pub fn add_to(self, part: &mut PartWriter) {
        if self.failure.as_ref().is_some_and(|f| f.may_pass) {
            part.retry_later();
        }
        let failure = self.failure.as_ref().map(FailureRow::from);
        part.add(self.subject, self.quality, self.warnings, failure);
    }

    /// Makes the subject one that failed after its preparation.
    pub fn fail(&mut self, failure: Failure) {
        Status::Failed.name().clone_into(&mut self.subject.status);
        self.failure = Some(failure);
    }
}

/// The row of a figure.
pub(super) fn quality_row(subject: &str, sample: u32, measure: &Measure) -> QualityRow {
    QualityRow {
        subject_id: subject.to_owned(),
        sample: sample as i32,
        step: measure.step as i32,
        modality: measure.modality.clone(),
        name: measure.name.clone(),
        value: measure.value,
    }
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
            may_pass: false,
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

/// A subject's row; zeros if its headers cannot be read; the table `failures` has the reason.
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
