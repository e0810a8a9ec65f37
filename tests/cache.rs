//! Damaged entries of the cache change no figure of a run, and each is reported.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use voxstream::cli::open;
use voxstream::run::driver::{RunOptions, run};
use voxstream::sink::{MetricRow, ScoreRow, WarningRow, read_table};
use voxstream::spec::SourceFile;

const SUBJECTS: usize = 5;
/// Bytes that share a checksum.
const GROUP: usize = 64 << 10;

/// Patches are whole volumes, so that every voxel of every entry is read.
fn pipeline(folder: &Path, precision: &str) -> SourceFile {
    let cache = folder.join("cache");
    let text = format!(
        "name: cached\nseed: 4\n\
         source: {{ phantom: {{ subjects: {SUBJECTS}, size: [40, 40, 40], modalities: [ct], classes: 2, labelled: 3, validation: 1, test: 1 }} }}\n\
         stages: [zscore: {{}}, cache: {{ folder: \"{}\", precision: {precision} }}, shuffle: {{}}]\n\
         views: {{ shared: [patch: {{ size: [40, 40, 40] }}, flip: {{ axes: [x], p: 0.5 }}], weak: [gaussian_noise: {{ std: [0.0, 0.1] }}] }}\n\
         train: {{ classes: [background, a, b], network: {{ unet3d: {{ width: 4, depth: 2 }} }}, objective: {{ supervised: {{}} }}, steps: 4, batch: {{ labelled: 1 }}, validate: {{ every: 2 }} }}\n\
         score: {{ splits: [test] }}\n",
        cache.display()
    );
    SourceFile {
        name: folder.join("p.yaml").display().to_string(),
        text,
    }
}

/// Figures of a run, and subject, kind and message of its warnings.
type Outcome = (Vec<MetricRow>, Vec<ScoreRow>, Vec<(String, String, String)>);

fn trained(folder: &Path, name: &str, precision: &str) -> Outcome {
    let (plan, cohort) = open(&pipeline(folder, precision)).unwrap();
    let out = folder.join("runs").join(name);
    let options = RunOptions {
        out: Some(out.clone()),
        workers: Some(2),
        ..RunOptions::default()
    };
    let outcome = run(plan, cohort, &options).unwrap();
    assert!(
        outcome.failures.is_empty(),
        "{name}: {:?}",
        outcome.failures
    );
    let warnings: Vec<WarningRow> = read_table(&out.join("warnings.parquet")).unwrap();
    let warnings = warnings
        .into_iter()
        .map(|w| (w.subject_id.unwrap_or_default(), w.kind, w.message));
    (
        read_table(&out.join("metrics.parquet")).unwrap(),
        read_table(&out.join("scores.parquet")).unwrap(),
        warnings.collect(),
    )
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.join("cache")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "arrow"));
    files.sort();
    files
}

/// What is done to the bytes of every entry, and what the warning says.
type Way = (&'static str, fn(&mut Vec<u8>), &'static str);

const WAYS: [Way; 11] = [
    (
        "20,000 flipped bytes",
        flip_many,
        "differs from its checksum",
    ),
    (
        "one flipped bit",
        |b| b[GROUP + 77] ^= 4,
        "differs from its checksum",
    ),
    (
        "zeros",
        |b| b[GROUP..GROUP + 4096].fill(0),
        "differs from its checksum",
    ),
    ("noise", flip_noise, "differs from its checksum"),
    (
        "half",
        |b| b.truncate(b.len() / 2),
        "does not end as an Arrow file does",
    ),
    (
        "one byte less",
        |b| b.truncate(b.len() - 1),
        "does not end as",
    ),
    (
        "more bytes",
        |b| b.extend([1; 99]),
        "does not end as an Arrow file does",
    ),
    ("empty", Vec::clear, "is empty"),
    (
        "older version",
        remove_checksums,
        "another version wrote it",
    ),
    (
        "damaged end",
        |b| {
            let n = b.len();
            b[n - 200] ^= 1;
        },
        "has a damaged footer",
    ),
    (
        "other file",
        |b| *b = b"not an entry at all".to_vec(),
        "does not end as",
    ),
];

#[expect(clippy::ptr_arg, reason = "other damage changes the length")]
fn flip_many(bytes: &mut Vec<u8>) {
    // From the second group on: the first holds more than voxels and is read when an entry is opened.
    (0..20_000).for_each(|i| bytes[GROUP + i * 7] ^= 0xff);
}

#[expect(clippy::ptr_arg, reason = "other damage changes the length")]
fn flip_noise(bytes: &mut Vec<u8>) {
    let mut state = 1u32;
    for byte in &mut bytes[GROUP..2 * GROUP] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
}

/// The bytes from the end of the record batch to the Arrow footer, which hold the checksums.
fn remove_checksums(bytes: &mut Vec<u8>) {
    let end = bytes.len() - 10;
    let footer: [u8; 4] = bytes[end..end + 4].try_into().unwrap();
    let footer = end - u32::from_le_bytes(footer) as usize;
    let covered: [u8; 8] = bytes[footer - 40..footer - 32].try_into().unwrap();
    bytes.drain(u64::from_le_bytes(covered) as usize..footer);
}

/// Every subject was warned about once, in these words.
fn check_told(way: &str, expected: &str, clean: &Outcome, damaged: &Outcome) {
    assert_eq!(damaged.0, clean.0, "{way}");
    assert_eq!(damaged.1, clean.1, "{way}");
    let told: Vec<_> = (damaged.2.iter())
        .filter(|(_, kind, _)| kind == "damaged_entry")
        .collect();
    let subjects: BTreeSet<&String> = told.iter().map(|(subject, ..)| subject).collect();
    assert_eq!(
        (told.len(), subjects.len()),
        (SUBJECTS, SUBJECTS),
        "{way}: {told:?}"
    );
    for (_, _, message) in told {
        assert!(message.contains(expected), "{way}: {message}");
        assert!(
            message.contains(".arrow") && message.contains("prepared again"),
            "{message}"
        );
    }
    let others = |outcome: &Outcome| -> Vec<(String, String, String)> {
        let all = outcome.2.iter().cloned();
        all.filter(|(_, kind, _)| kind != "damaged_entry").collect()
    };
    assert_eq!(others(damaged), others(clean), "{way}");
}

#[test]
fn damaged_entries_change_no_figure_and_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let clean = trained(root, "clean", "exact");
    assert!(
        clean.0.iter().any(|m| m.name.starts_with("loss")),
        "{:?}",
        clean.0
    );
    assert!(clean.2.iter().all(|(_, kind, _)| kind != "damaged_entry"));
    assert_eq!(entries(root).len(), SUBJECTS);
    for (number, (way, damage, expected)) in WAYS.iter().enumerate() {
        for path in entries(root) {
            let mut bytes = std::fs::read(&path).unwrap();
            damage(&mut bytes);
            std::fs::write(&path, bytes).unwrap();
        }
        let damaged = trained(root, &number.to_string(), "exact");
        check_told(way, expected, &clean, &damaged);
    }
    // Each under the name of the next.
    let names = entries(root);
    let bytes: Vec<Vec<u8>> = names.iter().map(|p| std::fs::read(p).unwrap()).collect();
    for (i, bytes) in bytes.iter().enumerate() {
        std::fs::write(&names[(i + 1) % names.len()], bytes).unwrap();
    }
    let swapped = trained(root, "swapped", "exact");
    check_told(
        "swapped",
        "the file was renamed or swapped",
        &clean,
        &swapped,
    );
    // What was made again is whole.
    assert_eq!(trained(root, "again", "exact").2, clean.2);
}

#[test]
fn half_precision_stays_half_when_an_entry_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let clean = trained(root, "clean", "half");
    for path in entries(root) {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[GROUP + 9] ^= 16;
        std::fs::write(&path, bytes).unwrap();
    }
    let damaged = trained(root, "damaged", "half");
    check_told(
        "half precision",
        "differs from its checksum",
        &clean,
        &damaged,
    );
}
