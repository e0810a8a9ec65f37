//! A subject that failed: where, and why.

pub use crate::sink::causes;
use crate::volume::VolumeError;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::PathBuf;

/// A subject that could not be used, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The subject's id.
    pub subject: String,
    /// Stage path, or `source`.
    pub stage: String,
    /// The cause chain, joined by `: `.
    pub cause: String,
    /// The file that is at fault, where one is.
    pub file: Option<PathBuf>,
    /// Whether the same files may succeed another time: the memory budget was too small, or the system
    /// refused to read.
    #[serde(default)]
    pub may_pass: bool,
}

impl Failure {
    /// A failure from an error and all its causes.
    pub fn from_error(
        subject: &str,
        stage: &str,
        error: &(dyn std::error::Error + 'static),
    ) -> Self {
        Self {
            subject: subject.to_owned(),
            stage: stage.to_owned(),
            cause: causes(error),
            file: file_of(error),
            may_pass: is_refusal(error),
        }
    }

    /// A failure with its cause as text.
    pub fn new(subject: &str, stage: &str, cause: impl Into<String>) -> Self {
        Self {
            subject: subject.to_owned(),
            stage: stage.to_owned(),
            cause: cause.into(),
            file: None,
            may_pass: false,
        }
    }
}

/// Returns `true` if the system refused something for a reason that is not in the file itself.
fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    let of_the_file = [
        ErrorKind::NotFound,
        ErrorKind::UnexpectedEof,
        ErrorKind::InvalidData,
        ErrorKind::InvalidInput,
    ];
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return !of_the_file.contains(&io.kind());
        }
        next = error.source();
    }
    false
}

/// The file that an error, or one of its causes, is about.
fn file_of(error: &(dyn std::error::Error + 'static)) -> Option<PathBuf> {
    let mut next = Some(error);
    while let Some(error) = next {
        let found = error.downcast_ref().and_then(VolumeError::file);
        if let Some(path) = found {
            return Some(path.to_owned());
        }
        next = error.source();
    }
    None
}
