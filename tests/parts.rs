//! A preparation in parts: killed, resumed, changed and damaged, its tables are those of a run that
//! was never disturbed.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use voxstream::query::Session;
use voxstream::sink::{FailureRow, Ledger, PartRow, QualityRow, SubjectRow, WarningRow};

/// A folder with subjects of one small image each, and a pipeline that prepares them.
pub(crate) struct Cohort(tempfile::TempDir);

impl Cohort {
    pub(crate) fn new(subjects: usize) -> Self {
        let cohort = Self(tempfile::tempdir().unwrap());
        (0..subjects).for_each(|i| cohort.add(&format!("s{i:03}"), i as u8));
        let text = "
name: parts
source: { folders: { path: data, images: '{subject}/{modality}.nii', modalities: [ct] } }
stages: [zscore: {}, quality: {}]
sinks: { prepared: { nifti: true }, part_size: 2MiB }
";
        std::fs::write(cohort.pipeline(), text).unwrap();
        cohort
    }

    /// Writes a subject: 12 x 12 x 12 voxels; every tenth one is constant, which is a warning.
    fn add(&self, id: &str, seed: u8) {
        let path = self.0.path().join("data").join(id).join("ct.nii");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let grid = voxstream::volume::Grid::with_spacing([12; 3], [1.0; 3]).unwrap();
        let voxel = |i: usize| (i * (usize::from(seed) + 3) % 251) as i16;
        let voxels = (0..1728).map(|i| if seed % 10 == 9 { 7 } else { voxel(i) });
        let volume = voxstream::volume::Volume::from_vec(voxels.collect::<Vec<_>>(), grid);
        voxstream::volume::nifti::write(&path, &volume.unwrap(), None).unwrap();
    }

    fn pipeline(&self) -> PathBuf {
        self.0.path().join("pipeline.yaml")
    }

    pub(crate) fn out(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, out: &str, extra: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_voxstream"));
        command.arg("run").arg(self.pipeline());
        command.arg("--out").arg(self.out(out)).args(extra);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, out: &str, extra: &[&str], code: i32) -> Output {
        let output = self.command(out, extra).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        output
    }
}

/// Everything a run says of its subjects, volatile columns aside, and the digests of its volumes.
#[derive(Debug, PartialEq)]
pub(crate) struct Said {
    subjects: Vec<SubjectRow>,
    quality: Vec<QualityRow>,
    failures: Vec<FailureRow>,
    warnings: Vec<WarningRow>,
    parts: Vec<(String, i64, i64, i64)>,
    prepared: BTreeMap<PathBuf, blake3::Hash>,
}

pub(crate) fn said(run: &Path) -> Said {
    let ledger = Ledger::open(run).unwrap();
    let mut subjects: Vec<SubjectRow> = ledger.read().unwrap();
    subjects.iter_mut().for_each(|row| row.seconds = None);
    let of_part = |p: PartRow| (p.part, p.subjects, p.rows, p.failures);
    let mut parts: Vec<PartRow> = ledger.read().unwrap();
    parts.sort_by(|a, b| a.part.cmp(&b.part));
    let digest = |path: PathBuf| {
        let hash = blake3::hash(&std::fs::read(&path).unwrap());
        (path.strip_prefix(run).unwrap().to_owned(), hash)
    };
    let nifti = walkdir::WalkDir::new(run.join("prepared/nifti")).into_iter();
    let nifti = nifti
        .map(|e| e.unwrap().into_path())
        .filter(|p| p.is_file());
    Said {
        subjects,
        quality: ledger.read().unwrap(),
        failures: ledger.read().unwrap(),
        warnings: ledger.read().unwrap(),
        parts: parts.into_iter().map(of_part).collect(),
        prepared: ledger
            .files("prepared")
            .into_iter()
            .chain(nifti)
            .map(digest)
            .collect(),
    }
}

/// When each part was committed.
fn commits(run: &Path) -> BTreeSet<(String, String)> {
    let parts: Vec<PartRow> = Ledger::open(run).unwrap().read().unwrap();
    parts.into_iter().map(|p| (p.part, p.committed)).collect()
}

#[test]
fn a_killed_preparation_loses_one_part_and_resumes_to_the_same_tables() {
    let cohort = Cohort::new(150);
    std::fs::write(cohort.out("data").join("s007/ct.nii"), b"broken").unwrap();
    cohort.run("whole", &["--workers", "1"], 1);
    let whole = said(&cohort.out("whole"));
    assert_eq!((whole.subjects.len(), whole.failures.len()), (150, 1));
    assert!(
        whole.parts.len() > 5 && whole.quality.len() > 200,
        "{}",
        whole.parts.len()
    );
    assert!(whole.warnings.iter().any(|w| w.kind == "constant_image"));
    let killed = cohort.out("killed");
    let mut child = cohort
        .command("killed", &["--workers", "2"])
        .spawn()
        .unwrap();
    while Ledger::open(&killed).map_or(0, |ledger| ledger.parts().len()) < 2 {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before it could be killed"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = commits(&killed);
    let status = std::fs::read_to_string(killed.join("status.json")).unwrap();
    assert!(status.contains("started") && before.len() >= 2);
    // What is committed can be asked for before the run is resumed.
    let session = Session::open(&killed).unwrap();
    let counted = session
        .sql("select count(*) from subjects where status = 'ok'")
        .unwrap();
    assert_eq!(counted[0].num_rows(), 1);
    let counted = counted[0].column(0).as_primitive::<Int64Type>().value(0);
    assert!(counted > 1, "{counted} subjects of two parts at least");
    cohort.run("killed", &["--workers", "3", "--resume"], 1);
    assert!(before.is_subset(&commits(&killed)), "committed parts stay");
    assert_eq!(said(&killed), whole);
}

#[test]
fn a_changed_cohort_makes_the_changed_parts_again() {
    let cohort = Cohort::new(80);
    cohort.run("out", &[], 0);
    let out = cohort.out("out");
    let before = commits(&out);
    cohort.run("out", &["--resume"], 0);
    assert_eq!(
        commits(&out),
        before,
        "nothing changed, so nothing is made again"
    );
    cohort.add("s041x", 41);
    cohort.add("s060", 3);
    std::fs::remove_dir_all(cohort.out("data").join("s020")).unwrap();
    cohort.run("out", &["--resume"], 0);
    let kept = before.intersection(&commits(&out)).count();
    assert!(
        kept + 8 >= before.len(),
        "{kept} of {} parts were kept",
        before.len()
    );
    cohort.run("fresh", &[], 0);
    assert_eq!(said(&out), said(&cohort.out("fresh")));
    assert!(!out.join("prepared/nifti/s020").exists());
    let changed = cohort.run("out", &["--resume", "--set", "seed=5"], 2);
    let told = String::from_utf8_lossy(&changed.stderr).into_owned();
    assert!(told.contains("they differ at `seed`"), "{told}");
}

/// Parts of one subject each.
const TINY: [&str; 2] = ["--set", "sinks.part_size=256KiB"];

#[test]
fn small_tables_of_many_parts_share_files() {
    let cohort = Cohort::new(80);
    std::fs::write(cohort.out("data").join("s007/ct.nii"), b"broken").unwrap();
    let out = cohort.out("out");
    let run = |name: &str, extra: &[&str]| cohort.run(name, &[&TINY[..], extra].concat(), 1);
    run("out", &[]);
    let files = |table: &str| std::fs::read_dir(out.join(table)).unwrap().count();
    let found = [
        "parts", "subjects", "quality", "failures", "warnings", "prepared",
    ]
    .map(files);
    // Prepared voxels stay in a file a part, beside the folder of NIfTI files.
    assert_eq!(found, [1, 1, 1, 1, 1, 79 + 1]);
    cohort.run("few", &[], 1);
    let (many, few) = (said(&out), said(&cohort.out("few")));
    assert_eq!(
        (&many.subjects, &many.quality),
        (&few.subjects, &few.quality)
    );
    assert_eq!(
        (&many.failures, &many.warnings),
        (&few.failures, &few.warnings)
    );
    assert_eq!(many.parts.len(), 80);

    let session = Session::open(&out).unwrap();
    let before = commits(&out);
    run("out", &["--resume"]);
    assert_eq!(commits(&out), before, "merged parts are found again");
    cohort.add("s041x", 41);
    cohort.add("s060", 3);
    std::fs::remove_dir_all(cohort.out("data").join("s020")).unwrap();
    run("out", &["--resume"]);
    assert_eq!(before.intersection(&commits(&out)).count(), 78);
    run("fresh", &[]);
    assert_eq!(said(&out), said(&cohort.out("fresh")));
    // A session from before the change reads the files there are now.
    let counted = session
        .sql("select count(*) from subjects where status = 'ok'")
        .unwrap();
    assert_eq!(
        counted[0].column(0).as_primitive::<Int64Type>().value(0),
        79
    );
    let mut verify = Command::new(env!("CARGO_BIN_EXE_voxstream"));
    assert!(verify.arg("verify").arg(&out).status().unwrap().success());
}

#[test]
fn damage_is_found_and_made_again() {
    let cohort = Cohort::new(40);
    cohort.run("out", &[], 0);
    let (out, good) = (cohort.out("out"), said(&cohort.out("out")));
    let verify = |extra: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_voxstream"));
        let output = command
            .arg("verify")
            .arg(&out)
            .args(extra)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    assert_eq!(verify(&[]).0, Some(0));
    let file = Ledger::open(&out).unwrap().files("prepared").remove(1);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&file, bytes).unwrap();
    let (code, text) = verify(&[]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains(file.file_name().unwrap().to_str().unwrap()),
        "{text}"
    );
    assert!(text.contains("verify --drop"), "{text}");
    assert_eq!(verify(&["--drop"]).0, Some(1));
    cohort.run("out", &["--resume"], 0);
    assert_eq!(verify(&[]).0, Some(0));
    assert_eq!(said(&out), good);
}

#[test]
fn failures_of_a_stopped_run_are_told_and_its_size_is_checked() {
    let cohort = Cohort::new(12);
    for i in [3, 5] {
        std::fs::write(
            cohort.out("data").join(format!("s{i:03}/ct.nii")),
            b"broken",
        )
        .unwrap();
    }
    cohort.run(
        "out",
        &["--set", "max_failures=1", "--set", "sinks.part_size=1GiB"],
        2,
    );
    let told: Vec<FailureRow> = Ledger::open(&cohort.out("out")).unwrap().read().unwrap();
    let told: Vec<&str> = told.iter().map(|f| f.subject_id.as_str()).collect();
    assert_eq!(told, ["s003", "s005"]);
    let wrong = cohort.run("bad", &["--set", "sinks.part_size=many"], 2);
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(told.contains("`part_size` is `many`"), "{told}");
    assert!(!cohort.out("bad").exists());
}

#[test]
fn what_failed_for_want_of_memory_is_tried_again() {
    let cohort = Cohort::new(6);
    cohort.run("out", &["--memory", "1KiB"], 1);
    let out = cohort.out("out");
    let failures = || -> Vec<FailureRow> { Ledger::open(&out).unwrap().read().unwrap() };
    assert!(
        failures()
            .iter()
            .all(|f| f.cause.contains("raise `memory`"))
    );
    assert_eq!(failures().len(), 6);
    cohort.run("out", &["--memory", "1GiB", "--resume"], 0);
    assert_eq!(failures(), []);
    // Another limit would remove the parts beyond it.
    let limited = cohort.run("out", &["--limit", "2", "--resume"], 2);
    let told = String::from_utf8_lossy(&limited.stderr).into_owned();
    assert!(told.contains("they differ at `limit`"), "{told}");
}
