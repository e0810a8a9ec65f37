//! The command line: one file a command. stdout is data, stderr is talk.

mod args;
mod bench;
pub mod check;
mod cluster;
pub mod convert;
pub mod demo;
mod explain;
mod file;
mod find_lr;
mod folds;
pub mod gpu_check;
pub mod init;
pub mod inspect;
mod landmarks;
mod man;
mod output;
pub mod query;
pub mod replay;
pub mod report;
pub mod run;
pub mod schema;
pub mod serve;
pub mod stages;
pub mod tap;
pub mod test;
pub mod top;
mod verify;
pub mod view;

pub use args::{
    BenchArgs, DeviceArg, ExecutorArgs, ExplainArgs, FindLrArgs, FoldArg, ForegroundArg,
    GpuCheckArgs, LandmarksArgs, RunArgs, SchedulerArgs,
};
pub use file::{open, open_to_run, planned, read};
pub use init::InitArgs;
pub use output::show_error;
pub(crate) use output::{colours, say, stdout};

use crate::error::Error;
use crate::run::display::Aside;
use clap::{Parser, Subcommand};
use output::UntilClosed;
use std::io::Write as _;
use std::path::PathBuf;

/// Streaming data pipelines for registered multimodal medical volumes.
///
/// One YAML file says where the subjects are, which stages they flow through, what is trained on
/// the stream and where outputs go; everything that comes out is Parquet.
///
/// Exit codes: 0 done; 1 done, some subjects failed; 2 a mistake in your file or data; 3 a fault of
/// ours; 130 stopped by a signal.
#[derive(Debug, Parser)]
#[command(name = "voxstream", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Level of messages on stderr: error, warn, info, debug.
    #[arg(long, global = true, default_value = "info")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train CMC on a made-up cohort: labelled-only against semi-supervised, with a report.
    Demo {
        /// Folder of the demo; default `runs/demo/<stamp>`.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Worker threads; default one a core.
        #[arg(long, value_parser = args::threads)]
        workers: Option<usize>,
        /// Go on with an earlier demo, of `--out` or the latest.
        #[arg(long)]
        resume: bool,
    },
    /// Look at a data set and write a commented pipeline for it, which passes `check --data`.
    ///
    /// BIDS (sessions and derivatives too), nnU-Net raw, Medical Segmentation Decathlon, folders of images
    /// and labels, a folder a subject, all files in one folder, and tables of paths are recognised.
    Init(InitArgs),
    /// Check pipeline files; every mistake is shown at once, with its place.
    Check {
        /// Pipeline files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Change a value of every file, such as `train.steps=100`; may be repeated.
        #[arg(long = "set", value_name = "PATH=VALUE")]
        set: Vec<String>,
        /// Also open the cohort and look at every header: files, grids, whether modalities are registered.
        #[arg(long)]
        data: bool,
        /// How the result is printed.
        #[arg(long, value_enum, default_value_t = check::CheckFormat::Text)]
        format: check::CheckFormat,
    },
    /// Show a pipeline's plan: steps, schemas, sizes. Reads headers only, where there is data.
    Explain(ExplainArgs),
    /// Run a pipeline.
    Run(RunArgs),
    /// Hand the parts of runs to executors: `run --cluster df://host:50050`. Needs a build with `cluster`.
    Scheduler(SchedulerArgs),
    /// Make parts of runs for a scheduler, until a signal ends it: the parts under way are finished first.
    Executor(ExecutorArgs),
    /// Run a pipeline into nothing: samples a second, MB a second, time of every step.
    Bench(BenchArgs),
    /// Find a learning rate: train at rising ones and see where the loss falls. Keeps nothing.
    FindLr(FindLrArgs),
    /// Learn the landmarks of `histogram_standardize` from the training subjects; prints the step.
    Landmarks(LandmarksArgs),
    /// Compare a GPU with the CPU, operator by operator, then train on it and measure.
    ///
    /// Exit codes: 0 all agrees; 1 something differs; 2 no CUDA device, or a build without CUDA; 3 an
    /// operator fails on the device.
    GpuCheck(GpuCheckArgs),
    /// List the stages, or show one with its parameters and an example.
    Stages {
        /// Stage to show.
        name: Option<String>,
    },
    /// Print a schema (`pipeline`, or a table), or list them.
    Schema {
        /// Schema to print.
        name: Option<String>,
        /// Write every schema into this folder's `schemas/`.
        #[arg(long)]
        write: bool,
    },
    /// Show headers, grid, orientation, value range and histogram of volumes, or the fingerprint of a
    /// data set: subjects, grids, intensities, classes, what does not fit.
    Inspect {
        /// NIfTI files, folders of data sets, tables of paths.
        #[arg(required = true)]
        volumes: Vec<PathBuf>,
        /// Subjects of a data set whose voxels are looked at; headers are read of all.
        #[arg(long, default_value_t = 24)]
        sample: usize,
        /// Keep the fingerprint of a data set in this folder, as Parquet.
        #[arg(long, value_name = "FOLDER")]
        fingerprint: Option<PathBuf>,
    },
    /// Draw what a pipeline does to a subject, step by step; or a run's predictions against the truth.
    View(view::ViewArgs),
    /// Rebuild a row that a run recorded from its draws, and say whether the bytes agree.
    ///
    /// Recorded are prepared rows (`sinks: { prepared: { parquet: true } }`, with their voxels) and the views of a
    /// training (`sinks: { views: {} }`, with digests). The row is made again by the plan that the run kept, from the
    /// subject's files as they are now, with the recorded draws. Without options the first recorded row is taken.
    ///
    /// Exit codes: 0 the bytes agree; 1 they differ; 2 the row cannot be made again, or nothing was recorded.
    Replay(replay::ReplayArgs),
    /// Hold pipelines to what their section `tests` promises.
    ///
    /// Exit codes: 0 all tests hold; 1 one does not; 2 a mistake in a file, or no test in any.
    Test(test::TestArgs),
    /// Ask runs in SQL: one statement, a script, or an interactive shell.
    ///
    /// Of a run folder every table is asked under its name: subjects, metrics, scores, edges, failures, ….
    /// Of several runs, or a folder that holds runs, each table is the union over them with the columns
    /// run, pipeline, fold and seed. Views: leaderboard, worst_subjects, class_progress,
    /// pseudo_label_quality, stage_time, cohort, cross_validation, runs; leaderboard, worst_subjects and stage_time list
    /// the best run, the worst subject and the busiest node first and number their rows: `order by rank` where
    /// a statement groups or joins them. compare('run_a', 'run_b') tests two runs on the same subjects. `show tables` lists what there is, `describe scores` columns with unit and meaning.
    ///
    /// Functions on volumes decode voxels only where they are asked for: dice(a, b, class),
    /// volume_ml(label, class), components(label, class), mean_in(image, label, class),
    /// percentile(image, p), voxels(volume), slice_png(image, label, axis, index).
    ///
    /// For example: voxstream query runs "select * from leaderboard where split = 'test'"
    Query(query::QueryArgs),
    /// Turn weights of a public PyTorch model into safetensors of this program.
    ///
    /// Known are the released CMC model and the U-Net of CLIP-Driven Universal Model; both become
    /// (parts of) the network `cmc: { variant: released }`.
    Convert {
        /// The `.pth` file.
        file: PathBuf,
        /// The `.safetensors` file to write.
        out: PathBuf,
        /// Entry of the file that holds the weights; default: the file itself, `state_dict`, `net`, `model`, ….
        #[arg(long)]
        key: Option<String>,
    },
    /// Check the files of a run against its commit records: sizes, digests, schemas; checkpoints against the digests
    /// beside them, other tables and volumes by the checksums that they carry. A finished run must have every file that
    /// it had at its end. Files that no commit record names are listed, and are no fault.
    ///
    /// Exit codes: 0 all is as it was committed; 1 a file is damaged or missing.
    Verify {
        /// Run folder.
        run: PathBuf,
        /// Remove the parts that are damaged, so that `run --resume` writes them again.
        #[arg(long)]
        drop: bool,
    },
    /// Remove what an interrupted run left behind: files that no commit record names.
    Gc {
        /// Run folder.
        run: PathBuf,
    },
    /// Print a completion script for a shell.
    ///
    /// For example `voxstream completions bash > ~/.local/share/bash-completion/completions/voxstream`.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program, or of one command.
    ///
    /// For example `voxstream man run | man -l -`.
    Man {
        /// The command.
        command: Option<String>,
    },
    /// Show what the runs of this machine are doing, from their tables: step, scores, every node.
    ///
    /// Redrawn every second until no run is under way; once where standard output is no terminal.
    Top(top::TopArgs),
    /// Look at rows of a run that is under way, as they pass a node: shapes, value ranges, classes, draws.
    ///
    /// Rows pass the source, every step, and the streams of a training (`stream.labelled`, `stream.unlabelled`: the
    /// views as the trainer takes them). The run notices within 3 seconds, and neither waits nor changes. For
    /// example: voxstream tap runs/cmc --node views.shared[0].patch --count 10
    Tap(tap::TapArgs),
    /// Show runs on a page that follows them while they are under way: graph, curves, slices, failures, SQL.
    ///
    /// Reads only, on this machine alone unless `--address` says otherwise; then a token is needed, which is
    /// part of the address that is printed. `/metrics` is OpenMetrics, for Prometheus.
    Serve(serve::ServeArgs),
    /// Write a page about a run with pictures, or about several runs side by side: `report.html`.
    ///
    /// Of one run: what ran, scores, curves, weak and strong views, the worst, median and best subject of
    /// every class, time and waits of every node, outliers of the cohort, warnings, failures. Of several:
    /// their scores, and each against the best with intervals. The file needs no network and is below 10 MB.
    Report(report::ReportArgs),
}

/// Carries a command out; returns the exit code.
///
/// **Errors** say what is wrong and what to do.
pub fn execute(cli: &Cli) -> Result<u8, Error> {
    let filter = tracing_subscriber::EnvFilter::try_new(format!("warn,voxstream={}", cli.log));
    let filter = filter.map_err(|e| {
        Error::run(format!(
            "`--log {}`: {e}; use error, warn, info or debug",
            cli.log
        ))
    })?;
    // A second call in one process (a test) keeps the first subscriber.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Aside)
        .with_ansi(colours())
        .with_target(false)
        .try_init()
        .ok();
    let mut out = UntilClosed(std::io::stdout());
    match &cli.command {
        Command::Demo {
            out: folder,
            workers,
            resume,
        } => demo::demo(folder.as_deref(), *workers, *resume, &mut out),
        Command::Init(args) => init::init(args, &mut out),
        Command::Check {
            files,
            set,
            data,
            format,
        } => check::check(files, set, *data, *format, &mut out),
        Command::Explain(args) => explain::explain(args, &mut out),
        Command::Run(args) => run::run(args, &mut out),
        Command::Scheduler(args) => cluster::scheduler(args),
        Command::Executor(args) => cluster::executor(args),
        Command::Bench(args) => bench::bench(args, &mut out),
        Command::FindLr(args) => find_lr::find_lr(args, &mut out),
        Command::Landmarks(args) => landmarks::landmarks(args, &mut out),
        Command::GpuCheck(args) => gpu_check::gpu_check(args, &mut out),
        Command::Stages { name } => {
            let found = stages::stages(name.as_deref(), &mut out).map_err(stdout)?;
            Ok(if found { 0 } else { 2 })
        }
        Command::Schema { name, write } => schema::schema(name.as_deref(), *write, &mut out),
        Command::Inspect {
            volumes,
            sample,
            fingerprint,
        } => {
            let (sets, volumes): (Vec<PathBuf>, Vec<PathBuf>) = volumes
                .iter()
                .cloned()
                .partition(|p| inspect::is_data_set(p));
            let mut failed = inspect::inspect(&volumes, &mut out).map_err(stdout)?;
            failed += inspect::data_sets(&sets, *sample, fingerprint.as_deref(), &mut out)?;
            Ok(if failed == 0 { 0 } else { 2 })
        }
        Command::View(args) => view::view(args, &mut out),
        Command::Replay(args) => replay::replay(args, &mut out),
        Command::Test(args) => test::test(args, &mut out),
        Command::Query(args) => query::query(args, &mut out),
        Command::Convert { file, out: to, key } => {
            convert::convert(file, to, key.as_deref(), &mut out)
        }
        Command::Verify { run, drop } => verify::verify(run, *drop, &mut out),
        Command::Gc { run } => verify::gc(run, &mut out),
        Command::Completions { shell } => {
            // Collected first: the generator panics where its writer fails.
            let mut script = Vec::new();
            let mut command = <Cli as clap::CommandFactory>::command();
            clap_complete::generate(*shell, &mut command, "voxstream", &mut script);
            out.write_all(&script).map_err(stdout)?;
            Ok(0)
        }
        Command::Man { command } => {
            let program = <Cli as clap::CommandFactory>::command();
            man::man(program, command.as_deref(), &mut out)
        }
        Command::Top(args) => top::top(args, &mut out),
        Command::Tap(args) => tap::tap(args, &mut out),
        Command::Report(args) => report::report(args, &mut out),
        Command::Serve(args) => serve::serve(args, &mut out),
    }
}
