//! Prepared subjects in memory-mapped files.
//!
//! One Arrow IPC file a subject, named by a digest of everything its voxels depend on. A file
//! appears by rename, whole or not at all; two runs may share a folder. Reading maps the file: a
//! patch touches the pages it is in, and the system takes pages back when memory is short.
//!
//! # What is checked
//! Each 64 KiB of a file have a checksum (xxh3-64) in a block that Arrow readers do not see
//! (`sums.rs`); block and footer have their own, and the block repeats the entry's key and length. To
//! open an entry is to check its structure: everything that is not voxels. Voxels are checked where
//! they are first read, for the pages of a patch alone, and never again as long as the entry is
//! mapped; every row taken out of it shares what is known (`mapped.rs`). A damaged entry is found
//! before a result that used it leaves the subject's work: it is removed, the subject is prepared
//! again, and a row of the table `warnings` (kind `damaged_entry`) says what was found.
//!
//! Cost, measured by `benches/cache.rs` on 2 GiB of entries in the system's page cache, on one core of
//! an `AMD EPYC` (so `lscpu` calls it; family 25, model 1) that had other work: the first epoch took
//! 0.42 to 0.47 s of CPU time, checked, page faults and one copy of every voxel included, where plain
//! mapped files took 0.13 to 0.18 s (`dev` profile); later epochs took 0.12 s. So a run pays 0.15 s a GiB, once.
//! Of subjects beyond the bound on mapped ones ([`crate::run::kept`]) the checks are repeated, as
//! their files are mapped anew.
//!
//! # A file that is cut while it is mapped
//! Reading lost pages raises SIGBUS. A handler for faults inside mapped entries, and for no others,
//! puts zeros in their place and marks the entry (`fault.rs`), which is then damaged like any other:
//! no read of a file's length beforehand could promise that, as the file may be cut right after.
//! The length is compared as well, whenever a row is taken out. What stays possible: bytes that
//! somebody overwrites in place with others *after* they were checked are used as they are.
//!
//! # Locks and open files
//! A mapped entry keeps a shared lock (`flock`), and making room removes only what it can lock alone,
//! so that runs do not remove each other's entries. The lock belongs to the mapping: no file stays
//! open, and a cohort may be larger than the limit of open files. Where a file system has no locks,
//! or the system drops them with the file descriptor, an entry in use may be removed; what is mapped
//! stays whole, and another run prepares the subject again.

mod content;
mod entry;
mod error;
mod fault;
mod mapped;
mod sums;

pub use content::content_digest;
pub use entry::Entry;
pub use error::{CacheError, Damage};
pub use mapped::Mapped;

use crate::stage::cache::Precision;
use crate::volume::Row;
use error::id_of;
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use sums::Key;

/// Temporary files of runs that were killed are removed after this time.
const STALE: Duration = Duration::from_secs(24 * 3600);

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
        ] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(&[sums::LAYOUT, u8::from(precision == Precision::Half)]);
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

    fn key(&self, content: &str) -> Key {
        *blake3::hash(format!("{}\n{content}", self.steps).as_bytes()).as_bytes()
    }

    /// The file of a subject whose source has the digest `content`.
    pub fn path(&self, content: &str) -> PathBuf {
        let key = blake3::Hash::from_bytes(self.key(content));
        self.folder.join(format!("{}.arrow", key.to_hex()))
    }

    /// Opens an entry, where there is one; voxels are mapped, and checked when they are read.
    ///
    /// **Errors** if the file is damaged as far as it was read.
    pub fn get(&self, content: &str) -> Result<Option<Entry>, CacheError> {
        let path = self.path(content);
        let Some(entry) = entry::read(&path, &self.key(content))? else {
            return Ok(None);
        };
        self.touch(&path);
        Ok(Some(entry))
    }

    /// Keeps a row where it fits, and returns it as it will be read from now on.
    ///
    /// Entries used longest ago make room; those in use stay. `None` where no room is left.
    ///
    /// **Errors** if the file cannot be written.
    pub fn put(&self, content: &str, row: &Row) -> Result<Option<Entry>, CacheError> {
        if !self.make_room(row.bytes() as u64)? {
            return Ok(None);
        }
        let path = self.path(content);
        entry::write(&path, &self.key(content), row, self.precision)?;
        self.get(content)
    }

    /// A row with the values it would have if it were read from the store.
    pub fn as_kept(&self, row: Row) -> Row {
        entry::as_kept(row, self.precision)
    }

    /// Removes a damaged entry; `false` if it is gone already, or another file has taken its name.
    pub fn remove(&self, damage: &Damage) -> bool {
        let now = std::fs::metadata(&damage.path).ok();
        let is_there = now.is_some_and(|now| id_of(&now) == damage.id);
        if is_there && let Err(reason) = std::fs::remove_file(&damage.path) {
            tracing::debug!(path = %damage.path.display(), %reason, "a damaged entry stays");
        }
        is_there
    }

    /// Marks an entry as used now.
    fn touch(&self, path: &Path) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.insert(path.to_owned()) {
            // On a folder that may only be read nothing is evicted either.
            let file = File::options().append(true).open(path);
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
            if remove_unused(path) {
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

/// Removes an entry that nobody has mapped; returns whether it did.
fn remove_unused(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => false,
        // Without locks whoever has it mapped keeps its pages; the system frees them after.
        Ok(()) | Err(TryLockError::Error(_)) => std::fs::remove_file(path).is_ok(),
    }
}

#[cfg(test)]
mod tests;
