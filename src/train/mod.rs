//! Training on candle: batches, the step, validation windows, checkpoints.
//!
//! ```text
//! rows of weak and strong views ─► batch ─► teacher: pseudo-labels, thresholds
//!                                       └─► student: heads ─► objective terms ─► gradient ─► optimiser
//! checkpoint ◄─ student, teacher (EMA), optimiser, positions      volume ─► infer: windows ─► label map
//! ```
//!
//! **Three types to know.** [`trainer::Trainer`] carries out one optimiser step at a time.
//! [`objective::ObjectiveSpec`] is the weighted sum of terms that the file names; each term states its
//! paper and equation. [`model::Model`] is a network with its weights, classes and modalities; training,
//! prediction and conversion share it.
//!
//! **Laws.** Initial weights and every draw depend on seed, step and name alone, so that a
//! resumed training continues bit for bit on the CPU ([`checkpoint`]). Marked voxels (`ignore`) reach no
//! loss, no statistic and no score. Sums over threads and devices are cut by shape, not by timing.
//!
//! Rows come in, numbers and label maps go out; where rows come from is irrelevant here. Every
//! device is touched by one thread alone: the calling one, and with several devices one each
//! ([`data_parallel`]).

pub mod batch;
pub mod checkpoint;
mod config;
pub mod data_parallel;
pub mod device;
pub mod figures;
pub mod gpu_check;
pub mod infer;
pub mod learner;
pub mod model;
pub mod objective;
pub mod postprocessing;
pub mod process_group;
pub mod schedule;
pub mod trainer;

use std::path::PathBuf;

/// Why training or prediction cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// A file of weights cannot be read, written or used.
    #[error(transparent)]
    Weights(#[from] crate::nn::tensor_file::TensorFileError),
    /// A loss or gradient is NaN or infinite.
    #[error("step {step}: {term} is {value} (subjects {}); lower `train.optimizer.lr`, or look at these volumes with `voxstream inspect`", subjects.join(", "))]
    NotFinite {
        /// Optimiser step, from 0.
        step: u64,
        /// Loss term, or `gradient`.
        term: &'static str,
        /// What it came to.
        value: f64,
        /// Subjects in the batch.
        subjects: Vec<String>,
    },
    /// Rows cannot form a batch.
    #[error("subject {subject}: {problem}")]
    Batch {
        /// The subject's id.
        subject: String,
        /// What was found, what was expected, what to do.
        problem: String,
    },
    /// A result that cannot be written.
    #[error("{} cannot be written", path.display())]
    Output {
        /// Where to.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A device that is not there.
    #[error("{0}")]
    Device(String),
    /// A checkpoint that cannot be used.
    #[error("checkpoint {}: {problem}", path.display())]
    Checkpoint {
        /// Its folder or file.
        path: PathBuf,
        /// What was found, what was expected, what to do.
        problem: String,
    },
}
