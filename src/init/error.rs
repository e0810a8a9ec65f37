//! Why no pipeline can be proposed.

use crate::sink::SinkError;
use crate::source::SourceError;
use std::path::PathBuf;

/// What is wrong with a data set, or with reading it.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The system refused to read or write.
    #[error("{}: reading or writing failed", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file that should describe the data set, but does not.
    #[error("{}: {problem}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What was found, what was expected, what to do.
        problem: String,
    },
    /// A folder without volumes.
    #[error(
        "no NIfTI file (.nii, .nii.gz) stands in {} or up to eight folders below{}",
        folder.display(),
        if others.is_empty() { "; it has no files".to_owned() } else { format!("; its files are {}, …; volumes are read from NIfTI alone: convert DICOM with dcm2niix", others.join(", ")) }
    )]
    NoVolumes {
        /// The folder.
        folder: PathBuf,
        /// The first other files.
        others: Vec<String>,
    },
    /// Files whose names follow no layout.
    #[error(
        "the names of the NIfTI files in {} follow no layout that is known, such as {example}; name one subject a folder or put modalities behind the last `_`, or write `source.folders.images` by hand",
        folder.display()
    )]
    NoLayout {
        /// The folder.
        folder: PathBuf,
        /// A file in it.
        example: String,
    },
    /// Headers of all subjects are broken.
    #[error("no subject can be read; the first is `{subject}`: {problem}")]
    Unreadable {
        /// The subject.
        subject: String,
        /// What is wrong.
        problem: String,
    },
    /// A template that the data set is not fit for.
    #[error("template `{template}`: {problem}")]
    Template {
        /// The template.
        template: String,
        /// What is missing, and which template to take instead.
        problem: String,
    },
    /// The source cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The fingerprint cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
}
