//! What a program without the feature `cluster` answers.

use super::address::ClusterAddress;
use super::options::{ExecutorOptions, OpenPipeline, SchedulerOptions};
use crate::error::Error;
use crate::run::context::RunContext;

fn absent() -> Error {
    Error::run(
        "this program was built without `cluster`; build it with `cargo build --release --features cluster`, or run on this machine without `--cluster`",
    )
}

/// **Errors** always.
pub(in crate::run) fn check(_: &ClusterAddress, _: bool) -> Result<(), Error> {
    Err(absent())
}

/// **Errors** always.
pub(in crate::run) fn prepare(_: &RunContext, _: &str, _: &ClusterAddress) -> Result<(), Error> {
    Err(absent())
}

/// **Errors** always.
pub(in crate::run) fn predict(_: &RunContext, _: &str, _: &ClusterAddress) -> Result<(), Error> {
    Err(absent())
}

/// **Errors** always.
pub fn scheduler(_: &SchedulerOptions) -> Result<(), Error> {
    Err(absent())
}

/// **Errors** always.
pub fn executor(_: &ExecutorOptions, _: OpenPipeline) -> Result<(), Error> {
    Err(absent())
}
