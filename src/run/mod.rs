//! Runs a plan: workers, budgets, counters, the run folder and the driver.

pub mod bench;
pub mod budget;
pub mod chain;
pub mod context;
pub mod counters;
pub mod display;
pub mod driver;
pub mod evaluate;
pub mod expect;
pub mod feed;
pub mod find_lr;
pub mod folder;
pub mod guard;
pub mod initial;
pub mod kept;
pub mod landmarks;
pub mod options;
pub mod ordered;
pub mod partner;
mod prediction;
pub mod prepare;
pub mod stream;
mod tables;
pub mod trace;
pub mod training;
pub mod warnings;
pub mod watchdog;
