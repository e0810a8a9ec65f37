//! Who is trained on, who chooses the checkpoint, who is scored.

use crate::init::fingerprint::Fingerprint;
use crate::init::layout::Layout;
use crate::source::SourceKind;
use std::collections::BTreeSet;

/// Division of a cohort into parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Patients, or subjects where no patients are named, in validation.
    pub validation: usize,
    /// The same in test.
    pub test: usize,
    /// Labelled patients that are trained on.
    pub train: usize,
    /// Labelled subjects that are trained on, about.
    pub train_subjects: usize,
    /// Subjects without labels.
    pub unlabelled: usize,
    /// Whether the table itself says who is in which part.
    pub is_given: bool,
    /// Why.
    pub reason: String,
}

impl Parts {
    /// **Law** a fifth of the labelled patients in test and a fifth in validation, at least one each from
    /// five patients on; of three or four one validates and none is tested; fewer are all trained on.
    pub(in crate::init) fn new(layout: &Layout, print: &Fingerprint) -> Self {
        let labelled = || {
            let has = |l: &crate::source::VolumeRef| l.location.is_some();
            print
                .subjects
                .iter()
                .filter(move |s| s.labels.iter().any(has))
        };
        let names_patients = print.subjects.iter().any(|s| s.patient.is_some());
        let owners: BTreeSet<&String> = labelled()
            .map(|s| s.patient.as_ref().unwrap_or(&s.id))
            .collect();
        let count = owners.len();
        let fifth = (count as f64 / 5.0).round() as usize;
        let (validation, test) = match count {
            0..=2 => (0, 0),
            3 | 4 => (1, 0),
            _ => (fifth, fifth),
        };
        let is_given = match &layout.source {
            SourceKind::Manifest(spec) => spec.columns.as_ref().is_some_and(|c| c.split.is_some()),
            SourceKind::Folders(_) | SourceKind::Phantom(_) => false,
        };
        let (one, what) = match names_patients {
            true => ("patient", "patients"),
            false => ("subject", "subjects"),
        };
        let reason = match (is_given, count) {
            (true, _) => "the table says who is in which part".to_owned(),
            (_, 0) => "nobody has labels".to_owned(),
            (_, 1) => format!("1 labelled {one} is too few to hold one out"),
            (_, 2) => format!("2 labelled {what} are too few to hold one out"),
            (_, 3 | 4) => format!(
                "of {count} labelled {what} one chooses the checkpoint; none is left to test on"
            ),
            _ if names_patients => {
                format!("a fifth of {count} labelled patients each; no patient is in two parts")
            }
            _ => format!("a fifth of {count} labelled subjects each"),
        };
        let train = count - validation - test;
        Self {
            validation,
            test,
            train,
            train_subjects: (labelled().count() * train).div_ceil(count.max(1)),
            unlabelled: print.subjects.len() - labelled().count(),
            is_given,
            reason,
        }
    }
}
