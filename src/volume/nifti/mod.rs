//! NIfTI in and out: the only door to `.nii`, `.nii.gz` and `.hdr`/`.img` files.
//!
//! A path may be that of an object in a store ([`crate::store`]): its header is read with the first
//! kilobytes, its voxels are inflated while they are on their way.
//!
//! NIfTI's order, x fastest, is row-major `[z, y, x]`: decoding needs no transpose. Integers stay
//! as stored, with slope and intercept in the volume's [`Scaling`].
//!
//! What is read, and what is decided on purpose:
//!
//! | file | here |
//! | --- | --- |
//! | NIfTI-1 and NIfTI-2, both byte orders, single file or pair, gzip or not | read; gzip is known by its first bytes, never by the name |
//! | 1-D and 2-D files | read; missing axes have one voxel |
//! | 4-D files | one 3-D volume, chosen by `index`; a fourth axis of length 1 needs no choice |
//! | affine | sform if its code is above 0, else qform, else pixel sizes with the origin at the centre and x flipped, as nibabel does |
//! | metres and micrometres | converted to mm |
//! | `scl_slope` 0, NaN or infinite | no scaling, as the standard says |
//! | `vox_offset`, extensions | the offset counts; bytes before it are skipped |
//! | bytes after the voxels or after the last gzip member | ignored, as nibabel does |
//! | gzip of several members (bgzip, `pigz -i`, `cat`) | read |
//! | gzip with a wrong checksum or a cut trailer | refused, though nibabel reads it: damaged voxels would train a model without a word |
//! | `bitpix` that contradicts `datatype` | refused, though nibabel mends it: one of the two is wrong and nobody knows which |
//! | NaN affine | refused as no grid |
//! | sform with a code, but without content, beside a sound qform | refused: the message says how to mend it |
//! | sform and qform more than half a voxel apart; voxel sizes of 0 that matter | read as above; [`Header::remarks`] |
//! | RGB, complex, 128-bit floats, 5-D and vectors, ANALYZE 7.5 | unsupported, with a hint |
//!
//! The package `nifti` reads the fields of NIfTI-1 headers and gives codes their types. The rest is
//! here: it knows no NIfTI-2, ignores `vox_offset`, inflates one gzip member and no checksum, and
//! panics where type and bits a voxel disagree.
//!
//! No size is believed before the file's own length confirms it: plain files must be as long as
//! the header promises, gzip files long enough for deflate's best ratio, 1032 to 1.

mod affine;
mod decode;
mod header;
mod inflate;
mod input;
mod labels;
mod object;
mod write;

#[cfg(test)]
mod tests;

pub use header::{ByteOrder, Header, Layout, Version, alignment, intent};
pub use labels::{IGNORED, LabelValues};
pub use write::{DRAFT, write};

#[cfg(doc)]
use super::Scaling;
use super::{Volume, VolumeError};
use crate::store::Version as ObjectVersion;
use std::path::{Path, PathBuf};

/// Reads and checks a file's header; of a gzip file only the first kilobytes are inflated.
///
/// `path` may name either half of a pair. The voxels are not read, but the file's length is held
/// against the header, so a truncated plain file is found here.
///
/// **Errors** `Io`, `Format`, `Unsupported` or `Grid`, as the module's table says.
pub fn read_header(path: &Path) -> Result<Header, VolumeError> {
    header::read(path)
}

/// The files a volume is in: `path`, or both halves of the pair it belongs to.
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    header::files_of(path)
}

/// Size, tag and time of change of the object that a path names, as they were when its header was read;
/// `None` for a local file.
///
/// **Errors** `Io` if the store has no such object, refuses or cannot be reached; `Format` if it is
/// damaged gzip.
pub fn object_version(path: &Path) -> Result<Option<ObjectVersion>, VolumeError> {
    object::version(path)
}

/// Bytes that are held beside the voxels while a volume is read from a store; 0 for a local file.
pub fn fetch_bytes(path: &Path) -> u64 {
    object::fetch_bytes(path)
}

/// Reads the headers of the objects among `paths`, many at a time, and remembers them; local files are
/// passed over, as are objects that cannot be read.
pub fn prefetch_headers(paths: &[&Path]) {
    object::prefetch(paths);
}

/// Reads one 3-D volume `[z, y, x]` as it is stored, scaling kept beside it.
///
/// `index` chooses along the fourth axis (the modalities of Decathlon-style files); of a plain
/// file only that block is read. A file with one volume takes `None` or `Some(0)`.
///
/// **Errors** as [`read_header`]; `Format` when the choice is missing or out of range, when the
/// voxels are cut off or when the gzip stream is damaged.
pub fn read(path: &Path, index: Option<usize>) -> Result<Volume, VolumeError> {
    let header = header::read(path)?;
    let index = header.choose(path, index)?;
    decode::volume(&header, index)
}

/// Reads one label map `[z, y, x]` as u8, or u16 when a class number is above 255.
///
/// Labels stored as floats or with a scaling are common: every value must be within 1e-3 of a whole
/// number from 0 to 65535, with a slope below 1 within half a slope. Values that `values` maps may be
/// any whole number; those that it ignores mark unannotated voxels: they become [`IGNORED`].
///
/// **Errors** as [`read`]; `Format` with the first offending value and its voxel.
pub fn read_labels(
    path: &Path,
    index: Option<usize>,
    values: &LabelValues,
) -> Result<Volume, VolumeError> {
    labels::from_volume(path, read(path, index)?, values)
}

/// A breach of the format.
fn format(path: &Path, field: &'static str, problem: impl Into<String>) -> VolumeError {
    VolumeError::Format {
        path: PathBuf::from(path),
        field,
        problem: problem.into(),
    }
}

/// Adds file and action to a system's error.
fn io<'a>(path: &'a Path, action: &'static str) -> impl FnOnce(std::io::Error) -> VolumeError + 'a {
    move |source| VolumeError::Io {
        path: PathBuf::from(path),
        action,
        source,
    }
}
