//! Log-softmax, cross entropy and soft Dice as one operator, with voxels that may be ignored.
//!
//! One pass over the logits makes the sums of both terms, one more makes the gradient; no
//! probability map is kept.

mod passes;

#[cfg(test)]
mod tests;

use super::cuda;
use super::operator::{Input, Op, Operator};
use candle_core::{CudaStorage, DType, Layout, Result, Shape, Tensor, bail};
pub(super) use passes::Problem;
use passes::Sums;
use std::sync::{Arc, OnceLock};

/// The label of voxels that count neither in the loss nor in its normalisers.
pub const IGNORE: u8 = 255;

/// Weighted sum of soft Dice loss and cross entropy.
///
/// **Law** With `p = softmax(logits)`, `t` the one-hot target and sums over the voxels that are not
/// ignored:
///
/// `ce = sum(w[t] (-log p[t])) / sum(w[t])`, the weights being 1 where there are none, so that an
/// unweighted term is the mean over the valid voxels;
///
/// `dice = mean over classes of 1 - (2 sum(p t) + smooth) / (sum(q) + sum(t) + smooth)` with `q = p`
/// or `q = p^2`;
///
/// `loss = dice_weight dice + ce_weight ce`.
///
/// A class without a valid voxel of its own in the target is left out of the mean: whatever the
/// prediction its Dice would be near 0, with a gradient that grows as 1 / `smooth` where the
/// prediction vanishes. Its false positives still cost cross entropy. Without any such class the
/// Dice term is 0, and without any valid voxel the whole loss is 0 with a gradient of 0.
///
/// **Source** Milletari et al. 2016 (squared) and Drozdzal et al. 2016 for soft Dice; the sum of the
/// two terms as in nnU-Net (Isensee et al. 2021).
#[derive(Debug, Clone, PartialEq)]
pub struct DiceCe {
    /// Whether class 0 is one of the Dice term's classes.
    pub include_background: bool,
    /// Whether the prediction enters Dice's denominator squared.
    pub squared: bool,
    /// Added to Dice's numerator and denominator.
    pub smooth: f64,
    /// Factor of the Dice term.
    pub dice_weight: f64,
    /// Factor of the cross entropy.
    pub ce_weight: f64,
    /// Weight of each class in the cross entropy, one a class.
    pub class_weights: Option<Vec<f32>>,
    /// Whether Dice's sums run over the whole batch, or each sample has its own.
    pub batch_dice: bool,
}

impl Default for DiceCe {
    /// Dice of the foreground over the batch, plus plain cross entropy, both with weight 1.
    ///
    /// Background is left out because it fills most of a patch: its Dice is near 1 at once and would
    /// only dilute the mean. Sums run over the batch because a single patch often holds but a few
    /// voxels of a class, or none, where a Dice of its own would be noise. `smooth` 1e-5 only guards
    /// the division; a larger one would favour small structures being missed.
    fn default() -> Self {
        Self {
            include_background: false,
            squared: false,
            smooth: 1e-5,
            dice_weight: 1.0,
            ce_weight: 1.0,
            class_weights: None,
            batch_dice: true,
        }
    }
}

impl DiceCe {
    /// The loss of a batch, a scalar.
    ///
    /// **Shape** `logits` `[n, d, h, w, k]` in f32, `target` `[n, d, h, w]` in u8 with classes below
    /// `k`, or [`IGNORE`].
    ///
    /// **Errors** where shapes or types do not fit, class weights are not one a class, or the target
    /// holds a label that is neither a class nor [`IGNORE`] (the message names it). On CUDA, where
    /// looking for such a label would wait for the device, the loss is NaN instead.
    pub fn loss(&self, logits: &Tensor, target: &Tensor) -> Result<Tensor> {
        if target.dtype() != DType::U8 {
            bail!("dice_ce: expected u8 labels, found {:?}", target.dtype());
        }
        let op = Loss {
            config: self.clone(),
            sums: Arc::new(OnceLock::new()),
            state: Arc::new(OnceLock::new()),
        };
        logits
            .contiguous()?
            .apply_op2(&target.contiguous()?, Op(op))
    }

    fn problem(&self, logits: &Layout, target: &Layout) -> Result<Problem> {
        let (&[n, d, h, w, k], spatial) = (logits.dims(), target.dims()) else {
            bail!(
                "dice_ce: expected logits [n, d, h, w, k], found {:?}",
                logits.dims()
            );
        };
        if spatial != [n, d, h, w] || k == 0 || k > usize::from(IGNORE) {
            bail!(
                "dice_ce: expected labels [n, d, h, w] for logits [n, d, h, w, k] with 1 to {IGNORE} classes; \
                 found {spatial:?} and {:?}",
                logits.dims()
            );
        }
        let weights = match &self.class_weights {
            None => vec![1.0; k],
            Some(weights)
                if weights.len() == k && weights.iter().all(|w| w.is_finite() && *w >= 0.0) =>
            {
                weights.clone()
            }
            Some(weights) => {
                bail!(
                    "dice_ce: expected one finite weight of at least 0 for each of {k} classes, found {weights:?}"
                )
            }
        };
        Ok(Problem {
            samples: n,
            voxels: d * h * w,
            classes: k,
            weights,
            squared: self.squared,
        })
    }
}

struct Loss {
    config: DiceCe,
    /// Made by the forward pass.
    sums: Arc<OnceLock<Sums>>,
    /// The same on a GPU.
    state: Arc<OnceLock<cuda::LossState>>,
}

/// Gradient of the logits, from (logits, target, gradient of the loss).
struct Gradient {
    config: DiceCe,
    sums: Arc<OnceLock<Sums>>,
    state: Arc<OnceLock<cuda::LossState>>,
}

impl Operator<2> for Loss {
    fn name(&self) -> &'static str {
        "dice_ce"
    }

    fn shape(&self, [logits, target]: [&Layout; 2]) -> Result<Shape> {
        self.config.problem(logits, target)?;
        Ok(Shape::from(()))
    }

    fn cpu(&self, [logits, target]: [Input<'_>; 2]) -> Result<Vec<f32>> {
        let problem = self.config.problem(logits.layout, target.layout)?;
        let (logits, target) = (logits.f32s()?, target.u8s()?);
        let k = problem.classes;
        if let Some(label) = target
            .iter()
            .find(|&&label| usize::from(label) >= k && label != IGNORE)
        {
            bail!(
                "dice_ce: found label {label} in the target, but the logits have {k} classes (0 to {}); {IGNORE} marks ignored voxels",
                k - 1
            );
        }
        let sums = self
            .sums
            .get_or_init(|| passes::sums(&problem, logits, target));
        Ok(vec![passes::loss(&problem, &self.config, sums) as f32])
    }

    fn cuda(&self, [logits, target]: [(&CudaStorage, &Layout); 2]) -> Result<CudaStorage> {
        let (op, problem) = (self.name(), self.config.problem(logits.1, target.1)?);
        let (loss, state) = cuda::dice_ce(op, &problem, &self.config, logits, target)?;
        self.state.get_or_init(|| state);
        Ok(loss)
    }

    fn gradient(
        &self,
        [logits, target]: [&Tensor; 2],
        _loss: &Tensor,
        g: &Tensor,
    ) -> Result<[Option<Tensor>; 2]> {
        let gradient = Op(Gradient {
            config: self.config.clone(),
            sums: Arc::clone(&self.sums),
            state: Arc::clone(&self.state),
        });
        let of_logits = logits.apply_op3_no_bwd(target, &g.contiguous()?, &gradient)?;
        Ok([Some(of_logits), None])
    }
}

impl Operator<3> for Gradient {
    fn name(&self) -> &'static str {
        "dice_ce gradient"
    }

    fn shape(&self, [logits, ..]: [&Layout; 3]) -> Result<Shape> {
        Ok(logits.shape().clone())
    }

    fn cpu(&self, [logits, target, g]: [Input<'_>; 3]) -> Result<Vec<f32>> {
        let problem = self.config.problem(logits.layout, target.layout)?;
        let (logits, target) = (logits.f32s()?, target.u8s()?);
        let &[g] = g.f32s()? else {
            bail!(
                "dice_ce: expected the gradient of a scalar, found {:?}",
                g.layout.dims()
            );
        };
        let sums = self
            .sums
            .get_or_init(|| passes::sums(&problem, logits, target));
        Ok(passes::gradient(
            &problem,
            &self.config,
            sums,
            logits,
            target,
            g,
        ))
    }

    fn cuda(&self, all: [(&CudaStorage, &Layout); 3]) -> Result<CudaStorage> {
        let (op, problem) = (self.name(), self.config.problem(all[0].1, all[1].1)?);
        let Some(state) = self.state.get() else {
            bail!("{op}: expected a forward pass before it");
        };
        cuda::dice_ce_gradient(op, &problem, state, all)
    }
}
