//! How the files of a folder are named: which public layout it follows, as a source of a pipeline.
//!
//! Layouts are tried from the most particular to the most general; the first that fits is taken. Names
//! alone are looked at here, and the small files that describe a data set; no volume is opened.

mod bids;
mod listing;
mod nested;
mod nnunet;
mod paired;
mod table;

use super::InitError;
use crate::source::SourceKind;
use listing::Listing;
use std::collections::BTreeMap;
use std::path::Path;

/// A data set whose layout is known.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Name of the layout, such as `BIDS with sessions`.
    pub kind: String,
    /// The source; its path is absolute.
    pub source: SourceKind,
    /// Names of classes by the value that is stored for each, as far as the data set tells.
    pub classes: BTreeMap<i64, String>,
    /// Values that mark unannotated voxels.
    pub ignore: Vec<i64>,
    /// What a reader of the pipeline should know, one sentence each.
    pub notes: Vec<String>,
}

impl Layout {
    fn new(kind: impl Into<String>, source: SourceKind) -> Self {
        Self {
            kind: kind.into(),
            source,
            classes: BTreeMap::new(),
            ignore: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// Recognises the layout of a folder, or of a table of paths.
///
/// **Errors** if the folder holds no NIfTI file, or no layout fits.
pub fn recognise(place: &Path) -> Result<Layout, InitError> {
    let absolute = place.canonicalize().map_err(|source| InitError::Io {
        path: place.to_path_buf(),
        source,
    })?;
    if absolute.is_file() {
        return table::of_file(&absolute);
    }
    let listing = Listing::read(&absolute)?;
    if let Some(layout) = nnunet::find(&listing)? {
        return Ok(layout);
    }
    if let Some(layout) = bids::find(&listing) {
        return Ok(layout);
    }
    if let Some(layout) = table::find(&listing)? {
        return Ok(layout);
    }
    if listing.volumes.is_empty() {
        return Err(InitError::NoVolumes {
            folder: absolute,
            others: listing.shown(),
        });
    }
    let found = paired::find(&listing).or_else(|| nested::find(&listing));
    found.ok_or_else(|| InitError::NoLayout {
        folder: absolute,
        example: listing.volumes[0].path(),
    })
}

/// A text as the name of a column: lower case, `_` for what a name cannot hold.
fn tidy(text: &str) -> String {
    let plain = |c: char| match c.is_alphanumeric() || c == '-' {
        true => c,
        false => '_',
    };
    let text: String = text.trim().to_lowercase().chars().map(plain).collect();
    match text.trim_matches('_') {
        "" => "image".to_owned(),
        text => text.to_owned(),
    }
}

/// Column names for texts in paths, no two alike.
fn named(texts: &[String]) -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = Vec::new();
    for text in texts {
        let name = tidy(text);
        let known = |name: &String| names.iter().any(|(n, _)| n == name);
        let numbered = (2..).map(|i| format!("{name}_{i}"));
        let name = std::iter::once(name.clone())
            .chain(numbered)
            .find(|n| !known(n));
        names.push((name.unwrap_or_default(), text.clone()));
    }
    names
}

/// Words by which people name label maps.
const LABEL_WORDS: [&str; 22] = [
    "label",
    "labels",
    "labelstr",
    "seg",
    "segm",
    "segmentation",
    "segmentations",
    "mask",
    "masks",
    "gt",
    "groundtruth",
    "truth",
    "annotation",
    "annotations",
    "lesion",
    "lesions",
    "dseg",
    "roi",
    "consensus",
    "parcellation",
    "parc",
    "aseg",
];

/// Returns `true` if a file or folder of that name holds label maps, by the words in it.
fn is_label(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric());
    words.any(|word| {
        LABEL_WORDS.contains(&word) || word.ends_with("mask") || word.starts_with("label")
    })
}
