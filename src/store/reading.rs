//! Reading paths that may be local or URLs.

use super::Location;
use super::listing::list;
use super::object::{Object, Version};
use std::fs;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Reads a file or an object whole.
///
/// **Errors** if it is absent or cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    match Location::of(path)? {
        Location::Local(path) => fs::read(path),
        Location::Object(url) => Ok(Object::open_and_read(&url)?.1.into()),
    }
}

/// Reads a text whole.
///
/// **Errors** as [`read`]; `InvalidData` if it is not UTF-8.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|e| io::Error::new(ErrorKind::InvalidData, e))
}

/// Opens a file or an object to be read from front to back.
///
/// **Errors** if it is absent or cannot be read.
pub fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    Ok(match Location::of(path)? {
        Location::Local(path) => Box::new(BufReader::new(fs::File::open(path)?)),
        Location::Object(url) => {
            let object = Object::open(&url)?;
            let bytes = object.version().bytes;
            Box::new(object.reader(0..bytes))
        }
    })
}

/// BLAKE3 of a file or an object, in hex, and its bytes.
///
/// **Errors** if it is absent or cannot be read.
pub fn digest(path: &Path) -> io::Result<(String, u64)> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(open(path)?)?;
    Ok((hasher.finalize().to_hex().to_string(), hasher.count()))
}

/// Size and time of change of a file or an object.
///
/// **Errors** if it is absent, or a folder of a store.
pub fn metadata(path: &Path) -> io::Result<Version> {
    match Location::of(path)? {
        Location::Local(path) => {
            let metadata = fs::metadata(path)?;
            // Before 1970 the clock is wrong anyway; any constant will do.
            let changed = metadata.modified()?.duration_since(UNIX_EPOCH);
            let nanos = changed.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
            Ok(Version {
                bytes: metadata.len(),
                changed_nanos: nanos,
                tag: None,
            })
        }
        Location::Object(url) => Ok(Object::open(&url)?.version().clone()),
    }
}

/// Returns `true` if a file or an object is there, or a local folder.
///
/// **Errors** if a store refuses or cannot be reached.
pub fn exists(path: &Path) -> io::Result<bool> {
    match Location::of(path)? {
        Location::Local(path) => Ok(path.exists()),
        Location::Object(url) => match Object::open(&url) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        },
    }
}

/// Returns `true` if a path is that of a folder: in a store, if an object is below it.
///
/// **Errors** if a store refuses or cannot be reached.
pub fn is_dir(path: &Path) -> io::Result<bool> {
    match Location::of(path)? {
        Location::Local(path) => Ok(path.is_dir()),
        Location::Object(_) => match list(path) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        },
    }
}
