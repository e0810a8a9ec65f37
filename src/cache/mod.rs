//! Prepared subjects in memory-mapped files.
//!
//! One Arrow IPC file a subject, named by a digest of everything its voxels depend on. A file
//! appears by rename, whole or not at all; two runs may share a folder. Reading maps the file: a
//! patch touches the pages it lies in, and the system takes pages back when memory is short.

mod content;
mod entry;

pub use content::content_digest;

use crate::stage::cache::Precision;
use crate::volume::{Row, VolumeError};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Version of the files; a change of their layout misses.
const LAYOUT: &str = "1";
/// Temporary files of runs that were killed are removed after this time.
const STALE: Duration = Duration::from_secs(24 * 3600);

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
    /// A file that is not what its name says.
    #[error("{path}: {problem}; remove the file", path = path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
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

    fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            path,
            action,
            source,
        }
    }

    fn entry(path: &Path, problem: &impl ToString) -> Self {
        Self::Entry {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// A folder of prepared subjects, bounded in bytes.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    limit: u64,
    precision: Precision,
    /// Digest of the steps before the cut, the version, the code that prepares and the layout.
    steps: String,
    /// Entries this run has used; they are not removed for others.
    used: Mutex<BTreeSet<PathBuf>>,
}

impl Store {
    /// Opens a folder, made where it is absent, for subjects prepared by `steps`.
    ///
    /// **Errors** when the folder cannot be made or listed.
    pub fn open(
        folder: &Path,
        limit: u64,
        precision: Precision,
        steps: &serde_json::Value,
    ) -> Result<Self, CacheError> {
        std::fs::create_dir_all(folder.join("sources"))
            .map_err(CacheError::io(folder, "making the cache folder"))?;
        let mut hasher = blake3::Hasher::new();
        for part in [
            steps.to_string().as_str(),
            env!("CARGO_PKG_VERSION"),
            env!("VOXSTREAM_PREPARING"),
            LAYOUT,
        ] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(&[u8::from(precision == Precision::Half)]);
        let store = Self {
            folder: folder.to_owned(),
            limit,
            precision,
            steps: hasher.finalize().to_hex().to_string(),
            used: Mutex::default(),
        };
        store.remove_stale()?;
        Ok(store)
    }

    /// Where the files lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the digests of source files are remembered.
    pub fn sources(&self) -> PathBuf {
        self.folder.join("sources")
    }

    /// The file of a subject whose source has the digest `content`.
    pub fn path(&self, content: &str) -> PathBuf {
        let key = blake3::hash(format!("{}\n{content}", self.steps).as_bytes());
        self.folder.join(format!("{}.arrow", key.to_hex()))
    }

    /// Reads an entry, where there is one; voxels are mapped, not read.
    ///
    /// **Errors** when the file is damaged.
    pub fn get(&self, content: &str) -> Result<Option<Row>, CacheError> {
        let path = self.path(content);
        let row = match entry::read(&path)? {
            Some(row) => row,
            None => return Ok(None),
        };
        self.touch(&path);
        Ok(Some(row))
    }

    /// Keeps a row where it fits, and returns it as it will be read from now on.
    ///
    /// Entries used longest ago make room; those of this run stay. `None` where no room is left.
    ///
    /// **Errors** when the file cannot be written.
    pub fn put(&self, content: &str, row: &Row) -> Result<Option<Row>, CacheError> {
        if !self.make_room(row.bytes() as u64)? {
            return Ok(None);
        }
        let path = self.path(content);
        entry::write(&path, row, self.precision)?;
        self.get(content)
    }

    /// Marks an entry as used now.
    fn touch(&self, path: &Path) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.insert(path.to_owned()) {
            // On a folder that may only be read nothing is evicted either.
            let file = std::fs::File::options().append(true).open(path);
            file.and_then(|f| f.set_modified(SystemTime::now())).ok();
        }
    }

    /// Every entry: time of last use, bytes, path.
    fn entries(&self) -> Result<Vec<(SystemTime, u64, PathBuf)>, CacheError> {
        let listing = CacheError::io(&self.folder, "listing the cache folder");
        let files = std::fs::read_dir(&self.folder).map_err(listing)?;
        let entries = files.filter_map(|file| {
            // A file that another run has just removed is no entry.
            let file = file.ok()?;
            let is_entry = file.path().extension().is_some_and(|e| e == "arrow");
            let metadata = file.metadata().ok().filter(|_| is_entry)?;
            Some((metadata.modified().ok()?, metadata.len(), file.path()))
        });
        Ok(entries.collect())
    }

    /// Bytes of all entries in the folder.
    ///
    /// **Errors** when the folder cannot be listed.
    pub fn bytes(&self) -> Result<u64, CacheError> {
        Ok(self.entries()?.iter().map(|e| e.1).sum())
    }

    fn make_room(&self, needed: u64) -> Result<bool, CacheError> {
        let mut entries = self.entries()?;
        let mut bytes: u64 = entries.iter().map(|e| e.1).sum();
        if bytes + needed <= self.limit {
            return Ok(true);
        }
        entries.sort();
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, size, path) in entries.iter().filter(|e| !used.contains(&e.2)) {
            if bytes + needed <= self.limit {
                break;
            }
            // Runs that have it mapped keep it; the system frees it after them.
            if std::fs::remove_file(path).is_ok() {
                bytes -= size;
            }
        }
        Ok(bytes + needed <= self.limit)
    }

    fn remove_stale(&self) -> Result<(), CacheError> {
        let listing = CacheError::io(&self.folder, "listing the cache folder");
        for file in std::fs::read_dir(&self.folder).map_err(listing)?.flatten() {
            let name = file.file_name();
            let age = file.metadata().and_then(|m| m.modified());
            let age = age.ok().and_then(|t| t.elapsed().ok());
            if name.to_string_lossy().starts_with(entry::TEMPORARY) && age > Some(STALE) {
                std::fs::remove_file(file.path()).ok();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
