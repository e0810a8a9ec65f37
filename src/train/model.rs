//! A network with its weights: one to train, and a view of the same weights that keeps no graph.

use super::TrainError;
use super::batch::Batch;
use crate::nn::network::{Heads, Network, NetworkSpec, Output, Perturb};
use crate::nn::params::Params;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Everything needed to build a network for its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// The network's options.
    pub network: NetworkSpec,
    /// Class names by label value.
    pub classes: Vec<String>,
    /// Modality names in the order of the network's inputs.
    pub modalities: Vec<String>,
}

/// A network and its weights.
pub struct Model {
    /// How it was built.
    pub spec: ModelSpec,
    /// Weights.
    pub params: Params,
    trained: Box<dyn Network>,
    frozen: Box<dyn Network>,
    device: Device,
}

impl Model {
    /// Builds a network; initial weights depend on `seed` alone.
    ///
    /// **Errors** when the options contradict each other.
    pub fn new(spec: &ModelSpec, seed: u64, device: &Device) -> Result<Self, TrainError> {
        let mut params = Params::new(seed, device);
        let build = |params: &mut Params| {
            spec.network
                .build(spec.modalities.len(), spec.classes.len(), params)
        };
        let trained = build(&mut params)?;
        let frozen = build(&mut params.detached())?;
        Ok(Self {
            spec: spec.clone(),
            params,
            trained,
            frozen,
            device: device.clone(),
        })
    }

    /// Where the weights lie.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of classes, background included.
    pub fn classes(&self) -> usize {
        self.spec.classes.len()
    }

    /// What the network predicts.
    pub fn heads(&self) -> Heads {
        self.trained.heads()
    }

    /// Name of each head: its modality, or `joint`.
    pub fn head_names(&self) -> Vec<String> {
        match self.heads() {
            Heads::Joint => vec!["joint".to_owned()],
            Heads::PerModality => self.spec.modalities.clone(),
        }
    }

    /// Runs the network; gradients reach the weights.
    ///
    /// **Errors** when shapes do not fit the network.
    pub fn forward(&self, batch: &Batch) -> Result<Output, TrainError> {
        Ok(self.trained.forward(&batch.images)?)
    }

    /// As [`forward`](Self::forward), with the channels of the features multiplied.
    ///
    /// **Errors** as there.
    pub fn forward_with(&self, batch: &Batch, perturb: &Perturb<'_>) -> Result<Output, TrainError> {
        Ok(self.trained.forward_with(&batch.images, perturb)?)
    }

    /// Runs the network without keeping anything for gradients.
    ///
    /// **Errors** when shapes do not fit the network.
    pub fn infer(&self, images: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>, TrainError> {
        Ok(self.frozen.forward(images)?.logits)
    }
}
