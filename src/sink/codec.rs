//! Voxel bytes in Parquet: bytes shuffled into planes, then zstd.
//!
//! Neighbouring voxels share their high bytes, so byte planes compress better and faster than
//! interleaved values, and a blob pays none of the per-value cost of a list column. Compression
//! level 1: higher levels gain little on shuffled voxels and cost an order of magnitude.

use super::SinkError;
use std::io::Write as _;

const LEVEL: i32 = 1;

/// Voxels shuffled at a time.
const BLOCK: usize = 1 << 16;

/// Name of the codec for voxels of `itemsize` bytes: `zstd1`, or `shuffle2+zstd1` and so on.
pub fn name(itemsize: usize) -> String {
    if itemsize > 1 {
        format!("shuffle{itemsize}+zstd1")
    } else {
        "zstd1".to_owned()
    }
}

/// Encodes voxels of `itemsize` bytes each.
///
/// **Errors** when the bytes are no whole number of voxels or zstd fails.
pub fn encode(bytes: &[u8], itemsize: usize) -> Result<Vec<u8>, SinkError> {
    check_size(bytes.len(), itemsize)?;
    compress(bytes, itemsize).map_err(|e| stored(format!("zstd could not compress: {e}")))
}

/// Compresses plane after plane, a block at a time: planes of a whole volume would double its memory.
fn compress(bytes: &[u8], itemsize: usize) -> std::io::Result<Vec<u8>> {
    // Room for the worst case: pages that stay untouched take no memory.
    let most = zstd::zstd_safe::compress_bound(bytes.len());
    let mut encoder = zstd::Encoder::new(Vec::with_capacity(most), LEVEL)?;
    encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
    encoder.include_contentsize(true)?;
    if itemsize == 1 {
        encoder.write_all(bytes)?;
        return encoder.finish();
    }
    let mut plane = Vec::with_capacity(BLOCK);
    for byte in 0..itemsize {
        for block in bytes.chunks(BLOCK * itemsize) {
            plane.clear();
            plane.extend(block.chunks_exact(itemsize).map(|voxel| voxel[byte]));
            encoder.write_all(&plane)?;
        }
    }
    encoder.finish()
}

/// Decodes a blob into `length` bytes of voxels of `itemsize` bytes each.
///
/// **Errors** when the blob is damaged or decodes into another length.
pub fn decode(blob: &[u8], itemsize: usize, length: usize) -> Result<Vec<u8>, SinkError> {
    check_size(length, itemsize)?;
    let planes = decompress(blob, length)?;
    Ok(match itemsize {
        2 => unshuffle2(&planes),
        4 => unshuffle4(&planes),
        8 => unshuffle8(&planes),
        _ => planes,
    })
}

/// Decompresses the planes of a blob. No length is believed before it is checked: a damaged one would end the
/// process for want of memory.
fn decompress(blob: &[u8], length: usize) -> Result<Vec<u8>, SinkError> {
    let damaged =
        |problem: String| stored(format!("{problem}; the file is damaged, write it again"));
    let wrong = |found: u64| damaged(format!("decoded into {found} bytes, expected {length}"));
    // What we write states its length; other writers may not.
    if let Ok(Some(found)) = zstd::zstd_safe::get_frame_content_size(blob)
        && found != length as u64
    {
        return Err(wrong(found));
    }
    let mut planes = Vec::new();
    planes
        .try_reserve_exact(length)
        .map_err(|e| damaged(format!("no room for {length} bytes of voxels: {e}")))?;
    let filled = zstd::bulk::Decompressor::new()
        .and_then(|mut zstd| zstd.decompress_to_buffer(blob, &mut planes))
        .map_err(|e| {
            damaged(format!(
                "zstd could not decompress into {length} bytes: {e}"
            ))
        })?;
    if filled != length {
        return Err(wrong(filled as u64));
    }
    Ok(planes)
}

fn stored(problem: String) -> SinkError {
    SinkError::Stored { problem }
}

fn check_size(length: usize, itemsize: usize) -> Result<(), SinkError> {
    if !matches!(itemsize, 1 | 2 | 4 | 8) {
        return Err(stored(format!(
            "voxels of {itemsize} bytes; expected 1, 2, 4 or 8"
        )));
    }
    if !length.is_multiple_of(itemsize) {
        return Err(stored(format!(
            "{length} bytes are no whole number of {itemsize}-byte voxels"
        )));
    }
    Ok(())
}

// The way back is a zip over planes of one length: no bounds checks, so the compiler vectorises.

fn unshuffle2(planes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; planes.len()];
    let (low, high) = planes.split_at(planes.len() / 2);
    let (voxels, _) = out.as_chunks_mut::<2>();
    for ((voxel, &a), &b) in voxels.iter_mut().zip(low).zip(high) {
        *voxel = [a, b];
    }
    out
}

fn unshuffle4(planes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; planes.len()];
    let [a, b, c, d] = quarters(planes);
    let (voxels, _) = out.as_chunks_mut::<4>();
    for ((((voxel, &a), &b), &c), &d) in voxels.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *voxel = [a, b, c, d];
    }
    out
}

fn unshuffle8(planes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; planes.len()];
    let (low, high) = planes.split_at(planes.len() / 2);
    let (voxels, _) = out.as_chunks_mut::<8>();
    for (at, half) in [(0, low), (4, high)] {
        let [a, b, c, d] = quarters(half);
        for ((((voxel, &a), &b), &c), &d) in voxels.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            voxel[at..at + 4].copy_from_slice(&[a, b, c, d]);
        }
    }
    out
}

fn quarters(planes: &[u8]) -> [&[u8]; 4] {
    let n = planes.len() / 4;
    [0, 1, 2, 3].map(|i| &planes[i * n..(i + 1) * n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn planes_hold_bytes_of_one_rank() {
        let planes = zstd::bulk::decompress(&encode(&[1, 2, 3, 4, 5, 6], 2).unwrap(), 6);
        assert_eq!(planes.unwrap(), [1, 3, 5, 2, 4, 6]);
        assert_eq!(name(1), "zstd1");
        assert_eq!(name(4), "shuffle4+zstd1");
    }

    #[test]
    fn damage_and_wrong_lengths_are_errors() {
        let blob = encode(&[7; 64], 2).unwrap();
        assert!(decode(&blob, 2, 62).is_err());
        let error = decode(&blob, 2, 66).unwrap_err().to_string();
        assert!(error.contains("64 bytes, expected 66"), "{error}");
        assert!(decode(&blob[..blob.len() - 1], 2, 64).is_err());
        let error = decode(&blob, 2, 1 << 60).unwrap_err().to_string();
        assert!(error.contains("64 bytes, expected"), "{error}");
        // A frame that does not state its length.
        let mut unstated = zstd::Encoder::new(Vec::new(), LEVEL).unwrap();
        unstated.include_contentsize(false).unwrap();
        unstated.write_all(&[7; 64]).unwrap();
        let blob = unstated.finish().unwrap();
        assert_eq!(decode(&blob, 2, 64).unwrap(), [7; 64]);
        let error = decode(&blob, 2, 1 << 60).unwrap_err().to_string();
        assert!(error.contains("no room for"), "{error}");
        assert!(encode(&[0; 3], 2).is_err());
        assert!(encode(&[0; 6], 3).is_err());
    }

    proptest! {
        #[test]
        fn decoding_is_the_inverse(power in 0u32..4, words in prop::collection::vec(any::<u64>(), 0..200)) {
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            let itemsize = 2usize.pow(power);
            let blob = encode(&bytes, itemsize).unwrap();
            prop_assert_eq!(decode(&blob, itemsize, bytes.len()).unwrap(), bytes);
        }
    }
}
