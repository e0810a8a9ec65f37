//! The choice among the networks, as written in YAML.

use super::{Heads, Network, NetworkError};
use crate::nn::cmc::CmcSpec;
use crate::nn::params::Params;
use crate::nn::unet3d::Unet3dSpec;
use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The network to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkSpec {
    /// A 3-D U-Net over all modalities at once (early fusion), one prediction a subject.
    Unet3d(Unet3dSpec),
    /// Cross-modality collaboration: an encoder and a decoder a modality, fused at the bottleneck.
    Cmc(CmcSpec),
}

impl Default for NetworkSpec {
    fn default() -> Self {
        Self::Unet3d(Unet3dSpec::default())
    }
}

impl NetworkSpec {
    /// Says what cannot be built, without building it.
    ///
    /// **Errors** one sentence naming the field, what was found and what is possible.
    pub fn check(&self) -> std::result::Result<(), String> {
        match self {
            Self::Unet3d(spec) => spec.check(),
            Self::Cmc(spec) => spec.check(),
        }
    }

    /// What the network predicts.
    pub fn heads(&self) -> Heads {
        match self {
            Self::Unet3d(_) => Heads::Joint,
            Self::Cmc(_) => Heads::PerModality,
        }
    }

    /// Patch edges must be multiples of this.
    pub fn stride(&self) -> usize {
        let depth = match self {
            Self::Unet3d(spec) => spec.depth,
            Self::Cmc(spec) => spec.depth,
        };
        1 << depth.saturating_sub(1).min(31)
    }

    /// Builds the network and registers its parameters in `params`, in a fixed order; `outputs` are the
    /// channels of a head: one a class, background included, or one a region.
    ///
    /// **Errors** [`NetworkError::Spec`], wrapped, for a description that [`check`](Self::check)
    /// refuses, no modality, or no output.
    pub fn build(
        &self,
        modalities: usize,
        outputs: usize,
        params: &mut Params,
    ) -> Result<Box<dyn Network>> {
        let refuse = |reason: String| NetworkError::Spec { reason };
        self.check().map_err(refuse)?;
        if modalities == 0 {
            return Err(refuse("found 0 modalities, expected at least 1".to_owned()).into());
        }
        if !(1..=255).contains(&outputs) {
            let reason = format!("found {outputs} outputs a head, expected 1 to 255");
            return Err(refuse(reason).into());
        }
        Ok(match self {
            Self::Unet3d(spec) => Box::new(spec.build(modalities, outputs, params)?),
            Self::Cmc(spec) => Box::new(spec.build(modalities, outputs, params)?),
        })
    }
}
