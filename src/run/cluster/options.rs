//! What describes one scheduler or one executor.

use super::address::ClusterAddress;
use crate::error::Error;
use crate::plan::Plan;
use crate::source::Cohort;
use crate::spec::SourceFile;
use crate::train::device::DeviceChoice;
use std::path::PathBuf;
use std::time::Duration;

/// Makes a plan and opens its cohort from the text of a pipeline.
pub type OpenPipeline = fn(&SourceFile) -> Result<(Plan, Box<dyn Cohort>), Error>;

/// A scheduler.
#[derive(Debug, Clone)]
pub struct SchedulerOptions {
    /// Address of this machine to listen on, such as `127.0.0.1` or `0.0.0.0`.
    pub bind: String,
    /// Name under which executors reach it.
    pub host: String,
    /// Port.
    pub port: u16,
    /// An executor that was silent for so long is taken for lost, and its parts are given to others.
    pub executor_timeout: Duration,
}

/// An executor.
#[derive(Debug, Clone)]
pub struct ExecutorOptions {
    /// The scheduler that it serves.
    pub scheduler: ClusterAddress,
    /// Address of this machine to listen on.
    pub bind: String,
    /// Name under which scheduler and executors reach it; default: the address that the scheduler sees.
    pub host: Option<String>,
    /// Port for other executors; the one after it is for the scheduler. 0: any two that are free.
    pub port: u16,
    /// Worker threads; default one a core.
    pub workers: Option<usize>,
    /// Budget in bytes for volumes; default the pipeline's, else half of the machine's memory.
    pub memory: Option<u64>,
    /// Parts made at a time; threads and budget are divided among them.
    pub parts: usize,
    /// Device that predicts.
    pub device: DeviceChoice,
    /// Folder for the small results of tasks; default: a temporary one.
    pub work_dir: Option<PathBuf>,
}
