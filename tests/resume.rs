//! A killed run leaves nothing half-written under a final name, and goes on to the same figures.

use crate::pipelines::TINY;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use voxstream::sink::{MetricRow, ScoreRow, SubjectRow, ViewRow, WarningRow, read_table};

pub(crate) fn command(out: &Path, extra: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxstream"));
    command
        .args([
            "run",
            "pipelines/04-cmc-phantom.yaml",
            "--device",
            "cpu",
            "--out",
        ])
        .arg(out);
    for set in (TINY.iter()).chain(&["train.steps=8", "sinks.views={ every: 3 }"]) {
        command.args(["--set", set]);
    }
    // The last override of a value wins.
    command
        .args(extra)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn tables(out: &Path) -> (Vec<MetricRow>, Vec<ScoreRow>) {
    (
        read_table(&out.join("metrics.parquet")).unwrap(),
        read_table(&out.join("scores.parquet")).unwrap(),
    )
}

/// What a run says of its subjects.
fn subjects(out: &Path) -> (Vec<SubjectRow>, Vec<WarningRow>) {
    (
        read_table(&out.join("subjects.parquet")).unwrap(),
        read_table(&out.join("warnings.parquet")).unwrap(),
    )
}

/// Every view that a run recorded.
fn views(out: &Path) -> Vec<ViewRow> {
    let entries = std::fs::read_dir(out.join("views")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let tables = files
        .iter()
        .map(|file| read_table::<ViewRow>(file).unwrap());
    tables.flatten().collect()
}

/// Every file that looks finished can be read.
fn check_whole(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with('.') {
            continue; // a draft: never under a final name
        }
        if path.is_dir() {
            check_whole(&path);
        } else if name.ends_with(".parquet") {
            voxstream::sink::parquet::read_batches(&path).unwrap();
        } else if name.ends_with(".json") {
            serde_json::from_str::<serde_json::Value>(&std::fs::read_to_string(&path).unwrap())
                .unwrap();
        } else if name.ends_with(".safetensors") {
            voxstream::nn::tensor_file::read_tensors(&path, &candle_core::Device::Cpu).unwrap();
        }
    }
}

#[test]
fn a_killed_run_resumes_to_the_same_figures() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    assert!(
        command(&whole, &["--workers", "1"])
            .status()
            .unwrap()
            .success()
    );

    let mut child = command(&killed, &["--workers", "2"]).spawn().unwrap();
    let start = Instant::now();
    while !killed.join("checkpoints/best.json").exists() {
        assert!(
            child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(300),
            "no checkpoint was seen"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    check_whole(&killed);
    assert!(
        !killed.join("scores.parquet").exists(),
        "the run ended before it could be killed"
    );

    // Another number of workers, on purpose: nothing may depend on it.
    assert!(
        command(&killed, &["--workers", "3", "--resume"])
            .status()
            .unwrap()
            .success()
    );
    let (a, b) = (tables(&whole), tables(&killed));
    assert_eq!(a.0, b.0);
    assert_eq!(a.1, b.1);
    assert_eq!(views(&whole), views(&killed));
    // Steps 1, 4 and 7, two labelled rows and two unlabelled ones in both views.
    assert_eq!(views(&whole).len(), 3 * (2 + 2 * 2));
    let (whole, killed) = (subjects(&whole), subjects(&killed));
    assert_eq!(whole, killed);
    let prepared = whole.0.iter().filter(|row| row.prepared_shape_x.is_some());
    assert!(prepared.count() > 3, "subjects were used");
    assert!(
        a.0.iter()
            .any(|m| m.name == "loss_pseudo_label" && m.value > 0.0),
        "the unlabelled part trained"
    );
}

#[test]
fn a_changed_pipeline_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    assert!(
        command(&out, &["--set", "train.steps=2"])
            .status()
            .unwrap()
            .success()
    );
    std::fs::write(
        out.join("status.json"),
        std::fs::read_to_string(out.join("status.json"))
            .unwrap()
            .replace("finished", "started"),
    )
    .unwrap();
    let output = command(&out, &["--set", "train.steps=4", "--resume"])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("train.steps"), "{stderr}");
}

#[test]
fn a_damaged_checkpoint_is_named_and_neither_resumed_nor_used() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    assert!(command(&out, &[]).status().unwrap().success());
    let verify = || {
        let mut verify = Command::new(env!("CARGO_BIN_EXE_voxstream"));
        let output = verify.arg("verify").arg(&out).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = verify();
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.starts_with("ok: ") && !text.contains("ok: 0 "),
        "{text}"
    );

    let flip = |path: &Path| {
        let whole = std::fs::read(path).unwrap();
        let mut bytes = whole.clone();
        *bytes.last_mut().unwrap() ^= 0x40;
        std::fs::write(path, bytes).unwrap();
        whole
    };
    let last = out.join("checkpoints/step-00000008/teacher.safetensors");
    let whole = flip(&last);
    let (code, text) = verify();
    assert_eq!(code, Some(1));
    assert!(
        text.contains("checkpoints/step-00000008/teacher.safetensors: digest")
            && text.contains("1 of"),
        "{text}"
    );
    let problem =
        |result: Result<(), voxstream::train::TrainError>| result.unwrap_err().to_string();
    let opened =
        voxstream::train::checkpoint::open(last.parent().unwrap(), &candle_core::Device::Cpu);
    let told = problem(opened.map(drop));
    assert!(
        told.contains("is damaged") && told.contains("teacher.safetensors"),
        "{told}"
    );
    // A longer training that goes on from it says so, too.
    std::fs::write(&last, whole).unwrap();
    let optimizer = last.with_file_name("optimizer.safetensors");
    flip(&optimizer);
    let status = out.join("status.json");
    let text = std::fs::read_to_string(&status).unwrap();
    std::fs::write(&status, text.replace("finished", "started")).unwrap();
    let resumed = command(&out, &["--resume"])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let told = String::from_utf8(resumed.stderr).unwrap();
    assert_eq!(resumed.status.code(), Some(2), "{told}");
    assert!(
        told.contains("optimizer.safetensors") && told.contains("is damaged"),
        "{told}"
    );

    // A label map is read with its checksum.
    let map = out.join("scores.parquet");
    std::fs::write(&map, &std::fs::read(&map).unwrap()[..100]).unwrap();
    let (code, text) = verify();
    assert_eq!(code, Some(1));
    assert!(text.contains("scores.parquet: "), "{text}");
}
