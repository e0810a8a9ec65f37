//! `check`: pipeline files, and with `--data` every header of their cohorts.

mod format;

pub use format::{CheckFormat, Level, Point, Remark};

use super::{open, planned, read, show_error, stdout};
use crate::error::Error;
use crate::plan::Plan;
use crate::run::chain::causes;
use crate::source::reading::Severity;
use crate::source::{Cohort, Folds, RegistrationSpec, check_place};
use crate::spec::{agreeing, counted};
use crate::volume::Role;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

/// Checks files, each with the values of `set` changed; 0 when all are right, else 2.
///
/// As text, mistakes go to stderr as a compiler shows them; in the other formats everything goes
/// to `out`, for machines.
///
/// **Errors** when `out` does; a file's mistakes are shown and the next file is checked.
pub fn check(
    files: &[PathBuf],
    set: &[String],
    data: bool,
    format: CheckFormat,
    out: &mut dyn Write,
) -> Result<u8, Error> {
    let mut wrong = 0;
    let mut remarks: Vec<Remark> = Vec::new();
    for path in files {
        let found = look(path, set, data);
        wrong += usize::from(!is_usable(&found));
        match (&found, format) {
            (Ok(Checked { headers, steps }), CheckFormat::Text) => match headers {
                Some(headers) => {
                    writeln!(out, "{}:", path.display()).map_err(stdout)?;
                    headers.write(out).map_err(stdout)?;
                }
                None => {
                    let (name, steps) = (path.display(), counted(*steps, "step"));
                    writeln!(out, "{name}: ok ({steps}, 1 source)").map_err(stdout)?;
                }
            },
            (Err(error), CheckFormat::Text) => show_error(error),
            (Ok(Checked { headers, .. }), _) => {
                remarks.extend(headers.iter().flat_map(|headers| headers.remarks(path)));
            }
            (Err(error), _) => remarks.extend(format::of_error(path, error)),
        }
    }
    format::write(&remarks, format, out).map_err(stdout)?;
    Ok(if wrong == 0 { 0 } else { 2 })
}

/// Checks one file with overrides, and with `data` the headers of its cohort; returns what was found.
/// Without a remark of [`Level::Error`] the file can be used.
pub fn remarks(path: &std::path::Path, set: &[String], data: bool) -> Vec<Remark> {
    match look(path, set, data) {
        Ok(Checked { headers, .. }) => {
            let headers = headers.iter();
            headers.flat_map(|headers| headers.remarks(path)).collect()
        }
        Err(error) => format::of_error(path, &error),
    }
}

/// A pipeline without mistakes.
struct Checked {
    /// Steps of all chains, as presets spell them out.
    steps: usize,
    /// What the headers of its cohort say, where they were read.
    headers: Option<Headers>,
}

fn is_usable(found: &Result<Checked, Error>) -> bool {
    let unusable = |headers: &Headers| headers.unusable > 0;
    matches!(found, Ok(checked) if !checked.headers.as_ref().is_some_and(unusable))
}

/// Checks one file, and with `data` the headers of its cohort.
fn look(path: &std::path::Path, set: &[String], data: bool) -> Result<Checked, Error> {
    let file = read(path, set)?;
    let plan = planned(&file)?;
    places(&plan)?;
    let pipeline = &plan.pipeline;
    let steps = pipeline.stages.len() + pipeline.views.steps().count();
    let headers = if data {
        let (plan, cohort) = open(&file)?;
        Some(headers(&*cohort, &plan.pipeline.source.registration))
    } else {
        None
    };
    Ok(Checked { steps, headers })
}

/// Checks every path that a plan reads, without a look at its data.
///
/// **Errors** if a path exists in the current folder only.
fn places(plan: &Plan) -> Result<(), Error> {
    let pipeline = &plan.pipeline;
    let predict = pipeline
        .predict
        .iter()
        .flat_map(|(p, _)| p.checkpoint.paths());
    let train = pipeline.train.as_ref().map(|(train, _)| train);
    let initial = train.and_then(|t| t.initial.as_ref()).map(|i| &*i.from);
    let source = pipeline.source.path();
    for text in (source.into_iter())
        .chain(predict.map(String::as_str))
        .chain(initial)
    {
        check_place(text, &plan.file.folder())?;
    }
    Ok(())
}

/// What the headers of a cohort say.
struct Headers {
    /// Subject and what was found, in the order of subjects.
    found: Vec<(Level, String)>,
    /// Counts of the whole cohort.
    summary: String,
    /// Subjects that cannot be used.
    unusable: usize,
}

impl Headers {
    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let lines = self.found.iter().map(|(_, text)| text);
        for line in lines.chain([&self.summary]) {
            writeln!(out, "  {line}")?;
        }
        Ok(())
    }

    fn remarks(&self, path: &std::path::Path) -> impl Iterator<Item = Remark> {
        let found = self.found.iter();
        found.map(|(level, text)| Remark::of_file(path, *level, text.clone()))
    }
}

/// What the folds of a cross-validation hold.
fn fold_lines(folds: &Folds) -> Vec<String> {
    let count = folds.parts.len();
    let mut lines = vec![format!(
        "{count} folds of {}, stratified by {}; fold {} validates here",
        folds.what,
        folds.stratify.describe(),
        folds.chosen
    )];
    let strata: BTreeSet<&String> = folds.parts.iter().flat_map(|f| f.strata.keys()).collect();
    for (number, fold) in folds.parts.iter().enumerate() {
        let of_strata = fold.strata.iter().map(|(name, n)| format!("{n} {name}"));
        let of_strata = match strata.len() {
            0 | 1 => String::new(),
            _ => format!(" ({})", of_strata.collect::<Vec<_>>().join(", ")),
        };
        let who = match folds.what {
            "patients" => format!(
                "{} with {}",
                counted(fold.patients, "patient"),
                counted(fold.validation.len(), "subject")
            ),
            what => counted(fold.patients, what.trim_end_matches('s')),
        };
        lines.push(format!(
            "fold {number}: {who} {}{of_strata}, {} {} trained on",
            agreeing(fold.patients, "validates", "validate"),
            counted(fold.train, "subject"),
            agreeing(fold.train, "is", "are")
        ));
    }
    lines
}

/// Looks at every subject's headers.
fn headers(cohort: &dyn Cohort, registration: &RegistrationSpec) -> Headers {
    let (mut missing, mut other_grid) = (0, 0);
    let (mut unusable, mut found) = (BTreeSet::new(), Vec::new());
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
                let text = format!("{}: {}", subject.id, causes(&error));
                found.push((Level::Error, text));
                continue;
            }
        };
        for finding in registration.findings(&headers) {
            let (level, kind) = match finding.severity {
                Severity::Failure => {
                    unusable.insert(&subject.id);
                    (Level::Error, "error: ")
                }
                Severity::Warning => (Level::Warning, "warning: "),
                Severity::Note => (Level::Note, ""),
            };
            let (column, problem) = (finding.column, finding.problem);
            found.push((level, format!("{}: {kind}{column} {problem}", subject.id)));
        }
        let first = headers.iter().find(|h| h.role == Role::Image);
        let others = headers
            .iter()
            .filter(|h| first.is_some_and(|f| !h.grid.is_same(&f.grid, registration.tolerance_mm)));
        other_grid += others.count();
    }
    let of_source = cohort.warnings().into_iter().map(|(subject, warning)| {
        let subject = subject.map_or_else(String::new, |subject| format!("{subject}: "));
        let text = format!("warning: {subject}{}", warning.message);
        (Level::Warning, text)
    });
    found.extend(of_source);
    let folds = cohort.folds().into_iter().flat_map(fold_lines);
    found.extend(folds.map(|line| (Level::Note, line)));
    let count = |split| {
        let subjects = cohort.subjects().iter();
        subjects.filter(|s| s.split == split).count()
    };
    use crate::volume::Split::{Test, Train, Validation};
    let labelled = cohort.subjects().iter();
    let labelled = labelled.filter(|s| s.split == Train && s.labelled).count();
    Headers {
        summary: format!(
            "{}: {} train ({labelled} labelled), {} validation, {} test; {} missing, {} on another grid, {} unusable",
            counted(cohort.subjects().len(), "subject"),
            count(Train),
            count(Validation),
            count(Test),
            counted(missing, "modality"),
            counted(other_grid, "volume"),
            counted(unusable.len(), "subject"),
        ),
        unusable: unusable.len(),
        found,
    }
}
