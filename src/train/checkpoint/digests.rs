//! Digests of a checkpoint's files, kept beside them: `files.json` names what does not change any more.

use super::folders::{STATE, begun, step_folder};
use super::json::{read_json, refuse, write_json};
use crate::store;
use crate::train::TrainError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The file with the digests.
const FILES: &str = "files.json";
/// The file that a training changes when it chooses the post-processing.
const MODEL: &str = "model.json";

/// BLAKE3 of each file, by its name.
type Digests = BTreeMap<String, String>;

fn digest_of(path: &Path) -> Result<String, TrainError> {
    let read = store::digest(path);
    let (digest, _) = read.map_err(|e| refuse(path, format!("cannot be read: {e}")))?;
    Ok(digest)
}

/// Writes the digests of the files of a draft.
///
/// **Errors** name the file.
pub(super) fn write(draft: &Path) -> Result<(), TrainError> {
    let entries =
        store::list(draft).map_err(|e| refuse(draft, format!("cannot be listed: {e}")))?;
    let mut digests = Digests::new();
    for entry in entries.iter().filter(|entry| !entry.path.ends_with(MODEL)) {
        let name = entry.path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        digests.insert(name, digest_of(&entry.path)?);
    }
    write_json(&draft.join(FILES), &digests)
}

/// The digests of a checkpoint; none of one that an earlier version wrote.
fn of(folder: &Path) -> Result<Digests, TrainError> {
    let list = folder.join(FILES);
    let is_there = store::exists(&list);
    match is_there.map_err(|e| refuse(&list, format!("cannot be looked up: {e}")))? {
        true => read_json(&list),
        false => Ok(Digests::new()),
    }
}

/// What is wrong with a file; `None` if it is as it was written.
fn fault(path: &Path, written: &str) -> Option<String> {
    match digest_of(path) {
        Ok(found) if found == written => None,
        Ok(found) => Some(format!("digest {found}, {written} was written")),
        Err(e) => Some(e.to_string()),
    }
}

/// Checks files of a checkpoint before they are used; those that `picked` leaves out are not read.
///
/// **Errors** name the first that is not what was written.
pub(super) fn check(folder: &Path, picked: impl Fn(&str) -> bool) -> Result<(), TrainError> {
    for (name, written) in of(folder)?.iter().filter(|(name, _)| picked(name)) {
        let path = folder.join(name);
        if let Some(problem) = fault(&path, written) {
            let help = "restore the file from a copy, or remove the folder of this checkpoint: an earlier one, if there is any, is taken then";
            return Err(refuse(&path, format!("is damaged: {problem}; {help}")));
        }
    }
    Ok(())
}

/// Checks the files of every checkpoint of a run against the digests beside them. Returns the number of files
/// checked, and those that are not what was written, each with what is wrong. Checkpoints of earlier versions
/// have no digests, and are not checked.
///
/// **Errors** when the folder cannot be read.
pub fn verify(checkpoints: &Path) -> Result<(usize, Vec<(PathBuf, String)>), TrainError> {
    let steps = begun(checkpoints);
    let steps = steps.map_err(|e| refuse(checkpoints, format!("cannot be listed: {e}")))?;
    let (mut files, mut faults) = (0, Vec::new());
    for step in steps {
        let folder = step_folder(checkpoints, step);
        let state = folder.join(STATE);
        let is_there = store::exists(&state);
        // Without its state it is what an interrupted process left.
        if !is_there.map_err(|e| refuse(&state, format!("cannot be looked up: {e}")))? {
            continue;
        }
        match of(&folder) {
            Ok(digests) => {
                files += digests.len();
                let fault_of = |(name, written): (&String, &String)| {
                    let path = folder.join(name);
                    let problem = fault(&path, written)?;
                    Some((path, problem))
                };
                faults.extend(digests.iter().filter_map(fault_of));
            }
            Err(e) => faults.push((folder.join(FILES), e.to_string())),
        }
    }
    Ok((files, faults))
}
