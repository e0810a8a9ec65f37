//! From an unknown folder to a pipeline: what is there, what it is made of, what to do with it.
//!
//! [`layout`] recognises how files are named, [`fingerprint`] looks at headers and at the voxels of a
//! bounded sample, [`proposal`] derives one value after another from that, each with its reason, and
//! [`render`](draft) writes a commented pipeline. Nothing here changes the data set.

mod error;
pub mod fingerprint;
mod fit;
mod label_like;
pub mod layout;
mod numbers;
pub mod proposal;
mod render;
mod template;
mod templates;
mod yaml;

pub use error::InitError;
pub use label_like::look;
pub use template::Template;

use fingerprint::Fingerprint;
use layout::Layout;
use proposal::Proposal;
use std::path::Path;

/// A pipeline that was written for a data set.
#[derive(Debug)]
pub struct Draft {
    /// What it is for.
    pub template: Template,
    /// The file's text.
    pub text: String,
    /// What a reader should know of the data set: the sentences of the file's first lines.
    pub remarks: Vec<String>,
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
    fit::check(template, print, proposal)?;
    let text = render::pipeline(layout, print, proposal, template, name, base);
    Ok(Draft {
        template,
        text,
        remarks: render::remarks(layout, print),
    })
}
