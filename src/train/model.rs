//! A network with its weights: one to train, and a view of the same weights that keeps no graph.

use super::TrainError;
use super::batch::Batch;
use super::device::Precision;
use super::objective::{sigmoid, softmax};
use crate::nn::network::{Heads, Network, NetworkSpec, Output, Perturb};
use crate::nn::params::Params;
use crate::volume::region::{self, LabelRegion};
use candle_core::{DType, Device, Tensor};
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
    /// Regions in the order in which they are painted: each head has an output a region and a sigmoid;
    /// empty: an output a class and a softmax.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<LabelRegion>,
}

impl ModelSpec {
    /// Channels of a head: one a region, or one a class.
    pub fn outputs(&self) -> usize {
        match self.regions.len() {
            0 => self.classes.len(),
            regions => regions,
        }
    }

    /// Refuses classes and regions that do not fit each other.
    ///
    /// **Errors** as [`region::check`], or where there is nothing to tell from the background.
    pub fn check(&self) -> Result<(), String> {
        match self.classes.len() {
            2..=255 => region::check(&self.regions, self.classes.len()),
            found => Err(format!(
                "found {found} classes, expected 2 to 255, background included"
            )),
        }
    }
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
    /// Type of the activations.
    activations: DType,
}

impl Model {
    /// Builds a network; initial weights depend on `seed` alone.
    ///
    /// **Errors** when the options contradict each other.
    pub fn new(spec: &ModelSpec, seed: u64, device: &Device) -> Result<Self, TrainError> {
        Self::with_params(spec, Params::new(seed, device))
    }

    /// Builds a network whose weights are registered in `params`, an empty list.
    ///
    /// **Errors** when the options contradict each other.
    pub fn with_params(spec: &ModelSpec, mut params: Params) -> Result<Self, TrainError> {
        spec.check().map_err(candle_core::Error::msg)?;
        let build = |params: &mut Params| {
            spec.network
                .build(spec.modalities.len(), spec.outputs(), params)
        };
        let trained = build(&mut params)?;
        let frozen = build(&mut params.detached())?;
        Ok(Self {
            spec: spec.clone(),
            device: params.device().clone(),
            params,
            trained,
            frozen,
            activations: DType::F32,
        })
    }

    /// The same network with this arithmetic; weights stay f32.
    ///
    /// **Errors** for bf16 on a device that is not CUDA.
    pub fn with_precision(mut self, precision: Precision) -> Result<Self, TrainError> {
        self.activations = precision.dtype(&self.device)?;
        Ok(self)
    }

    /// Where the weights lie.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of classes of label maps, background included.
    pub fn classes(&self) -> usize {
        self.spec.classes.len()
    }

    /// Probabilities from the logits of a head: of regions each by itself, of classes over all of them.
    ///
    /// **Shape** both `[n, d, h, w, outputs]`.
    ///
    /// **Errors** if the device refuses.
    pub fn probabilities(&self, logits: &Tensor) -> Result<Tensor, TrainError> {
        Ok(match self.spec.regions.is_empty() {
            true => softmax(logits)?,
            false => sigmoid(logits)?,
        })
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
        self.run(&*self.trained, &batch.images, &Perturb::none())
    }

    /// As [`forward`](Self::forward), with the channels of the features multiplied.
    ///
    /// **Errors** as there.
    pub fn forward_with(&self, batch: &Batch, perturb: &Perturb<'_>) -> Result<Output, TrainError> {
        self.run(&*self.trained, &batch.images, perturb)
    }

    /// Runs the network without keeping anything for gradients.
    ///
    /// **Errors** when shapes do not fit the network.
    pub fn infer(&self, images: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>, TrainError> {
        Ok(self.run(&*self.frozen, images, &Perturb::none())?.logits)
    }

    /// As [`infer`](Self::infer), with the features.
    ///
    /// **Errors** as there.
    pub fn observe(&self, images: &[Option<Tensor>]) -> Result<Output, TrainError> {
        self.run(&*self.frozen, images, &Perturb::none())
    }

    /// Activations of the network's type inside, f32 outside.
    fn run(
        &self,
        network: &dyn Network,
        images: &[Option<Tensor>],
        perturb: &Perturb<'_>,
    ) -> Result<Output, TrainError> {
        let convert = |tensors: &[Option<Tensor>], dtype| {
            let each = tensors
                .iter()
                .map(|t| t.as_ref().map(|t| t.to_dtype(dtype)));
            each.map(Option::transpose)
                .collect::<candle_core::Result<Vec<_>>>()
        };
        let images = convert(images, self.activations)?;
        let found = network.forward_with(&images, perturb)?;
        let deep = found.deep.iter().map(|level| convert(level, DType::F32));
        Ok(Output {
            logits: convert(&found.logits, DType::F32)?,
            deep: deep.collect::<candle_core::Result<_>>()?,
            features: convert(&found.features, DType::F32)?,
        })
    }
}
