//! Streaming data pipelines for registered multimodal medical volumes.

/// Commands of the binary, as functions that write to a given place.
pub mod cli {
    pub mod stages;
}
pub mod draw;
pub mod kernel;
pub mod metric;
pub mod nn;
pub mod plan;
pub mod query;
pub mod registry;
pub mod report;
/// JSON Schemas of what a user writes.
pub mod schema {
    pub mod stage;
    pub use stage::stage_schema;
}
pub mod sink;
pub mod spec;
pub mod stage;
pub mod train;
pub mod volume;
