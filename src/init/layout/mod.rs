//! How the files of a folder are named: which public layout it follows, as a source of a pipeline.
//!
//! Layouts are tried from the most particular to the most general; the first that fits is taken. Names
//! alone are looked at here, and the small files that describe a data set; no volume is opened.

mod bids;
mod counted;
mod flat;
mod listing;
mod names;
mod nested;
mod nnunet;
mod paired;
mod recognised;
mod table;

pub use recognised::{DeclaredRegion, Layout};

use super::error::InitError;
use crate::source::SourceKind;
use crate::store;
use listing::Listing;
use std::path::{Path, PathBuf};

/// Recognises the layout of a folder, or of a table of paths; both may be in a store.
///
/// **Errors** if the folder holds no NIfTI file, or no layout fits.
pub fn recognise(place: &Path) -> Result<Layout, InitError> {
    let io = |source| InitError::Io {
        path: place.to_path_buf(),
        source,
    };
    let absolute = match store::is_url(place) {
        true => place.to_path_buf(),
        false => place.canonicalize().map_err(io)?,
    };
    if !store::is_dir(&absolute).map_err(io)? {
        return table::of_file(&absolute);
    }
    let listing = Listing::read(&absolute)?;
    let mut layout = of_folder(absolute, &listing)?;
    if let SourceKind::Folders(_) = layout.source {
        layout.files = listing.paths(|_| true).collect();
    }
    Ok(layout)
}

/// **Errors** if the folder holds no NIfTI file, or no layout fits.
fn of_folder(absolute: PathBuf, listing: &Listing) -> Result<Layout, InitError> {
    if let Some(layout) = nnunet::find(listing)? {
        return Ok(layout);
    }
    if let Some(layout) = bids::find(listing) {
        return Ok(layout);
    }
    if let Some(layout) = table::find(listing)? {
        return Ok(layout);
    }
    if listing.volumes.is_empty() {
        return Err(InitError::NoVolumes {
            folder: absolute,
            others: listing.shown(),
        });
    }
    let found = paired::find(listing).or_else(|| nested::find(listing));
    found.ok_or_else(|| InitError::NoLayout {
        folder: absolute,
        example: listing.volumes[0].path(),
    })
}
