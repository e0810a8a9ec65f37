//! Subjects that end the process.

use super::*;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use std::fmt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use voxstream::sink::{MetricRow, ScoreRow, read_table};
use voxstream::source::SubjectRecord;
use voxstream::store;
use voxstream::volume::Split;

/// The folder of the run that [`child`] starts, and the step's arguments.
const VARIABLES: [&str; 2] = ["VOXSTREAM_CHAOS_OUT", "VOXSTREAM_CHAOS"];

/// Set where subjects that failed are tried again, and where a training is run: to the chain of the step.
const RETRY: &str = "VOXSTREAM_CHAOS_RETRY";
const TRAIN: &str = "VOXSTREAM_CHAOS_TRAIN";

/// The chain of the step where it is not `stages`.
const VIEWS: &str = "views";

/// The folder in which the objects of the store `memory://chaos-disk` are.
const DISK: &str = "VOXSTREAM_CHAOS_DISK";

/// Is run in a process of its own.
#[test]
#[ignore = "a part of the other tests"]
fn child() {
    let [Ok(out), Ok(chaos)] = VARIABLES.map(std::env::var) else {
        return;
    };
    if let Ok(folder) = std::env::var(DISK) {
        Disk::register(Path::new(&folder));
    }
    let mut run = Run::new(Path::new(&out)).with(chaos);
    if let Ok(chain) = std::env::var(TRAIN) {
        run = run.of_training();
        run.in_views = chain == VIEWS;
    }
    run.options.resume = store::exists(&Path::new(&out).join("status.json")).unwrap();
    run.options.retry_failed = std::env::var_os(RETRY).is_some();
    let code = code(&run.start());
    std::process::exit(i32::from(code));
}

/// The run in a process of its own.
fn process(out: &Path, chaos: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "chaos::process::child",
        "--exact",
        "--ignored",
        "--nocapture",
    ]);
    command.env(VARIABLES[0], out).env(VARIABLES[1], chaos);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Starts the run in a process; its exit code, `None` if it was aborted.
fn started(out: &Path, chaos: &str) -> Option<i32> {
    process(out, chaos).status().unwrap().code()
}

/// Goes on with the run, and tries subjects again that failed.
fn again(out: &Path, chaos: &str) -> Option<i32> {
    let mut command = process(out, chaos);
    command.env(RETRY, "yes").status().unwrap().code()
}

/// Starts a run until it leaves out a subject that ends its process.
fn left_out(subject: &str, out: &Path, start: &dyn Fn() -> Option<i32>, whole: &Said) {
    let mut codes: Vec<Option<i32>> = (0..4).map(|_| start()).collect();
    assert_eq!(codes.pop().unwrap(), Some(1), "{subject}: {codes:?}");
    assert_eq!(codes, [None; 3], "{subject}");
    let found = said(out);
    let cause = &found.causes[subject];
    assert!(
        cause.contains("the process ended 3 times in a row"),
        "{cause}"
    );
    assert_eq!(
        found.clone().without(subject),
        whole.clone().without(subject)
    );
    // It stays left out, and nothing is made again.
    assert_eq!(start(), Some(1));
    assert_eq!(said(out), found);
}

#[test]
fn a_subject_that_ends_the_process_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    Run::new(&whole).start().unwrap();
    let whole = said(&whole);
    for subject in ["phantom-000", "phantom-008"] {
        let out = folder.path().join(subject);
        let chaos = format!("{{ subjects: {{ {subject}: abort }} }}");
        left_out(subject, &out, &|| started(&out, &chaos), &whole);
        // It may be tried again.
        assert_eq!(again(&out, &chaos), None);
    }
}

#[test]
fn a_user_who_ends_the_process_suspects_no_subject() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let chaos = "{ subjects: { phantom-004: cancel } }";
    // The fourth start would leave the subject out, and come to its end.
    let codes = [(); 4].map(|()| started(&out, chaos));
    assert_eq!(codes, [Some(130); 4]);
}

/// The training with this step in a chain, in a process of its own that has its own cache.
fn trained(out: &Path, chain: &str, chaos: &str) -> Option<i32> {
    let mut command = process(out, chaos);
    let cache = out.with_extension("cache");
    let command = command.env(TRAIN, chain).env("VOXSTREAM_CACHE", cache);
    command.status().unwrap().code()
}

#[test]
fn a_subject_that_ends_a_training_is_left_out_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let plan = compile(
        &SourceFile {
            name: "chaos.yaml".into(),
            text: format!("name: a\nsource: {{ {LABELLED} }}\nstages: [zscore: {{}}]\n"),
        },
        STAGES,
        None,
    );
    let source = plan.ok().unwrap().pipeline.source;
    let cohort = source.open(Path::new("."), 0).unwrap();
    type IsOfKind = fn(&SubjectRecord) -> bool;
    let kinds: [(&str, &str, IsOfKind); 4] = [
        ("train", "stages", |s| s.labelled),
        ("validation", "stages", |s| s.split == Split::Validation),
        ("test", "stages", |s| s.split == Split::Test),
        ("seen", VIEWS, |s| s.labelled),
    ];
    for (kind, chain, is_kind) in kinds {
        let subject = &cohort.subjects().iter().find(|s| is_kind(s)).unwrap().id;
        // A subject that fails is what one is to the training that ends the process.
        let failing = folder.path().join(format!("{kind}-fails"));
        let code = trained(
            &failing,
            chain,
            &format!("{{ subjects: {{ {subject}: error }} }}"),
        );
        assert_eq!(code, Some(1), "{kind}");
        let out = folder.path().join(kind);
        let chaos = format!("{{ subjects: {{ {subject}: abort }} }}");
        let mut codes: Vec<Option<i32>> = (0..4).map(|_| trained(&out, chain, &chaos)).collect();
        assert_eq!(codes.pop().unwrap(), Some(1), "{kind}: {codes:?}");
        assert_eq!(codes, [None; 3], "{kind}");
        let failures: Vec<FailureRow> = read_table(&out.join("failures.parquet")).unwrap();
        assert_eq!(failures.len(), 1, "{kind}: {failures:?}");
        assert_eq!(&failures[0].subject_id, subject, "{kind}");
        let cause = &failures[0].cause;
        assert!(
            cause.contains("the process ended 3 times in a row")
                && cause.contains("train again without `--resume`"),
            "{kind}: {cause}"
        );
        let tables = |run: &Path| {
            let metrics: Vec<MetricRow> = read_table(&run.join("metrics.parquet")).unwrap();
            let scores: Vec<ScoreRow> = read_table(&run.join("scores.parquet")).unwrap();
            let subjects: Vec<SubjectRow> = read_table(&run.join("subjects.parquet")).unwrap();
            (metrics, scores, subjects)
        };
        assert_eq!(tables(&out), tables(&failing), "{kind}");
    }
}

/// A store whose objects are files, so that it survives the process.
#[derive(Debug)]
struct Disk(LocalFileSystem);

impl Disk {
    /// Has this process and others find the store in a folder.
    fn register(folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        let files = LocalFileSystem::new_with_prefix(folder).unwrap();
        store::register("memory://chaos-disk", Arc::new(Self(files))).unwrap();
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("disk")
    }
}

#[async_trait]
impl ObjectStore for Disk {
    async fn get_opts(&self, key: &Key, o: GetOptions) -> object_store::Result<GetResult> {
        self.0.get_opts(key, o).await
    }
    async fn put_opts(
        &self,
        key: &Key,
        payload: PutPayload,
        mut o: PutOptions,
    ) -> object_store::Result<PutResult> {
        // Files know no versions; here one process writes at a time.
        if let PutMode::Update(_) = o.mode {
            o.mode = PutMode::Overwrite;
        }
        self.0.put_opts(key, payload, o).await
    }
    async fn put_multipart_opts(
        &self,
        key: &Key,
        o: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(key, o).await
    }
    fn delete_stream(
        &self,
        keys: BoxStream<'static, object_store::Result<Key>>,
    ) -> BoxStream<'static, object_store::Result<Key>> {
        self.0.delete_stream(keys)
    }
    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Key, to: &Key, o: CopyOptions) -> object_store::Result<()> {
        self.0.copy_opts(from, to, o).await
    }
}

#[test]
fn a_subject_that_ends_a_process_that_writes_to_a_store_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, disk) = (folder.path().join("whole"), folder.path().join("disk"));
    Disk::register(&disk);
    Run::new(&whole).start().unwrap();
    let whole = said(&whole);
    for subject in ["phantom-000", "phantom-008"] {
        let out = Path::new("memory://chaos-disk").join(subject);
        let chaos = format!("{{ subjects: {{ {subject}: abort }} }}");
        let start = || {
            let mut command = process(&out, &chaos);
            command.env(DISK, &disk).status().unwrap().code()
        };
        left_out(subject, &out, &start, &whole);
    }
}

#[test]
fn attempts_cost_a_store_few_requests() {
    let (store, root) = crate::spoilt::Spoilt::new("attempts-cost");
    let mut run = Run::new(&root.join("run"));
    run.source = "phantom: { subjects: 150, modalities: [ct], size: [16, 16, 16] }".to_owned();
    run.part_size = "256MiB";
    assert_eq!(code(&run.start()), 0);
    let written = store.count(crate::spoilt::Verb::Put, ".attempts");
    assert!(written <= 3, "{written} requests for 150 subjects");
    assert!(!store::exists(&root.join("run/.attempts")).unwrap());
}
