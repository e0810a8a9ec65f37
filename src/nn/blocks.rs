//! The encoder and decoder halves that every network here is made of.
//!
//! A block never draws its own weights: it asks a [`Builder`] by name. Two blocks that ask for one
//! name hold one tensor, which is all there is to sharing kernels between modalities.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

use super::conv_transpose3d::conv_transpose3d;
use super::conv3d::conv3d;
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

/// Convolution 3³ without bias (the norm would remove it), instance norm, activation.
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
        activation: Activation,
    ) -> Result<Self> {
        let weight = builder.kernel(&format!("{}.conv{index}.weight", scope.kernels), 3, ci, co)?;
        let name = format!("norm{index}");
        let norm = NormAct::new(builder, scope, &name, co, Norm::Instance, activation)?;
        Ok(Self { weight, norm })
    }

    /// `[n, d, h, w, ci]` to `[n, d, h, w, co]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.norm.forward(&conv3d(x, &self.weight)?)
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
        activation: Activation,
    ) -> Result<Self> {
        let mut levels = Vec::with_capacity(plan.len());
        let mut ci = channels_in;
        for (i, &[middle, co]) in plan.iter().enumerate() {
            let level = scope.child(&format!("level{i}"));
            levels.push([
                ConvNormAct::new(builder, &level, 1, (ci, middle), activation)?,
                ConvNormAct::new(builder, &level, 2, (middle, co), activation)?,
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

/// One step up: transposed convolution, skip connection, two convolutions.
struct UpLevel {
    up: Tensor,
    convs: [ConvNormAct; 2],
}

/// What one step up is made of, in channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpPlan {
    /// Channels after the transposed convolution.
    pub(crate) up: usize,
    /// Channels of the skip connection.
    pub(crate) skip: usize,
    /// Channels after the two convolutions.
    pub(crate) out: usize,
}

/// Steps up to full resolution, then a 1³ convolution with bias to the class logits.
pub(crate) struct Decoder {
    levels: Vec<UpLevel>,
    head: Tensor,
    head_bias: Tensor,
}

impl Decoder {
    /// `plan` goes from the coarsest step to the finest; levels are named by the encoder level they reach.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        scope: &Scope,
        channels_in: usize,
        plan: &[UpPlan],
        classes: usize,
        activation: Activation,
    ) -> Result<Self> {
        let mut levels = Vec::with_capacity(plan.len());
        let mut ci = channels_in;
        for (i, step) in plan.iter().enumerate() {
            let level = scope.child(&format!("level{}", plan.len() - 1 - i));
            let up = builder.get(
                &format!("{}.up.weight", level.kernels),
                &[step.up, 2, 2, 2, ci],
                // Kernel and stride are both 2: each output voxel sees one input voxel.
                Init::HeNormal { fan_in: ci },
            )?;
            let joined = (step.up + step.skip, step.out);
            let convs = [
                ConvNormAct::new(builder, &level, 1, joined, activation)?,
                ConvNormAct::new(builder, &level, 2, (step.out, step.out), activation)?,
            ];
            levels.push(UpLevel { up, convs });
            ci = step.out;
        }
        let head = builder.kernel(&format!("{}.head.weight", scope.kernels), 1, ci, classes)?;
        let name = format!("{}.head.bias", scope.kernels);
        let head_bias = builder.get(&name, &[classes], Init::Const(0.0))?;
        Ok(Self {
            levels,
            head,
            head_bias,
        })
    }

    /// Logits `[n, d, h, w, classes]` from the bottleneck and the encoder's skips (finest first).
    pub(crate) fn forward(&self, bottleneck: &Tensor, skips: &[Tensor]) -> Result<Tensor> {
        let mut x = bottleneck.clone();
        for (level, skip) in self.levels.iter().zip(skips.iter().rev()) {
            let up = conv_transpose3d(&x, &level.up)?;
            x = Tensor::cat(&[&up, skip], 4)?;
            for conv in &level.convs {
                x = conv.forward(&x)?;
            }
        }
        conv3d(&x, &self.head)?.broadcast_add(&self.head_bias.to_dtype(x.dtype())?)
    }
}
