//! Options of the commands that have many.

use crate::run::cluster::ClusterAddress;
use crate::train::device::DeviceChoice;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;

/// Threads that a system still gives a process without complaint.
const MOST_THREADS: usize = 1024;

/// Reads a number of threads.
pub(super) fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads) if (1..=MOST_THREADS).contains(&threads) => Ok(threads),
        _ => Err(format!("expected 1 to {MOST_THREADS} threads")),
    }
}

/// Reads a limit of subjects.
fn subjects(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("with 0 subjects there is nothing to run; expected 1 or more".to_owned()),
        Ok(limit) => Ok(limit),
        Err(_) => Err("expected a number of subjects, 1 or more".to_owned()),
    }
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Pipeline file.
    pub file: PathBuf,
    /// As a Mermaid flow chart.
    #[arg(long, conflicts_with = "json")]
    pub mermaid: bool,
    /// As JSON, for machines.
    #[arg(long)]
    pub json: bool,
    /// Change a value of the file, such as `train.steps=100`; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Show the plan as it was written, step by step.
    #[arg(long)]
    pub no_optimize: bool,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Pipeline file.
    pub file: PathBuf,
    /// Run folder, or the URL of one in a store; default `runs/<name>/<stamp>`. It must be new, unless `--resume` is given.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Change a value of the file, such as `train.steps=100`; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Device that trains and predicts.
    #[arg(long, value_enum, default_value_t = DeviceArg::Auto)]
    pub device: DeviceArg,
    /// CUDA devices that train together, such as `0,1`; each takes its share of the rows of a step.
    #[arg(long, value_delimiter = ',', conflicts_with = "device")]
    pub devices: Vec<usize>,
    /// Worker threads; default one a core.
    #[arg(long, value_parser = threads)]
    pub workers: Option<usize>,
    /// Budget for volumes in flight and cached, such as `8GiB`; default: the file's, else half of the machine's memory.
    #[arg(long)]
    pub memory: Option<bytesize::ByteSize>,
    /// At most so many subjects of each part: a quick try.
    #[arg(long, value_parser = subjects)]
    pub limit: Option<usize>,
    /// Carry out the plan as it was written, step by step: slow, to compare with.
    #[arg(long)]
    pub no_optimize: bool,
    /// Go on with an earlier run (of `--out`, or the latest of this pipeline) to the same result. What subjects are made
    /// of is known by path, size and modification time of their files: a file that is replaced by another of the same
    /// size and time is not noticed.
    #[arg(long)]
    pub resume: bool,
    /// Try subjects again that failed, whatever the reason: their parts are made again.
    #[arg(long, requires = "resume")]
    pub retry_failed: bool,
    /// Fold of a cross-validation (`split: { folds: 5 }`) to run, from 0, or `all`. `--out` is then the folder of the group, in which each fold has its run folder `fold_<number>`.
    #[arg(long, value_name = "FOLD")]
    pub fold: Option<FoldArg>,
    /// Have the executors of this scheduler make the parts, such as `df://host:50050` (preparation, prediction and
    /// scoring). Data and run folder must be shared under the same paths, or be in stores; `--workers`, `--memory`
    /// and `--device` are those of the executors.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["workers", "devices"])]
    pub cluster: Option<ClusterAddress>,
}

/// Options of `scheduler`.
#[derive(Debug, Args)]
pub struct SchedulerArgs {
    /// Address of this machine to listen on; `0.0.0.0` for all. Who reaches it can run pipelines: keep it in a
    /// private network.
    #[arg(long, default_value = "127.0.0.1")]
    pub bind: String,
    /// Name under which executors reach it; default `--bind`.
    #[arg(long)]
    pub host: Option<String>,
    /// Port.
    #[arg(long, default_value_t = 50050)]
    pub port: u16,
    /// Seconds of silence after which an executor is taken for lost and its parts are given to others.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(10..))]
    pub executor_timeout: u64,
}

/// Options of `executor`.
#[derive(Debug, Args)]
pub struct ExecutorArgs {
    /// The scheduler to serve.
    #[arg(long, value_name = "ADDRESS", default_value = "df://127.0.0.1:50050")]
    pub scheduler: ClusterAddress,
    /// Address of this machine to listen on; `0.0.0.0` for all.
    #[arg(long, default_value = "127.0.0.1")]
    pub bind: String,
    /// Name under which others reach it; default: the address that the scheduler sees.
    #[arg(long)]
    pub host: Option<String>,
    /// Port; the one after it is used, too. 0: any two that are free.
    #[arg(long, default_value_t = 50051)]
    pub port: u16,
    /// Worker threads; default one a core.
    #[arg(long, value_parser = threads)]
    pub workers: Option<usize>,
    /// Budget for volumes in flight and cached, such as `8GiB`; default: the file's, else half of the machine's memory.
    #[arg(long)]
    pub memory: Option<bytesize::ByteSize>,
    /// Parts made at a time; workers and memory are divided among them. More than one pays where a part has
    /// fewer subjects than there are workers.
    #[arg(long, default_value_t = 1)]
    pub parts: usize,
    /// Device that predicts.
    #[arg(long, value_enum, default_value_t = DeviceArg::Auto)]
    pub device: DeviceArg,
    /// Folder for the small results of tasks; default: a temporary one.
    #[arg(long)]
    pub work_dir: Option<PathBuf>,
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
    #[arg(long, default_value_t = 1, value_parser = threads)]
    pub workers: usize,
    /// Budget for volumes in flight and cached, such as `2GiB`; default: the file's, else half of the machine's memory.
    #[arg(long)]
    pub memory: Option<bytesize::ByteSize>,
    /// At most so many subjects.
    #[arg(long, value_parser = subjects)]
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
    /// Only these parts; all of them where none is named.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<GpuCheckPart>,
    /// Only this network is timed.
    #[arg(long, value_parser = ["unet3d", "cmc"])]
    pub network: Option<String>,
    /// Only this arithmetic is timed.
    #[arg(long, value_parser = ["bf16", "f32"])]
    pub precision: Option<String>,
}

/// A part of `gpu-check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GpuCheckPart {
    /// The device and the libraries that were opened; printed whatever is named.
    Device,
    /// Every operator at small shapes against the CPU.
    Operators,
    /// Convolutions at working shapes, by each way that cuDNN offers, against a plain kernel.
    Convolutions,
    /// The first steps against the CPU, and a falling loss.
    Training,
    /// Steps a second, peak memory, device time per family of operators.
    Speed,
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

/// Options of `find-lr`.
#[derive(Debug, Args)]
pub struct FindLrArgs {
    /// Pipeline file.
    pub file: PathBuf,
    /// First learning rate.
    #[arg(long, default_value_t = 1e-6)]
    pub from: f64,
    /// Last learning rate.
    #[arg(long, default_value_t = 1.0)]
    pub to: f64,
    /// Optimiser steps from the one to the other.
    #[arg(long, default_value_t = 100)]
    pub steps: u32,
    /// Change a value of the file; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Device that trains.
    #[arg(long, value_enum, default_value_t = DeviceArg::Auto)]
    pub device: DeviceArg,
    /// Worker threads; default one a core.
    #[arg(long, value_parser = threads)]
    pub workers: Option<usize>,
    /// At most so many subjects of each part.
    #[arg(long, value_parser = subjects)]
    pub limit: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `landmarks`.
#[derive(Debug, Args)]
pub struct LandmarksArgs {
    /// Pipeline file whose `stages` make the images to learn from.
    pub file: PathBuf,
    /// Percentiles that get a landmark; default 1, the deciles and 99.
    #[arg(long, value_delimiter = ',')]
    pub percentiles: Option<Vec<f64>>,
    /// Which voxels count for the percentiles.
    #[arg(long, value_enum, default_value_t = ForegroundArg::AboveMin)]
    pub foreground: ForegroundArg,
    /// Landmarks of the first and the last percentile.
    #[arg(long, value_name = "FIRST,LAST", default_value = "0,100", value_parser = two_numbers, allow_hyphen_values = true)]
    pub scale: [f64; 2],
    /// Change a value of the file; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Worker threads; default one a core.
    #[arg(long, value_parser = threads)]
    pub workers: Option<usize>,
    /// At most so many subjects.
    #[arg(long, value_parser = subjects)]
    pub limit: Option<usize>,
}

fn two_numbers(text: &str) -> Result<[f64; 2], String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[first, last]) => Ok([first, last]),
        _ => Err("expected two numbers such as 0,100".to_owned()),
    }
}

/// Foreground voxels, as typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ForegroundArg {
    /// Voxels above the image's smallest value.
    AboveMin,
    /// Voxels that are not 0.
    Nonzero,
    /// Every voxel.
    All,
}

/// The folds that `run --fold` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldArg {
    /// One, from 0.
    One(usize),
    /// Every one, in order.
    All,
}

impl FromStr for FoldArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(fold)) => Ok(Self::One(fold)),
            _ => Err("expected the number of a fold, from 0, or `all`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_is_a_number_or_all() {
        assert_eq!("all".parse(), Ok(FoldArg::All));
        assert_eq!("3".parse(), Ok(FoldArg::One(3)));
        assert!("-1".parse::<FoldArg>().is_err() && "some".parse::<FoldArg>().is_err());
    }
}
