//! From an unknown folder to a pipeline: what is there, what it is made of, what to do with it.
//!
//! [`layout`] recognises how files are named, [`fingerprint`] looks at headers and at the voxels of a
//! bounded sample, [`proposal`] derives one value after another from that, each with its reason, and
//! [`render`](draft) writes a commented pipeline. Nothing here changes the data set.

pub mod fingerprint;
pub mod layout;
pub mod proposal;
mod render;
mod templates;

use crate::sink::SinkError;
use crate::source::SourceError;
use clap::ValueEnum;
use fingerprint::Fingerprint;
use layout::Layout;
use proposal::Proposal;
use std::path::{Path, PathBuf};

/// What the pipeline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// Bring all volumes to one grid and one scale, and keep them.
    Prepare,
    /// Train on labelled subjects.
    Supervised,
    /// Train on few labelled subjects and many without labels, by bidirectional copy-paste (BCP).
    SemiSupervised,
    /// Train one network for several modalities, any of which may be missing (CMC).
    Cmc,
    /// Predict with a trained network.
    Predict,
}

impl Template {
    /// The name on the command line.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |v| v.get_name().to_owned())
    }

    /// The template for a data set: `supervised` with labels, `semi-supervised` if most subjects have
    /// none, `prepare` without any.
    pub fn choose(layout: &Layout, print: &Fingerprint) -> Self {
        let parts = proposal::parts::Parts::new(layout, print);
        match (parts.train, parts.unlabelled) {
            (0, _) => Self::Prepare,
            (_, unlabelled) if unlabelled > parts.train_subjects => Self::SemiSupervised,
            _ => Self::Supervised,
        }
    }
}

/// Why no pipeline can be proposed.
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
        if others.is_empty() { "; it has no files".to_owned() } else { format!("; its files are {}, …; convert DICOM with dcm2niix first", others.join(", ")) }
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

/// A pipeline that was written for a data set.
#[derive(Debug)]
pub struct Draft {
    /// What it is for.
    pub template: Template,
    /// The file's text.
    pub text: String,
}

/// Writes a commented pipeline for a data set.
///
/// Paths in it are relative to `base`, the folder of the pipeline file; absolute if `None`. `name` is
/// the pipeline's.
///
/// **Errors** if the data set lacks what the template needs.
pub fn draft(
    layout: &Layout,
    print: &Fingerprint,
    proposal: &Proposal,
    template: Template,
    name: &str,
    base: Option<&Path>,
) -> Result<Draft, InitError> {
    templates::check(template, print, proposal)?;
    let text = render::pipeline(layout, print, proposal, template, name, base);
    Ok(Draft { template, text })
}
