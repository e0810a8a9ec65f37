//! `tap` on a run that is under way: its rows are shown, and its result is what it would be without.

use crate::program::{ended, program, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};
use voxstream::run::tap::RowSummary;
use voxstream::sink::{MetricRow, read_table};

const PIPELINE: &str = "name: tapped
seed: 5
source: { phantom: { subjects: 6, modalities: [ct, mr], classes: 2, size: [16, 16, 16], labelled: 2, validation: 1, test: 1 } }
stages: [orient: { to: RAS }, zscore: {}]
views:
  shared: [affine: { rotation_deg: [-20, 20], p_rotation: 1 }, patch: { size: [12, 12, 12] }]
  strong: [gamma: { p: 1 }]
pseudo_label: {}
train:
  classes: [b, x, y]
  network: { unet3d: { width: 4, depth: 2 } }
  objective: { supervised: {}, pseudo_label: {} }
  steps: STEPS
  batch: { labelled: 1, unlabelled: 1 }
  validate: { every: 100000 }
";

/// A run that was started, and ends with this at the latest.
struct Started {
    child: Child,
    out: PathBuf,
}

impl Started {
    fn new(folder: &Path, name: &str, steps: u64) -> Self {
        let file = folder.join("pipeline.yaml");
        std::fs::write(&file, PIPELINE.replace("STEPS", &steps.to_string())).unwrap();
        let out = folder.join(name);
        let mut command = program(&["run"]);
        let command = command.arg(&file).arg("--out").arg(&out);
        let command = command.args(["--device", "cpu", "--workers", "1"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap();
        Self { child, out }
    }

    /// Waits until the run trains.
    fn trains(&mut self) {
        let start = Instant::now();
        while !self.out.join("edges.parquet").exists() {
            assert!(self.child.try_wait().unwrap().is_none(), "the run ended");
            assert!(start.elapsed() < Duration::from_secs(300));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn tap(run: &Path, args: &[&str], code: i32) -> Output {
    ended(program(&["tap"]).arg(run).args(args), code)
}

fn rows(output: &Output) -> Vec<RowSummary> {
    let text = stdout(output);
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn rows_of_a_running_run_are_shown_where_they_pass() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Started::new(folder.path(), "run", 1_000_000);
    run.trains();
    let views = rows(&tap(&run.out, &["--count", "4", "--json"], 0));
    assert_eq!(views.len(), 4);
    for row in &views {
        assert_eq!(
            (row.node.as_str(), row.split.as_str()),
            ("stream.labelled", "train")
        );
        assert!(["weak", "strong"].contains(&row.view.as_str()));
        let columns: Vec<&str> = row.channels.iter().map(|c| &*c.column).collect();
        assert_eq!(columns, ["image.ct", "image.mr", "label"]);
        assert!(row.draws.iter().any(|d| d.stage == "views.shared[1].patch"));
        let label = row.channels[2].volume.as_ref().unwrap();
        assert_eq!(label.shape, [12, 12, 12]);
        assert!(
            label
                .classes
                .as_ref()
                .unwrap()
                .iter()
                .all(|c| (0..3).contains(c))
        );
    }
    // The turn is made together with the patch: until then no voxel is.
    let turned = rows(&tap(
        &run.out,
        &["--node", "affine", "--count", "1", "--json"],
        0,
    ));
    let volumes = turned[0].channels.iter().filter_map(|c| c.volume.as_ref());
    assert!(volumes.clone().count() > 0 && volumes.clone().all(|v| v.deferred));
    let cut = rows(&tap(
        &run.out,
        &["--node", "patch", "--count", "1", "--json"],
        0,
    ));
    let image = cut[0]
        .channels
        .iter()
        .find_map(|c| c.volume.as_ref())
        .unwrap();
    assert!(!image.deferred && image.values.as_ref().unwrap().mean.is_some());
    let lines = tap(&run.out, &["--count", "1"], 0);
    let lines = stdout(&lines);
    assert!(
        lines.starts_with("stream.labelled: ") && lines.contains(" mm RAS; "),
        "{lines}"
    );
    let told = tap(&run.out, &["--node", "views.shared[1].patsh"], 2);
    let told = stderr(&told);
    assert!(
        told.contains("did you mean `views.shared[1].patch`?"),
        "{told}"
    );
    // Prepared subjects are kept, so nothing passes the source any more.
    let told = tap(&run.out, &["--node", "source", "--timeout", "4"], 2);
    let told = stderr(&told);
    assert!(
        told.contains("0 of 5 rows passed `source`, and none in the last 4 s"),
        "{told}"
    );
    assert!(!run.out.join("tap").exists(), "requests were left behind");
    let out = run.out.clone();
    drop(run);
    let told = tap(&out, &[], 2);
    let told = stderr(&told);
    assert!(
        told.contains("no process on this machine is running this run"),
        "{told}"
    );
}

#[test]
fn a_run_that_is_tapped_comes_to_the_same_figures() {
    let folder = tempfile::tempdir().unwrap();
    let figures = |run: &mut Started| -> Vec<MetricRow> {
        assert!(run.child.wait().unwrap().success());
        read_table(&run.out.join("metrics.parquet")).unwrap()
    };
    let mut tapped = Started::new(folder.path(), "tapped", 400);
    tapped.trains();
    let node = ["--node", "affine", "--count", "3", "--json"];
    let output = program(&["tap"])
        .arg(&tapped.out)
        .args(node)
        .output()
        .unwrap();
    let tapped = figures(&mut tapped);
    let mut plain = Started::new(folder.path(), "plain", 400);
    assert_eq!(figures(&mut plain), tapped);
    // A fast machine may have ended before the request was seen.
    if output.status.success() {
        assert!(!rows(&output).is_empty());
    }
}
