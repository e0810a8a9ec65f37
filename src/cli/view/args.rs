//! Options of `view`.

use clap::Args;
use std::path::PathBuf;

/// Bytes that a subject may take while it is looked at.
pub(super) const MEMORY: u64 = 8 << 30;

/// Options of `view`.
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// Pipeline file, or the folder of a run that kept its predictions as Parquet.
    pub target: PathBuf,
    /// Subject to look at; default: the first labelled training subject, or the worst ones of a run.
    #[arg(long)]
    pub subject: Option<String>,
    /// Look at one step before and after it: its path, such as `stages[1].window`, or its name.
    #[arg(long, value_name = "PATH")]
    pub stage: Option<String>,
    /// Seed of the draws; default: the file's.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Epoch of the draws, from 0.
    #[arg(long, default_value_t = 0)]
    pub epoch: u64,
    /// Change a value of the file; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// PNG file to write, `-` for standard output; default: named after pipeline and subject, in the current folder.
    #[arg(short, long, value_name = "PNG")]
    pub out: Option<PathBuf>,
}
