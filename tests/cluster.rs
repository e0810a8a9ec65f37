//! Parts made by executors in processes of their own are those of a single machine.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use voxstream::sink::{
    EdgeRow, FailureRow, Ledger, PartRow, QualityRow, SubjectRow, read_run_table,
};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxstream"));
    command.env_remove("RUST_LOG");
    command
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A port below those that the system gives to connections, one of which might take it meanwhile.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = (std::process::id() % 1000) as u16 * 10;
    let mut ports = (0..10).map(|_| 20_000 + own + NEXT.fetch_add(1, Ordering::Relaxed));
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(is_free).expect("a port is free")
}

/// A scheduler with executors of one worker each.
struct Cluster {
    port: u16,
    _scheduler: Process,
    executors: Vec<Process>,
    work: tempfile::TempDir,
}

impl Cluster {
    fn start(executors: usize) -> Self {
        let port = port();
        let mut scheduler = program();
        scheduler.args(["scheduler", "--executor-timeout", "10", "--port"]);
        let scheduler = Process(scheduler.arg(port.to_string()).spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "the scheduler does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut cluster = Self {
            port,
            _scheduler: scheduler,
            executors: Vec::new(),
            work: tempfile::tempdir().unwrap(),
        };
        (0..executors).for_each(|_| cluster.add());
        cluster
    }

    fn address(&self) -> String {
        format!("df://127.0.0.1:{}", self.port)
    }

    fn add(&mut self) {
        let work = self.work.path().join(self.executors.len().to_string());
        let mut executor = program();
        executor.args([
            "executor",
            "--port",
            "0",
            "--workers",
            "1",
            "--memory",
            "1GiB",
        ]);
        executor
            .args(["--scheduler", &self.address(), "--work-dir"])
            .arg(work);
        self.executors.push(Process(executor.spawn().unwrap()));
    }

    /// Bytes that executors wrote for each other.
    fn shuffled(&self) -> u64 {
        let files = walkdir::WalkDir::new(self.work.path()).into_iter();
        let files = files
            .filter_map(Result::ok)
            .filter(|e| e.file_type().is_file());
        files.map(|e| e.metadata().map_or(0, |m| m.len())).sum()
    }
}

/// A folder with subjects of one image each, and a pipeline that prepares them.
struct Subjects(tempfile::TempDir);

impl Subjects {
    fn new(subjects: usize) -> Self {
        let cohort = Self(tempfile::tempdir().unwrap());
        (0..subjects).for_each(|i| cohort.add(&format!("s{i:03}"), i));
        cohort.write("");
        cohort
    }

    fn write(&self, more: &str) {
        let text = format!(
            "name: many
source: {{ folders: {{ path: data, images: '{{subject}}/{{modality}}.nii', modalities: [ct] }} }}
stages: [zscore: {{}}, quality: {{}}]
sinks: {{ prepared: {{ parquet: true, nifti: true }}, part_size: 2MiB }}
{more}"
        );
        std::fs::write(self.pipeline(), text).unwrap();
    }

    fn add(&self, id: &str, seed: usize) {
        let path = self.0.path().join("data").join(id).join("ct.nii");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let grid = voxstream::volume::Grid::with_spacing([32; 3], [1.0; 3]).unwrap();
        let voxels = (0..32 * 32 * 32).map(|i| (i * (seed * 7919 + 3) % 1021) as i16);
        let volume = voxstream::volume::Volume::from_vec(voxels.collect::<Vec<_>>(), grid);
        voxstream::volume::nifti::write(&path, &volume.unwrap(), None).unwrap();
    }

    fn spoil(&self, id: &str) {
        std::fs::write(
            self.0.path().join("data").join(id).join("ct.nii"),
            b"broken",
        )
        .unwrap();
    }

    fn pipeline(&self) -> PathBuf {
        self.0.path().join("pipeline.yaml")
    }

    fn out(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = program();
        command.current_dir(self.0.path()).arg("run");
        // Executors are told the whole path, whatever was written.
        match more.contains(&"--cluster") {
            true => command.arg("pipeline.yaml"),
            false => command.arg(self.pipeline()),
        };
        command.args(["--out", out]).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, out: &str, more: &[&str]) -> (i32, String) {
        let Output { status, stderr, .. } = self.command(out, more).output().unwrap();
        let told = String::from_utf8_lossy(&stderr).into_owned();
        (status.code().unwrap(), told)
    }
}

/// What a run says of its subjects, volatile columns aside, and the digests of its volumes.
#[derive(Debug, PartialEq)]
struct Said {
    subjects: Vec<SubjectRow>,
    quality: Vec<QualityRow>,
    failures: Vec<FailureRow>,
    parts: Vec<(String, i64, i64, i64)>,
    prepared: BTreeMap<PathBuf, blake3::Hash>,
}

fn said(run: &Path) -> Said {
    let ledger = Ledger::open(run).unwrap();
    let mut subjects: Vec<SubjectRow> = ledger.read().unwrap();
    subjects.iter_mut().for_each(|row| row.seconds = None);
    let of_part = |p: PartRow| (p.part, p.subjects, p.rows, p.failures);
    let below = walkdir::WalkDir::new(run.join("prepared")).into_iter();
    let below = below
        .map(|e| e.unwrap().into_path())
        .filter(|p| p.is_file());
    let digest = |path: PathBuf| {
        let hash = blake3::hash(&std::fs::read(&path).unwrap());
        (path.strip_prefix(run).unwrap().to_owned(), hash)
    };
    Said {
        subjects,
        quality: ledger.read().unwrap(),
        failures: ledger.read().unwrap(),
        parts: ledger.read().unwrap().into_iter().map(of_part).collect(),
        prepared: below.map(digest).collect(),
    }
}

/// Rows, bytes and failures of every node that works on subjects.
fn flowed(run: &Path) -> BTreeMap<String, [i64; 3]> {
    let edges: Vec<EdgeRow> = read_run_table(run).unwrap();
    let edges = edges.into_iter().filter(|edge| edge.node != "cluster");
    let flowed: BTreeMap<_, _> = edges
        .map(|edge| (edge.node, [edge.rows, edge.bytes, edge.failures]))
        .collect();
    assert!(flowed.len() > 1, "{flowed:?}");
    flowed
}

fn parts(run: &Path) -> Vec<PartRow> {
    Ledger::open(run).unwrap().read().unwrap()
}

#[test]
fn executors_make_what_one_machine_makes_and_go_on_where_a_run_was_left() {
    let cohort = Subjects::new(40);
    cohort.spoil("s013");
    let (code, told) = cohort.run("alone", &["--workers", "1"]);
    assert_eq!(code, 1, "{told}");
    let alone = said(&cohort.out("alone"));
    assert!(alone.parts.len() > 4, "{}", alone.parts.len());
    assert_eq!((alone.subjects.len(), alone.failures.len()), (40, 1));

    let cluster = Cluster::start(2);
    let (code, told) = cohort.run("many", &["--cluster", &cluster.address()]);
    assert_eq!(code, 1, "{told}");
    assert_eq!(said(&cohort.out("many")), alone);
    assert_eq!(flowed(&cohort.out("many")), flowed(&cohort.out("alone")));
    assert!(!cohort.out("many").join("cluster.json").exists());
    // Voxels stay where they are made.
    let bytes: u64 = parts(&cohort.out("many"))
        .iter()
        .map(|p| p.bytes as u64)
        .sum();
    assert!(
        bytes > 256 << 10 && cluster.shuffled() < bytes / 20,
        "{} of {bytes}",
        cluster.shuffled()
    );

    // A changed cohort touches the parts it concerns.
    let before: BTreeMap<_, _> = (parts(&cohort.out("many")).into_iter())
        .map(|p| (p.part, p.committed))
        .collect();
    cohort.add("s020x", 99);
    let (code, told) = cohort.run("many", &["--cluster", &cluster.address(), "--resume"]);
    assert_eq!(code, 1, "{told}");
    let after = parts(&cohort.out("many"));
    let kept = after
        .iter()
        .filter(|p| before.get(&p.part) == Some(&p.committed));
    let kept = kept.count();
    assert!(
        kept + 3 >= before.len() && kept < after.len(),
        "{kept} of {}",
        before.len()
    );
    let (code, told) = cohort.run("alone2", &["--workers", "1"]);
    assert_eq!(code, 1, "{told}");
    assert_eq!(said(&cohort.out("many")), said(&cohort.out("alone2")));
}

#[test]
fn too_many_failures_anywhere_end_the_run_everywhere() {
    let cohort = Subjects::new(40);
    for id in ["s003", "s011", "s020", "s029", "s038"] {
        cohort.spoil(id);
    }
    cohort.write("max_failures: 2\n");
    let cluster = Cluster::start(2);
    let (code, told) = cohort.run("many", &["--cluster", &cluster.address()]);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("`max_failures` allows 2"), "{told}");
}

#[test]
fn a_lost_executor_loses_nothing() {
    let cohort = Subjects::new(48);
    let (code, told) = cohort.run("alone", &["--workers", "1"]);
    assert_eq!(code, 0, "{told}");
    let mut cluster = Cluster::start(2);
    let mut driver = cohort.command("many", &["--cluster", &cluster.address()]);
    let driver = driver.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let committed = || Ledger::open(&cohort.out("many")).map_or(0, |l| l.parts().len());
    while committed() == 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
    cluster.executors.remove(0);
    let Output { status, stderr, .. } = driver.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(0), "{told}");
    assert_eq!(said(&cohort.out("many")), said(&cohort.out("alone")));
}

#[test]
fn what_cannot_go_to_a_cluster_leaves_no_folder() {
    let cohort = Subjects::new(2);
    let (code, told) = cohort.run("nobody", &["--cluster", "df://127.0.0.1:1"]);
    assert_eq!(code, 2);
    assert!(
        told.contains("df://127.0.0.1:1: no scheduler answers"),
        "{told}"
    );
    assert!(!cohort.out("nobody").exists());
}
