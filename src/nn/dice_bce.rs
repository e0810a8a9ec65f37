//! Sigmoid, binary cross-entropy and soft Dice of overlapping regions, with voxels that may be ignored.
//!
//! On the CPU it is one operator: one pass over the logits for the sums of both terms, one for the gradient.
//! Elsewhere the same sums and the same gradient are composed of candle's tensor operators, because there
//! is no kernel of our own: see [`DiceBce::loss`].

mod composed;
mod passes;

#[cfg(test)]
mod tests;

use super::dice_ce::IGNORE;
use super::operator::{Input, Op, Operator};
use candle_core::{DType, Device, Layout, Result, Shape, Tensor, bail};
use passes::{Problem, Sums};
use std::sync::{Arc, OnceLock};

/// Weighted sum of soft Dice loss and binary cross-entropy, one output a region.
///
/// **Law** With `p = sigmoid(logits)`, `t[r] = 1` where the voxel's class is in region `r` and else 0, and
/// sums over the `V` voxels that are not ignored:
///
/// `bce = sum over voxels and regions of (-t ln p - (1 - t) ln(1 - p)) / (V R)` for `R` regions;
///
/// `dice = mean over regions of 1 - (2 sum(p t) + smooth) / (sum(q) + sum(t) + smooth)` with `q = p` or
/// `q = p^2`, the sums being over the whole batch;
///
/// `loss = dice_weight dice + bce_weight bce`.
///
/// As in [`DiceCe`](super::dice_ce::DiceCe), a region without a valid voxel of its own is left out of the
/// mean of the Dice term, and its false positives still cost cross-entropy. Without any such region the
/// Dice term is 0; without any valid voxel the whole loss is 0 with a gradient of 0.
///
/// **Source** region-based training of nnU-Net (Isensee et al., "nnU-Net for Brain Tumor Segmentation",
/// BrainLes 2020; `DC_and_BCE_loss` of nnU-Net v2).
#[derive(Debug, Clone, PartialEq)]
pub struct DiceBce {
    /// Class numbers of each region, one list an output.
    pub regions: Vec<Vec<u8>>,
    /// Number of classes, background included: a label from it on is refused.
    pub classes: usize,
    /// Whether the prediction enters Dice's denominator squared.
    pub squared: bool,
    /// Added to Dice's numerator and denominator.
    pub smooth: f64,
    /// Factor of the Dice term.
    pub dice_weight: f64,
    /// Factor of the binary cross-entropy.
    pub bce_weight: f64,
}

impl DiceBce {
    /// The loss of a batch, a scalar.
    ///
    /// On a device that is not the CPU, sums are f32 and the loss is composed of tensor operators; it takes
    /// about ten temporary tensors of the size of the logits, none of which is kept for the gradient.
    ///
    /// **Shape** `logits` `[n, d, h, w, r]` in f32, one output a region; `target` `[n, d, h, w]` in u8 with
    /// classes below `classes`, or [`IGNORE`].
    ///
    /// **Errors** if shapes or types do not fit, or if the target holds a label that is neither a class nor
    /// [`IGNORE`] (the message names it). On CUDA, where looking for such a label would wait for the
    /// device, the loss is NaN instead.
    pub fn loss(&self, logits: &Tensor, target: &Tensor) -> Result<Tensor> {
        if target.dtype() != DType::U8 {
            bail!("dice_bce: expected u8 labels, found {:?}", target.dtype());
        }
        let (logits, target) = (logits.contiguous()?, target.contiguous()?);
        match logits.device() {
            Device::Cpu => logits.apply_op2(
                &target,
                Op(Loss {
                    config: self.clone(),
                    sums: Arc::new(OnceLock::new()),
                }),
            ),
            _ => self.composed(&logits, &target),
        }
    }

    fn problem(&self, logits: &[usize], target: &[usize]) -> Result<Problem> {
        let regions = self.regions.len();
        let &[n, d, h, w, outputs] = logits else {
            bail!("dice_bce: expected logits [n, d, h, w, r], found {logits:?}");
        };
        if target != [n, d, h, w] || outputs != regions || regions == 0 {
            bail!(
                "dice_bce: expected labels [n, d, h, w] for logits [n, d, h, w, {regions}], one output a region; \
                 found {target:?} and {logits:?}"
            );
        }
        if !(2..=usize::from(IGNORE)).contains(&self.classes) {
            bail!(
                "dice_bce: found {} classes, expected 2 to {IGNORE}, background included",
                self.classes
            );
        }
        Ok(Problem {
            voxels: n * d * h * w,
            regions,
            members: self.members(),
            squared: self.squared,
        })
    }

    /// `[256, r]`: 1 where a label is in a region, else 0.
    fn members(&self) -> Vec<f32> {
        let mut members = vec![0.0; 256 * self.regions.len()];
        for (label, row) in members.chunks_exact_mut(self.regions.len()).enumerate() {
            for (value, classes) in row.iter_mut().zip(&self.regions) {
                let holds = classes.iter().any(|class| usize::from(*class) == label);
                *value = f32::from(u8::from(holds));
            }
        }
        members
    }
}

struct Loss {
    config: DiceBce,
    /// Made by the forward pass.
    sums: Arc<OnceLock<Sums>>,
}

/// Gradient of the logits, from (logits, target, gradient of the loss).
struct Gradient {
    config: DiceBce,
    sums: Arc<OnceLock<Sums>>,
}

impl Operator<2> for Loss {
    fn name(&self) -> &'static str {
        "dice_bce"
    }

    fn shape(&self, [logits, target]: [&Layout; 2]) -> Result<Shape> {
        self.config.problem(logits.dims(), target.dims())?;
        Ok(Shape::from(()))
    }

    fn cpu(&self, [logits, target]: [Input<'_>; 2]) -> Result<Vec<f32>> {
        let config = &self.config;
        let problem = config.problem(logits.layout.dims(), target.layout.dims())?;
        let (logits, target) = (logits.f32s()?, target.u8s()?);
        let is_stray = |label: &&u8| usize::from(**label) >= config.classes && **label != IGNORE;
        if let Some(label) = target.iter().find(is_stray) {
            bail!(
                "dice_bce: found label {label} in the target, expected 0 to {}; {IGNORE} marks ignored voxels",
                config.classes - 1
            );
        }
        let sums = self
            .sums
            .get_or_init(|| passes::sums(&problem, logits, target));
        Ok(vec![passes::loss(&problem, config, sums) as f32])
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
        });
        let of_logits = logits.apply_op3_no_bwd(target, &g.contiguous()?, &gradient)?;
        Ok([Some(of_logits), None])
    }
}

impl Operator<3> for Gradient {
    fn name(&self) -> &'static str {
        "dice_bce gradient"
    }

    fn shape(&self, [logits, ..]: [&Layout; 3]) -> Result<Shape> {
        Ok(logits.shape().clone())
    }

    fn cpu(&self, [logits, target, g]: [Input<'_>; 3]) -> Result<Vec<f32>> {
        let config = &self.config;
        let problem = config.problem(logits.layout.dims(), target.layout.dims())?;
        let (logits, target) = (logits.f32s()?, target.u8s()?);
        let &[g] = g.f32s()? else {
            bail!(
                "dice_bce: expected the gradient of a scalar, found {:?}",
                g.layout.dims()
            );
        };
        let sums = self
            .sums
            .get_or_init(|| passes::sums(&problem, logits, target));
        Ok(passes::gradient(&problem, config, sums, logits, target, g))
    }
}
