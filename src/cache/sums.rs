//! Checksums of an entry, in a block between its Arrow record batch and its Arrow footer.
//!
//! An Arrow reader finds the footer from the end of the file and the record batch from the footer,
//! so it never looks at what is between them: the file stays a valid Arrow IPC file.
//!
//! | bytes | content, little endian |
//! | --- | --- |
//! | 16 a range | groups that hold nothing but voxels of one volume: first, end (half-open) |
//! | 8 a group | xxh3-64 of each [`GROUP`] bytes from the file's beginning; the last one is shorter |
//! | 32 | key of the entry: what its file name says, so that swapped files are found |
//! | 8 × 4 | number of groups, number of ranges, bytes before the block, bytes of the file |
//! | 8 | xxh3-64 of the footer and what follows it |
//! | 8 | [`MAGIC`] with the version of the layout |
//! | 8 | xxh3-64 of the block up to here |

use arrow::ipc::reader::read_footer_length;
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes that share one checksum: 16 pages of 4 KiB.
pub(super) const GROUP: usize = 64 << 10;
/// Bytes of the block behind the sums.
const TAIL: usize = 32 + 7 * 8;
/// Arrow's trailer: the footer's length and its magic.
const TRAILER: usize = 10;
/// First seven bytes of the word that marks a block; the eighth is the layout's version.
const MAGIC: [u8; 7] = *b"voxsums";
/// Version of the files' layout; part of the key, so that a change of it misses.
pub(super) const LAYOUT: u8 = 2;

/// A key: the digest that an entry is named by.
pub(super) type Key = [u8; 32];

/// What is known of an entry's bytes once its block was read.
#[derive(Debug)]
pub(super) struct Sums {
    /// One a group, from the file's beginning.
    groups: Vec<u64>,
    /// Groups that hold nothing but voxels.
    voxels: Vec<Range<usize>>,
    /// Bytes that the groups cover.
    covered: usize,
    /// Where the footer begins and ends, its trailer left out.
    pub(super) footer: Range<usize>,
}

/// The checksum of some bytes.
fn sum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Where the Arrow footer of a file begins and ends.
///
/// **Errors** if the file does not end as an Arrow file does.
pub(super) fn footer_of(file: &[u8]) -> Result<Range<usize>, String> {
    let broken = || {
        format!(
            "has {} bytes and does not end as an Arrow file does",
            file.len()
        )
    };
    let end = file.len().checked_sub(TRAILER).ok_or_else(broken)?;
    let trailer = <[u8; TRAILER]>::try_from(&file[end..]).map_err(|_| broken())?;
    let length = read_footer_length(trailer).map_err(|_| broken())?;
    let start = end.checked_sub(length).ok_or_else(broken)?;
    Ok(start..end)
}

impl Sums {
    /// The block of a finished Arrow file `file`, to be put in front of its footer; `voxels` are the
    /// stretches of the file that hold voxels alone.
    pub(super) fn block(
        file: &[u8],
        footer: &Range<usize>,
        voxels: &[Range<usize>],
        key: &Key,
    ) -> Vec<u8> {
        let covered = footer.start;
        let groups: Vec<u64> = file[..covered].chunks(GROUP).map(sum).collect();
        let whole = voxels.iter().filter_map(|bytes| {
            let range = bytes.start.div_ceil(GROUP)..bytes.end / GROUP;
            (!range.is_empty()).then_some(range)
        });
        let voxels: Vec<Range<usize>> = whole.collect();
        let length = 16 * voxels.len() + 8 * groups.len() + TAIL;
        let mut block = Vec::with_capacity(length);
        let ranges = voxels.iter().flat_map(|range| [range.start, range.end]);
        let ranges = ranges.map(|group| group as u64);
        for word in ranges.chain(groups.iter().copied()) {
            block.extend(word.to_le_bytes());
        }
        block.extend(key);
        let bytes = file.len() + length;
        let words = [groups.len(), voxels.len(), covered, bytes];
        block.extend(words.iter().flat_map(|word| (*word as u64).to_le_bytes()));
        block.extend(sum(&file[covered..]).to_le_bytes());
        block.extend(MAGIC);
        block.push(LAYOUT);
        block.extend(sum(&block).to_le_bytes());
        block
    }

    /// Reads the block of an entry that should have this key, and checks it and the footer.
    ///
    /// **Errors** say what is wrong with the file, in words that follow its name.
    pub(super) fn read(file: &[u8], key: &Key) -> Result<Self, String> {
        let footer = footer_of(file)?;
        let absent = || "holds no checksums: its end is damaged, or another version wrote it";
        let tail = footer.start.checked_sub(TAIL).ok_or_else(absent)?;
        let mut words = file[tail..footer.start].chunks_exact(8).map(|word| {
            let word: [u8; 8] = word.try_into().expect("chunks of eight bytes");
            u64::from_le_bytes(word)
        });
        let found = &file[tail..tail + 32];
        let words: Vec<u64> = words.by_ref().skip(4).collect();
        let [groups, ranges, covered, bytes, footer_sum, mark, own_sum] = words[..] else {
            return Err(absent().to_owned());
        };
        let [magic @ .., layout] = mark.to_le_bytes();
        if magic != MAGIC {
            return Err(absent().to_owned());
        }
        if layout != LAYOUT {
            return Err(format!(
                "has layout {layout}, this version reads layout {LAYOUT}"
            ));
        }
        if bytes != file.len() as u64 {
            return Err(format!("has {} bytes, expected {bytes}", file.len()));
        }
        let damaged = "has damaged checksums";
        // Numbers that are not what they were may be as large as they like.
        let start = (ranges.checked_mul(16))
            .zip(groups.checked_mul(8))
            .and_then(|(a, b)| (tail as u64).checked_sub(a.checked_add(b)?))
            .filter(|start| *start == covered && groups == covered.div_ceil(GROUP as u64))
            .ok_or(damaged)? as usize;
        if sum(&file[start..footer.start - 8]) != own_sum {
            return Err(damaged.to_owned());
        }
        if sum(&file[footer.start..]) != footer_sum {
            return Err("has a damaged footer".to_owned());
        }
        if found != key {
            return Err(format!(
                "holds the entry {}…, expected {}…: the file was renamed or swapped",
                hex(&found[..4]),
                hex(&key[..4])
            ));
        }
        let mut words = file[start..tail].chunks_exact(8).map(|word| {
            let word: [u8; 8] = word.try_into().expect("chunks of eight bytes");
            u64::from_le_bytes(word)
        });
        let mut voxels = Vec::new();
        for _ in 0..ranges {
            if let (Some(first), Some(end)) = (words.next(), words.next()) {
                voxels.push(first as usize..end as usize);
            }
        }
        Ok(Self {
            groups: words.collect(),
            voxels,
            covered: start,
            footer,
        })
    }

    /// Number of groups.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Bytes that the groups cover, from the file's beginning.
    pub(super) fn covered(&self) -> usize {
        self.covered
    }

    /// Groups that hold more than voxels, and are needed to open the entry.
    pub(super) fn structure(&self) -> impl Iterator<Item = usize> {
        let is_voxels = |group: &usize| self.voxels.iter().any(|range| range.contains(group));
        (0..self.groups.len()).filter(move |group| !is_voxels(group))
    }

    /// Returns `true` if a group of the file has the bytes that were written.
    pub(super) fn holds(&self, file: &[u8], group: usize) -> bool {
        let end = ((group + 1) * GROUP).min(self.covered);
        self.groups.get(group) == Some(&sum(&file[group * GROUP..end]))
    }
}

/// Bytes as hexadecimal text.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
