//! Streaming data pipelines for registered multimodal medical volumes.

pub mod draw;
pub mod nn;
pub mod volume;
