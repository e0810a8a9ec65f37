//! The files below a folder.

use crate::init::error::InitError;
use crate::store;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// How deep files are looked for: BIDS derivatives are five folders deep.
const DEPTH: usize = 8;

/// Names that an error shows.
const SHOWN: usize = 5;

/// Endings of NIfTI files in lower case, the longer one first.
const ENDINGS: [&str; 2] = [".nii.gz", ".nii"];

/// What a pattern ends in where files have several endings.
const ANY_ENDING: &str = ".nii*";

/// A NIfTI file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VolumeFile {
    /// Folders below the root.
    pub(super) folders: Vec<String>,
    /// Name without ending.
    pub(super) stem: String,
    /// `.nii.gz` or `.nii`, in the case of the file.
    pub(super) ending: String,
}

impl VolumeFile {
    /// The folder, with `/` between its parts and behind it; empty for the root.
    pub(super) fn folder(&self) -> String {
        self.folders.iter().map(|f| format!("{f}/")).collect()
    }

    /// The path below the root.
    pub(super) fn path(&self) -> String {
        format!("{}{}{}", self.folder(), self.stem, self.ending)
    }
}

/// Files below a folder, sorted; those whose names begin with a dot are left out.
pub(super) struct Listing {
    pub(super) root: PathBuf,
    /// NIfTI files.
    pub(super) volumes: Vec<VolumeFile>,
    /// Paths of all other files below the root.
    pub(super) others: Vec<String>,
}

impl Listing {
    /// **Errors** if the folder cannot be listed.
    pub(super) fn read(root: &Path) -> Result<Self, InitError> {
        let paths = match store::is_url(root) {
            true => objects(root),
            false => files(root),
        };
        let paths = paths.map_err(|source| InitError::Io {
            path: root.to_path_buf(),
            source,
        })?;
        let (mut volumes, mut others) = (Vec::new(), Vec::new());
        for path in paths {
            let mut folders: Vec<String> = path.split('/').map(str::to_owned).collect();
            let name = folders.pop().unwrap_or_default();
            match split_ending(&name) {
                Some((stem, ending)) => volumes.push(VolumeFile {
                    folders,
                    stem: stem.to_owned(),
                    ending: ending.to_owned(),
                }),
                None => others.push(path),
            }
        }
        volumes.sort();
        Ok(Self {
            root: root.to_path_buf(),
            volumes,
            others,
        })
    }

    /// The first few other files, for messages.
    pub(super) fn shown(&self) -> Vec<String> {
        self.others.iter().take(SHOWN).cloned().collect()
    }

    /// Paths of the NIfTI files that are chosen.
    pub(super) fn paths(
        &self,
        is_chosen: impl Fn(&VolumeFile) -> bool,
    ) -> impl Iterator<Item = PathBuf> {
        let chosen = self.volumes.iter().filter(move |f| is_chosen(f));
        chosen.map(|f| store::join(&self.root, Path::new(&f.path())))
    }

    /// The root as a source's path: a `$` begins no variable.
    pub(super) fn source_path(&self) -> String {
        source_path(&self.root)
    }
}

/// Paths below a folder, with `/` between their parts; what cannot be followed is no volume of the cohort.
///
/// **Errors** if the folder itself cannot be listed.
fn files(root: &Path) -> io::Result<Vec<String>> {
    let visible = |entry: &walkdir::DirEntry| {
        entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
    };
    let walk = WalkDir::new(root).follow_links(true).max_depth(DEPTH);
    let mut paths = Vec::new();
    for entry in walk.sort_by_file_name().into_iter().filter_entry(visible) {
        let entry = match entry {
            Ok(entry) if entry.file_type().is_file() => entry,
            Err(error) if error.depth() == 0 => return Err(error.into()),
            _ => continue,
        };
        let below = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let parts = below.components().map(|c| c.as_os_str().to_string_lossy());
        paths.push(parts.collect::<Vec<_>>().join("/"));
    }
    Ok(paths)
}

/// [`files`] of a store.
fn objects(root: &Path) -> io::Result<Vec<String>> {
    let paths = store::walk(root)?.into_iter().map(|(path, _)| path);
    let is_visible = |path: &String| {
        let hidden = path.split('/').any(|part| part.starts_with('.'));
        !hidden && path.split('/').count() <= DEPTH
    };
    Ok(paths.filter(is_visible).collect())
}

/// A path as text in which `$` begins no variable.
pub(super) fn source_path(path: &Path) -> String {
    path.display().to_string().replace('$', "$$")
}

/// A file's name without the ending of NIfTI, and the ending; `None` if it has no such ending.
pub(super) fn split_ending(name: &str) -> Option<(&str, &str)> {
    let ends = |ending: &&str| {
        let at = name.len().checked_sub(ending.len())?;
        let (stem, found) = name.split_at_checked(at)?;
        found.eq_ignore_ascii_case(ending).then_some((stem, found))
    };
    ENDINGS.iter().find_map(ends)
}

/// The ending of a pattern that fits these files: theirs, or `.nii*` if they have several.
///
/// Where two files differ in the ending alone, they would be two volumes of one place: then it is the ending
/// that most of them have.
pub(super) fn usual_ending<'a>(files: impl IntoIterator<Item = &'a VolumeFile>) -> String {
    let (mut counts, mut places) = (BTreeMap::<&str, usize>::new(), BTreeSet::new());
    let mut is_unique = true;
    for file in files {
        *counts.entry(&file.ending).or_default() += 1;
        is_unique &= places.insert((&file.folders, &file.stem));
    }
    match (counts.len(), counts.iter().max_by_key(|(_, count)| **count)) {
        (0 | 1, Some((most, _))) => (*most).to_owned(),
        (_, Some(_)) if is_unique => ANY_ENDING.to_owned(),
        (_, Some((most, _))) => (*most).to_owned(),
        (_, None) => ENDINGS[0].to_owned(),
    }
}
