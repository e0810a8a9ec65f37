//! 3-D U-Net over all modalities at once (early fusion).

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::blocks::{Builder, Decoder, Encoder, Layers, Scope, UpPlan};
use super::network::{Heads, Network, Output, Perturb, check_images, check_range};
use super::norm_act::Activation;
use super::params::Params;

/// A 3-D U-Net: two 3x3x3 convolutions a level, instance norm, leaky ReLU (0.01), max-pooling by 2
/// on the way down, transposed convolutions and skip connections on the way up.
///
/// The modalities enter as channels of one image. A missing modality is filled with zeros, the
/// mean of a z-scored image; train with modalities left out if predictions without them matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Unet3dSpec {
    /// Channels at full resolution; each level below has twice as many.
    #[schemars(range(min = 1, max = 512))]
    pub width: usize,
    /// Levels, full resolution included. Patch edges must be multiples of 2 to the power `depth - 1`.
    #[schemars(range(min = 2, max = 7))]
    pub depth: usize,
    /// The most channels any level may have.
    #[schemars(range(min = 1, max = 2048))]
    pub max_width: usize,
    /// Whether coarser levels of the decoder predict too and are trained with half the weight of the
    /// level above each (Lee et al. 2015; nnU-Net).
    pub deep_supervision: bool,
}

impl Default for Unet3dSpec {
    fn default() -> Self {
        Self {
            width: 16,
            depth: 4,
            max_width: 256,
            deep_supervision: false,
        }
    }
}

impl Unet3dSpec {
    /// See [`NetworkSpec::check`](super::network::NetworkSpec::check).
    pub fn check(&self) -> std::result::Result<(), String> {
        check_range("width", self.width, 1, 512)?;
        check_range("depth", self.depth, 2, 7)?;
        check_range("max_width", self.max_width, self.width, 2048)
    }

    /// Channels of each level, finest first.
    fn channels(&self) -> Vec<usize> {
        (0..self.depth)
            .map(|level| (self.width << level).min(self.max_width))
            .collect()
    }

    /// Builds the network; parameters are named `encoder.level{i}.conv{j}.weight` and alike.
    pub(crate) fn build(
        &self,
        modalities: usize,
        classes: usize,
        params: &mut Params,
    ) -> Result<Unet3d> {
        let layers = Layers {
            deep_supervision: self.deep_supervision,
            ..Layers::instance(Activation::LeakyRelu(0.01))
        };
        let channels = self.channels();
        let down: Vec<[usize; 2]> = channels.iter().map(|&c| [c, c]).collect();
        let up: Vec<UpPlan> = channels[..self.depth - 1]
            .iter()
            .rev()
            .map(|&c| UpPlan {
                up: c,
                skip: c,
                out: c,
            })
            .collect();
        let builder = &mut Builder::new(params);
        let bottom = channels[self.depth - 1];
        let encoder = Scope::new("encoder");
        let decoder = Scope::new("decoder");
        Ok(Unet3d {
            encoder: Encoder::new(builder, &encoder, modalities, &down, layers)?,
            decoder: Decoder::new(builder, &decoder, bottom, &up, classes, layers)?,
            modalities,
            stride: 1 << (self.depth - 1),
        })
    }
}

/// A 3-D U-Net with its weights; made by [`NetworkSpec::build`](super::network::NetworkSpec::build).
pub struct Unet3d {
    encoder: Encoder,
    decoder: Decoder,
    modalities: usize,
    stride: usize,
}

impl Network for Unet3d {
    fn forward_with(&self, images: &[Option<Tensor>], perturb: &Perturb<'_>) -> Result<Output> {
        let blank = check_images(images, self.modalities, self.stride)?.zeros_like()?;
        let channels: Vec<&Tensor> = images
            .iter()
            .map(|image| image.as_ref().unwrap_or(&blank))
            .collect();
        let stacked = Tensor::cat(&channels, 4)?;
        let (skips, bottleneck) = self.encoder.forward(&stacked)?;
        let (skips, deepest) = perturb.apply(0, skips, &bottleneck)?;
        let (logits, deep) = self.decoder.forward(&deepest, &skips)?;
        Ok(Output {
            logits: vec![Some(logits)],
            features: vec![Some(bottleneck)],
            deep: deep.into_iter().map(|x| vec![Some(x)]).collect(),
        })
    }

    fn heads(&self) -> Heads {
        Heads::Joint
    }

    fn stride(&self) -> usize {
        self.stride
    }
}
