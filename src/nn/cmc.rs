//! Cross-modality collaboration: an encoder and a decoder a modality, fused at the bottleneck.
//!
//! This is the published design as it was meant, not as it was released: norms (or whole encoders
//! and decoders) are a modality's own, nothing depends on batch partners, any non-empty subset of
//! any number of modalities is accepted, and the gate uses its whole range.

pub mod fusion;
pub mod mia;

#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::fusion::{Convert, Fusion};
use super::blocks::{Builder, Decoder, Encoder, Layers, Scope, UpPlan};
use super::network::{Heads, Network, Output, Perturb, check_images, check_range};
use super::norm_act::{Activation, Norm};
use super::params::{Init, Params};

/// What modalities have in common in one half of the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Everything: one set of weights, as in the released model.
    Shared,
    /// Convolutions; the scale and shift of every norm are a modality's own.
    #[default]
    SharedWithModalityNorms,
    /// Nothing: each modality has its own weights.
    Separate,
}

impl Sharing {
    /// Where the part `name` of one modality is named.
    fn scope(self, name: &str, modality: usize) -> Scope {
        let shared = format!("{name}.shared");
        let own = format!("{name}.{modality}");
        match self {
            Self::Shared => Scope::new(&shared),
            Self::SharedWithModalityNorms => Scope {
                kernels: shared,
                norms: own,
            },
            Self::Separate => Scope::new(&own),
        }
    }
}

/// Whose layers the network has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The published design: instance norm, a gate that uses its whole range.
    #[default]
    Repaired,
    /// The released model, for weights made by `voxstream convert`: batch norm with the statistics
    /// of the batch at hand, a bias in transposed convolutions, ReLU before the gate's sigmoid.
    Released,
}

/// Where the modalities are fused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FusionAt {
    /// At the bottleneck alone, as published.
    #[default]
    Bottleneck,
    /// At the bottleneck and at every skip connection, each level with a gate of its own.
    EveryLevel,
}

/// Cross-modality collaboration (CMC): an encoder, an attention across channels and a decoder a
/// modality, with one gate over all modalities at the bottleneck.
///
/// Any non-empty subset of the modalities is accepted; a missing one has no prediction and zeros
/// in the gate. At `width: 32, depth: 4, encoders: shared, decoders: shared` the layers have the
/// sizes of the released model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CmcSpec {
    /// Channels after the first convolution; the bottleneck has `width * 2^depth`.
    #[schemars(range(min = 1, max = 128))]
    pub width: usize,
    /// Levels, full resolution included. Patch edges must be multiples of 2 to the power `depth - 1`.
    #[schemars(range(min = 2, max = 6))]
    pub depth: usize,
    /// What the modalities' encoders have in common.
    pub encoders: Sharing,
    /// What the modalities' decoders have in common.
    pub decoders: Sharing,
    /// Attention across channels (MIA) of each modality's bottleneck.
    pub mia: bool,
    /// The gate over all modalities. Without it the modalities meet only in the objective.
    pub fusion: bool,
    /// Levels with a gate.
    pub fusion_at: FusionAt,
    /// Groups of the norm over gate and features; must divide `width * 2^(depth + 1)`, and with
    /// gates at every level `width * 4`.
    #[schemars(range(min = 1))]
    pub fusion_groups: usize,
    /// Whose layers the network has. With `released`, predictions depend on batch partners.
    pub variant: Variant,
    /// Whether coarser levels of the decoder predict too and are trained with half the weight of the
    /// level above each (Lee et al. 2015; nnU-Net).
    pub deep_supervision: bool,
}

impl Default for CmcSpec {
    fn default() -> Self {
        Self {
            width: 16,
            depth: 4,
            encoders: Sharing::default(),
            decoders: Sharing::default(),
            mia: true,
            fusion: true,
            fusion_at: FusionAt::default(),
            fusion_groups: 16,
            variant: Variant::default(),
            deep_supervision: false,
        }
    }
}

impl CmcSpec {
    /// See [`NetworkSpec::check`](super::network::NetworkSpec::check).
    pub fn check(&self) -> std::result::Result<(), String> {
        check_range("width", self.width, 1, 128)?;
        check_range("depth", self.depth, 2, 6)?;
        let joined = 2 * self.bottleneck();
        if self.fusion && !joined.is_multiple_of(self.fusion_groups) {
            return Err(format!(
                "`fusion_groups` is {}, expected a divisor of {joined} (width * 2^(depth + 1))",
                self.fusion_groups
            ));
        }
        let finest = 4 * self.width;
        let every = self.fusion && self.fusion_at == FusionAt::EveryLevel;
        if every && !finest.is_multiple_of(self.fusion_groups) {
            return Err(format!(
                "`fusion_groups` is {}, expected a divisor of {finest} (width * 4) with `fusion_at: every_level`",
                self.fusion_groups
            ));
        }
        Ok(())
    }

    /// Channels of the bottleneck.
    fn bottleneck(&self) -> usize {
        self.width << self.depth
    }

    /// Builds the network. Names: `encoder.{m}.level{i}.conv{j}.weight`, `mia.{m}.gamma`,
    /// `fusion.conv{j}.weight`, `decoder.{m}.convert.conv.weight`, `decoder.{m}.level{i}.up.weight`,
    /// `decoder.{m}.head.weight`, with `shared` for `{m}` where modalities share.
    pub(crate) fn build(
        &self,
        modalities: usize,
        classes: usize,
        params: &mut Params,
    ) -> Result<Cmc> {
        let released = self.variant == Variant::Released;
        let layers = Layers {
            norm: if released {
                Norm::Batch
            } else {
                Norm::Instance
            },
            activation: Activation::Relu,
            up_bias: released,
            deep_supervision: self.deep_supervision,
            single: false,
        };
        let before_gate = if released {
            Activation::Relu
        } else {
            Activation::None
        };
        let down: Vec<[usize; 2]> = (0..self.depth)
            .map(|level| [self.width << level, self.width << (level + 1)])
            .collect();
        let bottom = self.bottleneck();
        // From the coarsest step up; a step's input has twice the channels of the skip it meets.
        let up: Vec<UpPlan> = down[..self.depth - 1]
            .iter()
            .rev()
            .map(|&[_, skip]| UpPlan {
                up: 2 * skip,
                skip,
                out: skip,
            })
            .collect();
        let builder = &mut Builder::new(params);
        let mut encoders = Vec::with_capacity(modalities);
        for m in 0..modalities {
            let scope = self.encoders.scope("encoder", m);
            encoders.push(Encoder::new(builder, &scope, 1, &down, layers)?);
        }
        let mut gammas = Vec::new();
        for m in 0..if self.mia { modalities } else { 0 } {
            // The attention has no kernels: its one number counts among a modality's norms.
            let name = format!("{}.gamma", self.encoders.scope("mia", m).norms);
            gammas.push(builder.get(&name, &[1], Init::Const(0.0))?);
        }
        let gate = |builder: &mut Builder<'_>, scope: Scope, channels| {
            Fusion::new(builder, &scope, (modalities, channels), layers, before_gate)
        };
        let fusion = match self.fusion {
            true => Some(gate(builder, Scope::new("fusion"), bottom)?),
            false => None,
        };
        let mut skip_gates = Vec::new();
        if self.fusion && self.fusion_at == FusionAt::EveryLevel {
            for (level, &[_, skip]) in down[..self.depth - 1].iter().enumerate() {
                let scope = Scope::new(&format!("fusion.level{level}"));
                skip_gates.push(SkipGate {
                    fusion: gate(builder, scope, skip)?,
                    converts: Vec::with_capacity(modalities),
                });
            }
        }
        let (mut converts, mut decoders) = (Vec::new(), Vec::with_capacity(modalities));
        for m in 0..modalities {
            let scope = self.decoders.scope("decoder", m);
            if self.fusion {
                converts.push(Convert::new(builder, &scope, bottom, self.fusion_groups)?);
            }
            for (level, gate) in skip_gates.iter_mut().enumerate() {
                let (scope, channels) = (scope.child(&format!("level{level}")), down[level][1]);
                let convert = Convert::new(builder, &scope, channels, self.fusion_groups)?;
                gate.converts.push(convert);
            }
            decoders.push(Decoder::new(builder, &scope, bottom, &up, classes, layers)?);
        }
        Ok(Cmc {
            encoders,
            gammas,
            fusion,
            skip_gates,
            converts,
            decoders,
            stride: 1 << (self.depth - 1),
        })
    }
}

/// The network with its weights; made by [`NetworkSpec::build`](super::network::NetworkSpec::build).
pub struct Cmc {
    encoders: Vec<Encoder>,
    /// One a modality, or none without MIA.
    gammas: Vec<Tensor>,
    fusion: Option<Fusion>,
    /// One a skip connection, finest first, or none.
    skip_gates: Vec<SkipGate>,
    /// One a modality, or none without fusion.
    converts: Vec<Convert>,
    decoders: Vec<Decoder>,
    stride: usize,
}

/// The gate of one skip connection, and each modality's way on from it.
struct SkipGate {
    fusion: Fusion,
    converts: Vec<Convert>,
}

impl SkipGate {
    /// Fuses skip connection `level` of the present modalities in place.
    fn apply(&self, level: usize, skips: &mut [Vec<Tensor>]) -> Result<()> {
        let own: Vec<Option<Tensor>> = skips.iter().map(|s| s.get(level).cloned()).collect();
        let gate = self.fusion.forward(&own)?;
        for ((skips, own), convert) in skips.iter_mut().zip(own).zip(&self.converts) {
            if let Some(own) = own {
                skips[level] = convert.forward(&gate, &own)?;
            }
        }
        Ok(())
    }
}

impl Network for Cmc {
    fn forward_with(&self, images: &[Option<Tensor>], perturb: &Perturb<'_>) -> Result<Output> {
        check_images(images, self.encoders.len(), self.stride)?;
        let mut skips = Vec::with_capacity(images.len());
        let mut features = Vec::with_capacity(images.len());
        let mut attended = Vec::with_capacity(images.len());
        for (m, image) in images.iter().enumerate() {
            let Some(image) = image else {
                skips.push(Vec::new());
                features.push(None);
                attended.push(None);
                continue;
            };
            let (skip, bottleneck) = self.encoders[m].forward(image)?;
            let (skip, deepest) = perturb.apply(m, skip, &bottleneck)?;
            attended.push(Some(match self.gammas.get(m) {
                Some(gamma) => mia::mia(&deepest, gamma)?,
                None => deepest,
            }));
            skips.push(skip);
            features.push(Some(bottleneck));
        }
        for (level, gate) in self.skip_gates.iter().enumerate() {
            gate.apply(level, &mut skips)?;
        }
        let gate = match &self.fusion {
            Some(fusion) => Some(fusion.forward(&attended)?),
            None => None,
        };
        let mut logits = Vec::with_capacity(images.len());
        let mut deep: Vec<Vec<Option<Tensor>>> = Vec::new();
        for (m, attended) in attended.iter().enumerate() {
            let Some(x) = attended else {
                logits.push(None);
                continue;
            };
            let (finest, coarser) = match &gate {
                None => self.decoders[m].forward(x, &skips[m])?,
                Some(gate) => {
                    let x = self.converts[m].forward(gate, x)?;
                    self.decoders[m].forward(&x, &skips[m])?
                }
            };
            logits.push(Some(finest));
            deep.resize(coarser.len(), vec![None; images.len()]);
            for (level, x) in deep.iter_mut().zip(coarser) {
                level[m] = Some(x);
            }
        }
        Ok(Output {
            logits,
            features,
            deep,
        })
    }

    fn heads(&self) -> Heads {
        Heads::PerModality
    }

    fn stride(&self) -> usize {
        self.stride
    }
}
