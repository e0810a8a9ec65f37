//! Integration tests: one binary, because each would link the query engine again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "helpers of tests; clippy exempts only the test functions themselves"
)]

mod cache;
mod chaos;
#[cfg(feature = "cluster")]
mod cluster;
mod commands;
mod contract;
mod diagnostics;
mod differential;
mod edge;
mod floors;
mod flow;
mod folds;
mod fuzz;
mod init;
mod label_map;
mod large;
mod panics;
mod parts;
mod pipelines;
mod postprocessing;
mod predictions;
mod presets;
mod program;
mod pseudo_labels;
mod records;
mod regions;
mod replay;
mod resume;
mod rules;
mod schemas;
mod sources;
mod spoilt;
mod store_training;
mod stores;
mod stream;
mod tap;
mod tasks;
mod trackers;
mod training;
mod verify;
mod warnings;
