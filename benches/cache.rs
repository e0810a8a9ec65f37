//! What it costs to check the entries of a cache: `cargo bench --bench cache [-- GIB FOLDER]`.
//!
//! Entries of 64 MiB are written and read three times: mapped without checks, as the program reads
//! them first, and as it reads them from then on. Pages are in the system's cache each time, so that
//! the difference is the checking alone.

#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;
use voxstream::cache::{Entry, Store};
use voxstream::stage::cache::Precision;
use voxstream::volume::{Channel, Grid, Row, Volume};

/// Voxels along x, y, z of an entry's image, f32.
const SHAPE: [usize; 3] = [256, 256, 256];
/// Bytes that are copied at a time.
const BLOCK: usize = 1 << 20;

fn row(subject: usize) -> Row {
    let grid = Grid::with_spacing(SHAPE, [1.0; 3]).expect("a grid");
    let values: Vec<f32> = (0..grid.voxel_count())
        .map(|i| ((i + subject * 7919) as f32 * 0.001).sin())
        .collect();
    Row {
        subject: format!("s{subject}"),
        images: vec![Channel {
            name: "ct".to_owned(),
            volume: Some(Volume::from_vec(values, grid).expect("as many values as voxels")),
        }],
        ..Row::default()
    }
}

/// Reads every byte, as a copy does.
fn read(bytes: &[u8]) -> u64 {
    let mut copy = vec![0; BLOCK];
    let blocks = bytes.chunks(BLOCK).map(|block| {
        copy[..block.len()].copy_from_slice(block);
        u64::from(copy[block.len() / 2])
    });
    blocks.sum()
}

/// Seconds of this thread on a core, so that other work on the machine does not count.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = stat.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    nanos.expect("nanoseconds first") / 1e9
}

/// Prints what `work` takes.
fn measured<T>(what: &str, gib: f64, work: impl FnOnce() -> T) -> T {
    let (start, before) = (Instant::now(), cpu_seconds());
    let result = work();
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - before);
    println!(
        "{what:<34} {cpu:7.3} s CPU {wall:7.3} s wall {:6.2} GiB/s of CPU time",
        gib / cpu
    );
    result
}

fn read_all(entries: &[Entry]) -> u64 {
    let volumes = entries
        .iter()
        .filter_map(|e| e.row.images[0].volume.as_ref());
    volumes
        .map(|volume| read(volume.buffer()))
        .fold(0, u64::wrapping_add)
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    let gib: f64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(2.0);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = arguments
        .next()
        .map_or(folder.path().to_owned(), PathBuf::from);
    let store = Store::open(&folder, u64::MAX, Precision::Exact, &serde_json::json!([]));
    let store = store.expect("a folder to write to");
    let count = (gib * 16.0) as usize;
    let names: Vec<String> = (0..count).map(|i| i.to_string()).collect();
    measured("writing", gib, || {
        for (i, name) in names.iter().enumerate() {
            store.put(name, &row(i)).expect("room on the disk");
        }
    });
    for round in 1..=3 {
        println!("round {round}");
        measured("mapped without checks", gib, || {
            let whole = |path: &Path| {
                let file = std::fs::File::open(path).expect("an entry");
                #[expect(unsafe_code, reason = "the comparison maps as the cache does")]
                // SAFETY: nobody changes the files of this run.
                let map = unsafe { memmap2::Mmap::map(&file) }.expect("a mapping");
                read(&map)
            };
            black_box(
                names
                    .iter()
                    .map(|n| whole(&store.path(n)))
                    .fold(0, u64::wrapping_add),
            )
        });
        let entries = measured("opened", gib, || {
            let open = |name: &String| store.get(name).expect("whole").expect("written above");
            names.iter().map(open).collect::<Vec<Entry>>()
        });
        measured("first epoch: checked and read", gib, || {
            black_box(read_all(&entries))
        });
        measured("later epochs: read", gib, || black_box(read_all(&entries)));
        assert!(entries.iter().all(|entry| entry.file.damage().is_none()));
    }
}
