//! What a training reports to TensorBoard and MLflow is what its table `metrics` holds.

use crate::pipelines::TINY;
use std::path::{Path, PathBuf};
use voxstream::cli::{open, read};
use voxstream::run::driver::{RunOptions, run};
use voxstream::sink::{MetricRow, read_table};
use voxstream::spec::node::Document;

fn trained(out: &Path, store: &Path, steps: u32, resume: bool) {
    let mut set: Vec<String> = TINY.iter().map(|s| (*s).to_owned()).collect();
    set.push(format!("train.steps={steps}"));
    set.push("sinks.tensorboard=true".to_owned());
    set.push(format!("sinks.mlflow={{ path: {} }}", store.display()));
    let (plan, cohort) =
        open(&read(Path::new("pipelines/04-cmc-phantom.yaml"), &set).unwrap()).unwrap();
    let options = RunOptions {
        out: Some(out.to_owned()),
        resume,
        ..RunOptions::default()
    };
    run(plan, cohort, &options).unwrap();
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The scalars of an event file, read field by field: tag, step, value.
fn scalars(file: &Path) -> Vec<(String, u64, f32)> {
    let bytes = std::fs::read(file).unwrap();
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        found.extend(scalar(&bytes[at + 12..at + 12 + length]));
        at += length + 16;
    }
    assert_eq!(at, bytes.len(), "the last record is cut");
    found
}

fn scalar(event: &[u8]) -> Option<(String, u64, f32)> {
    // Behind the time: a step, or the version.
    if event[9] != 0x10 {
        return None;
    }
    let (mut step, mut at) = (0u64, 10);
    for shift in 0.. {
        step |= u64::from(event[at] & 0x7f) << (7 * shift);
        at += 1;
        if event[at - 1] & 0x80 == 0 {
            break;
        }
    }
    let value = f32::from_le_bytes(event[event.len() - 4..].try_into().unwrap());
    // Field and length of the summary, of the value, of the tag.
    let tag = &event[at + 6..event.len() - 5];
    Some((String::from_utf8(tag.to_vec()).unwrap(), step, value))
}

fn expected(run: &Path) -> Vec<(String, u64, f32)> {
    let rows: Vec<MetricRow> = read_table(&run.join("metrics.parquet")).unwrap();
    let tag = |row: &MetricRow| {
        let parts = [
            Some(&row.split),
            Some(&row.name),
            row.modality.as_ref(),
            row.class.as_ref(),
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        parts.join("/")
    };
    let scalar = |row: &MetricRow| (tag(row), row.step as u64, row.value as f32);
    rows.iter().map(scalar).collect()
}

#[test]
fn trackers_hold_the_figures_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (run, store) = (folder.path().join("run"), folder.path().join("mlruns"));
    trained(&run, &store, 2, false);
    let expected = expected(&run);
    assert!(expected.len() > 10);
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut files = entries(&run);
    files.retain(|file| name(file).starts_with("events.out.tfevents."));
    assert_eq!(files.len(), 1);
    assert_eq!(scalars(&files[0]), expected);

    let experiments = entries(&store);
    assert_eq!(experiments.len(), 1);
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    let meta = read(experiments[0].join("meta.yaml"));
    let experiment = Document::parse(&meta).unwrap();
    let named: String = experiment.root().get("name").unwrap().read().unwrap();
    assert_eq!(named, "cmc-phantom");
    let runs = entries(&experiments[0]);
    let tracked = runs.iter().find(|path| path.is_dir()).unwrap();
    let meta = read(tracked.join("meta.yaml"));
    assert!(
        meta.contains("\nstatus: 3\n") && !meta.contains("end_time: null"),
        "{meta}"
    );
    assert_eq!(read(tracked.join("params/seed")), "20");
    let loss = read(tracked.join("metrics/train/loss"));
    let lines: Vec<Vec<&str>> = loss.lines().map(|line| line.split(' ').collect()).collect();
    let of_loss = expected.iter().filter(|(tag, ..)| tag == "train/loss");
    let found = lines.iter().map(|line| {
        (
            line[2].parse().unwrap(),
            line[1].parse::<f64>().unwrap() as f32,
        )
    });
    assert_eq!(
        found.collect::<Vec<(u64, f32)>>(),
        of_loss
            .map(|(_, step, value)| (*step, *value))
            .collect::<Vec<_>>()
    );
}
