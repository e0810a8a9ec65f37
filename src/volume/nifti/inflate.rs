//! Bytes of a file, inflated when they are gzip. No size is believed before the file confirms it.

use super::{format, io};
use crate::store::StoreError;
use crate::volume::{Dtype, VolumeError, Voxel};
use arrow::buffer::Buffer;
use arrow::datatypes::ArrowNativeType;
use flate2::bufread::{GzDecoder, MultiGzDecoder};
use libdeflater::Decompressor;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// What a gzip member begins with.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Bytes of the longer of the two headers.
pub(super) const LONGEST: u64 = 540;

/// Deflate's best ratio: a back-reference of 258 bytes in two bits.
const BEST_RATIO: u64 = 1032;

/// The part of a buffer that may be held beside the voxels in it, as a divisor.
const LITTLE: usize = 64;

/// Bytes of a NIfTI-1 header.
const SHORTER_HEADER: u64 = 348;

/// A file's first bytes and what is known without reading more.
pub(super) struct Head {
    /// The first bytes, inflated.
    pub(super) bytes: Vec<u8>,
    /// Whether the file is gzip.
    pub(super) gzip: bool,
    /// The file's length on disk.
    pub(super) file_bytes: u64,
}

/// Where the wanted voxels lie, in bytes of the inflated file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// First byte of the first volume.
    pub(super) offset: u64,
    /// Bytes of all volumes.
    pub(super) whole: u64,
    /// Bytes of the volumes before the wanted one.
    pub(super) skip: u64,
}

/// Voxels in the buffer that they were read into, which may hold a few bytes before and behind them.
pub(super) struct Placed<T> {
    numbers: Vec<T>,
    range: Range<usize>,
}

impl<T: Voxel> Placed<T> {
    /// The voxels in the file's byte order.
    pub(super) fn numbers_mut(&mut self) -> &mut [T] {
        &mut self.numbers[self.range.clone()]
    }

    /// The voxels' bytes, without a copy.
    pub(super) fn into_buffer(self) -> Buffer
    where
        T: ArrowNativeType,
    {
        let [start, length] = [self.range.start, self.range.len()].map(|n| n * size_of::<T>());
        Buffer::from_vec(self.numbers).slice_with_length(start, length)
    }
}

impl<T> From<Vec<T>> for Placed<T> {
    fn from(numbers: Vec<T>) -> Self {
        let range = 0..numbers.len();
        Self { numbers, range }
    }
}

/// Reads up to `limit` bytes; fewer when the file is shorter.
///
/// **Errors** `Io`, and `Format` when a gzip file is damaged within the shorter of the two headers.
pub(super) fn head(path: &Path, limit: u64) -> Result<Head, VolumeError> {
    let file = File::open(path).map_err(io(path, "opening"))?;
    let file_bytes = file
        .metadata()
        .map_err(io(path, "reading the length"))?
        .len();
    let mut reader = BufReader::new(file);
    let mut magic = Vec::with_capacity(2);
    (&mut reader)
        .take(2)
        .read_to_end(&mut magic)
        .map_err(io(path, "reading"))?;
    let gzip = magic == GZIP;
    reader.rewind().map_err(io(path, "reading"))?;
    Ok(Head {
        bytes: first_bytes(path, reader, gzip, limit)?,
        gzip,
        file_bytes,
    })
}

/// Reads up to `limit` bytes, inflated if `gzip` is set.
///
/// **Errors** as [`head`].
pub(super) fn first_bytes(
    path: &Path,
    reader: impl BufRead,
    gzip: bool,
    limit: u64,
) -> Result<Vec<u8>, VolumeError> {
    let mut bytes = Vec::with_capacity(limit as usize);
    if gzip {
        let mut inflated = MultiGzDecoder::new(reader).take(limit);
        let outcome = inflated.read_to_end(&mut bytes);
        // A small file ends, or is damaged, behind its header: whoever reads the voxels reports it.
        if let Err(error) = outcome
            && bytes.len() < limit.min(SHORTER_HEADER) as usize
        {
            return Err(damaged(path, bytes.len(), limit.min(SHORTER_HEADER), error));
        }
    } else {
        reader
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(io(path, "reading"))?;
    }
    Ok(bytes)
}

/// Holds a promise of `end` bytes against what a file of this length can contain.
///
/// **Errors** `Format` naming bytes expected and found.
pub(super) fn check_length(path: &Path, head: &Head, end: u64) -> Result<(), VolumeError> {
    let found = head.file_bytes;
    if !head.gzip && found < end {
        return Err(format(
            path,
            "voxels",
            format!(
                "cut off: the header promises a file of {end} bytes, found {found}; copy the file again from its origin"
            ),
        ));
    }
    if head.gzip && end > found.saturating_mul(BEST_RATIO) {
        let most = found.saturating_mul(BEST_RATIO);
        return Err(format(
            path,
            "dim",
            format!(
                "the header promises {end} bytes, but {found} bytes of gzip hold {most} at most; the header is damaged or the file cut off"
            ),
        ));
    }
    Ok(())
}

/// Reads `count` voxels of a block in the file's byte order.
///
/// **Errors** `Io`; `Format` when the file is cut off, damaged or too big for memory.
pub(super) fn voxels<T: Voxel>(
    path: &Path,
    block: Block,
    count: usize,
) -> Result<Placed<T>, VolumeError> {
    let head = head(path, 0)?;
    let end = block.offset.saturating_add(block.whole);
    check_length(path, &head, end)?;
    if head.gzip {
        let compressed = std::fs::read(path).map_err(io(path, "reading"))?;
        inflated(path, block, count, end, |out| {
            // Several members, bytes after the voxels and damage all end here without a full buffer;
            // the slower way reads the first two and says what is wrong with the third.
            match Decompressor::new().gzip_decompress(&compressed, out) {
                Ok(filled) if filled == out.len() => Ok(()),
                _ => members(path, Box::new(&compressed[..]), out),
            }
        })
    } else {
        plain(path, block, count).map(Placed::from)
    }
}

fn plain<T: Voxel>(path: &Path, block: Block, count: usize) -> Result<Vec<T>, VolumeError> {
    let mut file = File::open(path).map_err(io(path, "opening"))?;
    file.seek(SeekFrom::Start(block.offset + block.skip))
        .map_err(io(path, "reading"))?;
    let mut voxels = zeroed::<T>(path, count)?;
    file.read_exact(bytemuck::cast_slice_mut(&mut voxels))
        .map_err(io(path, "reading the voxels"))?;
    Ok(voxels)
}

/// Inflates a file by `fill`, and keeps the wanted voxels of it.
///
/// One buffer takes header and voxels, since libdeflate inflates in one shot or not at all. Behind a header
/// the voxels stay where they are: moving them costs a twentieth of inflating. They move to the front
/// where another volume's bytes would be kept for nothing, and where they are f32, because those are
/// changed in place, in a buffer that is theirs alone.
pub(super) fn inflated<T: Voxel>(
    path: &Path,
    block: Block,
    count: usize,
    end: u64,
    fill: impl FnOnce(&mut [u8]) -> Result<(), VolumeError>,
) -> Result<Placed<T>, VolumeError> {
    let size = size_of::<T>();
    let all = usize::try_from(end).map_err(|_| too_big(path, end))?;
    let mut numbers = zeroed::<T>(path, all.div_ceil(size))?;
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut numbers);
    fill(&mut bytes[..all])?;
    let start = (block.offset + block.skip) as usize;
    let beside = all - count * size;
    if T::DTYPE != Dtype::F32 && start.is_multiple_of(size) && beside <= all / LITTLE {
        let range = start / size..start / size + count;
        return Ok(Placed { numbers, range });
    }
    bytes.copy_within(start..start + count * size, 0);
    numbers.truncate(count);
    if numbers.capacity() > 2 * count {
        numbers.shrink_to_fit();
    }
    Ok(numbers.into())
}

/// Fills `out` from gzip members, each checked to its end; bytes after the last needed member are
/// ignored.
pub(super) fn members(
    path: &Path,
    compressed: Box<dyn BufRead + '_>,
    out: &mut [u8],
) -> Result<(), VolumeError> {
    let expected = out.len() as u64;
    let (mut rest, mut filled) = (compressed, 0);
    loop {
        let mut member = GzDecoder::new(rest);
        loop {
            match member.read(&mut out[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) => return Err(damaged(path, filled, expected, error)),
            }
        }
        // The checksum is behind the member's last byte.
        if let Err(error) = std::io::copy(&mut member, &mut std::io::sink()) {
            return Err(damaged(path, filled, expected, error));
        }
        rest = member.into_inner();
        if filled == out.len() {
            return Ok(());
        }
        let mut magic = Vec::with_capacity(2);
        let next = (&mut rest).take(2).read_to_end(&mut magic);
        next.map_err(io(path, "reading"))?;
        if magic != GZIP {
            return Err(cut_off(path, filled, expected));
        }
        rest = Box::new(std::io::Cursor::new(magic).chain(rest));
    }
}

/// A zeroed vector, or an error where `vec!` would end the process.
pub(super) fn zeroed<T: Voxel>(path: &Path, count: usize) -> Result<Vec<T>, VolumeError> {
    bytemuck::allocation::try_zeroed_vec(count)
        .map_err(|()| too_big(path, count as u64 * size_of::<T>() as u64))
}

fn too_big(path: &Path, bytes: u64) -> VolumeError {
    let source = std::io::Error::new(
        ErrorKind::OutOfMemory,
        format!("{bytes} bytes are not to be had"),
    );
    io(path, "allocating the voxels")(source)
}

fn cut_off(path: &Path, found: usize, expected: u64) -> VolumeError {
    format(
        path,
        "gzip",
        format!(
            "cut off: expected {expected} inflated bytes, found {found}; copy the file again from its origin"
        ),
    )
}

fn damaged(path: &Path, found: usize, expected: u64, error: std::io::Error) -> VolumeError {
    // The store failed, which says nothing of the object.
    if error
        .get_ref()
        .is_some_and(|inner| inner.is::<StoreError>())
    {
        return io(path, "reading")(error);
    }
    if error.kind() == ErrorKind::UnexpectedEof {
        return if (found as u64) < expected {
            cut_off(path, found, expected)
        } else {
            format(
                path,
                "gzip",
                "cut off: all voxels are there, but not the checksum that proves them; copy the file again from its origin",
            )
        };
    }
    format(
        path,
        "gzip",
        format!(
            "damaged after {found} of {expected} inflated bytes ({error}); copy the file again from its origin"
        ),
    )
}
