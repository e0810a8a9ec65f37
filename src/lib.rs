//! Streaming data pipelines for registered multimodal medical volumes.
//!
//! One YAML file becomes a checked [`plan`], the plan runs, and everything that comes out is Parquet:
//!
//! ```text
//! pipeline.yaml ─► spec (nodes with positions) ─► plan (a schema on every edge)
//!                                                  │
//! source ─► stages ─► views ─► trainer ─► scores, predictions, metrics ─► sink ─► query, report
//!   (run: named workers, a budget in bytes, results in order, counters on every node)
//! ```
//!
//! **Values.** A [`volume::Row`] is one subject, later one patch, later one view of a patch. Its volumes
//! share Arrow buffers; [`volume::columns`] turns it into a record batch and back without a copy.
//!
//! **Determinism.** Every draw comes from a generator keyed by (seed, epoch, subject, sample, stage
//! path), see [`draw`]; results arrive in the order of their subjects, see [`run::ordered`]; sums
//! over threads are cut by shape, see [`nn`]. Workers, batch sizes and restarts change no byte.
//!
//! **Floors**, from the ground up; a module imports from its own floor or below, and a test reads
//! the imports: `draw kernel spec store` · `volume` · `metric nn view` · `sink` · `stage query` · `source
//! train report` · `init` · `plan` · `registry schema error` · `run cli`.
//!
//! **A new stage** is one file and one line: see [`stage`].
//!
//! ```
//! use voxstream::{cli, spec::SourceFile};
//!
//! let text = "name: a\nsource: { phantom: { subjects: 2 } }\nstages: [orient: { to: RAZ }, zscore: { clip: big }]\n";
//! let file = SourceFile { name: "a.yaml".into(), text: text.into() };
//! let Err(voxstream::error::Error::Pipeline { diagnostics }) = cli::planned(&file) else { panic!("two mistakes") };
//! assert_eq!(diagnostics.len(), 2);
//! ```

pub mod cache;
pub mod cli;
pub mod draw;
pub mod error;
pub mod init;
pub mod kernel;
pub mod memory;
pub mod metric;
pub mod nn;
pub mod plan;
pub mod query;
pub mod registry;
pub mod report;
pub mod run;
pub mod schema;
pub mod sink;
pub mod source;
pub mod spec;
pub mod stage;
pub mod store;
pub mod train;
pub mod view;
pub mod volume;
