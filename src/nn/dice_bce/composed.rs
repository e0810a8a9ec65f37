//! The loss composed of candle's tensor operators, for devices without a kernel of our own.

use super::{DiceBce, IGNORE};
use candle_core::{D, Result, Tensor};

/// Label values that u8 can hold.
const LABELS: usize = 256;

impl DiceBce {
    /// As [`loss`](DiceBce::loss), with sums in f32. Nothing waits for the device.
    ///
    /// **Law** The gradient `g` of the logits `z` is computed with the loss, by the formula of the operator;
    /// `loss + sum((z - z₀) g)`, where `z₀` and `g` keep no graph, has the value of the loss, and `g` as its
    /// gradient. So no intermediate is kept for the backward pass, and no gradient of `ln` or `exp` overflows.
    pub(super) fn composed(&self, logits: &Tensor, target: &Tensor) -> Result<Tensor> {
        let problem = self.problem(logits.dims(), target.dims())?;
        let (voxels, regions) = (problem.voxels, problem.regions);
        let attached = logits.reshape((voxels, regions))?;
        let z = attached.detach();
        let (t, valid) = self.looked_up(&problem.members, target)?;
        let p = (((&z * 0.5)?.tanh()? + 1.0)? * 0.5)?;
        let sum = |x: &Tensor| x.broadcast_mul(&valid)?.sum_keepdim(0);
        let predicted = sum(&if self.squared { p.sqr()? } else { p.clone() })?;
        let (both, truth) = (sum(&(&p * &t)?)?, sum(&t)?);
        let present = truth.gt(0.0)?.to_dtype(z.dtype())?;
        let scored = present.sum_keepdim(D::Minus1)?.maximum(1.0)?;
        let top = ((both * 2.0)? + self.smooth)?;
        // A region without a voxel may have 0 here, and is multiplied by 0 below.
        let bottom = ((predicted + truth)? + (present.affine(-1.0, 1.0)? + self.smooth)?)?;
        let missing = (&present * (&top / &bottom)?.affine(-1.0, 1.0)?)?;
        let dice = missing.sum_all()?.broadcast_div(&scored)?;
        // max(z, 0) - z t + ln(1 + exp(-|z|))
        let rest = (z.abs()?.neg()?.exp()? + 1.0)?.log()?;
        let each = ((z.relu()? - (&z * &t)?)? + rest)?;
        let counted = (valid.sum_all()?.maximum(1.0)? * regions as f64)?;
        let entropy = sum(&each)?.sum_all()?.div(&counted)?;
        let loss = ((dice.reshape(())? * self.dice_weight)? + (entropy * self.bce_weight)?)?;

        let factor = (present * self.dice_weight)?.broadcast_div(&scored)?;
        let inside = (&factor / &bottom)?.affine(-2.0, 0.0)?;
        let everywhere = ((factor * top)? / bottom.sqr()?)?;
        let slope = if self.squared {
            (&p * 2.0)?
        } else {
            p.ones_like()?
        };
        let of_dice = (t.broadcast_mul(&inside)? + slope.broadcast_mul(&everywhere)?)?;
        let of_p = (&p - p.sqr()?)?;
        let of_entropy = ((&p - &t)? * self.bce_weight)?.broadcast_div(&counted)?;
        let g = ((of_p * of_dice)? + of_entropy)?.broadcast_mul(&valid)?;
        loss + ((attached - z)? * g)?.sum_all()?
    }

    /// Looks labels up: `[voxels, regions]` with 1 where a voxel is in a region, and `[voxels, 1]` with 1
    /// where it is not ignored. Both are NaN for a label that is no class, and so is the loss.
    fn looked_up(&self, members: &[f32], target: &Tensor) -> Result<(Tensor, Tensor)> {
        let (device, labels) = (target.device(), target.flatten_all()?);
        let is_class = |label: usize| label < self.classes || label == usize::from(IGNORE);
        let regions = self.regions.len();
        let mut members = members.to_vec();
        let mut valid = vec![1f32; LABELS];
        for label in (0..LABELS).filter(|label| !is_class(*label)) {
            members[label * regions..][..regions].fill(f32::NAN);
            valid[label] = f32::NAN;
        }
        valid[usize::from(IGNORE)] = 0.0;
        let members = Tensor::from_vec(members, (LABELS, regions), device)?;
        let valid = Tensor::from_vec(valid, (LABELS, 1), device)?;
        Ok((
            members.index_select(&labels, 0)?,
            valid.index_select(&labels, 0)?,
        ))
    }
}
