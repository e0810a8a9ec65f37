//! Damaged files of every kind that is read: each is refused with an error or read, none panics.
//!
//! Seeds are made here, and changed by a seeded generator; each kind has a few hundred executions.
//! `VOXSTREAM_SOAK=1000000 cargo test --test suite fuzz -- --nocapture` runs as many of each;
//! `VOXSTREAM_SOAK_FROM` is the number of the first. What is found becomes a test of its reader.
//! `scripts/fuzz.sh` looks for inputs that reach other code (libFuzzer); those are in `corpora`, and replayed.

mod corpus;
mod mutate;

use corpus::Kind;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};
use voxstream::run::guard::caught;

/// What executions of one kind came to.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    refused: u64,
    longest: Duration,
}

/// Reads a file of these bytes; the error is its text.
///
/// # Panics
///
/// If the reader does; the message names the input.
fn read(kind: &Kind, folder: &Path, input: &str, bytes: &[u8]) -> Result<(), String> {
    let path = folder.join(kind.file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let read = caught(|| (kind.read)(folder)).unwrap_or_else(|panic| {
        let kept = std::env::temp_dir().join(format!("fuzz-{}-{input}", kind.name));
        std::fs::write(&kept, bytes).unwrap();
        let at = kept.display();
        panic!("{} {input}: {panic}; the bytes are {at}", kind.name)
    });
    if let Err(text) = &read {
        assert!(!text.is_empty(), "{} {input}: no text", kind.name);
    }
    read
}

/// Reads changed files of a kind.
///
/// # Panics
///
/// If a reader does; the message has the number of the execution.
fn fuzz(kind: &Kind, folder: &Path, numbers: std::ops::Range<u64>) -> Tally {
    let mut tally = Tally::default();
    for number in numbers {
        let bytes = mutate::changed(&kind.seeds, number);
        let start = Instant::now();
        match read(kind, folder, &number.to_string(), &bytes) {
            Ok(()) => tally.accepted += 1,
            Err(_) => tally.refused += 1,
        }
        tally.longest = tally.longest.max(start.elapsed());
    }
    tally
}

/// Executions of a kind, and the number of the first.
fn asked(usual: u64) -> std::ops::Range<u64> {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let first = number("VOXSTREAM_SOAK_FROM").unwrap_or(0);
    first..first + number("VOXSTREAM_SOAK").unwrap_or(usual)
}

fn tried(name: &str, usual: u64) {
    let folder = tempfile::tempdir().unwrap();
    let kind = corpus::kind(name, folder.path());
    let numbers = asked(usual);
    let (count, start) = (numbers.end - numbers.start, Instant::now());
    let tally = fuzz(&kind, folder.path(), numbers);
    println!(
        "{name}: {count} executions in {:.1} s, {} read, {} refused, the longest {:.0} ms",
        start.elapsed().as_secs_f64(),
        tally.accepted,
        tally.refused,
        1e3 * tally.longest.as_secs_f64()
    );
    // A generator that only makes garbage would look at nothing behind the first check.
    assert!(tally.accepted > 0 && tally.refused > 0, "{name}: {tally:?}");
}

/// Executions at which a reader had panicked, or asked for more memory than there is.
const FOUND: [(&str, u64); 4] = [
    ("record", 5325),
    ("pth", 2300),
    ("prepared", 3559),
    ("prepared", 116_626),
];

#[test]
fn what_was_found() {
    for (name, number) in FOUND {
        let folder = tempfile::tempdir().unwrap();
        let kind = corpus::kind(name, folder.path());
        let tally = fuzz(&kind, folder.path(), number..number + 1);
        assert_eq!(tally.refused, 1, "{name} {number}");
    }
}

/// The kinds, by the names of the targets in `fuzz/`.
const KINDS: [&str; 8] = [
    "manifest",
    "nifti",
    "nifti_gz",
    "prepared",
    "pth",
    "record",
    "safetensors",
    "yaml",
];

/// Inputs of a corpus, by their names.
fn inputs(name: &str) -> Vec<(String, Vec<u8>)> {
    let packed = Path::new("tests/fuzz/corpora").join(format!("{name}.tar.gz"));
    let packed = flate2::read::GzDecoder::new(std::fs::File::open(packed).unwrap());
    let mut inputs = Vec::new();
    for entry in tar::Archive::new(packed).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            let path = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            inputs.push((path, bytes));
        }
    }
    inputs
}

#[test]
fn corpora() {
    for name in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let kind = corpus::kind(name, folder.path());
        let inputs = inputs(name);
        let is_read = |(input, bytes): &&(String, Vec<u8>)| {
            read(&kind, folder.path(), &input.replace('/', ""), bytes).is_ok()
        };
        let accepted = inputs.iter().filter(is_read).count();
        println!("{name}: {} inputs, {accepted} read", inputs.len());
        // Guided by code, the fuzzer keeps files that are read and files that are not.
        assert!(0 < accepted && accepted < inputs.len(), "{name}");
    }
}

#[test]
fn nifti() {
    tried("nifti", 600);
}

#[test]
fn zipped_nifti() {
    tried("nifti_gz", 600);
}

#[test]
fn pipelines() {
    tried("yaml", 300);
}

#[test]
fn manifests() {
    tried("manifest", 400);
}

#[test]
fn checkpoints() {
    tried("safetensors", 600);
}

#[test]
fn pickles() {
    tried("pth", 300);
}

#[test]
fn commit_records() {
    tried("record", 300);
}

#[test]
fn prepared_rows() {
    tried("prepared", 300);
}
