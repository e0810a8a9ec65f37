//! From what was written to a checked graph with a schema on every edge.

pub mod entry;
