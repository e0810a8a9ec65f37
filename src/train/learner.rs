//! A network that is trained: its weights, its optimiser, and the gradient of the step under way.

use super::TrainError;
use super::config::TrainerConfig;
use super::model::Model;
use super::process_group::Rank;
use crate::nn::gradients::Gradients;
use crate::nn::optimizer::Optimizer;
use crate::nn::params::Params;
use candle_core::{Device, Tensor};

/// A network in training.
pub struct Learner {
    /// The network and its weights.
    pub model: Model,
    /// The optimiser's state.
    pub optimizer: Optimizer,
    gradients: Gradients,
}

impl Learner {
    /// A network at step 0, whose initial weights depend on `seed` alone.
    ///
    /// **Errors** when the network cannot be built.
    pub fn new(config: &TrainerConfig, seed: u64, device: &Device) -> Result<Self, TrainError> {
        let mut params = Params::new(seed, device).with_levels_as_nodes();
        if config.recompute {
            params = params.with_recomputation();
        }
        let model = Model::with_params(&config.model, params)?.with_precision(config.precision)?;
        Ok(Self {
            optimizer: Optimizer::new(&model.params, config.optimizer)?,
            gradients: Gradients::zeros(&model.params)?,
            model,
        })
    }

    /// Forgets the gradients of the step before.
    ///
    /// **Errors** where the device refuses.
    pub fn clear(&mut self) -> Result<(), TrainError> {
        Ok(self.gradients.clear()?)
    }

    /// Walks back from a scalar loss and adds its gradient.
    ///
    /// **Errors** where the device refuses.
    pub fn add(&mut self, loss: &Tensor) -> Result<(), TrainError> {
        Ok(self.gradients.add(loss.backward()?, &self.model.params)?)
    }

    /// Makes the gradient the mean over all devices; every device must call it.
    ///
    /// **Errors** as [`Rank::average`].
    pub fn average(&mut self, rank: &Rank) -> Result<(), TrainError> {
        Ok(self.gradients.change(|gradient| rank.average(gradient))?)
    }

    /// Euclidean norm of the gradient over all weights; not finite where one of them is not.
    ///
    /// **Errors** where the device refuses.
    pub fn gradient_norm(&self) -> Result<f64, TrainError> {
        Ok(self.gradients.global_norm()?)
    }

    /// One optimiser step; a gradient whose `norm` is above `clip` is scaled down to it.
    ///
    /// **Errors** where the device refuses.
    pub fn update(&mut self, norm: f64, clip: Option<f64>, lr: f64) -> Result<(), TrainError> {
        if let Some(limit) = clip {
            self.gradients.clip(norm, limit)?;
        }
        Ok(self.optimizer.step(&self.gradients, lr)?)
    }
}
