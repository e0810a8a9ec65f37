//! A training whose run folder is in a store gives what one on this machine gives.

use crate::pipelines::TINY;
use crate::spoilt::{FOREVER, Fault, Spoilt, Verb, is_gone};
use std::path::{Path, PathBuf};
use voxstream::cli::{open, read};
use voxstream::error::Error;
use voxstream::run::driver::{RunOptions, RunOutcome, run};
use voxstream::sink::{MetricRow, ScoreRow, SubjectRow, TableRow, ViewRow, WarningRow, read_table};
use voxstream::store;
use voxstream::train::checkpoint;

fn trained(out: &Path, resume: bool) -> Result<RunOutcome, Error> {
    let more = ["train.steps=8", "sinks.views={ every: 3 }"];
    let set: Vec<String> = TINY.iter().chain(&more).map(|s| (*s).to_owned()).collect();
    let (plan, cohort) =
        open(&read(Path::new("pipelines/04-cmc-phantom.yaml"), &set).unwrap()).unwrap();
    let options = RunOptions {
        out: Some(out.to_owned()),
        workers: Some(2),
        resume,
        ..RunOptions::default()
    };
    run(plan, cohort, &options)
}

/// Names of what is in a folder, but for what is hidden.
fn names(folder: &Path) -> Vec<String> {
    let entries = store::list(folder).unwrap();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let names = entries.iter().map(|entry| name(&entry.path));
    names.filter(|name| !name.starts_with('.')).collect()
}

/// Rows of a table that is one file, or a folder of files.
fn rows<R: TableRow>(run: &Path) -> Vec<R> {
    let file = run.join(R::TABLE.file_name());
    let files = match store::exists(&file).unwrap() {
        true => vec![file],
        false => {
            let files = store::list(&run.join(R::TABLE.name)).unwrap();
            files.into_iter().map(|entry| entry.path).collect()
        }
    };
    let tables = files.iter().map(|file| read_table::<R>(file).unwrap());
    tables.flatten().collect()
}

#[test]
fn a_training_into_a_store_that_breaks_off_resumes_to_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("run");
    let (store, root) = Spoilt::new("store-training");
    let remote = root.join("runs/a");
    trained(&local, false).unwrap();

    // In the middle of the third checkpoint the store takes nothing any more.
    let second = (Verb::Put, "checkpoints/step-00000006/", 2);
    store.spoil(Fault::Closed, second, FOREVER);
    let error = trained(&remote, false).err().unwrap().to_string();
    assert!(
        error.contains("memory://store-training/runs/a/checkpoints/step-00000006"),
        "{error}"
    );
    assert!(store.heal());
    is_gone(&remote);
    let begun = names(&remote.join("checkpoints/step-00000006"));
    assert_eq!(begun, ["files.json"]);
    let last = checkpoint::last(&remote.join("checkpoints")).unwrap();
    assert_eq!(last.unwrap(), remote.join("checkpoints/step-00000004"));

    trained(&remote, true).unwrap();
    assert_eq!(rows::<MetricRow>(&remote), rows::<MetricRow>(&local));
    assert_eq!(rows::<ScoreRow>(&remote), rows::<ScoreRow>(&local));
    assert_eq!(rows::<SubjectRow>(&remote), rows::<SubjectRow>(&local));
    assert_eq!(rows::<WarningRow>(&remote), rows::<WarningRow>(&local));
    assert_eq!(rows::<ViewRow>(&remote), rows::<ViewRow>(&local));
    assert_eq!(
        names(&remote.join("checkpoints")),
        names(&local.join("checkpoints"))
    );
    let digest = |run: &Path| checkpoint::digest(&checkpoint::find(run).unwrap()).unwrap();
    assert_eq!(digest(&remote), digest(&local));
    let lost = names(&remote);
    let lost = (names(&local).into_iter()).filter(|name| !lost.contains(name));
    assert_eq!(lost.collect::<Vec<_>>(), Vec::<String>::new());
}
