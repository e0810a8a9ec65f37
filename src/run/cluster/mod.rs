//! Runs in parts on many machines, on [Apache Ballista](https://datafusion.apache.org/ballista/) (feature
//! `cluster`).
//!
//! ```text
//! driver     cut ─► waves of parts ─► job ──────────────┐        ┌─► commit records ─► one line an executor
//! scheduler                            a task a part ─►  │        │
//! executor                             part ─► tables ─► commit record (shared folder or store)
//! ```
//!
//! The driver (`run --cluster df://host:port`) holds the run as any run does: it cuts the cohort, removes what
//! an interrupted start left, sends parts that are not committed, and watches the commit records. A job is the
//! plan `CoalescePartitionsExec ◄ PartExec ◄ parts`: the list of parts is a source in memory with a partition
//! for each, `PartExec` makes the part of its row by the code that a single machine uses, and the gathering
//! stage keeps the loss of an executor from failing a job that is done.
//!
//! What holds, and which file sees to it:
//!
//! - The leaf of a plan is one that the scheduler can slice; a leaf of our own would be sent whole to every
//!   task, and its rows multiplied (`manifest`).
//! - A partition's number is local to its task: names and draws come from the row alone (`node`).
//! - A bad subject is a row of `failures`; errors of a disk or store are tried again elsewhere, and everything
//!   else ends the job by name (`site`).
//! - No voxel travels: a task returns one small row, and the driver does not even read it (`node`).
//! - A program of another version, or one that plans the pipeline differently, is refused (`codec`, `site`).
//! - An executor whose run was started again meanwhile does not commit ([`RunFolder::check_held`]); a part
//!   that is committed already is not made again (`site`).
//!
//! Two executors may make one part at a time if the scheduler took the first for lost while it was alive. Both
//! write the same bytes, wall-clock columns aside; where their last steps interleave, `verify` may name that
//! part as damaged, and `verify --drop` with `run --resume` makes it again.
//!
//! [`RunFolder::check_held`]: super::folder::RunFolder::check_held

mod address;
mod options;

#[cfg(not(feature = "cluster"))]
mod absent;
#[cfg(feature = "cluster")]
mod client;
#[cfg(feature = "cluster")]
mod codec;
#[cfg(feature = "cluster")]
mod drive;
#[cfg(feature = "cluster")]
mod jobs;
#[cfg(feature = "cluster")]
mod manifest;
#[cfg(feature = "cluster")]
mod node;
#[cfg(feature = "cluster")]
mod progress;
#[cfg(feature = "cluster")]
mod services;
#[cfg(feature = "cluster")]
mod site;
#[cfg(feature = "cluster")]
mod task;

pub use address::ClusterAddress;
pub use options::{ExecutorOptions, OpenPipeline, SchedulerOptions};

#[cfg(not(feature = "cluster"))]
pub(super) use absent::{check, predict, prepare};
#[cfg(not(feature = "cluster"))]
pub use absent::{executor, scheduler};
#[cfg(feature = "cluster")]
pub(super) use drive::{check, predict, prepare};
#[cfg(feature = "cluster")]
pub use services::{executor, scheduler};

#[cfg(all(test, feature = "cluster"))]
mod tests;
