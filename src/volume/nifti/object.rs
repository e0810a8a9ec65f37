//! Volumes in stores: the header by one request, the voxels inflated while they are on their way.

use super::inflate::{self, Block, GZIP, Head, Placed};
use super::io;
use crate::store::{Location, Object, ObjectUrl, READ_AHEAD, Version, is_url, many};
use crate::volume::{VolumeError, Voxel};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes asked for to read a header: enough of a gzip stream for the longer of the two.
const HEAD_BYTES: u64 = 16 << 10;
/// Heads that are remembered, each of about 700 bytes.
const REMEMBERED: usize = 1 << 16;

/// An object, and the first bytes of its content.
struct Opened {
    object: Object,
    /// At most [`inflate::LONGEST`], inflated.
    bytes: Vec<u8>,
    gzip: bool,
}

/// What was opened, so that planning, the cut, the estimate and the reading of a subject ask the store
/// once, and are about one version of its objects.
static OPENED: Mutex<BTreeMap<PathBuf, Arc<Opened>>> = Mutex::new(BTreeMap::new());

fn remembered() -> MutexGuard<'static, BTreeMap<PathBuf, Arc<Opened>>> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The URL that a path carries; `None` for a local file.
///
/// **Errors** `Io` if it is no URL that can be read.
pub(super) fn url_of(path: &Path) -> Result<Option<ObjectUrl>, VolumeError> {
    if !is_url(path) {
        return Ok(None);
    }
    match Location::of(path).map_err(io(path, "opening"))? {
        Location::Object(url) => Ok(Some(url)),
        Location::Local(_) => Ok(None),
    }
}

fn opened(path: &Path, url: &ObjectUrl) -> Result<Arc<Opened>, VolumeError> {
    if let Some(known) = remembered().get(path) {
        return Ok(Arc::clone(known));
    }
    let (object, head) =
        Object::open_with_head(url, HEAD_BYTES).map_err(io(path, "reading the header"))?;
    let gzip = head.starts_with(&GZIP);
    let opened = Arc::new(Opened {
        object,
        bytes: inflate::first_bytes(path, &head[..], gzip, inflate::LONGEST)?,
        gzip,
    });
    let mut all = remembered();
    if all.len() >= REMEMBERED {
        all.clear();
    }
    all.insert(path.to_owned(), Arc::clone(&opened));
    Ok(opened)
}

/// The first bytes of an object, up to `limit`.
///
/// **Errors** as [`inflate::head`].
pub(super) fn head(path: &Path, url: &ObjectUrl, limit: u64) -> Result<Head, VolumeError> {
    let opened = opened(path, url)?;
    let count = opened.bytes.len().min(limit as usize);
    Ok(Head {
        bytes: opened.bytes[..count].to_vec(),
        gzip: opened.gzip,
        file_bytes: opened.object.version().bytes,
    })
}

/// Reads `count` voxels of a block in the object's byte order.
///
/// **Errors** as [`inflate::voxels`]; `Io` if the object has changed since its header was read.
pub(super) fn voxels<T: Voxel>(
    path: &Path,
    url: &ObjectUrl,
    block: Block,
    count: usize,
) -> Result<Placed<T>, VolumeError> {
    let opened = opened(path, url)?;
    let whole = opened.object.version().bytes;
    let end = block.offset.saturating_add(block.whole);
    inflate::check_length(path, &head(path, url, 0)?, end)?;
    if opened.gzip {
        let reader = opened.object.reader(0..whole);
        return inflate::inflated(path, block, count, end, |out| {
            inflate::members(path, Box::new(reader), out)
        });
    }
    let start = block.offset + block.skip;
    let mut voxels = inflate::zeroed::<T>(path, count)?;
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut voxels);
    let mut reader = opened.object.reader(start..start + bytes.len() as u64);
    reader
        .read_exact(bytes)
        .map_err(io(path, "reading the voxels"))?;
    Ok(voxels.into())
}

/// Version of the object that a path names; `None` for a local file.
///
/// **Errors** as [`super::read_header`].
pub(super) fn version(path: &Path) -> Result<Option<Version>, VolumeError> {
    let Some(url) = url_of(path)? else {
        return Ok(None);
    };
    Ok(Some(opened(path, &url)?.object.version().clone()))
}

/// Bytes held beside the voxels while a volume is read: those of its object that are on their way; 0 for
/// a local file and for an object that cannot be opened.
pub(super) fn fetch_bytes(path: &Path) -> u64 {
    let version = version(path).ok().flatten();
    version.map_or(0, |version| version.bytes.min(READ_AHEAD))
}

/// Opens the objects among `paths`, many at a time, so that their headers are at hand.
///
/// An object that cannot be opened is left to whoever needs it.
pub(super) fn prefetch(paths: &[&Path]) {
    let paths: Vec<&Path> = (paths.iter().copied())
        .filter(|path| is_url(path))
        .take(REMEMBERED)
        .collect();
    many(&paths, |path| {
        if let Ok(Some(url)) = url_of(path) {
            opened(path, &url).ok();
        }
    });
}
