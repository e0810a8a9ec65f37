//! Errors of the library as Python exceptions.

use crate::plain;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PyOSError};
use pyo3::prelude::*;
use serde_json::Value;
use voxstream::cli::check::Remark;
use voxstream::error::Error as Cause;
use voxstream::sink::causes;

create_exception!(
    voxstream,
    Error,
    PyException,
    "Why something could not be done: what was found, what was expected, what to do."
);
create_exception!(
    voxstream,
    PipelineError,
    Error,
    "Mistakes in a pipeline file, shown with their lines.\n\n\
     `diagnostics` lists them: dicts of file, line, column, end_line, end_column (from 1, in characters; None\n\
     for the file as a whole), level, message and help."
);
create_exception!(
    voxstream,
    InternalError,
    Error,
    "A fault of voxstream, not of the data; please report its text with the pipeline file."
);

/// The exception of an error.
pub(crate) fn raised(py: Python<'_>, error: &Cause) -> PyErr {
    match error {
        Cause::Pipeline { diagnostics } => {
            let shown: Vec<String> = diagnostics.iter().map(|d| d.render(false)).collect();
            let exception = PipelineError::new_err(shown.join("\n\n"));
            let remarks = diagnostics.iter().map(|d| Remark::of_diagnostic(d).json());
            let remarks = plain(py, &remarks.collect::<Value>());
            match remarks.and_then(|list| exception.value(py).setattr("diagnostics", list)) {
                Ok(()) => exception,
                Err(other) => other,
            }
        }
        // Python chooses the subclass: FileNotFoundError, PermissionError, ….
        Cause::Io {
            path,
            action,
            source,
        } => match source.raw_os_error() {
            Some(code) => {
                let text = format!("{action} failed: {source}");
                PyOSError::new_err((code, text, path.display().to_string()))
            }
            None => Error::new_err(causes(error)),
        },
        Cause::Panic { text } => InternalError::new_err(text.clone()),
        Cause::Cancelled => PyKeyboardInterrupt::new_err("stopped; go on with resume=True"),
        other => Error::new_err(causes(other)),
    }
}
