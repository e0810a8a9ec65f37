//! From a pipeline file to its plan and its cohort.

use crate::error::Error;
use crate::plan::{Plan, compile, overrides};
use crate::registry::STAGES;
use crate::run::chain::causes;
use crate::run::limit::within;
use crate::source::{Cohort, HEADERS, SubjectRecord};
use crate::spec::{Diagnostic, SourceFile};
use crate::store;
use std::path::Path;

/// Checks a path that was typed: local, or a URL that can be used.
///
/// **Errors** say what is wrong with a URL, without the credentials in it.
pub(super) fn checked_path(path: &Path) -> Result<(), Error> {
    let shown = || store::redacted(&path.to_string_lossy());
    let checked = store::Location::of(path).map(drop);
    checked.map_err(|e| Error::run(format!("{}: {e}", shown())))
}

/// Reads a pipeline file, on this machine or in a store, and applies overrides.
///
/// **Errors** when the file cannot be read or an override has no place.
pub fn read(path: &Path, set: &[String]) -> Result<SourceFile, Error> {
    checked_path(path)?;
    let text = store::read_to_string(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        action: "reading the pipeline",
        source,
    })?;
    let mut file = SourceFile {
        name: path.display().to_string(),
        text,
    };
    for assignment in set {
        file = overrides::apply(&file, assignment).map_err(|error| Error::Pipeline {
            diagnostics: vec![Diagnostic {
                file: file.clone(),
                error,
            }],
        })?;
    }
    Ok(file)
}

/// A plan from the file alone.
///
/// **Errors** every mistake in it.
pub fn planned(file: &SourceFile) -> Result<Plan, Error> {
    compile(file, STAGES, None).map_err(|diagnostics| Error::Pipeline { diagnostics })
}

/// A plan with the schemas that the cohort's headers tell, and the cohort.
///
/// **Errors** every mistake in the file, or why the cohort cannot be opened.
pub fn open(file: &SourceFile) -> Result<(Plan, Box<dyn Cohort>), Error> {
    let (_, cohort) = cohort_of(file)?;
    let plan = plan_of(file, &*cohort, &within(cohort.subjects(), None))?;
    Ok((plan, cohort))
}

/// As [`open`], for a run that takes at most `limit` subjects of each kind: only their headers are read,
/// and those of a large cohort that is prepared or predicted part by part only as its parts are made.
///
/// **Errors** as [`open`].
pub fn open_to_run(
    file: &SourceFile,
    limit: Option<usize>,
) -> Result<(Plan, Box<dyn Cohort>), Error> {
    let (plan, cohort) = cohort_of(file)?;
    let subjects = within(cohort.subjects(), limit);
    let in_parts = plan.pipeline.train.is_none() && subjects.len() > HEADERS;
    let plan = match in_parts {
        true => plan_of_columns(file, &*cohort, &subjects),
        false => None,
    };
    let plan = plan.map_or_else(|| plan_of(file, &*cohort, &subjects), Ok)?;
    Ok((plan, cohort))
}

/// The plan of a file alone, and the cohort that it names.
fn cohort_of(file: &SourceFile) -> Result<(Plan, Box<dyn Cohort>), Error> {
    let plan = planned(file)?;
    let source = &plan.pipeline.source;
    let cohort = source.open(&file.folder(), plan.pipeline.seed)?;
    Ok((plan, cohort))
}

/// A plan with what the headers of all these subjects tell.
///
/// **Errors** every mistake in the file, or that no header can be read.
fn plan_of(
    file: &SourceFile,
    cohort: &dyn Cohort,
    subjects: &[&SubjectRecord],
) -> Result<Plan, Error> {
    let unreadable = |e: crate::volume::VolumeError| {
        Error::run(format!("no subject can be read; the first: {}", causes(&e)))
    };
    let schema = cohort.schema_of(subjects).map_err(unreadable)?;
    compile(file, STAGES, Some(schema)).map_err(|diagnostics| Error::Pipeline { diagnostics })
}

/// A plan that knows the cohort's columns alone; `None` if the first subjects cannot be read or do not fit
/// the file. What all subjects agree on is among what the first of them agree on, so a mistake that shows
/// in the headers of all shows in these.
fn plan_of_columns(
    file: &SourceFile,
    cohort: &dyn Cohort,
    subjects: &[&SubjectRecord],
) -> Option<Plan> {
    let compiled = |schema| compile(file, STAGES, Some(schema)).ok();
    compiled(cohort.schema_of(&subjects[..HEADERS]).ok()?)?;
    compiled(cohort.schema_of(&[]).ok()?)
}
