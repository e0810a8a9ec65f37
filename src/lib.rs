//! Streaming data pipelines for registered multimodal medical volumes.

pub mod draw;
pub mod kernel;
pub mod nn;
pub mod plan;
pub mod registry;
pub mod spec;
pub mod stage;
pub mod train;
pub mod volume;
