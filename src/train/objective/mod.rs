//! What training minimises: a supervised term and others that need no label, each with its own weight.
//!
//! Every term is a function of tensors and knows neither networks nor data; whether two heads lie
//! in one frame, or whether a subject is labelled, is the caller's to know.

pub mod as_released;
pub mod bcp;
pub mod cac;
pub mod class_statistics;
pub mod cps;
pub mod csc;
pub mod cutmix;
pub mod feature_dropout;
pub mod mean_teacher;
mod needs;
pub mod pseudo_label;
pub mod ramp;
mod spec;
pub mod supervised;
mod terms;
pub mod threshold;

#[cfg(test)]
mod tests;

use candle_core::{D, Result, Tensor};

pub use self::cac::CacSpec;
pub use self::csc::CscSpec;
pub use self::spec::{ObjectiveSpec, PseudoLabelSpec, SupervisedSpec};
pub use self::terms::{Term, Terms};

/// Softmax over the last dimension, with gradient and without overflow.
pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    // A softmax ignores a shift, so the shift needs no gradient.
    let most = x.detach().max_keepdim(D::Minus1)?;
    let e = x.broadcast_sub(&most)?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

/// `1 / (1 + exp(-x))`, with gradient and without overflow.
pub(crate) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (((x * 0.5)?.tanh()? + 1.0)? * 0.5)?.contiguous()
}

/// Mean of scalars; `None` of none.
fn mean_of(losses: &[Tensor]) -> Result<Option<Tensor>> {
    match losses {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        many => Ok(Some(Tensor::stack(many, 0)?.mean_all()?)),
    }
}

/// Mean of a symmetric comparison over all pairs of those present; `None` with fewer than two.
fn mean_over_pairs(
    values: &[Option<Tensor>],
    compare: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Option<Tensor>> {
    let present: Vec<&Tensor> = values.iter().flatten().collect();
    let mut losses = Vec::new();
    for (i, first) in present.iter().enumerate() {
        for second in &present[i + 1..] {
            losses.push(compare(first, second)?);
        }
    }
    mean_of(&losses)
}
