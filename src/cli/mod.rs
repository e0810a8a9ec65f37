//! The command line: one file a command. stdout is data, stderr is talk.

mod bench;
pub mod check;
pub mod convert;
pub mod demo;
pub mod gpu_check;
pub mod inspect;

pub mod run;
pub mod schema;
pub mod stages;

use crate::error::Error;
use crate::plan::explain::{Form, explain};
use crate::plan::ranges::Subjects;
use crate::plan::{Plan, compile, overrides};
use crate::query::Format;
use crate::registry::STAGES;
use crate::run::chain::causes;
use crate::run::display::Aside;
use crate::source::Cohort;
use crate::spec::{Diagnostic, SourceFile};
use crate::train::device::DeviceChoice;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

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
    /// How much is told on stderr: error, warn, info, debug.
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
        #[arg(long)]
        workers: Option<usize>,
    },
    /// Check pipeline files; every mistake is shown at once, with its place.
    Check {
        /// Pipeline files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Also open the cohort and look at every header: files, grids, whether modalities are registered.
        #[arg(long)]
        data: bool,
    },
    /// Show a pipeline's plan: steps, schemas, sizes. Reads headers only, where there is data.
    Explain {
        /// Pipeline file.
        file: PathBuf,
        /// As a Mermaid flow chart.
        #[arg(long, conflicts_with = "json")]
        mermaid: bool,
        /// As JSON, for machines.
        #[arg(long)]
        json: bool,
        /// Change a value of the file, such as `train.steps=100`; may be repeated.
        #[arg(long = "set", value_name = "PATH=VALUE")]
        set: Vec<String>,
        /// Show the plan as it was written, step by step.
        #[arg(long)]
        no_optimize: bool,
    },
    /// Run a pipeline.
    Run(RunArgs),
    /// Run a pipeline into nothing: samples a second, MB a second, time of every step.
    Bench(BenchArgs),
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
    /// Show headers, grid, orientation, value range and histogram of volumes.
    Inspect {
        /// NIfTI files.
        #[arg(required = true)]
        volumes: Vec<PathBuf>,
    },
    /// Ask a run's tables in SQL.
    Query {
        /// Run folder.
        run: PathBuf,
        /// A query; tables are named as their files: subjects, metrics, scores, edges, failures, ….
        sql: String,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t = FormatArg::Table)]
        format: FormatArg,
    },
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
    /// Write a run's `report.html` again.
    Report {
        /// Run folder.
        run: PathBuf,
    },
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Pipeline file.
    pub file: PathBuf,
    /// Run folder; default `runs/<name>/<stamp>`. It must be new, unless `--resume` is given.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Change a value of the file, such as `train.steps=100`; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Device that trains and predicts.
    #[arg(long, value_enum, default_value_t = DeviceArg::Auto)]
    pub device: DeviceArg,
    /// Worker threads; default one a core.
    #[arg(long)]
    pub workers: Option<usize>,
    /// Budget for volumes in flight and cached, such as `8GiB`; default: the file's, else half of the machine's memory.
    #[arg(long)]
    pub memory: Option<bytesize::ByteSize>,
    /// At most so many subjects of each part: a quick try.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Carry out the plan as it was written, step by step: slow, to compare with.
    #[arg(long)]
    pub no_optimize: bool,
    /// Go on with an earlier run (of `--out`, or the latest of this pipeline) to the same result.
    #[arg(long)]
    pub resume: bool,
}

/// Options of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Pipeline file.
    pub file: PathBuf,
    /// Samples to draw; subjects to prepare where there is no `train`.
    #[arg(long, default_value_t = 100)]
    pub samples: u64,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Budget for volumes in flight and cached, such as `2GiB`; default: the file's, else half of the machine's memory.
    #[arg(long)]
    pub memory: Option<bytesize::ByteSize>,
    /// At most so many subjects.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Change a value of the file; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Carry out the plan as it was written, step by step.
    #[arg(long)]
    pub no_optimize: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `gpu-check`.
#[derive(Debug, Args)]
pub struct GpuCheckArgs {
    /// Training steps on a small phantom, the first five against the CPU.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(5..))]
    pub steps: u64,
    /// Edge in voxels of the patches that are timed; a multiple of 8.
    #[arg(long, default_value_t = 128)]
    pub patch: usize,
    /// Steps that are timed.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub timed: u64,
}

/// A device, as typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DeviceArg {
    /// The processor.
    Cpu,
    /// The first CUDA device.
    Cuda,
    /// CUDA where it is there, else the processor.
    Auto,
}

impl From<DeviceArg> for DeviceChoice {
    fn from(device: DeviceArg) -> Self {
        match device {
            DeviceArg::Cpu => Self::Cpu,
            DeviceArg::Cuda => Self::Cuda,
            DeviceArg::Auto => Self::Auto,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    /// A table for people.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    Json,
    /// Parquet.
    Parquet,
}

/// Carries a command out; returns the exit code.
///
/// **Errors** say what is wrong and what to do.
pub fn carry_out(cli: &Cli) -> Result<u8, Error> {
    let filter = tracing_subscriber::EnvFilter::try_new(format!("warn,voxstream={}", cli.log));
    let filter = filter.map_err(|e| {
        Error::run(format!(
            "`--log {}`: {e}; use error, warn, info or debug",
            cli.log
        ))
    })?;
    let colour = std::io::stderr().is_terminal();
    // A second call in one process (a test) keeps the first subscriber.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Aside)
        .with_ansi(colour)
        .with_target(false)
        .try_init()
        .ok();
    let mut out = std::io::stdout();
    match &cli.command {
        Command::Demo {
            out: folder,
            workers,
        } => demo::demo(folder.as_deref(), *workers, &mut out),
        Command::Check { files, data } => check::check(files, *data, &mut out),
        Command::Explain {
            file,
            mermaid,
            json,
            set,
            no_optimize,
        } => {
            let form = if *mermaid {
                Form::Mermaid
            } else if *json {
                Form::Json
            } else {
                Form::Text
            };
            let file = read(file, set)?;
            // Without its data a plan is shown as far as the file alone tells.
            let (plan, schemas) = match open(&file) {
                Ok((plan, cohort)) => (plan, cohort.subject_schemas()),
                Err(Error::Source(e)) => {
                    tracing::warn!(reason = %e, "the cohort cannot be opened; sizes are left out");
                    (planned(&file)?, Vec::new())
                }
                Err(e) => return Err(e),
            };
            let plan = match no_optimize {
                true => plan.unoptimized(),
                false => plan,
            };
            let subjects = Subjects::new(&plan, schemas);
            say(&mut out, &explain(&plan, form, &subjects))
        }
        Command::Run(args) => run::run(args, &mut out),
        Command::Bench(args) => bench::bench(args, &mut out),
        Command::GpuCheck(args) => gpu_check::gpu_check(args, &mut out),
        Command::Stages { name } => {
            let found = stages::stages(name.as_deref(), &mut out).map_err(stdout)?;
            Ok(if found { 0 } else { 2 })
        }
        Command::Schema { name, write } => schema::schema(name.as_deref(), *write, &mut out),
        Command::Inspect { volumes } => {
            let failed = inspect::inspect(volumes, &mut out).map_err(stdout)?;
            Ok(if failed == 0 { 0 } else { 2 })
        }
        Command::Query { run, sql, format } => {
            let format = match format {
                FormatArg::Table => Format::Table,
                FormatArg::Csv => Format::Csv,
                FormatArg::Json => Format::Json,
                FormatArg::Parquet => Format::Parquet,
            };
            let batches = crate::query::Session::open(run)?.sql(sql)?;
            // Not the locked stream: Parquet's writer wants one that may move between threads.
            crate::query::print(&batches, format, std::io::stdout())?;
            Ok(0)
        }
        Command::Convert { file, out: to, key } => {
            convert::convert(file, to, key.as_deref(), &mut out)
        }
        Command::Report { run } => {
            let path = crate::report::write(run)?;
            say(&mut out, &format!("{}\n", path.display()))
        }
    }
}

fn stdout(source: std::io::Error) -> Error {
    Error::Io {
        path: PathBuf::from("stdout"),
        action: "writing",
        source,
    }
}

fn say(out: &mut dyn Write, text: &str) -> Result<u8, Error> {
    out.write_all(text.as_bytes()).map_err(stdout)?;
    Ok(0)
}

/// Reads a pipeline file and applies overrides.
///
/// **Errors** when the file cannot be read or an override has no place.
pub fn read(path: &Path, set: &[String]) -> Result<SourceFile, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        action: "reading the pipeline",
        source,
    })?;
    let mut file = SourceFile {
        name: path.display().to_string(),
        text,
    };
    for assignment in set {
        file = overrides::apply(&file, assignment).map_err(|error| Error::Pipeline {
            diagnostics: vec![Diagnostic {
                file: file.clone(),
                error,
            }],
        })?;
    }
    Ok(file)
}

/// A plan from the file alone.
///
/// **Errors** every mistake in it.
pub fn planned(file: &SourceFile) -> Result<Plan, Error> {
    compile(file, STAGES, None).map_err(|diagnostics| Error::Pipeline { diagnostics })
}

/// A plan with the schemas that the cohort's headers tell, and the cohort.
///
/// **Errors** every mistake in the file, or why the cohort cannot be opened.
pub fn open(file: &SourceFile) -> Result<(Plan, Box<dyn Cohort>), Error> {
    let plan = planned(file)?;
    let cohort = plan
        .pipeline
        .source
        .open(&file.folder(), plan.pipeline.seed)?;
    let unreadable = |e: crate::volume::VolumeError| {
        Error::run(format!("no subject can be read; the first: {}", causes(&e)))
    };
    let schema = cohort.schema().map_err(unreadable)?;
    let plan = compile(file, STAGES, Some(schema))
        .map_err(|diagnostics| Error::Pipeline { diagnostics })?;
    Ok((plan, cohort))
}

/// Shows an error on stderr: diagnostics with their place, anything else with its causes.
pub fn show_error(error: &Error) {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut err = std::io::stderr().lock();
    let text = match error {
        Error::Pipeline { diagnostics } => {
            diagnostics
                .iter()
                .map(|d| d.render(colour))
                .collect::<Vec<_>>()
                .join("\n\n")
                + &format!("\n\n{error}")
        }
        other => format!("error: {}", causes(other)),
    };
    // Nothing is left to tell a user whose stderr is closed.
    writeln!(err, "{text}").ok();
}
