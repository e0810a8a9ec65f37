//! From what was written to a checked graph, and on to an optimised one, with a schema on every edge.
//!
//! ```text
//! YAML ─► spec nodes (with positions) ─► pipeline, sections ─► compile ─► Plan ─► rules ─► passes
//!                                        every mistake collected │          explain shows it
//! ```
//!
//! **Three types to know.** [`pipeline::Pipeline`] is the file as typed values, each step with its path
//! (`stages[2].zscore`) and position. [`Edges`] holds the schema behind the source and behind every step:
//! what is known of shapes, spacings and types before a voxel is read. [`Plan`] is both, and how the
//! steps are carried out ([`rules::Optimized`]).
//!
//! **Rules** ([`rules`]) reorder and join steps: crops move forward, moves become one interpolation,
//! changes of values one pass, what is the same in every epoch is cut off and kept. A rule may not change
//! a result: bits are equal where nothing is interpolated, labels where one interpolation stays one. What
//! a step allows is declared by its [`Effect`](crate::stage::Effect), never by its name.
//!
//! **A new section** is a struct in [`sections`] and a line in [`pipeline`]; a new step needs nothing here
//! (see [`crate::stage`]). Mistakes are collected, not returned at the first: a check pushes an error
//! with its position and what to write instead.
//!
//! Nothing here decodes a voxel; with a cohort at hand only headers are read.

pub mod checkpoints;
mod checks;
pub mod compile;
pub mod counterparts;
mod edges;
pub mod entry;
pub mod expectations;
pub mod explain;
pub mod optimizer;
pub mod overrides;
pub mod pipeline;
pub mod presets;
pub mod ranges;
mod reader;
mod region_checks;
pub mod regions;
pub mod rules;
pub mod scored_regions;
pub mod sections;
pub mod sinks;
mod step;
mod unread;
pub mod views;

pub use compile::{Plan, compile};
pub use edges::Edges;
pub use pipeline::{Chain, Pipeline};
pub use rules::Optimized;
pub use step::Step;
pub use views::{STRONG_FROM_WEAK, StrongView, Views};
