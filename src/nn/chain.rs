//! A level of a network as one node of candle's graph.
//!
//! Between two nodes of its graph candle makes zeros and a sum of every gradient: four passes over a
//! volume that nobody needs. A chain walks its own steps back instead. It keeps what the walk needs,
//! makes the activations inside again where that is one cheap pass, and leaves the gradients of its
//! weights [`Beside`] the graph.

mod node;
mod rise;
mod storage;

#[cfg(test)]
mod tests;

use super::add_bias::add_bias;
use super::beside::Beside;
use super::conv_transpose3d::conv_transpose3d;
use super::conv3d::{conv3d, conv3d_joined};
use super::max_pool3d::max_pool3d;
use super::norm_act::{Activation, Norm, norm_act};
use candle_core::{Result, Tensor, bail};

/// A convolution without bias, its norm, its activation.
#[derive(Clone)]
pub(crate) struct Unit {
    /// `[co, kd, kh, kw, ci]`.
    pub(crate) weight: Tensor,
    /// `[co]`.
    pub(crate) scale: Tensor,
    /// `[co]`.
    pub(crate) shift: Tensor,
    pub(crate) norm: Norm,
    pub(crate) activation: Activation,
}

/// One step of a chain.
#[derive(Clone)]
pub(crate) enum Step {
    /// Maximum over 2³ voxels.
    Pool,
    /// Convolution, norm, activation.
    Unit(Unit),
    /// A transposed convolution `[co, 2, 2, 2, ci]`, whose result is joined with the chain's second
    /// input, and a unit over both.
    Rise { up: Tensor, unit: Unit },
    /// A convolution with bias; the last step of a chain.
    Head { weight: Tensor, bias: Tensor },
}

/// Runs the steps one after another on the first input; a [`Step::Rise`] takes the second one, too.
///
/// Without `beside` every operator is a node of its own.
///
/// **Errors** as the operators; where a second input is missing.
pub(crate) fn chain(
    beside: Option<&Beside>,
    inputs: &[&Tensor],
    steps: Vec<Step>,
) -> Result<Tensor> {
    let anchor = steps.iter().find_map(Step::anchor).cloned();
    match (beside, anchor) {
        (Some(beside), Some(anchor)) if anchor.track_op() => {
            node::apply(beside, inputs, &anchor, steps)
        }
        _ => composed(inputs, &steps),
    }
}

impl Step {
    /// A weight of the step: candle walks back only to nodes with a variable under them.
    fn anchor(&self) -> Option<&Tensor> {
        match self {
            Self::Pool => None,
            Self::Unit(unit) => Some(&unit.weight),
            Self::Rise { up, .. } => Some(up),
            Self::Head { weight, .. } => Some(weight),
        }
    }
}

impl Unit {
    /// `[n, d, h, w, ci]` to `[n, d, h, w, co]`, as nodes of the graph.
    fn composed(&self, convolved: &Tensor) -> Result<Tensor> {
        norm_act(
            convolved,
            &self.scale,
            &self.shift,
            self.norm,
            self.activation,
        )
    }
}

fn second<'a>(inputs: &[&'a Tensor]) -> Result<&'a Tensor> {
    match inputs {
        [_, second] => Ok(second),
        _ => bail!(
            "a chain that goes up was given {} inputs, expected 2",
            inputs.len()
        ),
    }
}

/// The chain as operators of the graph.
fn composed(inputs: &[&Tensor], steps: &[Step]) -> Result<Tensor> {
    let Some(first) = inputs.first() else {
        bail!("a chain was given no input");
    };
    let mut x = (*first).clone();
    for step in steps {
        x = match step {
            Step::Pool => max_pool3d(&x)?,
            Step::Unit(unit) => unit.composed(&conv3d(&x, &unit.weight)?)?,
            Step::Rise { up, unit } => {
                let up = conv_transpose3d(&x, up)?;
                unit.composed(&conv3d_joined(&up, second(inputs)?, &unit.weight)?)?
            }
            Step::Head { weight, bias } => add_bias(&conv3d(&x, weight)?, bias)?,
        };
    }
    Ok(x)
}
