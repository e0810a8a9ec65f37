//! Damage of an entry is found before its voxels are used.

use super::*;
use crate::cache::sums::{GROUP, LAYOUT};
use arrow::ipc::reader::FileReader;

/// Voxels along x, y, z of the tests' images: more than one group of pages a volume.
const SHAPE: [usize; 3] = [64, 48, 40];

fn large() -> Row {
    let grid = Grid::with_spacing(SHAPE, [1.0; 3]).unwrap();
    let values: Vec<f32> = (0..grid.voxel_count())
        .map(|i| (i as f32 * 0.37).sin())
        .collect();
    let classes: Vec<u8> = (0..grid.voxel_count())
        .map(|i| u8::from(i % 97 == 0))
        .collect();
    let mut row = row(0.1);
    row.images[0].volume = Some(Volume::from_vec(values, grid).unwrap());
    row.labels[0].volume = Some(Volume::from_vec(classes, grid).unwrap());
    row.sites = None;
    row.with_sites()
}

/// What opening an entry and reading every voxel of it finds.
fn found(store: &Store, content: &str) -> Option<String> {
    let entry = match store.get(content) {
        Ok(entry) => entry.unwrap(),
        Err(CacheError::Damaged(damage)) => return Some(damage.to_string()),
        Err(other) => panic!("{other}"),
    };
    entry.row.check_bytes();
    entry.file.damage().map(|damage| damage.to_string())
}

type Way = (&'static str, fn(&mut Vec<u8>), &'static str);

const WAYS: [Way; 12] = [
    (
        "one bit of a voxel",
        |b| b[3 * GROUP + 5] ^= 1,
        "differs from its checksum",
    ),
    (
        "one bit of the structure",
        |b| b[20] ^= 1,
        "differs from its checksum",
    ),
    (
        "20,000 bytes",
        |b| (0..20_000).for_each(|i| b[i * 17 % (6 * GROUP)] ^= 0x55),
        "differs from its checksum",
    ),
    (
        "a page of zeros",
        |b| b[2 * GROUP..2 * GROUP + 4096].fill(0),
        "differs",
    ),
    (
        "two groups exchanged",
        swap_groups,
        "differs from its checksum",
    ),
    ("empty", Vec::clear, "is empty"),
    (
        "half of it",
        |b| b.truncate(b.len() / 2),
        "does not end as an Arrow file",
    ),
    (
        "one byte missing",
        |b| b.truncate(b.len() - 1),
        "does not end as an Arrow file",
    ),
    (
        "bytes behind it",
        |b| b.extend([0; 7]),
        "does not end as an Arrow file",
    ),
    ("no checksums", remove_block, "holds no checksums"),
    (
        "another layout",
        other_layout,
        "layout 3, this version reads layout 2",
    ),
    (
        "something else",
        |b| *b = vec![7; 9000],
        "does not end as an Arrow file",
    ),
];

#[expect(clippy::ptr_arg, reason = "other damage changes the length")]
fn swap_groups(bytes: &mut Vec<u8>) {
    let (first, second) = bytes[GROUP..3 * GROUP].split_at_mut(GROUP);
    first.swap_with_slice(second);
}

/// The Arrow file alone, as versions before checksums wrote it.
fn remove_block(bytes: &mut Vec<u8>) {
    let footer = sums::footer_of(bytes).unwrap();
    let tail = footer.start - 56;
    let covered = u64::from_le_bytes(bytes[tail + 16..tail + 24].try_into().unwrap());
    bytes.drain(covered as usize..footer.start);
}

#[expect(clippy::ptr_arg, reason = "other damage changes the length")]
fn other_layout(bytes: &mut Vec<u8>) {
    let footer = sums::footer_of(bytes).unwrap();
    bytes[footer.start - 9] = LAYOUT + 1;
}

#[test]
fn damage_of_every_kind_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1 << 30, Precision::Exact);
    store.put("a", &large()).unwrap().unwrap();
    assert_eq!(found(&store, "a"), None);
    let whole = std::fs::read(store.path("a")).unwrap();
    for (way, damage, expected) in WAYS {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        assert_ne!(bytes, whole, "{way}");
        std::fs::write(store.path("a"), bytes).unwrap();
        let text = found(&store, "a").unwrap_or_else(|| panic!("{way}: nothing was found"));
        assert!(text.contains(expected), "{way}: {text}");
        assert!(text.contains(".arrow"), "{way}: {text}");
    }
    std::fs::write(store.path("a"), whole).unwrap();
    assert_eq!(found(&store, "a"), None);
}

#[test]
fn every_bit_counts() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1 << 20, Precision::Exact);
    store.put("a", &row(0.1)).unwrap().unwrap();
    let (whole, key) = (std::fs::read(store.path("a")).unwrap(), store.key("a"));
    let is_whole = |bytes: &[u8]| {
        sums::Sums::read(bytes, &key)
            .is_ok_and(|sums| (0..sums.len()).all(|group| sums.holds(bytes, group)))
    };
    assert!(is_whole(&whole));
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(!is_whole(&bytes), "byte {at}");
        // Most lengths end somewhere else; none is taken for a whole file.
        assert!(!is_whole(&whole[..at]), "{at} bytes");
    }
}

#[test]
fn an_entry_under_the_name_of_another_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1 << 30, Precision::Exact);
    for content in ["a", "b"] {
        store.put(content, &large()).unwrap().unwrap();
    }
    std::fs::rename(store.path("a"), folder.path().join("c")).unwrap();
    std::fs::rename(store.path("b"), store.path("a")).unwrap();
    std::fs::rename(folder.path().join("c"), store.path("b")).unwrap();
    for content in ["a", "b"] {
        let text = found(&store, content).unwrap();
        assert!(text.contains("renamed or swapped"), "{text}");
    }
}

#[test]
fn a_patch_checks_its_own_pages() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1 << 30, Precision::Exact);
    store.put("a", &large()).unwrap().unwrap();
    let path = store.path("a");
    let mut bytes = std::fs::read(&path).unwrap();
    // In the last slices of the image, which holds 480 KiB.
    bytes[6 * GROUP + 100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let entry = store.get("a").unwrap().unwrap();
    let ct = entry.row.images[0].volume.as_ref().unwrap();
    let patch = |z: i64| {
        let patch = ct.windowed(crate::volume::Role::Image, [8, 8, z], [16, 16, 4]);
        patch.unwrap().buffer().to_vec()
    };
    patch(0);
    assert_eq!(entry.file.damage(), None);
    patch(36);
    let damage = entry.file.damage().unwrap();
    let text = damage.to_string();
    assert!(text.contains("in bytes 393216 to 458751 of "), "{text}");
    assert!(store.remove(&damage) && !store.remove(&damage));
    assert!(store.get("a").unwrap().is_none());
}

#[test]
fn a_removal_spares_the_file_that_took_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1 << 30, Precision::Exact);
    let path = store.path("a");
    store.put("a", &large()).unwrap().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[2 * GROUP] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = store.get("a").unwrap().unwrap();
    damaged.row.check_bytes();
    // Another worker was faster; the damaged file is still mapped here, so its number is taken.
    store.put("a", &large()).unwrap().unwrap();
    assert!(!store.remove(&damaged.file.damage().unwrap()));
    assert_eq!(found(&store, "a"), None);
}

#[test]
fn an_entry_is_an_arrow_file_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1 << 30, Precision::Exact);
    let before = large();
    store.put("a", &before).unwrap().unwrap();
    let file = File::open(store.path("a")).unwrap();
    let batches: Vec<_> = FileReader::try_new(file, None)
        .unwrap()
        .map(|batch| batch.unwrap())
        .collect();
    assert_eq!(batches.len(), 1);
    let after = Row::from_batch(&batches[0], 0).unwrap();
    let bytes = |row: &Row| row.images[0].volume.as_ref().unwrap().buffer().to_vec();
    assert_eq!(bytes(&after), bytes(&before));
}

#[cfg(unix)]
#[test]
fn an_entry_in_use_is_not_removed_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let one = store(folder.path(), 1 << 30, Precision::Exact);
    let entry = one.put("a", &large()).unwrap().unwrap();
    let size = one.bytes().unwrap();
    // Another run: what the first one has used, it does not know.
    let other = store(folder.path(), size * 3 / 2, Precision::Exact);
    assert!(other.put("b", &large()).unwrap().is_none());
    assert!(one.path("a").exists());
    drop(entry);
    assert!(other.put("b", &large()).unwrap().is_some());
    assert!(!one.path("a").exists());
}

#[cfg(unix)]
#[test]
fn a_file_that_is_cut_while_it_is_mapped_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1 << 30, Precision::Exact);
    for is_checked in [false, true] {
        let entry = store.put("a", &large()).unwrap().unwrap();
        if is_checked {
            entry.row.check_bytes();
        }
        assert_eq!(entry.file.damage_or_cut(), None);
        let file = File::options().write(true).open(store.path("a")).unwrap();
        file.set_len(GROUP as u64 + 5000).unwrap();
        let text = entry.file.damage_or_cut().unwrap().to_string();
        assert!(text.contains("has 70536 bytes, expected "), "{text}");
        // Pages that are gone read as zeros, and the entry knows.
        let ct = entry.row.images[0].volume.as_ref().unwrap();
        assert_eq!(ct.as_slice::<f32>().unwrap().last(), Some(&0.0));
        let text = entry.file.damage().unwrap().to_string();
        let expected = match is_checked {
            false => "differs from its checksum",
            true => "was cut short, or its disk failed",
        };
        assert!(text.contains(expected), "{text}");
        store.remove(&entry.file.damage().unwrap());
    }
}

/// Name of the variable that asks [`dies_of_a_foreign_fault`] to do so.
#[cfg(unix)]
const DIE: &str = "VOXSTREAM_TEST_FOREIGN_FAULT";

/// Run by the test below, as a process of its own.
#[cfg(unix)]
#[test]
fn dies_of_a_foreign_fault() {
    let Some(folder) = std::env::var_os(DIE) else {
        return;
    };
    let folder = Path::new(&folder);
    let store = store(folder, 1 << 30, Precision::Exact);
    let _entry = store.put("a", &large()).unwrap().unwrap();
    let path = folder.join("foreign");
    std::fs::write(&path, vec![1; 1 << 16]).unwrap();
    let file = File::options().write(true).read(true).open(&path);
    let file = file.unwrap();
    #[expect(unsafe_code, reason = "a mapping that the cache does not know")]
    // SAFETY: what is read behind the file's end is a signal, which is the point.
    let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    file.set_len(0).unwrap();
    println!("read {}", map[1 << 15]);
}

#[cfg(unix)]
#[test]
fn a_fault_outside_the_cache_ends_the_process_as_ever() {
    use std::os::unix::process::ExitStatusExt as _;
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cache::tests::damage::dies_of_a_foreign_fault"])
        .args(["--nocapture", "--test-threads=1"])
        .env(DIE, folder.path())
        .output()
        .unwrap();
    // Number of SIGBUS on Linux; 10 on macOS.
    let signal = output.status.signal();
    assert!(matches!(signal, Some(7 | 10)), "{output:?}");
}
