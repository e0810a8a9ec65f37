//! The encoder and decoder halves that every network here is made of.
//!
//! A block never draws its own weights: it asks a [`Builder`] by name. Two blocks that ask for one
//! name hold one tensor, which is all there is to sharing kernels between modalities.

mod decoder;
mod encoder;
mod residual;

pub(crate) use decoder::{Decoder, UpPlan};
pub(crate) use encoder::Encoder;
pub(crate) use residual::ResidualEncoder;

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

use super::beside::Beside;
use super::chain::{Step, Unit, chain};
use super::conv3d::conv3d_joined;
use super::norm_act::{Activation, Norm, norm_act};
use super::params::{Init, Params};
use super::recompute::Recompute;

/// Hands out parameters by name; the same name returns the same tensor again.
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

    /// How activations are made again in the backward pass; `None` keeps them.
    pub(crate) fn recompute(&self) -> Option<Recompute> {
        self.params.recompute()
    }

    /// Where gradients gather beside the graph; `None` where every operator is a node of it.
    pub(crate) fn beside(&self) -> Option<Beside> {
        self.params.beside().cloned()
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
    unit: Unit,
    beside: Option<Beside>,
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
        Ok(Self {
            unit: Unit {
                weight,
                scale: norm.scale,
                shift: norm.shift,
                norm: norm.norm,
                activation: norm.activation,
            },
            beside: builder.beside(),
        })
    }

    /// Its kernels.
    pub(crate) fn weight(&self) -> &Tensor {
        &self.unit.weight
    }

    /// As a step of a chain.
    pub(crate) fn step(&self) -> Step {
        Step::Unit(self.unit.clone())
    }

    /// As a step of a chain that goes up by the transposed convolution `up` first.
    pub(crate) fn step_up(&self, up: &Tensor) -> Step {
        Step::Rise {
            up: up.clone(),
            unit: self.unit.clone(),
        }
    }

    /// `[n, d, h, w, ci]` to `[n, d, h, w, co]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        chain(self.beside.as_ref(), &[x], vec![self.step()])
    }

    /// As [`ConvNormAct::forward`] over the channels of `x`, then those of `skip`.
    pub(crate) fn forward_joined(&self, x: &Tensor, skip: &Tensor) -> Result<Tensor> {
        let Unit {
            weight,
            scale,
            shift,
            norm,
            activation,
        } = &self.unit;
        norm_act(
            &conv3d_joined(x, skip, weight)?,
            scale,
            shift,
            *norm,
            *activation,
        )
    }
}
