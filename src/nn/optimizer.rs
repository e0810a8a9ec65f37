//! The optimisers behind one door.

use super::adamw::{AdamW, AdamWConfig};
use super::gradients::Gradients;
use super::params::Params;
use super::sgd::{Sgd, SgdConfig};
use super::tensor_file::TensorFileError;
use candle_core::{Result, Tensor};

/// Which optimiser, and its constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptimizerConfig {
    /// AdamW (Loshchilov and Hutter 2019).
    AdamW(AdamWConfig),
    /// SGD with Nesterov's momentum.
    Sgd(SgdConfig),
}

/// An optimiser and its state.
pub enum Optimizer {
    /// AdamW.
    AdamW(AdamW),
    /// SGD with Nesterov's momentum.
    Sgd(Sgd),
}

impl Optimizer {
    /// A fresh state for every parameter of `params`, which it updates from then on.
    ///
    /// **Errors** where the device refuses.
    pub fn new(params: &Params, config: OptimizerConfig) -> Result<Self> {
        Ok(match config {
            OptimizerConfig::AdamW(config) => Self::AdamW(AdamW::new(params, config)),
            OptimizerConfig::Sgd(config) => Self::Sgd(Sgd::new(params, config)?),
        })
    }

    /// One step along `grads`.
    ///
    /// **Errors** where the gradients belong to other parameters, or the device refuses.
    pub fn step(&mut self, grads: &Gradients, lr: f64) -> Result<()> {
        match self {
            Self::AdamW(adamw) => adamw.step(grads, lr),
            Self::Sgd(sgd) => sgd.step(grads, lr),
        }
    }

    /// Everything a restart needs.
    ///
    /// **Errors** where a tensor cannot be read.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        match self {
            Self::AdamW(adamw) => adamw.state(),
            Self::Sgd(sgd) => sgd.state(),
        }
    }

    /// Takes up what [`Optimizer::state`] gave.
    ///
    /// **Errors** name every missing and mis-shaped tensor; nothing is changed then.
    pub fn load_state(
        &mut self,
        state: &[(String, Tensor)],
    ) -> std::result::Result<(), TensorFileError> {
        match self {
            Self::AdamW(adamw) => adamw.load_state(state),
            Self::Sgd(sgd) => sgd.load_state(state),
        }
    }
}
