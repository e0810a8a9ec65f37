//! Training: what is minimised, and the loop that minimises it.

pub mod objective;
