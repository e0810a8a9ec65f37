//! Cohorts, runs and checkpoints in a store give what they give on this machine.

mod lease;

use crate::pipelines::TINY;
use object_store::memory::InMemory;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use voxstream::cli::{open, read};
use voxstream::query::{Format, Session, print};
use voxstream::run::driver::{RunOptions, RunOutcome, run};
use voxstream::sink::{FailureRow, Ledger, PartRow, SubjectRow, TableRow, parts};
use voxstream::spec::SourceFile;
use voxstream::store;
use voxstream::train::checkpoint;
use voxstream::volume::{Grid, Volume, nifti};

/// A store in memory of this name; returns its URL.
pub(crate) fn bucket(name: &str) -> PathBuf {
    let root = format!("memory://{name}");
    store::register(&root, Arc::new(InMemory::new())).unwrap();
    root.into()
}

/// Copies a folder into a store.
pub(crate) fn upload(folder: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let below = entry.path().strip_prefix(folder).unwrap();
            store::write(&to.join(below), &std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// Five subjects with an image and a label map, one of them damaged, and a list of them.
fn cohort(folder: &Path) {
    std::fs::create_dir_all(folder.join("data")).unwrap();
    let grid = Grid::with_spacing([20, 18, 16], [1.0, 1.0, 2.0]).unwrap();
    let mut list = "id,ct,label\n".to_owned();
    for subject in 0..5 {
        let value = |i: usize| (i * (subject + 3) % 251) as i16;
        let image = Volume::from_vec((0..grid.voxel_count()).map(value).collect(), grid);
        let label: Vec<u8> = (0..grid.voxel_count()).map(|i| (i % 3) as u8).collect();
        let label = Volume::from_vec(label, grid);
        for (column, ending, volume) in [("ct", "nii.gz", image), ("label", "nii", label)] {
            let path = folder.join(format!("data/s{subject}_{column}.{ending}"));
            nifti::write(&path, &volume.unwrap(), None).unwrap();
        }
        list += &format!("s{subject},../data/s{subject}_ct.nii.gz,../data/s{subject}_label.nii\n");
    }
    std::fs::write(folder.join("data/s3_ct.nii.gz"), b"no image").unwrap();
    std::fs::create_dir_all(folder.join("lists")).unwrap();
    std::fs::write(folder.join("lists/list.csv"), list).unwrap();
}

fn prepared(source: &str, out: PathBuf) -> RunOutcome {
    prepared_with(source, "prepared: { parquet: true }", out, false).unwrap()
}

fn prepared_with(
    source: &str,
    sinks: &str,
    out: PathBuf,
    resume: bool,
) -> Result<RunOutcome, voxstream::error::Error> {
    // The pipeline file is beside the run if that is local.
    let name = match store::is_url(&out) {
        true => PathBuf::from("pipeline.yaml"),
        false => out.with_extension("yaml"),
    };
    let file = SourceFile {
        name: name.display().to_string(),
        text: format!(
            "name: c\nsource: {{ {source} }}\nstages: [orient: {{ to: RAS }}, zscore: {{}}]\nsinks: {{ {sinks} }}\n"
        ),
    };
    let (plan, cohort) = open(&file).unwrap();
    let options = RunOptions {
        out: Some(out),
        workers: Some(2),
        resume,
        ..RunOptions::default()
    };
    run(plan, cohort, &options)
}

fn answer(run: &Path, sql: &str) -> String {
    let batches = Session::open(run).unwrap().sql(sql).unwrap();
    let mut out = Vec::new();
    print(&batches, Format::Csv, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const SUBJECTS: &str =
    "select subject_id, status, shape_x, shape_z, bytes from subjects order by subject_id";
const VOXELS: &str = "select subject_id, \"image.ct\"['blake3'] as ct, \"label\"['blake3'] as label from prepared order by subject_id";

#[test]
fn a_cohort_in_a_store_is_prepared_to_the_same_voxels() {
    let folder = tempfile::tempdir().unwrap();
    let (local, remote) = (folder.path().join("cohort"), bucket("cohort"));
    cohort(&local);
    upload(&local, &remote);
    let manifest = |root: &Path| {
        format!(
            "manifest: {{ path: {}/lists/list.csv, columns: {{ subject: id, images: {{ ct: ct }}, label: label }} }}",
            root.display()
        )
    };
    let folders = |root: &Path| {
        format!(
            "folders: {{ path: {}/data, images: '{{subject}}_ct.nii.gz', labels: '{{subject}}_label.nii', modalities: [ct] }}",
            root.display()
        )
    };
    let whole = folder.path().join("whole");
    prepared(&manifest(&local), whole.clone());
    let expected = [SUBJECTS, VOXELS].map(|sql| answer(&whole, sql));
    assert_eq!(expected[1].lines().count(), 5, "{}", expected[1]);
    for (name, source) in [
        ("manifest", manifest(&remote)),
        ("folders", folders(&remote)),
        ("local-folders", folders(&local)),
    ] {
        let out = folder.path().join(name);
        let outcome = prepared(&source, out.clone());
        assert_eq!(outcome.failures.len(), 1, "{name}");
        assert_eq!(
            [SUBJECTS, VOXELS].map(|sql| answer(&out, sql)),
            expected,
            "{name}"
        );
    }
    let failures: Vec<FailureRow> = Ledger::open(&folder.path().join("manifest"))
        .unwrap()
        .read()
        .unwrap();
    let file = failures[0].file.as_deref();
    assert_eq!(file, Some("memory://cohort/data/s3_ct.nii.gz"));
}

#[test]
fn a_store_says_what_is_wrong_with_a_cohort() {
    let folder = tempfile::tempdir().unwrap();
    let remote = bucket("wrong");
    let list = "id,ct\na,absent.nii.gz\nb,https://me:secret@host/b.nii\n";
    store::write(&remote.join("secret.csv"), list.as_bytes()).unwrap();
    store::write(&remote.join("absent.csv"), b"id,ct\na,absent.nii.gz\n").unwrap();
    let error = |source: &str| {
        let text = format!("name: c\nsource: {{ {source} }}\nstages: [zscore: {{}}]\n");
        let name = folder.path().join("p.yaml").display().to_string();
        let error = open(&SourceFile { name, text }).err().unwrap();
        voxstream::sink::causes(&error)
    };
    let columns = "columns: { subject: id, images: { ct: ct } }";
    let text = error(&format!(
        "manifest: {{ path: memory://wrong/secret.csv, {columns} }}"
    ));
    assert!(
        text.starts_with("memory://wrong/secret.csv: line 3: `https://host/b.nii`: "),
        "{text}"
    );
    assert!(!text.contains("me:secret"), "{text}");
    let text = error(&format!(
        "manifest: {{ path: memory://wrong/absent.csv, {columns} }}"
    ));
    assert!(text.contains("the one image that"), "{text}");
    let text = error(&format!(
        "manifest: {{ path: memory://wrong/no.csv, {columns} }}"
    ));
    assert!(
        text.contains("memory://wrong/no.csv: reading failed: there is no such object"),
        "{text}"
    );
    let text =
        error("folders: { path: memory://wrong/none, images: '{subject}.nii', modalities: [ct] }");
    assert!(text.contains("no object below this prefix"), "{text}");
    let text =
        error("folders: { path: memory://wrong, images: '{subject}.nii', modalities: [ct] }");
    assert!(
        text.contains("there stand absent.csv, secret.csv"),
        "{text}"
    );
}

#[test]
fn a_run_in_a_store_is_queried_verified_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (local, remote) = (folder.path().join("cohort"), bucket("run"));
    cohort(&local);
    let run = folder.path().join("run");
    let source = "folders: { path: cohort/data, images: '{subject}_ct.nii.gz', labels: '{subject}_label.nii', modalities: [ct] }";
    prepared(source, run.clone());
    let copy = remote.join("runs/c");
    upload(&run, &copy);
    // A part without its commit record does not exist.
    store::write(&copy.join("subjects/part-x-0.parquet"), b"PAR1").unwrap();
    for sql in [
        SUBJECTS,
        VOXELS,
        "select count(*) from parts",
        "select * from failures",
    ] {
        assert_eq!(answer(&run, sql), answer(&copy, sql), "{sql}");
    }
    assert_eq!(
        Session::open(&run).unwrap().tables(),
        Session::open(&copy).unwrap().tables()
    );
    let (files, faults) = parts::verify(&copy).unwrap();
    assert_eq!((files, faults.len()), (parts::verify(&run).unwrap().0, 0));
    let subjects: Vec<SubjectRow> = Ledger::open(&copy).unwrap().read().unwrap();
    assert_eq!(subjects.len(), 5);
    let report = voxstream::report::write(&copy).unwrap();
    assert_eq!(report, Path::new("memory://run/runs/c/report.html"));
    let html = store::read_to_string(&report).unwrap();
    assert!(html.contains("s3"), "{html}");
    // A file that is not what its record says is found by name.
    let table = SubjectRow::TABLE.name;
    let file = Ledger::open(&copy).unwrap().files(table).remove(0);
    let mut bytes = store::read(&file).unwrap();
    bytes[10] ^= 1;
    store::write(&file, &bytes).unwrap();
    let (_, faults) = parts::verify(&copy).unwrap();
    assert!(faults[0].file.starts_with("subjects/part-"), "{faults:?}");
    assert!(faults[0].problem.starts_with("digest "), "{faults:?}");
    let error = Session::open(&remote.join("none")).err().unwrap();
    assert!(error.to_string().contains("memory://run/none"), "{error}");
}

#[test]
fn checkpoints_in_a_store_are_those_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (local, remote) = (folder.path().join("first"), bucket("checkpoints"));
    let options = |out: PathBuf| RunOptions {
        out: Some(out),
        workers: Some(1),
        ..RunOptions::default()
    };
    let train = |more: &[String], out: PathBuf| {
        let still = ["train.steps=2", "train.optimizer.lr=1e-30"];
        let set = TINY.iter().chain(&still).map(|s| (*s).to_owned());
        let set: Vec<String> = set.chain(more.iter().cloned()).collect();
        let file = read(Path::new("pipelines/04-cmc-phantom.yaml"), &set).unwrap();
        let (plan, cohort) = open(&file).unwrap();
        run(plan, cohort, &options(out)).unwrap()
    };
    train(&[], local.clone());
    upload(&local, &remote.join("runs/first"));
    for place in ["runs/first", "runs"] {
        let found = checkpoint::find(&remote.join(place)).unwrap();
        let digest = checkpoint::digest(&checkpoint::find(&local).unwrap()).unwrap();
        assert_eq!(checkpoint::digest(&found).unwrap(), digest, "{place}");
        checkpoint::open(&found, &candle_core::Device::Cpu).unwrap();
    }
    let error = checkpoint::find(&remote.join("none")).unwrap_err();
    assert!(error.to_string().contains("is no checkpoint"), "{error}");
    let from = "train.initial={from: \"memory://checkpoints/runs/first\", skip: []}";
    train(&[from.to_owned()], folder.path().join("second"));
}

/// Everything a run has in a store, by path.
fn objects(run: &Path) -> Vec<String> {
    let objects = store::walk(run).unwrap().into_iter();
    objects.map(|(path, _)| path).collect()
}

fn commits(run: &Path) -> Vec<(String, String)> {
    let parts: Vec<PartRow> = Ledger::open(run).unwrap().read().unwrap();
    parts.into_iter().map(|p| (p.part, p.committed)).collect()
}

#[test]
fn a_run_is_written_to_a_store_and_goes_on_there() {
    let folder = tempfile::tempdir().unwrap();
    let (local, remote) = (folder.path().join("cohort"), bucket("out"));
    cohort(&local);
    let source = format!(
        "folders: {{ path: {}/data, images: '{{subject}}_ct.nii.gz', labels: '{{subject}}_label.nii', modalities: [ct] }}",
        local.display()
    );
    let sinks = "prepared: { parquet: true, nifti: true }, part_size: 1MiB";
    let (whole, run) = (folder.path().join("whole"), remote.join("runs/a"));
    let go = |out: &Path, resume: bool| prepared_with(&source, sinks, out.to_owned(), resume);
    go(&whole, false).unwrap();
    let expected = [SUBJECTS, VOXELS].map(|sql| answer(&whole, sql));
    let outcome = go(&run, false).unwrap();
    assert_eq!((outcome.failures.len(), &outcome.folder), (1, &run));
    assert_eq!([SUBJECTS, VOXELS].map(|sql| answer(&run, sql)), expected);
    let all = objects(&run);
    let below: Vec<String> = walkdir::WalkDir::new(&whole)
        .into_iter()
        .map(|e| e.unwrap().into_path())
        .filter(|path| path.is_file() && !path.ends_with(".lock"))
        .map(|path| path.strip_prefix(&whole).unwrap().display().to_string())
        .collect();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(all.clone()), sorted(below));
    assert!(
        all.iter().any(|p| p.starts_with("prepared/nifti/")),
        "{all:?}"
    );
    let (files, faults) = parts::verify(&run).unwrap();
    assert!(files > 10 && faults.is_empty(), "{faults:?}");
    // Started afresh it is refused, resumed it is kept.
    let error = go(&run, false).err().unwrap();
    assert!(error.to_string().contains("not empty"), "{error}");
    let before = commits(&run);
    assert!(before.len() > 1, "{before:?}");
    go(&run, true).unwrap();
    assert_eq!(commits(&run), before);
    // A file that is gone, and one that no record names: one part is written again, the other file goes.
    let lost = all
        .iter()
        .find(|p| p.starts_with("prepared/part-"))
        .unwrap();
    store::remove(&run.join(lost)).unwrap();
    store::write(&run.join("subjects/part-zz-0.parquet"), b"PAR1").unwrap();
    let status = store::read_to_string(&run.join("status.json")).unwrap();
    let started = status.replace("\"finished\"", "\"started\"");
    store::write(&run.join("status.json"), started.as_bytes()).unwrap();
    go(&run, true).unwrap();
    assert_eq!(sorted(objects(&run)), sorted(all));
    let after = commits(&run);
    let kept = after.iter().filter(|part| before.contains(part)).count();
    assert_eq!((after.len(), kept), (before.len(), before.len() - 1));
    assert_eq!([SUBJECTS, VOXELS].map(|sql| answer(&run, sql)), expected);
}
