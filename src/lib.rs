//! Streaming data pipelines for registered multimodal medical volumes.

pub mod nn;
