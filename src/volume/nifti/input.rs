//! A NIfTI file where it is: on a disk, or in an object store.

use super::inflate::{self, Block, Head, Placed};
use super::object;
use crate::volume::{VolumeError, Voxel};
use std::path::Path;

/// Reads up to `limit` bytes; fewer when the file is shorter.
///
/// **Errors** `Io`, and `Format` when a gzip file is damaged within the shorter of the two headers.
pub(super) fn head(path: &Path, limit: u64) -> Result<Head, VolumeError> {
    match object::url_of(path)? {
        Some(url) => object::head(path, &url, limit),
        None => inflate::head(path, limit),
    }
}

/// Reads `count` voxels of a block in the file's byte order.
///
/// **Errors** `Io`; `Format` when the file is cut off, damaged or too big for memory.
pub(super) fn voxels<T: Voxel>(
    path: &Path,
    block: Block,
    count: usize,
) -> Result<Placed<T>, VolumeError> {
    match object::url_of(path)? {
        Some(url) => object::voxels(path, &url, block, count),
        None => inflate::voxels(path, block, count),
    }
}
