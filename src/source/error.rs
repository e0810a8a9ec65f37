//! Why a cohort cannot be opened.

use super::SplitError;
use std::path::PathBuf;

/// Why a cohort cannot be opened: always the user's file, folder or table.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A path names an environment variable that is not set.
    #[error(
        "`{text}` needs the environment variable `{name}`, which is not set; set it, or write `${{{name}:-default}}`"
    )]
    Variable {
        /// The path as written.
        text: String,
        /// The variable.
        name: String,
    },
    /// A file or folder does not exist.
    #[error(
        "`{text}` does not exist: expected {}, as a relative path begins at the folder of its file{}",
        path.display(),
        instead.as_ref().map_or_else(String::new, |p| format!("; it exists in the current folder: write `{}`", p.display()))
    )]
    NotFound {
        /// The path as written.
        text: String,
        /// Where it was expected.
        path: PathBuf,
        /// What to write if the path exists in the current folder.
        instead: Option<PathBuf>,
    },
    /// A URL that cannot be used.
    #[error("`{text}`")]
    Url {
        /// The URL without credentials.
        text: String,
        /// What was found, what was expected, what to do.
        #[source]
        source: std::io::Error,
    },
    /// A path of a store where only a local one will do.
    #[error(
        "`{text}` is in a store, expected a local folder: its files are mapped into memory; write an absolute local path"
    )]
    NotLocal {
        /// The path as written, without credentials.
        text: String,
    },
    /// The system or a store refused to read.
    #[error("{}: reading failed", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A manifest that is no table of subjects.
    #[error("{}: {problem}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What was found, what was expected, what to do.
        problem: String,
    },
    /// A `where:` that is no condition on the manifest's columns.
    #[error("`where: {clause}`: {problem}")]
    Where {
        /// The condition as written.
        clause: String,
        /// What the query engine says.
        problem: String,
    },
    /// A folder in which no file fits the pattern.
    #[error("no file in {} fits `{pattern}`: {problem}", folder.display())]
    NoMatch {
        /// The pattern as written.
        pattern: String,
        /// Where it was looked for.
        folder: PathBuf,
        /// Which part of the pattern failed first, and what stands there instead.
        problem: String,
    },
    /// Two files for one volume of a subject.
    #[error(
        "subject `{subject}` in {} has two {what}: {} and {}; put a placeholder where they differ and name it in `id`, such as `id: \"{{subject}}_{{session}}\"`, or write the pattern so that it fits one of them",
        folder.display(),
        first.display(),
        second.display()
    )]
    TwoFiles {
        /// The subject's id.
        subject: String,
        /// What there are two of.
        what: String,
        /// The folder of the source.
        folder: PathBuf,
        /// The first, relative to the folder.
        first: PathBuf,
        /// The second, relative to the folder.
        second: PathBuf,
    },
    /// A subject whose images are of two patients.
    #[error(
        "the images of subject `{subject}` in {} disagree on `patient: {template}`; make `patient` of placeholders that `id` holds",
        folder.display()
    )]
    Patients {
        /// The folder of the source.
        folder: PathBuf,
        /// The subject's id.
        subject: String,
        /// The patient as written.
        template: String,
    },
    /// One subject twice.
    #[error(
        "{}: subject `{subject}` stands at {first} and at {second}; give each subject one row, or select one with `where`",
        path.display()
    )]
    Duplicate {
        /// The manifest.
        path: PathBuf,
        /// The subject's id.
        subject: String,
        /// Line or entry of the first.
        first: String,
        /// Line or entry of the second.
        second: String,
    },
    /// A manifest none of whose images exist.
    #[error(
        "{} that {} names {}, such as {}; paths are relative to the manifest's folder",
        match count { 1 => "the one image".to_owned(), n => format!("none of the {n} images") },
        path.display(),
        match count { 1 => "does not exist", _ => "exists" },
        example.display()
    )]
    NoFiles {
        /// The manifest.
        path: PathBuf,
        /// How many images it names.
        count: usize,
        /// The first of them.
        example: PathBuf,
    },
    /// A split that cannot be made.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// Options that contradict each other.
    #[error("{}", problems.join("; "))]
    Options {
        /// Each problem, as [`SourceSpec::check`](super::SourceSpec::check) tells it.
        problems: Vec<String>,
    },
}
