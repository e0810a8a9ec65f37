//! 3-D U-Net over all modalities at once (early fusion).

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::blocks::{Builder, Decoder, Encoder, Layers, ResidualEncoder, Scope, UpPlan};
use super::network::{Heads, Network, Output, Perturb, check_images, check_range};
use super::norm_act::Activation;
use super::params::Params;

/// Blocks of each level of a residual encoder where none are written: nnU-Net's.
const BLOCKS: [usize; 7] = [1, 3, 4, 6, 6, 6, 6];

/// What the way down is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncoderKind {
    /// Two convolutions a level, max-pooling by 2 between levels.
    #[default]
    Plain,
    /// Residual blocks, of which the first of a level has stride 2; the decoder has one convolution
    /// a level (nnU-Net's `ResEnc`, Isensee et al. 2024).
    Residual,
}

/// A 3-D U-Net: 3x3x3 convolutions, instance norm, leaky ReLU (0.01), two convolutions a level and
/// max-pooling by 2 (or residual blocks) on the way down, transposed convolutions and skip
/// connections on the way up.
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
    /// What the way down is made of.
    pub encoder: EncoderKind,
    /// With `encoder: residual`: blocks of each level, finest first, as many as `depth`; left out, 1, 3, 4, 6, 6, 6, 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Vec<usize>>,
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
            encoder: EncoderKind::default(),
            blocks: None,
            deep_supervision: false,
        }
    }
}

impl Unet3dSpec {
    /// See [`NetworkSpec::check`](super::network::NetworkSpec::check).
    pub fn check(&self) -> std::result::Result<(), String> {
        check_range("width", self.width, 1, 512)?;
        check_range("depth", self.depth, 2, 7)?;
        check_range("max_width", self.max_width, self.width, 2048)?;
        let Some(blocks) = &self.blocks else {
            return Ok(());
        };
        if self.encoder == EncoderKind::Plain {
            return Err(format!(
                "`blocks: {blocks:?}` belongs to `encoder: residual`; remove it or choose `residual`"
            ));
        }
        if blocks.len() != self.depth {
            return Err(format!(
                "`blocks` has {} numbers, expected {}, one a level (`depth`)",
                blocks.len(),
                self.depth
            ));
        }
        let wrong = blocks.iter().find(|count| !(1..=16).contains(*count));
        wrong.map_or(Ok(()), |count| check_range("blocks", *count, 1, 16))
    }

    /// Channels of each level, finest first.
    fn channels(&self) -> Vec<usize> {
        (0..self.depth)
            .map(|level| (self.width << level).min(self.max_width))
            .collect()
    }

    /// Builds the network; parameters are named `encoder.level{i}.conv{j}.weight` and alike, with a
    /// residual encoder `encoder.level{i}.block{k}.conv{j}.weight`.
    pub(crate) fn build(
        &self,
        modalities: usize,
        classes: usize,
        params: &mut Params,
    ) -> Result<Unet3d> {
        let residual = self.encoder == EncoderKind::Residual;
        let layers = Layers {
            deep_supervision: self.deep_supervision,
            single: residual,
            ..Layers::instance(Activation::LeakyRelu(0.01))
        };
        let channels = self.channels();
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
        let way_down = if residual {
            let blocks = self.blocks.as_deref().unwrap_or(&BLOCKS);
            let plan: Vec<_> = channels
                .iter()
                .copied()
                .zip(blocks.iter().copied())
                .collect();
            WayDown::Residual(ResidualEncoder::new(
                builder, &encoder, modalities, &plan, layers,
            )?)
        } else {
            let plan: Vec<[usize; 2]> = channels.iter().map(|&c| [c, c]).collect();
            WayDown::Plain(Encoder::new(builder, &encoder, modalities, &plan, layers)?)
        };
        Ok(Unet3d {
            encoder: way_down,
            decoder: Decoder::new(builder, &decoder, bottom, &up, classes, layers)?,
            modalities,
            stride: 1 << (self.depth - 1),
        })
    }
}

/// A 3-D U-Net with its weights; made by [`NetworkSpec::build`](super::network::NetworkSpec::build).
pub struct Unet3d {
    encoder: WayDown,
    decoder: Decoder,
    modalities: usize,
    stride: usize,
}

enum WayDown {
    Plain(Encoder),
    Residual(ResidualEncoder),
}

impl Network for Unet3d {
    fn forward_with(&self, images: &[Option<Tensor>], perturb: &Perturb<'_>) -> Result<Output> {
        let blank = check_images(images, self.modalities, self.stride)?.zeros_like()?;
        let channels: Vec<&Tensor> = images
            .iter()
            .map(|image| image.as_ref().unwrap_or(&blank))
            .collect();
        let stacked = Tensor::cat(&channels, 4)?;
        let (skips, bottleneck) = match &self.encoder {
            WayDown::Plain(encoder) => encoder.forward(&stacked)?,
            WayDown::Residual(encoder) => encoder.forward(&stacked)?,
        };
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
