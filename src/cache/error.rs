//! What goes wrong with entries, and which file a name stood for when it did.

use crate::volume::VolumeError;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

/// Why an entry could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder or a file in it.
    #[error("{path}: {action}: {source}; choose another folder with `cache: {{ folder: … }}` or VOXSTREAM_CACHE", path = path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that is not what was written.
    #[error("{0}; remove the file")]
    Damaged(Damage),
    /// A folder that is not to be had.
    #[error("`cache.folder` is `{text}`: {problem}")]
    Folder {
        /// As it is written.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A source file that cannot be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

impl CacheError {
    /// What is wrong with the folder as it is written.
    pub fn folder(text: &str, problem: &impl ToString) -> Self {
        Self::Folder {
            text: text.to_owned(),
            problem: problem.to_string(),
        }
    }

    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            path,
            action,
            source,
        }
    }
}

/// An entry whose bytes are not those that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub(super) path: PathBuf,
    pub(super) problem: String,
    pub(super) id: FileId,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path.display(), self.problem)
    }
}

/// Which file a name stood for; `None` where the system does not tell.
pub(super) type FileId = Option<(u64, u64)>;

/// The identity of an open file, or of the file that a path names now.
#[cfg(unix)]
pub(super) fn id_of(metadata: &Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

/// The identity of an open file, or of the file that a path names now.
#[cfg(not(unix))]
pub(super) fn id_of(_: &Metadata) -> FileId {
    None
}
