//! Runs a plan: workers, budgets, counters, the run folder and the driver.
//!
//! [`driver::run`] opens the run folder, chooses one of three jobs, and closes the folder:
//!
//! ```text
//! prepare   cut ─► parts ─► ordered workers: rows ─► encode ─► part ─► commit record
//! predict   cut ─► parts ─► rows ─► network ─► scores, label maps ─► part ─► commit record
//! train     feed ─► streams of views (ordered workers) ─► trainer ─► checkpoints ─► scores
//! ```
//!
//! With `--cluster` the driver only cuts and watches: executors make the parts, see [`cluster`].
//!
//! Three types carry it. [`prepare::Preparer`] makes prepared rows of a subject, from the cache where it
//! can. [`ordered::Ordered`] is the parallel map all jobs use: results in the order of their jobs,
//! within a budget in bytes, a panic as the result of its job. [`context::RunContext`] is what the parts
//! of a run share: plan, counters, folder, device.
//!
//! What a run learns of a subject becomes rows of tables in one place: [`outcome::Outcome`] for jobs in
//! parts, [`noted::Noted`] for training. Workers prepare subjects ahead of their use, so nothing that
//! they alone know may reach a table.
//!
//! A process that ends without a word leaves the subjects it was at in the log of `attempts`, whatever the run
//! does and wherever its folder is; the next start works on them alone, and leaves out one that ends it again
//! and again.
//!
//! Two look at a run from outside: [`replay`] makes recorded rows again from their draws and compares bytes,
//! [`tap`] shows rows as they pass a node of a run that is under way.
//!
//! **Not to be touched without its tests:** the cut of a cohort ([`cut`]) decides the names of parts, and
//! with them what an older run need not do again; the order of samples decides every figure.

pub mod agreement;
mod attempts;
pub mod bench;
pub mod budget;
mod cancelled;
pub mod chain;
pub mod cluster;
pub mod context;
pub mod counters;
pub mod cut;
pub mod display;
pub mod driver;
pub mod evaluate;
pub mod expect;
pub mod failure;
pub mod feed;
pub mod find_lr;
pub mod folder;
pub mod guard;
pub mod inference;
pub mod initial;
pub mod kept;
pub mod landmarks;
pub mod lease;
mod ledger;
pub mod limit;
mod live;
mod machine;
pub mod noted;
pub mod options;
pub mod ordered;
pub mod outcome;
pub mod partner;
mod parts;
mod postprocess;
mod prediction;
mod predictor;
mod preparation;
pub mod prepare;
mod prepared_rows;
pub mod pseudo_labels;
pub mod recorded;
mod recorder;
pub mod replay;
pub mod samples;
pub mod stream;
mod tables;
pub mod tap;
pub mod trace;
mod trackers;
pub mod training;
mod unlearnt;
pub mod warnings;
pub mod watchdog;
