//! From what was written to a checked graph, and on to an optimised one, with a schema on every edge.
//!
//! [`pipeline`] and [`sections`] are what the file says, [`compile`](mod@compile) checks it as a whole and collects every mistake,
//! [`explain`] shows it. Nothing here decodes a voxel; with a cohort at hand only headers are read.

mod checks;
pub mod compile;
pub mod entry;
pub mod expectations;
pub mod explain;
pub mod optimizer;
pub mod overrides;
pub mod pipeline;
pub mod presets;
pub mod ranges;
pub mod rules;
pub mod sections;
pub mod views;

pub use compile::{Edges, Plan, compile};
pub use pipeline::{Chain, Pipeline, Step};
pub use rules::Optimized;
pub use views::{STRONG_FROM_WEAK, StrongView, Views};
