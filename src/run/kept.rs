//! Prepared subjects that are kept: mapped from files, or in memory where no file can be had.

use crate::cache::{CacheError, Damage, Mapped, Store, content_digest};
use crate::plan::Plan;
use crate::plan::compile::orders_or_keeps;
use crate::source::{Cohort, Location, SubjectRecord, new_path};
use crate::stage::Stage as _;
use crate::stage::cache::Cache;
use crate::stage::flow::filter::Filter;
use crate::volume::{Row, nifti};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Most subjects mapped at a time: systems bound the number of mappings.
const MOST_MAPPED: usize = 16_384;

/// How often a subject's entry may be damaged before the subject is prepared without the cache.
const MOST_DAMAGED: u32 = 2;

/// A kept row, and the file its voxels lie in unless they are in memory.
#[derive(Debug, Clone)]
pub struct KeptRow {
    /// The row.
    pub row: Row,
    /// To be asked for damage once the row's voxels were read.
    pub file: Option<Arc<Mapped>>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of the rows that are held in memory.
    held: u64,
    /// Rows met so far: mapped ones, and those held.
    rows: BTreeMap<usize, KeptRow>,
    /// How often a subject's entry was damaged.
    damaged: BTreeMap<usize, u32>,
}

impl KeptRow {
    /// Bytes of memory that its voxels and sites take; mapped voxels take none.
    fn bytes_in_memory(&self) -> u64 {
        let sites = self.row.sites.as_ref().map_or(0, |sites| sites.bytes());
        let voxels = match self.file {
            Some(_) => 0,
            None => self.row.bytes(),
        };
        (voxels + sites) as u64
    }
}

/// Prepared subjects of one run.
///
/// In memory the first rows that fit stay, and none is evicted: epochs visit subjects in cycles,
/// where dropping the oldest entry would drop exactly the one needed next.
pub struct Kept {
    cohort: Arc<dyn Cohort>,
    store: Option<Store>,
    /// Whether a step before the cut asks for more than voxels.
    asks: bool,
    /// Most bytes of rows held in memory.
    limit: u64,
    state: Mutex<State>,
}

impl Kept {
    /// What a plan keeps; `limit` bounds the rows held in memory.
    ///
    /// A folder the plan names must work; where the default folder cannot be used, rows are held in
    /// memory and a warning says so.
    ///
    /// **Errors** when the folder that the step `cache` names cannot be made or listed.
    pub fn open(plan: &Plan, cohort: Arc<dyn Cohort>, limit: u64) -> Result<Self, CacheError> {
        let store = match plan.optimized.cut {
            Some(cut) => open_store(plan, cut)?,
            None => None,
        };
        let before = plan.optimized.cut.unwrap_or(0);
        let mut before = plan.pipeline.stages[..before].iter();
        let kept = Self {
            cohort,
            store,
            asks: before.any(|s| s.stage.name() == Filter::NAME),
            limit: if plan.optimized.cut.is_some() {
                limit
            } else {
                0
            },
            state: Mutex::default(),
        };
        kept.tell(plan)?;
        Ok(kept)
    }

    /// Says how much the run will keep, before it starts.
    fn tell(&self, plan: &Plan) -> Result<(), CacheError> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let subjects = self.cohort.subjects().len() as u64;
        let edge = plan.optimized.cut.and_then(|cut| match cut.checked_sub(1) {
            Some(last) => plan.edges.stages.get(last)?.bytes(),
            None => plan.edges.source.bytes(),
        });
        let show = |bytes: u64| bytesize::ByteSize(bytes).display().iec().to_string();
        let needed = edge.map_or_else(
            || "their grids differ, so their size is known when they are made".to_owned(),
            |bytes| format!("{} in all", show(bytes as u64 * subjects)),
        );
        tracing::info!(
            folder = %store.folder().display(), there = %show(store.bytes()?),
            "the cache keeps {subjects} prepared subjects: {needed}"
        );
        Ok(())
    }

    /// A subject's kept row.
    ///
    /// **Errors** if its entry in the cache is damaged, as far as it was read.
    pub fn get(&self, index: usize) -> Result<Option<KeptRow>, Damage> {
        let held = self.lock().rows.get(&index).cloned();
        if let Some(kept) = held {
            let damage = kept.file.as_ref().and_then(|file| file.damage_or_cut());
            return damage.map_or(Ok(Some(kept)), Err);
        }
        let record = &self.cohort.subjects()[index];
        let Some(store) = self.trusted_store(index) else {
            return Ok(None);
        };
        let entry = match self.content(store, record).and_then(|c| store.get(&c)) {
            Ok(Some(entry)) => entry,
            Err(CacheError::Damaged(damage)) => return Err(damage),
            // A source that cannot be read fails when it is loaded, with its reason.
            Ok(None) | Err(_) => return Ok(None),
        };
        let mut row = entry.row;
        // What the split says may have changed since.
        row.split = record.split;
        row.cohort.clone_from(&record.cohort);
        let file = Some(entry.file);
        Ok(Some(self.hold(index, KeptRow { row, file })))
    }

    /// Keeps a prepared row, and returns it as it is read from now on.
    pub fn put(&self, index: usize, row: Row) -> KeptRow {
        let record = &self.cohort.subjects()[index];
        let stored = self.trusted_store(index).map(|store| {
            let content = self.content(store, record)?;
            store.put(&content, &row)
        });
        match stored {
            Some(Ok(Some(entry))) => {
                let (row, file) = (entry.row, Some(entry.file));
                return self.hold(index, KeptRow { row, file });
            }
            Some(Err(e)) => {
                tracing::warn!(subject = %record.id, reason = %e, "not kept in the cache");
            }
            Some(Ok(None)) | None => {}
        }
        // Rows that miss the cache for a reason of its own are what they would be with it.
        let row = match &self.store {
            Some(store) if self.lock().damaged.contains_key(&index) => store.as_kept(row),
            _ => row,
        };
        self.hold(index, KeptRow { row, file: None })
    }

    /// Lets go of a damaged entry and removes its file.
    pub fn remove(&self, index: usize, damage: &Damage) {
        let first = self.store.as_ref().is_some_and(|s| s.remove(damage));
        let mut state = self.lock();
        // Another worker may have made it anew by now.
        let is_damaged = |kept: &KeptRow| {
            let file = kept.file.as_ref();
            file.is_some_and(|file| file.damage_or_cut().is_some())
        };
        if state.rows.get(&index).is_some_and(is_damaged)
            && let Some(kept) = state.rows.remove(&index)
        {
            state.held -= kept.bytes_in_memory();
        }
        let times = state.damaged.entry(index).or_default();
        // Workers that meet the same damage count once.
        *times += u32::from(first);
        if first && *times == MOST_DAMAGED {
            let subject = &self.cohort.subjects()[index].id;
            tracing::warn!(
                %subject, %damage,
                "its cache entry was damaged again: from now on it is prepared without the cache; look at the disk and the memory of this machine"
            );
        }
    }

    /// The store, unless it damaged a subject's entries too often.
    fn trusted_store(&self, index: usize) -> Option<&Store> {
        let times = self.lock().damaged.get(&index).copied();
        let trusted = times.is_none_or(|times| times < MOST_DAMAGED);
        self.store.as_ref().filter(|_| trusted)
    }

    /// Holds a row if it fits, and returns it.
    fn hold(&self, index: usize, kept: KeptRow) -> KeptRow {
        let bytes = kept.bytes_in_memory();
        let mut state = self.lock();
        let fits = state.held + bytes <= self.limit && state.rows.len() < MOST_MAPPED;
        if fits && !state.rows.contains_key(&index) {
            state.held += bytes;
            state.rows.insert(index, kept.clone());
        }
        kept
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Digest of everything a subject's voxels come from.
    fn content(&self, store: &Store, record: &SubjectRecord) -> Result<String, CacheError> {
        let mut hasher = blake3::Hasher::new();
        let roles = [("image", &record.images), ("label", &record.labels)];
        for (role, volumes) in roles {
            for volume in volumes {
                let Some(location) = &volume.location else {
                    continue;
                };
                let mut parts = vec![role.to_owned(), volume.name.clone()];
                match location {
                    Location::File { path, index } => {
                        parts.push(format!("{index:?}"));
                        for file in nifti::files_of(path) {
                            parts.push(content_digest(&file, &store.sources())?);
                        }
                    }
                    Location::Synthetic => parts.push(self.cohort.digest(record)?),
                }
                for part in parts {
                    hasher.update(&(part.len() as u64).to_le_bytes());
                    hasher.update(part.as_bytes());
                }
            }
        }
        if let Some(values) = self.cohort.label_values() {
            values.update_digest(&mut hasher);
        }
        // Rows carry their subject's name.
        hasher.update(record.id.as_bytes());
        // A condition may ask what the source says of a subject: its answer is kept with the row.
        if self.asks {
            hasher.update(record.cohort.as_bytes());
            hasher.update(record.split.name().as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}

fn open_store(plan: &Plan, cut: usize) -> Result<Option<Store>, CacheError> {
    let before = &plan.pipeline.stages[..cut];
    let written = before.iter().find(|s| s.stage.name() == Cache::NAME);
    let options: Cache = written
        .and_then(|step| serde_json::from_value(step.stage.to_json()).ok())
        .unwrap_or_default();
    let steps = before
        .iter()
        .filter(|s| !orders_or_keeps(s.stage.name()))
        .map(|s| serde_json::json!({ s.stage.name(): s.stage.to_json() }))
        .collect();
    let folder = match &options.folder {
        Some(folder) => Some(
            new_path(folder, &plan.file.folder()).map_err(|e| CacheError::folder(folder, &e))?,
        ),
        None => default_folder(),
    };
    let Some(folder) = folder else {
        tracing::warn!(
            "no cache folder is known; set VOXSTREAM_CACHE. Prepared subjects stay in memory"
        );
        return Ok(None);
    };
    let limit = options.limit_bytes().unwrap_or(u64::MAX);
    match Store::open(&folder, limit, options.precision, &steps) {
        Ok(store) => Ok(Some(store)),
        Err(e) if options.folder.is_none() => {
            tracing::warn!(reason = %e, "prepared subjects stay in memory");
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// `$VOXSTREAM_CACHE`, else `voxstream` in the user's cache folder.
fn default_folder() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    set("VOXSTREAM_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("voxstream")))
        .or_else(|| Some(set("HOME")?.join(".cache").join("voxstream")))
}
