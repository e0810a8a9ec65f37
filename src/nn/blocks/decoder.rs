//! The way up: transposed convolutions, skip connections, class logits.

use super::{Builder, ConvNormAct, Layers, Scope};
use crate::nn::add_bias::add_bias;
use crate::nn::beside::Beside;
use crate::nn::chain::{Step, chain};
use crate::nn::conv_transpose3d::conv_transpose3d;
use crate::nn::params::Init;
use crate::nn::recompute::{Recompute, run};
use candle_core::{Result, Tensor};
use std::sync::Arc;

/// One step up: transposed convolution, skip connection, one or two convolutions.
struct UpLevel {
    up: Tensor,
    bias: Option<Tensor>,
    first: ConvNormAct,
    second: Option<ConvNormAct>,
    beside: Option<Beside>,
}

impl UpLevel {
    /// With `head` the class logits instead of the level's own result.
    fn forward(&self, x: &Tensor, skip: &Tensor, head: Option<&Head>) -> Result<Tensor> {
        let second = self.second.iter().map(ConvNormAct::step);
        let rest = second.chain(head.map(Head::step));
        match &self.bias {
            None => {
                let steps = std::iter::once(self.first.step_up(&self.up)).chain(rest);
                chain(self.beside.as_ref(), &[x, skip], steps.collect())
            }
            Some(bias) => {
                let up = add_bias(&conv_transpose3d(x, &self.up)?, bias)?;
                let first = self.first.forward_joined(&up, skip)?;
                match rest.collect::<Vec<_>>() {
                    rest if rest.is_empty() => Ok(first),
                    rest => chain(self.beside.as_ref(), &[&first], rest),
                }
            }
        }
    }
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
    levels: Vec<Arc<UpLevel>>,
    recompute: Option<Recompute>,
    beside: Option<Beside>,
    head: Head,
    /// With deep supervision: one a level but the finest, coarsest first.
    deep: Vec<Head>,
}

/// A 1³ convolution with bias, to class logits.
#[derive(Clone)]
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

    fn step(&self) -> Step {
        Step::Head {
            weight: self.weight.clone(),
            bias: self.bias.clone(),
        }
    }

    fn forward(&self, x: &Tensor, beside: Option<&Beside>) -> Result<Tensor> {
        chain(beside, &[x], vec![self.step()])
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
            levels.push(Arc::new(UpLevel {
                up,
                bias,
                first,
                second,
                beside: builder.beside(),
            }));
            ci = step.out;
            if layers.deep_supervision && i + 1 < plan.len() {
                deep.push(Head::new(builder, &level, ci, classes)?);
            }
        }
        let head = Head::new(builder, scope, ci, classes)?;
        Ok(Self {
            levels,
            recompute: builder.recompute(),
            beside: builder.beside(),
            head,
            deep,
        })
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
            let (part, anchor) = (Arc::clone(level), &level.up);
            // The finest level leads to the logits.
            let head = (i + 1 == self.levels.len()).then(|| self.head.clone());
            x = run(
                self.recompute.as_ref(),
                [&x, skip],
                anchor,
                move |[x, skip]| part.forward(x, skip, head.as_ref()),
            )?;
            if let Some(head) = self.deep.get(i) {
                deep.push(head.forward(&x, self.beside.as_ref())?);
            }
        }
        deep.reverse();
        match self.levels.is_empty() {
            true => Ok((self.head.forward(&x, self.beside.as_ref())?, deep)),
            false => Ok((x, deep)),
        }
    }
}
