//! What commands answer to arguments that are easily given, and where they write what is asked for.

use crate::program::{program, stderr};
use std::fs;
use std::process::Stdio;

#[test]
fn two_runs_that_start_in_one_second_have_a_folder_each() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = "name: h\nsource: { phantom: { subjects: 1, modalities: [ct], size: [16, 16, 16] } }\nstages: [zscore: {}]\nsinks: { prepared: { parquet: true } }\n";
    fs::write(folder.path().join("p.yaml"), pipeline).unwrap();
    let start = || {
        let mut run = program(&["run", "p.yaml", "--workers", "1"]);
        run.current_dir(folder.path());
        run.stdout(Stdio::null()).stderr(Stdio::piped());
        run.spawn().unwrap()
    };
    let runs: Vec<_> = (0..4).map(|_| start()).collect();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let folders = fs::read_dir(folder.path().join("runs/h")).unwrap();
    assert_eq!(folders.count(), 4);
}
