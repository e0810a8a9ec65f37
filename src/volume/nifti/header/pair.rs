//! The two halves of a `.hdr`/`.img` pair, each of which may be gzip.

use super::super::{format, io};
use crate::store;
use crate::volume::VolumeError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The header's file: `path` itself, or the other half when `path` ends in `.img` or `.img.gz`.
pub(super) fn header_path(path: &Path) -> PathBuf {
    other_half(path, "img", "hdr")
        .and_then(|candidates| candidates.into_iter().find(|p| is_there(p)))
        .unwrap_or_else(|| path.to_path_buf())
}

/// The voxels' file of a header that says they lie in another one.
///
/// **Errors** `Format` when the header's name is not one of a pair, `Io` when there is no image.
pub(super) fn image_path(header: &Path) -> Result<PathBuf, VolumeError> {
    let Some(candidates) = other_half(header, "hdr", "img") else {
        return Err(format(
            header,
            "magic",
            "says that the voxels lie in an .img file, but the file's name does not end in .hdr; rename it and put the .img beside it",
        ));
    };
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    match candidates.iter().find(|p| is_there(p)) {
        Some(found) => Ok(found.clone()),
        None => Err(io(&candidates[0], "opening the header's image")(missing())),
    }
}

/// Returns `true` if a file or an object is there. What a store does not say counts as absent: the half
/// that is read then tells why.
fn is_there(path: &Path) -> bool {
    store::exists(path).unwrap_or(false)
}

/// Names of the other half, the likelier first; `None` when `path` does not end in `.from`.
fn other_half(path: &Path, from: &str, to: &str) -> Option<[PathBuf; 2]> {
    let is = |path: &Path, ending: &str| {
        path.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case(ending))
    };
    let gzip = is(path, "gz");
    let bare = if gzip {
        path.with_extension("")
    } else {
        path.to_path_buf()
    };
    if !is(&bare, from) {
        return None;
    }
    let upper = bare.extension()?.to_str()?.chars().all(char::is_uppercase);
    let to = if upper {
        to.to_uppercase()
    } else {
        to.to_owned()
    };
    let plain = bare.with_extension(to);
    let mut name = OsString::from(&plain);
    name.push(".gz");
    let zipped = PathBuf::from(name);
    Some(if gzip {
        [zipped, plain]
    } else {
        [plain, zipped]
    })
}
