//! Files made byte by byte, so that no writer of ours vouches for a reader of ours.

mod build;
mod geometry;
mod hostile;
mod label_values;
mod labels;
mod reading;
mod refusals;
mod speed;
mod stores;
mod writing;
