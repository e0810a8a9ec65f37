//! Damaged files of every kind that is read: each is refused with an error or read, none panics.
//!
//! The corpus is made here, and changed by a seeded generator; each kind has a few hundred executions.
//! `VOXSTREAM_SOAK=1000000 cargo test --test suite fuzz -- --nocapture` runs as many of each;
//! `VOXSTREAM_SOAK_FROM` is the number of the first. What is found becomes a test of its reader.

mod corpus;
mod mutate;

use corpus::Kind;
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

/// Reads changed files of a kind.
///
/// # Panics
///
/// If a reader does; the message has the number of the execution.
fn fuzz(kind: &Kind, folder: &Path, numbers: std::ops::Range<u64>) -> Tally {
    let (path, mut tally) = (folder.join(kind.file), Tally::default());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    for number in numbers {
        let bytes = mutate::changed(&kind.seeds, number);
        std::fs::write(&path, &bytes).unwrap();
        let start = Instant::now();
        match caught(|| (kind.read)(folder)) {
            Ok(Ok(())) => tally.accepted += 1,
            Ok(Err(text)) => {
                assert!(
                    !text.is_empty(),
                    "{} {number}: an error without a text",
                    kind.name
                );
                tally.refused += 1;
            }
            Err(panic) => {
                let kept = std::env::temp_dir().join(format!("fuzz-{}-{number}", kind.name));
                std::fs::write(&kept, &bytes).unwrap();
                panic!(
                    "{} {number}: {panic}; the bytes are {}",
                    kind.name,
                    kept.display()
                );
            }
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
