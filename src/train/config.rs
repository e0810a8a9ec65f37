//! How a run trains, apart from its data.

use super::device::Precision;
use super::model::ModelSpec;
use super::objective::ObjectiveSpec;
use super::objective::threshold::ThresholdSpec;
use super::schedule::Schedule;
use crate::nn::optimizer::OptimizerConfig;
use std::num::NonZeroU64;

/// Networks, losses and the optimiser of a run.
#[derive(Debug, Clone)]
pub struct TrainerConfig {
    /// Network, classes and modalities.
    pub model: ModelSpec,
    /// Loss terms.
    pub objective: ObjectiveSpec,
    /// Confidence a pseudo-label needs, and the teacher's largest decay; `None` trains without a teacher.
    pub teacher: Option<(ThresholdSpec, f64)>,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Largest learning rate.
    pub lr: f64,
    /// Optimiser and its constants.
    pub optimizer: OptimizerConfig,
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// Fraction of the steps with a growing rate.
    pub warmup: f64,
    /// Largest global gradient norm.
    pub clip_norm: Option<f64>,
    /// Seed of the initial weights.
    pub seed: u64,
    /// Arithmetic of the activations.
    pub precision: Precision,
    /// Steps between two measurements of each term's own gradient; `None` measures none.
    pub gradient_norms: Option<NonZeroU64>,
    /// Whether activations are made again in the backward pass instead of being kept.
    pub recompute: bool,
}
