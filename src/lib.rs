//! Streaming data pipelines for registered multimodal medical volumes.

pub mod draw;
pub mod kernel;
pub mod metric;
pub mod nn;
pub mod plan;
pub mod query;
pub mod registry;
pub mod report;
pub mod sink;
pub mod source;
pub mod spec;
pub mod stage;
pub mod train;
pub mod volume;
