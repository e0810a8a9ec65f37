//! Takes parts out of a run, and removes what interrupted starts left.

use super::merge::Merged;
use super::{Ledger, MERGED, RECORDS, TABLES, VOLUMES, entries, remove};
use crate::sink::parquet::is_draft;
use crate::sink::{PartRow, SinkError, io_error};
use crate::store;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Ending of the NIfTI files of a run.
const NIFTI: &str = ".nii.gz";

impl Ledger {
    /// Removes the parts that contain a subject between `first` and `last`, both included: other
    /// parts take their place. The records go first; NIfTI files stay until [`Ledger::retain`].
    ///
    /// **Errors** if a file cannot be removed, or a file that parts share not be written anew.
    pub fn retire(&mut self, first: &str, last: &str) -> Result<(), SinkError> {
        self.remove_parts(self.parts.overlapping(first, last), Some(first))
    }

    /// Removes every part whose name is not among `names`, and the NIfTI files of all that were removed, apart from
    /// those that another part has now.
    ///
    /// **Errors** as [`Ledger::retire`].
    pub fn retain(&mut self, names: &BTreeSet<String>) -> Result<(), SinkError> {
        let parts = self.parts.in_order().map(|row| &row.part);
        let stale = parts.filter(|part| !names.contains(*part)).cloned();
        self.remove_parts(stale.collect(), None)?;
        let named = self.volumes();
        let left = std::mem::take(&mut self.left);
        let left = left.difference(&named);
        (left.map(|path| self.folder.join(path))).try_for_each(|path| self.remove_volume(&path))
    }

    fn remove_parts(
        &mut self,
        stale: BTreeSet<String>,
        place: Option<&str>,
    ) -> Result<(), SinkError> {
        // Of merged parts too: an interrupted start may have left records that would count again.
        stale
            .iter()
            .try_for_each(|name| remove(&self.record(name)))?;
        // A part in their place may have been given files of the same names before.
        let rows = stale.iter().filter_map(|name| self.parts.get(name));
        self.left.extend(rows.flat_map(PartRow::volumes));
        self.separate(&stale, place)?;
        for name in stale {
            self.parts.remove(&name);
            for table in TABLES {
                remove(&self.folder.join(table).join(format!("{name}.parquet")))?;
            }
        }
        Ok(())
    }

    /// Removes a NIfTI file, and the folder of its subject with the last of them.
    fn remove_volume(&self, path: &Path) -> Result<(), SinkError> {
        remove(path)?;
        if let (None, Some(folder)) = (&self.of_store, path.parent()) {
            // One with other files stays.
            std::fs::remove_dir(folder).ok();
        }
        Ok(())
    }

    /// Takes parts out of the files that they share with others. Files that hold parts on both sides of a
    /// place are divided there, so that a part that is written for it has its rows in order.
    fn separate(&mut self, stale: &BTreeSet<String>, place: Option<&str>) -> Result<(), SinkError> {
        // Most runs share no files before their end, and this is asked at every part.
        if !self.parts.has_merged() {
            return Ok(());
        }
        let mut merged = Merged::default();
        for piece in self.pieces() {
            let is_before = |row: &PartRow| place.is_some_and(|place| *row.last_subject < *place);
            let is_gone = |row: &PartRow| stale.contains(&row.part);
            // Neighbours that stay together: what is gone divides, and so does the place.
            let runs: Vec<&[PartRow]> = piece
                .chunk_by(|a, b| is_gone(a) == is_gone(b) && is_before(a) == is_before(b))
                .collect();
            let is_untouched = runs.len() == 1 && !is_gone(&piece[0]);
            if !piece[0].is_merged() || is_untouched {
                continue;
            }
            for run in runs {
                match is_gone(&run[0]) {
                    true => merged.gone.extend(run.iter().map(|row| row.part.clone())),
                    false => merged.add(&self.folder, run, true)?,
                }
            }
            let files = piece.iter().flat_map(|row| row.part_files());
            let shared = files.filter(|file| file.is_merged());
            merged
                .replaced
                .extend(shared.map(|file| file.path.to_owned()));
        }
        if merged.rows.is_empty() && merged.gone.is_empty() {
            return Ok(());
        }
        self.write_index(&merged)?;
        self.remove_replaced(&merged)
    }

    /// Removes what an interrupted run left: see [`Ledger::unnamed`]. Returns the files.
    ///
    /// **Errors** if the folder cannot be read or a file not be removed.
    pub fn sweep(&self, in_parts: bool) -> Result<Vec<PathBuf>, SinkError> {
        let unnamed = self.unnamed(in_parts)?;
        for path in &unnamed {
            match is_volume(path) {
                true => self.remove_volume(path)?,
                false => remove(path)?,
            }
        }
        Ok(unnamed)
    }

    /// What an interrupted run left: files that no record and no index names, records that the index replaces,
    /// and drafts. NIfTI files are among them only of a run `in_parts`: those of a training have no record.
    ///
    /// **Errors** if the folder cannot be read.
    pub fn unnamed(&self, in_parts: bool) -> Result<Vec<PathBuf>, SinkError> {
        let named = self.named();
        let mut unnamed = Vec::new();
        for table in [RECORDS].into_iter().chain(TABLES).chain([""]) {
            let folder = self.folder.join(table);
            for store::Entry { path, .. } in entries(&folder)? {
                let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or("");
                let is_orphan = !table.is_empty()
                    && (stem.starts_with("part-") || stem.starts_with(MERGED))
                    && path.extension().is_some_and(|e| e == "parquet")
                    && !named.contains(&(table, stem));
                if is_orphan && self.parts.get(stem).is_none() && self.is_committed(stem)? {
                    continue;
                }
                if is_orphan || is_draft(&path) {
                    unnamed.push(path);
                }
            }
        }
        unnamed.extend(self.unnamed_volumes(in_parts)?);
        Ok(unnamed)
    }

    /// Drafts of NIfTI files, which are in folders of their subjects or checkpoints, and with `all` NIfTI files
    /// that no record names.
    fn unnamed_volumes(&self, all: bool) -> Result<Vec<PathBuf>, SinkError> {
        let named = self.volumes();
        let mut unnamed = Vec::new();
        for table in &TABLES[..VOLUMES] {
            for below in self.files_below(table)? {
                let is_unnamed = all && is_volume(Path::new(&below)) && !named.contains(&below);
                let path = self.folder.join(below);
                if is_unnamed || is_draft(&path) {
                    unnamed.push(path);
                }
            }
        }
        Ok(unnamed)
    }

    /// NIfTI files that parts have, below the run folder.
    fn volumes(&self) -> BTreeSet<String> {
        self.parts.in_order().flat_map(PartRow::volumes).collect()
    }

    /// Files in the folders of a table, below the run folder and with `/`.
    fn files_below(&self, table: &str) -> Result<Vec<String>, SinkError> {
        let folder = self.folder.join(table);
        if self.of_store.is_some() {
            let objects = store::walk(&folder).map_err(io_error(&folder, "listing the folder"))?;
            let deep = objects.into_iter().filter(|(key, _)| key.contains('/'));
            return Ok(deep.map(|(key, _)| format!("{table}/{key}")).collect());
        }
        let entries = walkdir::WalkDir::new(&folder).min_depth(2);
        let entries = entries.sort_by_file_name().into_iter();
        let files = entries
            .flatten()
            .filter(|entry| entry.file_type().is_file());
        let below = files.filter_map(|entry| {
            let below = entry.path().strip_prefix(&self.folder).ok()?;
            let names = below.iter().map(|name| name.to_str());
            Some(names.collect::<Option<Vec<_>>>()?.join("/"))
        });
        Ok(below.collect())
    }

    /// Table and stem of every file that belongs to the parts, their records among them.
    fn named(&self) -> BTreeSet<(&str, &str)> {
        let files = (self.parts.in_order()).flat_map(|row| row.part_files());
        let alone = (self.parts.in_order()).filter(|row| !row.is_merged());
        let records = alone.map(|row| (RECORDS, row.part.as_str()));
        (files.filter_map(|file| file.of_table()))
            .chain(records)
            .collect()
    }

    /// Returns `true` if a part has a commit record that the list of a store did not name yet.
    fn is_committed(&self, part: &str) -> Result<bool, SinkError> {
        let record = self.record(part);
        match self.of_store {
            Some(_) => store::exists(&record).map_err(io_error(&record, "looking for the record")),
            None => Ok(false),
        }
    }
}

impl PartRow {
    /// Its NIfTI files, below the run folder.
    fn volumes(&self) -> Vec<String> {
        let paths = self.part_files().map(|file| file.path);
        let volumes = paths.filter(|path| path.ends_with(NIFTI));
        volumes.map(str::to_owned).collect()
    }
}

/// Returns `true` if a path is that of a NIfTI file with its final name.
fn is_volume(path: &Path) -> bool {
    !is_draft(path) && path.to_string_lossy().ends_with(NIFTI)
}
