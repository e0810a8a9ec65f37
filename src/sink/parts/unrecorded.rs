//! Checks the tables and volumes of a run that no commit record names, by the checksums that they carry.

use super::entries;
use crate::sink::parquet::{for_each_batch, is_draft};
use crate::sink::stored::{is_stored_volume, read_stored_volume};
use crate::sink::{SinkError, causes};
use crate::volume::nifti;
use arrow::array::AsArray;
use std::path::{Path, PathBuf};

/// Folders of a training's volumes.
const FOLDERS: [&str; 3] = ["predictions", "pseudo_labels", "views"];

/// Reads every table of the run as a whole, and of a run that is not `in_parts` every volume: Parquet pages,
/// checksums of voxels, and those of gzip. Returns the number of files read, and those that cannot be read with the reason.
///
/// **Errors** if a folder cannot be listed.
pub fn verify_unrecorded(
    run: &Path,
    in_parts: bool,
) -> Result<(usize, Vec<(PathBuf, String)>), SinkError> {
    let mut files = files_below(run, false)?;
    if !in_parts {
        for folder in FOLDERS {
            files.extend(files_below(&run.join(folder), true)?);
        }
    }
    let problem = |path: &PathBuf| {
        let read = match path.extension().is_some_and(|e| e == "parquet") {
            true => read_whole(path).map_err(|e| causes(&e)),
            false => nifti::read(path, None).map(drop).map_err(|e| causes(&e)),
        };
        Some((path.clone(), read.err()?))
    };
    let faults = files.iter().filter_map(problem).collect();
    Ok((files.len(), faults))
}

/// Tables and volumes in a folder, and with `deep` in those below it.
fn files_below(folder: &Path, deep: bool) -> Result<Vec<PathBuf>, SinkError> {
    let mut files = Vec::new();
    for entry in entries(folder)? {
        if entry.is_folder {
            if deep {
                files.extend(files_below(&entry.path, true)?);
            }
            continue;
        }
        let name = entry.path.to_string_lossy();
        let kept = [".parquet", ".nii.gz"]
            .iter()
            .any(|end| name.ends_with(end));
        if kept && !is_draft(&entry.path) {
            files.push(entry.path);
        }
    }
    Ok(files)
}

/// Reads a table, the voxels of its volumes included.
fn read_whole(path: &Path) -> Result<(), SinkError> {
    for_each_batch(path, |batch| {
        let columns = batch.columns().iter();
        for column in columns.filter(|column| is_stored_volume(column.data_type())) {
            for row in 0..batch.num_rows() {
                read_stored_volume(column.as_struct(), row)?;
            }
        }
        Ok(())
    })
}
