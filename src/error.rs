//! The errors a user meets, and the exit codes they lead to.

use crate::sink::SinkError;
use crate::source::SourceError;
use crate::spec::Diagnostic;
use crate::train::TrainError;
use std::path::{Path, PathBuf};

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pipeline file has mistakes.
    #[error("{} in the pipeline file", if diagnostics.len() == 1 { "1 mistake".to_owned() } else { format!("{} mistakes", diagnostics.len()) })]
    Pipeline {
        /// Every mistake found.
        diagnostics: Vec<Diagnostic>,
    },
    /// No pipeline can be proposed for a data set.
    #[error(transparent)]
    Init(#[from] crate::init::InitError),
    /// The cohort could not be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An output could not be written or read.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Training or prediction cannot go on.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The cache folder cannot be used.
    #[error(transparent)]
    Cache(#[from] crate::cache::CacheError),
    /// A query failed or a table is absent.
    #[error(transparent)]
    Query(#[from] crate::query::QueryError),
    /// A report could not be written.
    #[error(transparent)]
    Report(#[from] crate::report::ReportError),
    /// A file or folder the user named, or a thread, is not to be had.
    #[error("{}: {action} failed", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The run cannot start or go on as asked.
    #[error("{problem}")]
    Run {
        /// What was found, what was expected, what to do.
        problem: String,
    },
    /// Rows that were made again do not have the bytes that a run recorded.
    #[error("{problem}")]
    Differs {
        /// How many rows differ, and what may be the cause.
        problem: String,
    },
    /// The program panicked outside the work of any subject.
    #[error("{text}")]
    Panic {
        /// What the panic said and where, and what to do.
        text: String,
    },
    /// Stopped by Ctrl-C or SIGTERM; what was complete is kept.
    #[error("stopped at your request; go on with `--resume`")]
    Cancelled,
}

impl Error {
    /// Names the file or folder, and what was tried, in an error of the system.
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }

    /// A run that cannot start or go on.
    pub fn run(problem: impl Into<String>) -> Self {
        Self::Run {
            problem: problem.into(),
        }
    }

    /// The process's exit code: 1 replayed rows differ, 2 the user's file or data, 3 ours, 130 stopped by a signal.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Train(TrainError::Tensor(_)) | Self::Panic { .. } => 3,
            Self::Differs { .. } => 1,
            Self::Cancelled => 130,
            _ => 2,
        }
    }
}
