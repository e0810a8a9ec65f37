//! Why an output could not be written.

use crate::volume::VolumeError;
use std::path::{Path, PathBuf};

/// Why an output could not be written, or a table not be read back.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file system refused.
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
    /// Parquet refused to write or to read the file.
    #[error("{}: {action} failed", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Parquet's reason.
        #[source]
        source: ::parquet::errors::ParquetError,
    },
    /// An earlier write failed, so the file cannot be whole.
    #[error("{}: an earlier write to this table failed; nothing was published", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// The file is a table, but not the one expected.
    #[error("{}: found {found}, expected {expected}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Schema or column found.
        found: String,
        /// Schema or column expected, and what to do.
        expected: String,
    },
    /// The commit record of a part, or the index of merged parts, is damaged.
    #[error(
        "{}: the commit record cannot be read ({problem}); remove it with `voxstream verify --drop {}`, then make what it names again with `run … --resume`", path.display(), run.display()
    )]
    Record {
        /// The record.
        path: PathBuf,
        /// The run folder.
        run: PathBuf,
        /// Parquet's reason.
        problem: String,
    },
    /// A stored volume whose bytes are not what its sibling fields say.
    #[error("stored volume: {problem}")]
    Stored {
        /// What was found, what was expected.
        problem: String,
    },
    /// A value that Parquet cannot hold.
    #[error(
        "a volume of {bytes} bytes after compression exceeds Parquet's limit of 2 GiB a value; write patches or a smaller field of view"
    )]
    TooLarge {
        /// Bytes of the encoded volume.
        bytes: usize,
    },
    /// Rows that do not belong into one file.
    #[error("{problem}")]
    Rows {
        /// What was found, what was expected.
        problem: String,
    },
    /// A volume broke a rule.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

impl SinkError {
    /// Returns `true` if an object is there that was to be created.
    pub(crate) fn exists_already(&self) -> bool {
        let Self::Io { source, .. } = self else {
            return false;
        };
        source.kind() == std::io::ErrorKind::AlreadyExists
    }

    /// Returns `true` if the bytes of a table are at fault, and not the disk, the store or another version.
    pub(crate) fn is_damage(&self) -> bool {
        let Self::Parquet { source, .. } = self else {
            return false;
        };
        let ::parquet::errors::ParquetError::External(cause) = source else {
            return true;
        };
        let refused = cause.downcast_ref::<std::io::Error>();
        refused.is_none_or(|e| e.kind() == std::io::ErrorKind::UnexpectedEof)
    }

    /// Returns `true` if the file is not there.
    pub fn is_absent(&self) -> bool {
        let Self::Io { source, .. } = self else {
            return false;
        };
        source.kind() == std::io::ErrorKind::NotFound
    }

    /// Returns `true` if the error concerns the volumes of one subject, so that others can still be
    /// written; `false` if it concerns the disk or the folder.
    pub fn is_of_one_subject(&self) -> bool {
        match self {
            Self::Volume(e) => !matches!(e, VolumeError::Io { .. }),
            Self::Stored { .. } | Self::TooLarge { .. } | Self::Rows { .. } => true,
            Self::Io { .. }
            | Self::Parquet { .. }
            | Self::Broken { .. }
            | Self::Schema { .. }
            | Self::Record { .. } => false,
        }
    }
}

/// An error with all its causes, joined by `: `.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

pub(crate) fn io_error<'a>(
    path: &'a Path,
    action: &'static str,
) -> impl Fn(std::io::Error) -> SinkError + 'a {
    move |source| SinkError::Io {
        path: path.to_owned(),
        action,
        source,
    }
}
