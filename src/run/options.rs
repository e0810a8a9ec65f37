//! What a user says of one run.

use super::cluster::ClusterAddress;
use crate::plan::Plan;
use crate::train::device::DeviceChoice;
use std::path::PathBuf;

/// What describes this run and not the pipeline.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// The run folder; default `runs/<name>/<stamp>`.
    pub out: Option<PathBuf>,
    /// Device that trains and predicts.
    pub device: DeviceChoice,
    /// CUDA devices that train together, instead of `device`; the first one predicts.
    pub devices: Vec<usize>,
    /// Worker threads; default one a core.
    pub workers: Option<usize>,
    /// Budget in bytes; default the pipeline's, else half of the machine's memory.
    pub memory: Option<u64>,
    /// At most so many subjects of each part.
    pub limit: Option<usize>,
    /// Go on with an earlier run.
    pub resume: bool,
    /// Make parts again in which a subject failed, for whatever reason.
    pub retry_failed: bool,
    /// Scheduler of the machines that make the parts, instead of this process.
    pub cluster: Option<ClusterAddress>,
    /// Draw progress bars.
    pub progress: bool,
}

impl RunOptions {
    /// Bytes for volumes in flight and kept: the budget without the eighth of it in which freed volumes
    /// lie ready, and without what the process holds already.
    pub(super) fn take_memory(&self, plan: &Plan) -> u64 {
        let memory = self.memory.or(plan.pipeline.memory);
        let memory = memory.unwrap_or_else(default_memory);
        let ready = keep_blocks(memory);
        // A budget below what a process takes by itself bounds the volumes alone.
        (memory - ready).saturating_sub(resident()).max(memory / 2)
    }

    /// Worker threads.
    pub(super) fn threads(&self) -> usize {
        self.workers
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }
}

/// Lets freed volumes lie ready for the next, within an eighth of the budget; returns its bytes.
fn keep_blocks(memory: u64) -> u64 {
    let most = (memory / 8).min(1 << 30);
    crate::memory::keep_at_most(usize::try_from(most).unwrap_or(usize::MAX));
    most
}

/// Bytes the process has resident now, its code included; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Half of the machine's memory; 4 GiB where the machine does not tell.
fn default_memory() -> u64 {
    let total = sysinfo::System::new().map(|mut system| {
        system.refresh_memory();
        system.total_memory()
    });
    total
        .ok()
        .filter(|bytes| *bytes > 0)
        .map_or(4 << 30, |bytes| bytes / 2)
}
