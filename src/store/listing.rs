//! What is in a folder, or below a prefix of a store.

use super::object::Version;
use super::registry::backing;
use super::retry::retried;
use super::{Location, ObjectUrl, runtime};
use futures::TryStreamExt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path: the folder's, and its name.
    pub path: PathBuf,
    /// Returns `true` if it is a folder itself.
    pub is_folder: bool,
}

/// What is directly in a folder, sorted by path.
///
/// **Errors** if the folder cannot be read; `NotFound` if there is none, or nothing below the prefix.
pub fn list(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = match Location::of(folder)? {
        Location::Local(folder) => {
            let entries = std::fs::read_dir(folder)?;
            let entry = |entry: io::Result<std::fs::DirEntry>| {
                let path = entry?.path();
                Ok(Entry {
                    is_folder: path.is_dir(),
                    path,
                })
            };
            entries.map(entry).collect::<io::Result<Vec<Entry>>>()?
        }
        Location::Object(url) => objects(&url)?,
    };
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn objects(url: &ObjectUrl) -> io::Result<Vec<Entry>> {
    let store = backing(url)?;
    let listed = retried(url, || {
        let (store, key) = (Arc::clone(&store), url.key());
        runtime::wait(async move { store.list_with_delimiter(Some(&key)).await })
    })?;
    let entry = |key: &object_store::path::Path, is_folder| Entry {
        path: url.with_key(key).to_path(),
        is_folder,
    };
    let folders = listed.common_prefixes.iter().map(|key| entry(key, true));
    let files = listed.objects.iter().map(|o| entry(&o.location, false));
    let entries: Vec<Entry> = folders.chain(files).collect();
    match entries.is_empty() {
        false => Ok(entries),
        true => Err(io::Error::from(ErrorKind::NotFound)),
    }
}

/// Every object below a prefix, with its path relative to it, sorted; none if there is nothing.
///
/// **Errors** if `folder` is a local one, or the store refuses or cannot be reached.
pub fn walk(folder: &Path) -> io::Result<Vec<(String, Version)>> {
    let Location::Object(url) = Location::of(folder)? else {
        return Err(super::error::invalid(format!(
            "{} is no prefix of a store",
            folder.display()
        )));
    };
    let store = backing(&url)?;
    let listed = retried(&url, || {
        let (store, key) = (Arc::clone(&store), url.key());
        runtime::wait(async move { store.list(Some(&key)).try_collect::<Vec<_>>().await })
    })?;
    let prefix = url.key();
    let mut found: Vec<(String, Version)> = (listed.iter())
        .filter_map(|object| {
            let parts: Vec<_> = object.location.prefix_match(&prefix)?.collect();
            let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
            Some((parts.join("/"), Version::of(object)))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}
