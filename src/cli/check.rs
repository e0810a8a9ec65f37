//! `check`: pipeline files, and with `--data` every header of their cohorts.

use super::{open, planned, read, show_error, stdout};
use crate::error::Error;
use crate::plan::Plan;
use crate::run::chain::causes;
use crate::source::reading::Severity;
use crate::source::{Cohort, RegistrationSpec, check_place};
use crate::volume::Role;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

/// Checks files; 0 when all are right, else 2.
///
/// **Errors** when `out` does; a file's mistakes are shown and the next file is checked.
pub fn check(files: &[PathBuf], data: bool, out: &mut dyn Write) -> Result<u8, Error> {
    let mut wrong = 0;
    for path in files {
        let checked = read(path, &[]).and_then(|file| {
            let plan = planned(&file)?;
            places(&plan)?;
            if data {
                open(&file).map(|(plan, cohort)| Some((plan, cohort)))
            } else {
                Ok(None)
            }
        });
        match checked {
            Ok(None) => writeln!(out, "{}: right", path.display()).map_err(stdout)?,
            Ok(Some((plan, cohort))) => {
                writeln!(out, "{}:", path.display()).map_err(stdout)?;
                wrong += usize::from(
                    headers(&*cohort, &plan.pipeline.source.registration, out).map_err(stdout)? > 0,
                );
            }
            Err(error) => {
                show_error(&error);
                wrong += 1;
            }
        }
    }
    Ok(if wrong == 0 { 0 } else { 2 })
}

/// Checks every path that a plan reads, without a look at its data.
///
/// **Errors** if a path exists in the current folder only.
fn places(plan: &Plan) -> Result<(), Error> {
    let pipeline = &plan.pipeline;
    let predict = pipeline.predict.as_ref().map(|(p, _)| &*p.checkpoint);
    let train = pipeline.train.as_ref().map(|(train, _)| train);
    let initial = train.and_then(|t| t.initial.as_ref()).map(|i| &*i.from);
    let source = pipeline.source.path();
    for text in source.into_iter().chain(predict).chain(initial) {
        check_place(text, &plan.file.folder())?;
    }
    Ok(())
}

/// Looks at every subject's headers; returns how many subjects cannot be used.
fn headers(
    cohort: &dyn Cohort,
    registration: &RegistrationSpec,
    out: &mut dyn Write,
) -> std::io::Result<usize> {
    let (mut missing, mut other_grid) = (0, 0);
    let mut unusable = BTreeSet::new();
    for subject in cohort.subjects() {
        missing += subject
            .images
            .iter()
            .filter(|r| r.location.is_none())
            .count();
        let headers = match cohort.headers(subject) {
            Ok(headers) => headers,
            Err(error) => {
                unusable.insert(&subject.id);
                writeln!(out, "  {}: {}", subject.id, causes(&error))?;
                continue;
            }
        };
        for finding in registration.findings(&headers) {
            let kind = match finding.severity {
                Severity::Failure => {
                    unusable.insert(&subject.id);
                    "error: "
                }
                Severity::Warning => "warning: ",
                Severity::Note => "",
            };
            writeln!(
                out,
                "  {}: {kind}{} {}",
                subject.id, finding.column, finding.problem
            )?;
        }
        let first = headers.iter().find(|h| h.role == Role::Image);
        let others = headers
            .iter()
            .filter(|h| first.is_some_and(|f| !h.grid.is_same(&f.grid, registration.tolerance_mm)));
        other_grid += others.count();
    }
    let count = |split| {
        cohort
            .subjects()
            .iter()
            .filter(|s| s.split == split)
            .count()
    };
    use crate::volume::Split::{Test, Train, Validation};
    writeln!(
        out,
        "  {} subjects: {} train ({} labelled), {} validation, {} test; {missing} modalities missing, {other_grid} volumes on another grid, {} subjects unusable",
        cohort.subjects().len(),
        count(Train),
        cohort
            .subjects()
            .iter()
            .filter(|s| s.split == Train && s.labelled)
            .count(),
        count(Validation),
        count(Test),
        unusable.len(),
    )?;
    Ok(unusable.len())
}
