//! What commands answer to arguments that are easily given, and where they write what is asked for.

use crate::program::{ended, program, stderr, stdout};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use voxstream::sink::{EdgeRow, MetricRow, write_table};

/// The folder of a run with two tables without rows.
fn run_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_table::<EdgeRow>(&folder.path().join("edges.parquet"), &[]).unwrap();
    write_table::<MetricRow>(&folder.path().join("metrics.parquet"), &[]).unwrap();
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_empty_statement_and_a_limit_of_nobody_are_refused_by_name() {
    let run = run_folder();
    for statement in ["", " ", "/* nothing */"] {
        let output = ended(&mut program(&["query", text(run.path()), statement]), 2);
        let told = stderr(&output);
        assert!(
            told.contains("the statement is empty; for example"),
            "{told}"
        );
    }
    for command in ["run", "bench"] {
        let pipeline = "pipelines/04-cmc-phantom.yaml";
        let output = ended(&mut program(&[command, pipeline, "--limit", "0"]), 2);
        let told = stderr(&output);
        assert!(told.contains("expected 1 or more"), "{told}");
    }
}

#[test]
fn errors_of_a_script_name_its_own_lines() {
    let run = run_folder();
    let mut query = program(&["query", text(run.path()), "--format", "csv"]);
    query.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut query = query.stderr(Stdio::piped()).spawn().unwrap();
    let script = b"select 1 as a;\n\nselect count(*)\nfrom edges;\nselect 2 as b; selct 3;\n";
    query.stdin.take().unwrap().write_all(script).unwrap();
    let output = query.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "a\n1\ncount(*)\n0\nb\n2\n");
    let told = stderr(&output);
    assert!(told.contains("line 5, column 16: "), "{told}");
}

#[cfg(unix)]
#[test]
fn outputs_go_through_pipes_and_links() {
    let run = run_folder();
    let at = |name: &str| run.path().join(name);
    let written = |path: &Path| {
        let args = [
            "report",
            text(run.path()),
            "--no-pictures",
            "-o",
            text(path),
        ];
        ended(&mut program(&args), 0);
    };
    assert!(
        Command::new("mkfifo")
            .arg(at("pipe"))
            .status()
            .unwrap()
            .success()
    );
    let pipe = at("pipe");
    let reader = std::thread::Builder::new().name("reader".to_owned());
    let reader = reader
        .spawn(move || fs::read_to_string(pipe).unwrap())
        .unwrap();
    written(&at("pipe"));
    assert!(reader.join().unwrap().contains("</html>"));
    assert!(!fs::metadata(at("pipe")).unwrap().is_file());

    fs::create_dir(at("pages")).unwrap();
    std::os::unix::fs::symlink("pages/page.html", at("link")).unwrap();
    written(&at("link"));
    assert!(at("link").is_symlink());
    assert!(
        fs::read_to_string(at("pages/page.html"))
            .unwrap()
            .contains("</html>")
    );
    written(Path::new("/dev/null"));
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    // Tables and volumes, too.
    std::os::unix::fs::symlink("pages/rows.parquet", at("rows")).unwrap();
    write_table::<EdgeRow>(&at("rows"), &[]).unwrap();
    assert!(at("rows").is_symlink() && at("pages/rows.parquet").is_file());
    std::os::unix::fs::symlink("pages/a.nii", at("a.nii")).unwrap();
    let grid = voxstream::volume::Grid::with_spacing([2; 3], [1.0; 3]).unwrap();
    let volume = voxstream::volume::Volume::from_vec(vec![0u8; 8], grid).unwrap();
    voxstream::volume::nifti::write(&at("a.nii"), &volume, None).unwrap();
    assert!(at("a.nii").is_symlink() && at("pages/a.nii").is_file());
}

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
