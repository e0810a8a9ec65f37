//! What can go wrong on many machines, as far as one process can show it.

use super::codec::PartCodec;
use super::manifest::{self, PartRequest};
use super::node::PartExec;
use super::options::{ExecutorOptions, OpenPipeline};
use super::site::Site;
use super::task::RunTask;
use crate::cli::open;
use crate::error::Error;
use crate::plan::Plan;
use crate::run::context::RunContext;
use crate::run::counters::Counters;
use crate::run::cut::Stretch;
use crate::run::folder::RunFolder;
use crate::run::ledger::{ledger, plan_digest};
use crate::run::preparation::stretches;
use crate::run::prepare::Preparer;
use crate::sink::{Ledger, PartRow};
use crate::source::Cohort;
use crate::spec::SourceFile;
use crate::train::device::DeviceChoice;
use arrow::array::AsArray;
use ballista_scheduler::state::task_builder::restrict_plan_to_partitions;
use candle_core::Device;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const PIPELINE: &str = "name: many
source: { phantom: { subjects: 24, size: [16, 16, 16] } }
stages: [zscore: {}]
sinks: { prepared: {}, part_size: 2MiB }
";

/// A run that a driver has opened, and its parts.
struct Run {
    folder: tempfile::TempDir,
    cx: RunContext,
    stretches: Vec<Stretch>,
    task: Arc<RunTask>,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = SourceFile {
            name: folder.path().join("many.yaml").display().to_string(),
            text: PIPELINE.into(),
        };
        let (plan, cohort) = open(&file).unwrap();
        let (plan, counters) = (Arc::new(plan), Counters::default());
        let preparer = Preparer::new(&plan, Arc::from(cohort), 1 << 30, &counters).unwrap();
        let ledger = ledger(&plan, None, None);
        let out = folder.path().join("run");
        let cx = RunContext {
            folder: RunFolder::open(Some(&out), &plan, &ledger, false).unwrap(),
            preparer: Arc::new(preparer),
            plan,
            counters,
            device: Device::Cpu,
            devices: vec![Device::Cpu],
            workers: 1,
            memory: 1 << 30,
            limit: None,
            retry_failed: false,
            progress: false,
            stop: Arc::default(),
        };
        let digest = plan_digest(&ledger, "");
        let all = cx.subjects(|_| true);
        let stretches: Vec<Stretch> = stretches(&cx, all, &digest).collect();
        assert!(stretches.len() > 2, "{}", stretches.len());
        let task = Arc::new(RunTask::new(&cx.plan, None, &digest, &cx.folder));
        Self {
            folder,
            cx,
            stretches,
            task,
        }
    }

    fn request(&self, at: usize) -> PartRequest {
        PartRequest::from(&self.stretches[at])
    }

    fn plan(&self, site: Option<Arc<Site>>) -> Arc<dyn ExecutionPlan> {
        let source = manifest::source(&self.stretches).unwrap();
        Arc::new(PartExec::new(Arc::clone(&self.task), site, source))
    }

    fn records(&self) -> Vec<PartRow> {
        Ledger::open(&self.cx.folder.path).unwrap().read().unwrap()
    }
}

fn site(open: OpenPipeline) -> Arc<Site> {
    let options = ExecutorOptions {
        scheduler: "df://localhost:1".parse().unwrap(),
        bind: "127.0.0.1".into(),
        host: None,
        port: 0,
        workers: Some(1),
        memory: Some(1 << 30),
        parts: 1,
        device: DeviceChoice::Cpu,
        work_dir: None,
    };
    Arc::new(Site::new("here:1".into(), &options, open))
}

fn make(site: &Site, run: &Run, request: &PartRequest) -> Result<PartRow, String> {
    let made = site.make(&run.task, request, Arc::default());
    made.map_err(|e| e.to_string())
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(work)
}

#[test]
fn rows_are_not_multiplied_and_partition_numbers_of_tasks_do_not_matter() {
    let (run, site) = (Run::new(), site(open));
    let plan = run.plan(Some(site));
    let mut rows = Vec::new();
    for partition in 0..run.stretches.len() {
        // As the scheduler cuts a stage before it sends a task.
        let task = restrict_plan_to_partitions(Arc::clone(&plan), &[partition]).unwrap();
        assert_eq!(task.properties().partitioning.partition_count(), 1);
        let made = wait(collect(task, Arc::new(TaskContext::default()))).unwrap();
        for batch in made {
            let parts = batch.column(0).as_string::<i32>();
            rows.extend(parts.iter().flatten().map(str::to_owned));
        }
    }
    let names: Vec<String> = run.stretches.iter().map(|s| s.name.clone()).collect();
    assert_eq!(rows, names);
    let records = run.records();
    let committed: BTreeSet<&String> = records.iter().map(|row| &row.part).collect();
    assert_eq!(committed, names.iter().collect());
    assert_eq!(records.iter().map(|row| row.subjects).sum::<i64>(), 24);
    assert!(records.iter().all(|row| row.host == "here:1"));
}

#[test]
fn a_task_returns_one_small_row_without_voxels() {
    let run = Run::new();
    let plan = run.plan(Some(site(open)));
    let made = wait(collect(plan, Arc::new(TaskContext::default()))).unwrap();
    let bytes: usize = made.iter().map(|batch| batch.get_array_memory_size()).sum();
    // The voxels of one subject take 16 KiB.
    let parts = run.stretches.len();
    assert!(bytes < 1024 * parts, "{bytes} bytes for {parts} parts");
}

#[test]
fn a_part_that_is_committed_is_not_made_again() {
    let (run, site) = (Run::new(), site(open));
    let first = make(&site, &run, &run.request(1)).unwrap();
    let again = make(&site, &run, &run.request(1)).unwrap();
    assert_eq!(first, again);
    // Without its table it is not whole, and is made anew.
    let table = format!("prepared/{}.parquet", first.part);
    std::fs::remove_file(run.cx.folder.join(&table)).unwrap();
    let anew = make(&site, &run, &run.request(1)).unwrap();
    assert_eq!(anew.part, first.part);
    assert!(run.cx.folder.join(&table).is_file());
    assert_eq!(run.records(), [anew]);
}

#[test]
fn a_part_of_another_start_is_not_committed() {
    let (run, site) = (Run::new(), site(open));
    make(&site, &run, &run.request(0)).unwrap();
    let request = run.request(1);
    let task = RunTask {
        starts: run.task.starts + 1,
        ..(*run.task).clone()
    };
    let later = site.make(&task, &request, Arc::default()).unwrap_err();
    let later = later.to_string();
    assert!(
        later.contains("the run was started again (start 1)"),
        "{later}"
    );
    assert_eq!(run.records().len(), 1);
}

#[test]
fn a_task_that_nobody_wants_stops_before_it_commits() {
    let (run, site) = (Run::new(), site(open));
    let stop = Arc::new(AtomicBool::new(true));
    let stopped = site.make(&run.task, &run.request(0), stop).unwrap_err();
    assert!(stopped.to_string().contains("stopped"), "{stopped}");
    assert_eq!(run.records(), []);
}

#[test]
fn another_version_is_refused_by_name() {
    let run = Run::new();
    let written = |version: &str| {
        let task = RunTask {
            version: version.to_owned(),
            ..(*run.task).clone()
        };
        let source = manifest::source(&run.stretches).unwrap();
        let node = Arc::new(PartExec::new(Arc::new(task), None, source));
        PhysicalPlanNode::try_from_physical_plan(node, &PartCodec::new("run")).unwrap()
    };
    let context = TaskContext::default();
    let read = |version: &str, codec: &PartCodec| {
        written(version)
            .try_into_physical_plan(&context, codec)
            .map(drop)
    };
    let (scheduler, executor) = (
        PartCodec::new("the scheduler"),
        PartCodec::of_site(&site(open)),
    );
    read(env!("CARGO_PKG_VERSION"), &scheduler).unwrap();
    for (codec, name) in [
        (&scheduler, "the scheduler is"),
        (&executor, "executor here:1 is"),
    ] {
        let refused = read("9.9.9", codec).unwrap_err().to_string();
        assert!(
            refused.contains(name) && refused.contains("9.9.9"),
            "{refused}"
        );
    }
}

#[test]
fn a_plan_survives_the_wire() {
    let run = Run::new();
    let codec = PartCodec::new("run");
    let node = PhysicalPlanNode::try_from_physical_plan(run.plan(None), &codec).unwrap();
    let back = node
        .try_into_physical_plan(&TaskContext::default(), &codec)
        .unwrap();
    let part = back.downcast_ref::<PartExec>().unwrap();
    assert_eq!(part.task(), &*run.task);
    let partitions = back.properties().partitioning.partition_count();
    assert_eq!(partitions, run.stretches.len());
    // Without a site nobody makes parts.
    let refused = wait(collect(back, Arc::new(TaskContext::default()))).unwrap_err();
    assert!(
        refused.to_string().contains("voxstream executor"),
        "{refused}"
    );
}

/// Plans a pipeline as a program would that differs.
fn open_otherwise(file: &SourceFile) -> Result<(Plan, Box<dyn Cohort>), Error> {
    open(&SourceFile {
        text: file.text.replace("zscore: {}", "orient: { to: RAS }"),
        name: file.name.clone(),
    })
}

#[test]
fn another_plan_and_other_subjects_are_refused_by_name() {
    let run = Run::new();
    let refused = make(&site(open_otherwise), &run, &run.request(0)).unwrap_err();
    assert!(
        refused.contains("use the same files and the same build"),
        "{refused}"
    );
    let other = PartRequest {
        digest: "0".repeat(64),
        ..run.request(0)
    };
    let refused = make(&site(open), &run, &other).unwrap_err();
    assert!(
        refused.contains("the same files at the same paths"),
        "{refused}"
    );
    let beyond = PartRequest {
        subjects: vec![99],
        ..run.request(0)
    };
    let refused = make(&site(open), &run, &beyond).unwrap_err();
    assert!(refused.contains("subject number 99"), "{refused}");
    assert_eq!(run.records(), []);
    drop(run.folder);
}
