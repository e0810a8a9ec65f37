//! The machine that a run is made on, for the reader of its report.

use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// The machine of a run's last start; what the system does not report is empty or 0.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Machine {
    host: String,
    processor: String,
    /// Threads that run at the same time.
    cores: usize,
    memory_bytes: u64,
    /// What trained or predicted: `cpu`, or CUDA devices by number and name; absent before one was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<String>,
}

impl Machine {
    /// This machine, with the device that a run uses.
    pub(super) fn this(device: Option<String>) -> Self {
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(wanted).ok();
        let brand = system
            .as_ref()
            .and_then(|s| s.cpus().first())
            .map(|cpu| cpu.brand());
        Self {
            host: System::host_name().unwrap_or_default(),
            processor: brand.unwrap_or_default().trim().to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: system.map_or(0, |s| s.total_memory()),
            device,
        }
    }
}
