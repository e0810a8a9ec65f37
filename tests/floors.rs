//! The house: no import upwards or in a circle, heavy packages behind their doors, no file too long.

mod circles;

use circles::circles;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// From the ground up; modules of one line may use each other.
const FLOORS: [&[&str]; 10] = [
    &["draw", "kernel", "memory", "spec", "store"],
    &["volume"],
    &["metric", "nn", "view"],
    &["sink"],
    &["stage", "query"],
    &["source", "train", "report", "cache"],
    &["init"],
    &["plan"],
    &["registry", "schema", "error"],
    &["run", "cli"],
];

/// Packages that only the named places may use.
const DOORS: [(&str, &[&str]); 18] = [
    ("candle_core", &["nn", "train", "run"]),
    ("datafusion", &["query", "source/manifest", "run/cluster"]),
    ("ballista", &["run/cluster"]),
    ("tonic", &["run/cluster"]),
    ("parquet::", &["sink", "query", "source/manifest"]),
    ("nifti::", &["volume/nifti"]),
    ("libdeflater", &["volume/nifti"]),
    ("crossbeam", &["run/ordered.rs"]),
    ("object_store", &["store"]),
    ("memmap2", &["cache/entry.rs", "cache/mapped.rs"]),
    ("libc::", &["memory.rs", "cache/fault.rs"]),
    ("xxhash_rust", &["cache/sums.rs"]),
    ("annotate_snippets", &["spec/diagnostic.rs"]),
    ("minijinja", &["report"]),
    ("png", &["view"]),
    ("embedded_graphics", &["view"]),
    ("rustyline", &["cli/query"]),
    ("axum", &["cli/serve"]),
];

/// Lines of the longest source file, without its tests.
const LONGEST: usize = 350;

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The text of a file without its tests; empty for test files.
fn without_tests(path: &Path) -> String {
    let is_test = path
        .components()
        .any(|c| c.as_os_str() == "tests" || c.as_os_str() == "tests.rs");
    let text = std::fs::read_to_string(path).unwrap();
    if is_test {
        String::new()
    } else {
        text.split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default()
            .to_owned()
    }
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|f| f.contains(&module))
}

#[test]
fn nothing_imports_upwards_and_doors_hold() {
    let mut all = Vec::new();
    files(Path::new("src"), &mut all);
    assert!(all.len() > 100);
    let mut wrong = Vec::new();
    for path in all {
        let place = path
            .strip_prefix("src")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let module = place
            .split('/')
            .next()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        let Some(own) = floor(&module) else {
            assert!(
                ["lib", "main"].contains(&module.as_str()),
                "{place}: on which floor?"
            );
            continue;
        };
        for line in without_tests(&path)
            .lines()
            .filter(|l| !l.trim_start().starts_with("//"))
        {
            for used in line.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if floor(&used).is_some_and(|f| f > own) {
                    wrong.push(format!("{place} imports {used}, which is above it"));
                }
            }
            for (package, doors) in DOORS {
                let used = line.contains(&format!("use {package}"))
                    || line.contains(&format!(" {package}::"));
                if used && !line.contains("crate::") && !doors.iter().any(|d| place.starts_with(d))
                {
                    wrong.push(format!("{place} uses {package}, which only {doors:?} may"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_import_each_other_in_no_circle() {
    let mut all = Vec::new();
    files(Path::new("src"), &mut all);
    let text = |path: PathBuf| {
        let place = path.strip_prefix("src").unwrap().to_str().unwrap();
        (place.to_owned(), without_tests(&path))
    };
    let sources: BTreeMap<String, String> = (all.into_iter().map(text))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    let found = circles(&sources);
    assert!(
        found.is_empty(),
        "move what these share into a file below them: {found:#?}"
    );
}

#[test]
fn no_file_outgrows_the_house() {
    let mut all = Vec::new();
    files(Path::new("src"), &mut all);
    let long: Vec<(PathBuf, usize)> = all
        .into_iter()
        .map(|p| {
            let n = without_tests(&p).lines().count();
            (p, n)
        })
        .filter(|(_, n)| *n > LONGEST)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}
