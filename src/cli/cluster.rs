//! `scheduler` and `executor`: the processes of a cluster.

use super::args::{ExecutorArgs, SchedulerArgs};
use super::open_to_run;
use crate::error::Error;
use crate::run::cluster::{self, ExecutorOptions, SchedulerOptions};
use std::time::Duration;

/// Runs a scheduler until a signal ends it.
///
/// **Errors** as [`cluster::scheduler`].
pub(super) fn scheduler(args: &SchedulerArgs) -> Result<u8, Error> {
    let host = match &args.host {
        Some(host) => host.clone(),
        None if args.bind == "0.0.0.0" => "localhost".to_owned(),
        None => args.bind.clone(),
    };
    cluster::scheduler(&SchedulerOptions {
        bind: args.bind.clone(),
        host,
        port: args.port,
        executor_timeout: Duration::from_secs(args.executor_timeout),
    })?;
    Ok(0)
}

/// Runs an executor until a signal ends it.
///
/// **Errors** as [`cluster::executor`].
pub(super) fn executor(args: &ExecutorArgs) -> Result<u8, Error> {
    let options = ExecutorOptions {
        scheduler: args.scheduler.clone(),
        bind: args.bind.clone(),
        host: args.host.clone(),
        port: args.port,
        workers: args.workers,
        memory: args.memory.map(|m| m.as_u64()),
        parts: args.parts,
        device: args.device.into(),
        work_dir: args.work_dir.clone(),
    };
    cluster::executor(&options, |file| open_to_run(file, None))?;
    Ok(0)
}
