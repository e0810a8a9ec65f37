//! Why a report could not be written.

use crate::query::QueryError;
use crate::sink::SinkError;
use std::path::PathBuf;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A table could not be read, or the page not be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The runs could not be found.
    #[error(transparent)]
    Runs(#[from] QueryError),
    /// Nothing to report on.
    #[error(
        "{} holds none of the tables of a run; give the folder of a run, such as runs/<name>/<stamp>", path.display()
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// Nothing to compare.
    #[error(
        "of {} fewer than two have scores; a run has them where its pipeline has `score` or `train`", runs.join(", ")
    )]
    Alone {
        /// Names of the runs.
        runs: Vec<String>,
    },
    /// The page's template failed.
    #[error("the report's template failed")]
    Template(#[from] minijinja::Error),
}
