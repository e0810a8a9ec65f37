//! A training whose run folder is in a store gives what one on this machine gives.

use crate::pipelines::TINY;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use voxstream::cli::{open, read};
use voxstream::run::driver::{RunOptions, RunOutcome, run};
use voxstream::sink::{MetricRow, ScoreRow, SubjectRow, TableRow, ViewRow, WarningRow, read_table};
use voxstream::store;
use voxstream::train::checkpoint;

/// A store that takes nothing any more, once an object of this ending was put.
#[derive(Debug, Default)]
struct Closing {
    inner: InMemory,
    behind: Mutex<Option<&'static str>>,
    is_closed: AtomicBool,
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closing")
    }
}

#[async_trait]
impl ObjectStore for Closing {
    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(key, options).await
    }
    async fn put_opts(&self, key: &Key, payload: PutPayload, o: PutOptions) -> Result<PutResult> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(Error::PermissionDenied {
                path: key.to_string(),
                source: "the right to write was withdrawn".into(),
            });
        }
        let behind = *self.behind.lock().unwrap();
        let closes = behind.is_some_and(|ending| key.as_ref().ends_with(ending));
        self.is_closed.store(closes, Ordering::SeqCst);
        self.inner.put_opts(key, payload, o).await
    }
    async fn put_multipart_opts(
        &self,
        key: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(key, options).await
    }
    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        self.inner.delete_stream(keys)
    }
    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn trained(out: &Path, resume: bool) -> std::result::Result<RunOutcome, voxstream::error::Error> {
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
    let store = Arc::new(Closing::default());
    store::register("memory://store-training", store.clone()).unwrap();
    let remote = PathBuf::from("memory://store-training/runs/a");
    trained(&local, false).unwrap();

    // In the middle of the third checkpoint the store takes nothing any more.
    *store.behind.lock().unwrap() = Some("step-00000006/metrics.parquet");
    let error = trained(&remote, false).err().unwrap().to_string();
    assert!(
        error.contains("memory://store-training/runs/a/checkpoints/step-00000006"),
        "{error}"
    );
    let begun = names(&remote.join("checkpoints/step-00000006"));
    assert_eq!(begun, ["metrics.parquet"]);
    let last = checkpoint::last(&remote.join("checkpoints")).unwrap();
    assert_eq!(last.unwrap(), remote.join("checkpoints/step-00000004"));

    *store.behind.lock().unwrap() = None;
    store.is_closed.store(false, Ordering::SeqCst);
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
