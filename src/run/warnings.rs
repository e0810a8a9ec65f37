//! The warnings of a run, collected from rows, sources and training.

use crate::sink::WarningRow;
use crate::spec::counted;
use crate::volume::Warning;
use crate::volume::warning::WarningKind;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Subject, stage, modality, kind: a run keeps one message for each.
pub(super) type Key = (Option<String>, String, Option<String>, String);

/// The key of a warning about a subject, or about the run.
pub(super) fn key(subject: Option<&str>, warning: &Warning) -> Key {
    (
        subject.map(str::to_owned),
        warning.stage.clone(),
        warning.modality.clone(),
        warning.kind.name().to_owned(),
    )
}

/// Reports a warning when it first arises.
pub(super) fn report(subject: Option<&str>, warning: &Warning) {
    let (modality, kind) = (warning.modality.as_deref(), warning.kind.name());
    tracing::warn!(subject, stage = %warning.stage, modality, kind, "{}", warning.message);
}

/// Warnings of a run; each is reported when it first arises.
///
/// **Law** one row for each subject, stage, modality and kind, sorted by these. Rows of a training
/// stream are noted when the trainer takes them, not when a worker makes them, so neither the
/// number of workers nor how far they work ahead changes the table.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<BTreeMap<Key, String>>);

impl Warnings {
    /// Adds a warning about a subject, or about the run.
    pub fn add(&self, subject: Option<&str>, warning: &Warning) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let std::collections::btree_map::Entry::Vacant(place) = all.entry(key(subject, warning))
        {
            place.insert(warning.message.clone());
            report(subject, warning);
        }
    }

    /// Adds a warning of training or scoring about the run as a whole.
    pub fn add_run(&self, stage: &str, kind: WarningKind, message: impl Into<String>) {
        let warning = Warning {
            stage: stage.to_owned(),
            modality: None,
            kind,
            message: message.into(),
        };
        self.add(None, &warning);
    }

    /// Takes over the warnings of an interrupted run, without reporting them again.
    pub fn restore(&self, rows: Vec<WarningRow>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(rows.into_iter().map(|row| {
            let key = (row.subject_id, row.stage, row.modality, row.kind);
            (key, row.message)
        }));
    }

    /// The rows of the table `warnings`.
    pub fn rows(&self) -> Vec<WarningRow> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = all.iter();
        rows.map(|((subject, stage, modality, kind), message)| WarningRow {
            subject_id: subject.clone(),
            stage: stage.clone(),
            modality: modality.clone(),
            kind: kind.clone(),
            message: message.clone(),
        })
        .collect()
    }
}

/// One line about the warnings of a run: how many, of how many subjects, of which kinds. `None`
/// without warnings.
pub fn summary(rows: &[WarningRow]) -> Option<String> {
    let (mut kinds, mut subjects) = (BTreeMap::new(), std::collections::BTreeSet::new());
    for row in rows {
        *kinds.entry(row.kind.as_str()).or_insert(0usize) += 1;
        subjects.extend(row.subject_id.as_deref());
    }
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    let whom = match subjects.len() {
        0 => "the run".to_owned(),
        n => counted(n, "subject"),
    };
    (!rows.is_empty()).then(|| {
        format!(
            "{} about {whom}: {}",
            counted(rows.len(), "warning"),
            kinds.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(kind: WarningKind, message: &str) -> Warning {
        Warning {
            stage: "stages[1].zscore".into(),
            modality: Some("ct".into()),
            kind,
            message: message.into(),
        }
    }

    #[test]
    fn a_subject_is_warned_about_once_a_stage_and_kind() {
        let warnings = Warnings::default();
        assert_eq!(summary(&warnings.rows()), None);
        warnings.add(Some("b"), &warning(WarningKind::NoForeground, "first"));
        warnings.add(Some("b"), &warning(WarningKind::NoForeground, "again"));
        warnings.add(Some("b"), &warning(WarningKind::NotFinite, "other"));
        warnings.add(Some("a"), &warning(WarningKind::NoForeground, "first"));
        warnings.add_run("train", WarningKind::UntrainedClass, "no `liver`");
        let rows = warnings.rows();
        let subjects: Vec<Option<&str>> = rows.iter().map(|r| r.subject_id.as_deref()).collect();
        assert_eq!(subjects, [None, Some("a"), Some("b"), Some("b")]);
        assert_eq!(rows[2].message, "first");
        assert_eq!(
            summary(&rows).unwrap(),
            "4 warnings about 2 subjects: 2 no_foreground, 1 not_finite, 1 untrained_class"
        );
        let resumed = Warnings::default();
        resumed.restore(rows.clone());
        resumed.add(Some("b"), &warning(WarningKind::NoForeground, "again"));
        assert_eq!(resumed.rows(), rows);
    }
}
