use super::*;
use crate::sink::write_table;

fn metric(step: i64, split: &str, name: &str, value: f64) -> MetricRow {
    MetricRow {
        step,
        epoch: step / 10,
        split: split.to_owned(),
        subject_id: None,
        modality: None,
        class: None,
        name: name.to_owned(),
        value,
        unit: "1".to_owned(),
    }
}

fn edge(rows: i64, busy: f64) -> EdgeRow {
    EdgeRow {
        node: "stages[0].zscore".to_owned(),
        rows,
        bytes: 4_000_000 * rows,
        busy_seconds: busy,
        starved_seconds: 0.1,
        blocked_seconds: 0.0,
        failures: 1,
    }
}

/// A run of a training under way, and one that is finished.
fn runs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, progress) in [("a", "started"), ("b", "finished")] {
        let run = folder.path().join(name);
        std::fs::create_dir(&run).unwrap();
        let started = chrono::Local::now().to_rfc3339();
        let status = format!(
            "{{ \"progress\": \"{progress}\", \"version\": \"0\", \"started\": \"{started}\" }}"
        );
        std::fs::write(run.join("status.json"), status).unwrap();
        let plan =
            "{ \"name\": \"p\", \"fold\": 2, \"sections\": { \"train\": { \"steps\": 700 } } }";
        std::fs::write(run.join("plan.json"), plan).unwrap();
        write_table(&run.join("edges.parquet"), &[edge(3, 1.0)]).unwrap();
    }
    let metrics = [
        metric(60, "validation", "mean_dice", 0.75),
        metric(61, "train", "loss", 0.5),
    ];
    write_table(&folder.path().join("a/metrics.parquet"), &metrics).unwrap();
    folder
}

#[test]
fn a_run_under_way_is_shown_and_one_that_is_finished_is_not() {
    let folder = runs();
    let folders = [folder.path().to_owned()];
    let mut watched = BTreeMap::new();
    let (lines, running) = frame(&folders, &mut watched).unwrap();
    assert!(running && lines.len() == 2, "{lines:?}");
    assert!(
        lines[0].starts_with(
            "a  running  fold 2  step 61/700  epoch 6  loss 0.5000  mean Dice 0.7500 (step 60)  wrote "
        ),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with("  stages[0].zscore") && lines[1].contains(" 3 rows"),
        "{}",
        lines[1]
    );
    // What is written next is read, and shown against what was there before.
    let edges = folder.path().join("a/edges.parquet");
    let before = edges.metadata().unwrap().modified().unwrap();
    write_table(&edges, &[edge(7, 3.0)]).unwrap();
    let later = before + Duration::from_secs(4);
    let file = std::fs::File::options().write(true).open(&edges).unwrap();
    file.set_modified(later).unwrap();
    let (lines, _) = frame(&folders, &mut watched).unwrap();
    assert!(
        lines[1].contains(" 7 rows") && lines[1].contains("busy 0.50"),
        "{}",
        lines[1]
    );
}

#[test]
fn without_a_run_under_way_the_last_one_is_shown_and_a_store_is_refused() {
    let folder = runs();
    let finished = TopArgs {
        runs: vec![folder.path().join("b")],
        once: true,
    };
    let mut out = Vec::new();
    assert_eq!(top(&finished, &mut out).unwrap(), 0);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("b  finished  fold 2  wrote "), "{text}");
    let stored = TopArgs {
        runs: vec!["s3://bucket/runs".into()],
        once: true,
    };
    let error = top(&stored, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("follows runs on this machine"), "{error}");
}
