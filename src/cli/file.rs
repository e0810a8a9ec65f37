//! From a pipeline file to its plan and its cohort.

use crate::error::Error;
use crate::plan::{Plan, compile, overrides};
use crate::registry::STAGES;
use crate::run::chain::causes;
use crate::source::Cohort;
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
    let plan = planned(file)?;
    let cohort = plan
        .pipeline
        .source
        .open(&file.folder(), plan.pipeline.seed)?;
    let unreadable = |e: crate::volume::VolumeError| {
        Error::run(format!("no subject can be read; the first: {}", causes(&e)))
    };
    let schema = cohort.schema().map_err(unreadable)?;
    let plan = compile(file, STAGES, Some(schema))
        .map_err(|diagnostics| Error::Pipeline { diagnostics })?;
    Ok((plan, cohort))
}
