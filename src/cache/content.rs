//! Digests of source files, remembered by path, size and time of change.

use super::CacheError;
use crate::store;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// What is remembered of a file.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Seen {
    path: String,
    bytes: u64,
    changed_nanos: u128,
    blake3: String,
}

/// The blake3 digest of a file's bytes, as hexadecimal text.
///
/// The file is read once; after that its digest is found in `memory` as long as its size and time
/// of change stay.
///
/// Of an object in a store it is the digest of its URL, size and tag, or time of change if it has no tag:
/// nothing of it is read.
///
/// **Errors** when the file cannot be read.
pub fn content_digest(path: &Path, memory: &Path) -> Result<String, CacheError> {
    if store::is_url(path) {
        let version = store::metadata(path).map_err(CacheError::io(path, "looking up"))?;
        let changed = version.changed_nanos.to_string();
        let tag = version.tag.as_deref().unwrap_or(&changed);
        let text = format!("{}\n{}\n{tag}", path.display(), version.bytes);
        return Ok(blake3::hash(text.as_bytes()).to_hex().to_string());
    }
    let metadata =
        std::fs::metadata(path).map_err(CacheError::io(path, "reading size and time"))?;
    let changed = metadata
        .modified()
        .map_err(CacheError::io(path, "reading the time of change"))?;
    // One file means one place in the memory, however it was spelt.
    let whole = path
        .canonicalize()
        .map_err(CacheError::io(path, "finding the file"))?;
    let whole = whole.to_string_lossy().into_owned();
    let note = memory.join(format!("{}.json", blake3::hash(whole.as_bytes()).to_hex()));
    let mut seen = Seen {
        path: whole,
        bytes: metadata.len(),
        changed_nanos: changed
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos()),
        blake3: String::new(),
    };
    let before = std::fs::read(&note)
        .ok()
        .and_then(|text| serde_json::from_slice::<Seen>(&text).ok());
    if let Some(before) = before {
        seen.blake3.clone_from(&before.blake3);
        if before == seen {
            return Ok(seen.blake3);
        }
    }
    let file = std::fs::File::open(path).map_err(CacheError::io(path, "opening the file"))?;
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_reader(file)
        .map_err(CacheError::io(path, "reading the file"))?;
    seen.blake3 = hasher.finalize().to_hex().to_string();
    // A digest that cannot be remembered is computed again; nothing else depends on the note.
    let written = tempfile::NamedTempFile::new_in(memory).and_then(|file| {
        serde_json::to_writer(&file, &seen)?;
        file.persist(&note).map_err(|e| e.error)
    });
    if let Err(e) = written {
        tracing::debug!(note = %note.display(), reason = %e, "a source's digest is not remembered");
    }
    Ok(seen.blake3)
}
