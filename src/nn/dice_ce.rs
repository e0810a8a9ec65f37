//! Log-softmax, cross entropy and soft Dice as one operator, with voxels that may be ignored.
//!
//! One pass over the logits makes the sums of both terms, one more makes the gradient; no
//! probability map is kept.

mod passes;

#[cfg(test)]
mod tests;

use super::cpu::f32s;
use super::cuda;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail,
};
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
        logits.contiguous()?.apply_op2(&target.contiguous()?, op)
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

fn labels<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [u8]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::U8(labels), Some((start, end))) => Ok(&labels[start..end]),
        _ => bail!("dice_ce: expected contiguous u8 labels"),
    }
}

impl CustomOp2 for Loss {
    fn name(&self) -> &'static str {
        "dice_ce"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let problem = self.config.problem(l1, l2)?;
        let (logits, target) = (f32s(self.name(), s1, l1)?, labels(s2, l2)?);
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
        let loss = passes::loss(&problem, &self.config, sums);
        Ok((CpuStorage::F32(vec![loss as f32]), Shape::from(())))
    }

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (op, problem) = (self.name(), self.config.problem(l1, l2)?);
        let (loss, state) = cuda::dice_ce(op, &problem, &self.config, (s1, l1), (s2, l2))?;
        self.state.get_or_init(|| state);
        Ok((loss, Shape::from(())))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        target: &Tensor,
        _loss: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = Gradient {
            config: self.config.clone(),
            sums: Arc::clone(&self.sums),
            state: Arc::clone(&self.state),
        };
        Ok((
            Some(logits.apply_op3_no_bwd(target, &g.contiguous()?, &gradient)?),
            None,
        ))
    }
}

impl CustomOp3 for Gradient {
    fn name(&self) -> &'static str {
        "dice_ce gradient"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let problem = self.config.problem(l1, l2)?;
        let (logits, target) = (f32s(self.name(), s1, l1)?, labels(s2, l2)?);
        let &[g] = f32s(self.name(), s3, l3)? else {
            bail!(
                "dice_ce: expected the gradient of a scalar, found {:?}",
                l3.dims()
            );
        };
        let sums = self
            .sums
            .get_or_init(|| passes::sums(&problem, logits, target));
        let gradient = passes::gradient(&problem, &self.config, sums, logits, target, g);
        Ok((CpuStorage::F32(gradient), l1.shape().clone()))
    }

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
        s3: &CudaStorage,
        l3: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (op, problem) = (self.name(), self.config.problem(l1, l2)?);
        let Some(state) = self.state.get() else {
            bail!("{op}: expected a forward pass before it");
        };
        let all = [(s1, l1), (s2, l2), (s3, l3)];
        let gradient = cuda::dice_ce_gradient(op, &problem, state, all)?;
        Ok((gradient, l1.shape().clone()))
    }
}
