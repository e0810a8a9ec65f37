//! The files below a folder.

use crate::init::error::InitError;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// How deep files are looked for: BIDS derivatives are five folders deep.
const DEPTH: usize = 8;

/// Names that an error shows.
const SHOWN: usize = 5;

/// Endings of NIfTI files, the longer one first.
const ENDINGS: [&str; 2] = [".nii.gz", ".nii"];

/// A NIfTI file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VolumeFile {
    /// Folders below the root.
    pub(super) folders: Vec<String>,
    /// Name without ending.
    pub(super) stem: String,
    /// `.nii.gz` or `.nii`.
    pub(super) ending: &'static str,
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
        let visible = |entry: &walkdir::DirEntry| {
            entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
        };
        let walk = WalkDir::new(root).follow_links(true).max_depth(DEPTH);
        let (mut volumes, mut others) = (Vec::new(), Vec::new());
        for entry in walk.sort_by_file_name().into_iter().filter_entry(visible) {
            let entry = match entry {
                Ok(entry) => entry,
                // What cannot be followed is no volume of the cohort; the folder itself must be listed.
                Err(error) if error.depth() > 0 => continue,
                Err(error) => {
                    return Err(InitError::Io {
                        path: root.to_path_buf(),
                        source: error.into(),
                    });
                }
            };
            let Ok(relative) = entry.path().strip_prefix(root) else {
                continue;
            };
            if !entry.file_type().is_file() {
                continue;
            }
            let mut parts: Vec<String> = (relative.components())
                .map(|c| c.as_os_str().to_string_lossy().into_owned())
                .collect();
            let name = parts.pop().unwrap_or_default();
            let ending = ENDINGS.into_iter().find(|e| name.ends_with(e));
            match ending.and_then(|e| Some((e, name.strip_suffix(e)?))) {
                Some((ending, stem)) => volumes.push(VolumeFile {
                    folders: parts,
                    stem: stem.to_owned(),
                    ending,
                }),
                None => {
                    parts.push(name);
                    others.push(parts.join("/"));
                }
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

    /// The root as a source's path: a `$` begins no variable.
    pub(super) fn source_path(&self) -> String {
        source_path(&self.root)
    }
}

/// A path as text in which `$` begins no variable.
pub(super) fn source_path(path: &Path) -> String {
    path.display().to_string().replace('$', "$$")
}

/// The ending that most of these files have.
pub(super) fn usual_ending<'a>(files: impl IntoIterator<Item = &'a VolumeFile>) -> &'static str {
    let plain = |f: &&VolumeFile| f.ending == ENDINGS[1];
    let files: Vec<&VolumeFile> = files.into_iter().collect();
    let count = files.iter().copied().filter(plain).count();
    match 2 * count > files.len() {
        true => ENDINGS[1],
        false => ENDINGS[0],
    }
}
