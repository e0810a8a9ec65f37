//! The encoder and decoder halves that every network here is made of.
//!
//! A block never draws its own weights: it asks a [`Builder`] by name. Two blocks that ask for one
//! name hold one tensor, which is all there is to sharing kernels between modalities.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

use super::conv_transpose3d::conv_transpose3d;
use super::conv3d::{conv3d, conv3d_joined};
use super::max_pool3d::max_pool3d;
use super::norm_act::{Activation, Norm, norm_act};
use super::params::{Init, Params};

/// Hands out parameters by name; a name asked for again gives the same tensor.
pub(crate) struct Builder<'a> {
    params: &'a mut Params,
    made: BTreeMap<String, Tensor>,
}

impl<'a> Builder<'a> {
    /// A builder that registers in `params`, in the order of first use.
    pub(crate) fn new(params: &'a mut Params) -> Self {
        Self {
            params,
            made: BTreeMap::new(),
        }
    }

    /// The parameter `name`, made with `init` when it is first asked for.
    pub(crate) fn get(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        if let Some(tensor) = self.made.get(name) {
            return Ok(tensor.clone());
        }
        let tensor = self.params.get(name, shape, init)?;
        self.made.insert(name.to_owned(), tensor.clone());
        Ok(tensor)
    }

    /// Kernels `[co, k, k, k, ci]` of a `k³` convolution, He-normal over their fan-in.
    pub(crate) fn kernel(&mut self, name: &str, k: usize, ci: usize, co: usize) -> Result<Tensor> {
        let fan_in = k * k * k * ci;
        self.get(name, &[co, k, k, k, ci], Init::HeNormal { fan_in })
    }
}

/// Where a block's kernels and its norms are named; the two differ when only norms are a modality's own.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// Prefix of the kernels' names.
    pub(crate) kernels: String,
    /// Prefix of the norms' names.
    pub(crate) norms: String,
}

impl Scope {
    /// One prefix for both.
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            kernels: prefix.to_owned(),
            norms: prefix.to_owned(),
        }
    }

    /// The scope of a part called `name`.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self {
            kernels: format!("{}.{name}", self.kernels),
            norms: format!("{}.{name}", self.norms),
        }
    }
}

/// What the layers of a network have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layers {
    /// The norm after every convolution.
    pub(crate) norm: Norm,
    /// What follows the norm.
    pub(crate) activation: Activation,
    /// Whether transposed convolutions have a bias. The norm after the next convolution removes it
    /// everywhere but at the borders, where that convolution sees zeros instead.
    pub(crate) up_bias: bool,
    /// Whether the decoder also predicts at coarser levels.
    pub(crate) deep_supervision: bool,
    /// Whether the decoder has one convolution a level instead of two.
    pub(crate) single: bool,
}

impl Layers {
    /// Instance norm and this activation.
    pub(crate) fn instance(activation: Activation) -> Self {
        Self {
            norm: Norm::Instance,
            activation,
            up_bias: false,
            deep_supervision: false,
            single: false,
        }
    }

    /// The same with another activation.
    pub(crate) fn with(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }
}

/// Scale and shift of one normalisation, followed by an activation.
pub(crate) struct NormAct {
    scale: Tensor,
    shift: Tensor,
    norm: Norm,
    activation: Activation,
}

impl NormAct {
    /// Parameters `{scope.norms}.{name}.weight` (ones) and `.bias` (zeros), `[channels]` each.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        scope: &Scope,
        name: &str,
        channels: usize,
        norm: Norm,
        activation: Activation,
    ) -> Result<Self> {
        let prefix = format!("{}.{name}", scope.norms);
        Ok(Self {
            scale: builder.get(&format!("{prefix}.weight"), &[channels], Init::Const(1.0))?,
            shift: builder.get(&format!("{prefix}.bias"), &[channels], Init::Const(0.0))?,
            norm,
            activation,
        })
    }

    /// `[n, d, h, w, c]` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        norm_act(x, &self.scale, &self.shift, self.norm, self.activation)
    }
}

/// Convolution 3³ without bias (the norm would remove it), norm, activation.
pub(crate) struct ConvNormAct {
    weight: Tensor,
    norm: NormAct,
}

impl ConvNormAct {
    /// The `index`-th (from 1) of a level: parameters `conv{index}.weight` and `norm{index}.*`.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        scope: &Scope,
        index: usize,
        (ci, co): (usize, usize),
        layers: Layers,
    ) -> Result<Self> {
        let weight = builder.kernel(&format!("{}.conv{index}.weight", scope.kernels), 3, ci, co)?;
        let name = format!("norm{index}");
        let norm = NormAct::new(builder, scope, &name, co, layers.norm, layers.activation)?;
        Ok(Self { weight, norm })
    }

    /// `[n, d, h, w, ci]` to `[n, d, h, w, co]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.norm.forward(&conv3d(x, &self.weight)?)
    }

    /// As [`ConvNormAct::forward`] over the channels of `x`, then those of `skip`.
    pub(crate) fn forward_joined(&self, x: &Tensor, skip: &Tensor) -> Result<Tensor> {
        self.norm.forward(&conv3d_joined(x, skip, &self.weight)?)
    }
}

/// Levels of two convolutions each, with max-pooling by 2 between them.
pub(crate) struct Encoder {
    levels: Vec<[ConvNormAct; 2]>,
}

impl Encoder {
    /// `plan[i]` holds the channels after the first and after the second convolution of level `i`.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        scope: &Scope,
        channels_in: usize,
        plan: &[[usize; 2]],
        layers: Layers,
    ) -> Result<Self> {
        let mut levels = Vec::with_capacity(plan.len());
        let mut ci = channels_in;
        for (i, &[middle, co]) in plan.iter().enumerate() {
            let level = scope.child(&format!("level{i}"));
            levels.push([
                ConvNormAct::new(builder, &level, 1, (ci, middle), layers)?,
                ConvNormAct::new(builder, &level, 2, (middle, co), layers)?,
            ]);
            ci = co;
        }
        Ok(Self { levels })
    }

    /// The skip connections, finest first, and the bottleneck.
    pub(crate) fn forward(&self, image: &Tensor) -> Result<(Vec<Tensor>, Tensor)> {
        let mut skips = Vec::with_capacity(self.levels.len());
        let mut x = image.clone();
        for (i, [first, second]) in self.levels.iter().enumerate() {
            if i > 0 {
                x = max_pool3d(&x)?;
            }
            x = second.forward(&first.forward(&x)?)?;
            if i + 1 < self.levels.len() {
                skips.push(x.clone());
            }
        }
        Ok((skips, x))
    }
}

/// One step up: transposed convolution, skip connection, one or two convolutions.
struct UpLevel {
    up: Tensor,
    bias: Option<Tensor>,
    first: ConvNormAct,
    second: Option<ConvNormAct>,
}

/// What one step up is made of, in channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpPlan {
    /// Channels after the transposed convolution.
    pub(crate) up: usize,
    /// Channels of the skip connection.
    pub(crate) skip: usize,
    /// Channels after the convolutions.
    pub(crate) out: usize,
}

/// Steps up to full resolution, then a 1³ convolution with bias to the class logits.
pub(crate) struct Decoder {
    levels: Vec<UpLevel>,
    head: Head,
    /// With deep supervision: one a level but the finest, coarsest first.
    deep: Vec<Head>,
}

/// A 1³ convolution with bias, to class logits.
struct Head {
    weight: Tensor,
    bias: Tensor,
}

impl Head {
    /// Parameters `head.weight` and `head.bias`.
    fn new(builder: &mut Builder<'_>, scope: &Scope, ci: usize, classes: usize) -> Result<Self> {
        let name = format!("{}.head", scope.kernels);
        Ok(Self {
            weight: builder.kernel(&format!("{name}.weight"), 1, ci, classes)?,
            bias: builder.get(&format!("{name}.bias"), &[classes], Init::Const(0.0))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        conv3d(x, &self.weight)?.broadcast_add(&self.bias.to_dtype(x.dtype())?)
    }
}

impl Decoder {
    /// `plan` goes from the coarsest step to the finest; levels are named by the encoder level they reach.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        scope: &Scope,
        channels_in: usize,
        plan: &[UpPlan],
        classes: usize,
        layers: Layers,
    ) -> Result<Self> {
        let mut levels = Vec::with_capacity(plan.len());
        let mut deep = Vec::new();
        let mut ci = channels_in;
        for (i, step) in plan.iter().enumerate() {
            let level = scope.child(&format!("level{}", plan.len() - 1 - i));
            let up = builder.get(
                &format!("{}.up.weight", level.kernels),
                &[step.up, 2, 2, 2, ci],
                // Kernel and stride are both 2: each output voxel sees one input voxel.
                Init::HeNormal { fan_in: ci },
            )?;
            let bias = match layers.up_bias {
                true => {
                    let name = format!("{}.up.bias", level.kernels);
                    Some(builder.get(&name, &[step.up], Init::Const(0.0))?)
                }
                false => None,
            };
            let joined = (step.up + step.skip, step.out);
            let first = ConvNormAct::new(builder, &level, 1, joined, layers)?;
            let second = match layers.single {
                true => None,
                false => {
                    let channels = (step.out, step.out);
                    Some(ConvNormAct::new(builder, &level, 2, channels, layers)?)
                }
            };
            levels.push(UpLevel {
                up,
                bias,
                first,
                second,
            });
            ci = step.out;
            if layers.deep_supervision && i + 1 < plan.len() {
                deep.push(Head::new(builder, &level, ci, classes)?);
            }
        }
        let head = Head::new(builder, scope, ci, classes)?;
        Ok(Self { levels, head, deep })
    }

    /// Logits `[n, d, h, w, classes]` from the bottleneck and the encoder's skips (finest first),
    /// and with deep supervision those of the levels below, at half the resolution first.
    pub(crate) fn forward(
        &self,
        bottleneck: &Tensor,
        skips: &[Tensor],
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let mut deep = Vec::with_capacity(self.deep.len());
        let mut x = bottleneck.clone();
        for (i, (level, skip)) in self.levels.iter().zip(skips.iter().rev()).enumerate() {
            let mut up = conv_transpose3d(&x, &level.up)?;
            if let Some(bias) = &level.bias {
                up = up.broadcast_add(&bias.to_dtype(up.dtype())?)?;
            }
            x = level.first.forward_joined(&up, skip)?;
            if let Some(second) = &level.second {
                x = second.forward(&x)?;
            }
            if let Some(head) = self.deep.get(i) {
                deep.push(head.forward(&x)?);
            }
        }
        deep.reverse();
        Ok((self.head.forward(&x)?, deep))
    }
}
