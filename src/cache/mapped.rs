//! A mapped entry: its bytes, each group of them checked when it is first read.

use super::error::{CacheError, Damage, FileId, id_of};
use super::fault::Watch;
use super::sums::{GROUP, Key, Sums};
use crate::volume::Backing;
use memmap2::Mmap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A mapped entry, shared by every row and volume that was taken out of it.
///
/// **Law** a byte is read only after its group was checked, and a result is used only if
/// [`Mapped::damage`] finds nothing after its last byte was read.
#[derive(Debug)]
pub struct Mapped {
    // Dropped before the mapping.
    watch: Watch,
    map: Mmap,
    path: PathBuf,
    id: FileId,
    sums: Sums,
    /// One bit a group: set once it was found whole.
    checked: Box<[AtomicU64]>,
    /// What was found first.
    found: OnceLock<String>,
}

impl Mapped {
    /// Maps the entry of a name and checks what it takes to open it: block, footer, and every group
    /// that holds more than voxels. `None` if there is no such file, or it is being removed.
    ///
    /// The mapping keeps the file's shared lock and its contents, and no file descriptor.
    ///
    /// **Errors** if the file cannot be mapped, or is damaged.
    pub(super) fn open(path: &Path, key: &Key) -> Result<Option<Self>, CacheError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(CacheError::io(path, "opening a cache entry")(e)),
        };
        match file.try_lock_shared() {
            Ok(()) => {}
            // Whoever makes room holds it for the moment of its removal.
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(reason)) => {
                tracing::debug!(path = %path.display(), %reason, "a cache entry cannot be locked");
            }
        }
        let metadata = (file.metadata()).map_err(CacheError::io(path, "reading a size"))?;
        let id = id_of(&metadata);
        let damaged = |problem: String| {
            CacheError::Damaged(Damage {
                path: path.to_owned(),
                problem,
                id,
            })
        };
        if metadata.len() == 0 {
            return Err(damaged("is empty".to_owned()));
        }
        #[expect(unsafe_code, reason = "the door to mapped memory")]
        // SAFETY: entries are written under another name and never changed under this one, and
        // removing one leaves what is mapped as it is. Where somebody else changes one all the same,
        // its bytes are voxels, for which every bit pattern is a value, or are checked and copied
        // before they are used; pages that are cut off are handled by `Watch`.
        let map =
            unsafe { Mmap::map(&file) }.map_err(CacheError::io(path, "mapping a cache entry"))?;
        let watch = Watch::new(&map);
        let sums = Sums::read(&map, key).map_err(damaged)?;
        let words = sums.len().div_ceil(64);
        let mapped = Self {
            checked: (0..words).map(|_| AtomicU64::new(0)).collect(),
            watch,
            map,
            path: path.to_owned(),
            id,
            sums,
            found: OnceLock::new(),
        };
        mapped
            .sums
            .structure()
            .for_each(|group| mapped.check_group(group));
        match mapped.damage() {
            None => Ok(Some(mapped)),
            Some(damage) => Err(CacheError::Damaged(damage)),
        }
    }

    /// Every byte of the file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Where the Arrow footer begins and ends.
    pub(super) fn footer(&self) -> std::ops::Range<usize> {
        self.sums.footer.clone()
    }

    /// The entry's damage as far as it was read, `None` if what was read is what was written.
    pub fn damage(&self) -> Option<Damage> {
        let problem = match self.found.get() {
            Some(problem) => problem.clone(),
            None if self.watch.is_torn() => {
                "was cut short, or its disk failed, while it was read".to_owned()
            }
            None => return None,
        };
        Some(self.damaged(problem))
    }

    /// [`Mapped::damage`], and whether the file still has its length.
    pub fn damage_or_cut(&self) -> Option<Damage> {
        self.damage().or_else(|| {
            // Under its name there may be another file by now, or none: this one is mapped still.
            let now = std::fs::metadata(&self.path).ok()?;
            let is_cut = id_of(&now) == self.id && now.len() != self.map.len() as u64;
            let problem = || format!("has {} bytes, expected {}", now.len(), self.map.len());
            is_cut.then(|| self.damaged(problem()))
        })
    }

    /// The damage of an entry that was written so.
    pub(super) fn unreadable(&self, reason: &impl std::fmt::Display) -> Damage {
        self.damaged(format!("cannot be read: {reason}"))
    }

    fn damaged(&self, problem: String) -> Damage {
        Damage {
            path: self.path.clone(),
            problem,
            id: self.id,
        }
    }

    fn check_group(&self, group: usize) {
        let (word, bit) = (&self.checked[group / 64], 1 << (group % 64));
        if word.load(Ordering::Relaxed) & bit != 0 {
            return;
        }
        if self.sums.holds(&self.map, group) {
            word.fetch_or(bit, Ordering::Relaxed);
            return;
        }
        let from = group * GROUP;
        let to = (from + GROUP).min(self.sums.covered());
        // The first one found is kept.
        let _ = self.found.set(format!(
            "differs from its checksum in bytes {from} to {} of {}",
            to - 1,
            self.map.len()
        ));
    }
}

impl Backing for Mapped {
    fn check(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        // Anything else is no part of this file, and nothing is known of it.
        let from = (bytes.as_ptr() as usize).checked_sub(self.map.as_ptr() as usize);
        let Some(from) = from.filter(|from| from + bytes.len() <= self.sums.covered()) else {
            let _ = self
                .found
                .set("holds voxels where no checksum is".to_owned());
            return;
        };
        let last = (from + bytes.len() - 1) / GROUP;
        (from / GROUP..=last).for_each(|group| self.check_group(group));
    }
}
