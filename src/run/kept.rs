//! Prepared subjects that are kept: mapped from files, or in memory where no file can be had.

use crate::cache::{CacheError, Store, content_digest};
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

#[derive(Debug, Default)]
struct State {
    /// Bytes of the rows that are held in memory.
    held: u64,
    /// Rows met so far: mapped ones, and those held.
    rows: BTreeMap<usize, Row>,
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
    pub fn get(&self, index: usize) -> Option<Row> {
        if let Some(row) = self.lock().rows.get(&index) {
            return Some(row.clone());
        }
        let store = self.store.as_ref()?;
        let record = &self.cohort.subjects()[index];
        let found = self.content(store, record).and_then(|c| store.get(&c));
        let mut row = match found {
            Ok(row) => row?,
            Err(CacheError::Entry { path, problem }) => {
                tracing::warn!(path = %path.display(), %problem, "a cache entry is damaged; its subject is prepared again");
                return None;
            }
            // A source that cannot be read fails when it is loaded, with its reason.
            Err(_) => return None,
        };
        // What the split says may have changed since.
        row.split = record.split;
        row.cohort.clone_from(&record.cohort);
        self.hold(index, &row, 0);
        Some(row)
    }

    /// Keeps a prepared row, and returns it as it is read from now on.
    pub fn put(&self, index: usize, row: Row) -> Row {
        let record = &self.cohort.subjects()[index];
        let stored = self.store.as_ref().map(|store| {
            let content = self.content(store, record)?;
            store.put(&content, &row)
        });
        match stored {
            Some(Ok(Some(mapped))) => {
                self.hold(index, &mapped, 0);
                return mapped;
            }
            Some(Err(e)) => {
                tracing::warn!(subject = %record.id, reason = %e, "not kept in the cache");
            }
            Some(Ok(None)) | None => {}
        }
        self.hold(index, &row, row.bytes() as u64);
        row
    }

    /// Holds a row whose voxels take so many bytes of memory: none where they are mapped.
    fn hold(&self, index: usize, row: &Row, voxels: u64) {
        let sites = row.sites.as_ref().map_or(0, |sites| sites.bytes());
        let bytes = voxels + sites as u64;
        let mut state = self.lock();
        let fits = state.held + bytes <= self.limit && state.rows.len() < MOST_MAPPED;
        if fits && !state.rows.contains_key(&index) {
            state.held += bytes;
            state.rows.insert(index, row.clone());
        }
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
