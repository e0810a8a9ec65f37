//! The supervised term: each head against the label of its modality.

use candle_core::{Result, Tensor};

use crate::nn::dice_bce::DiceBce;
use crate::nn::dice_ce::DiceCe;

/// A loss of one head against a label map.
pub trait LabelLoss {
    /// The loss of a batch, a scalar.
    ///
    /// **Shape** `logits` `[n, d, h, w, outputs]`, `target` u8 `[n, d, h, w]` with 255 where there is no label.
    ///
    /// **Errors** if shapes, types or labels do not fit.
    fn of_head(&self, logits: &Tensor, target: &Tensor) -> Result<Tensor>;
}

impl LabelLoss for DiceCe {
    fn of_head(&self, logits: &Tensor, target: &Tensor) -> Result<Tensor> {
        self.loss(logits, target)
    }
}

impl LabelLoss for DiceBce {
    fn of_head(&self, logits: &Tensor, target: &Tensor) -> Result<Tensor> {
        self.loss(logits, target)
    }
}

/// Mean of a loss over the heads that have both logits and a label.
///
/// `logits[i]` is `[n, d, h, w, outputs]`, `targets[i]` u8 `[n, d, h, w]` with 255 where there is
/// no label. `None` when no head has both.
///
/// **Errors** when the lists differ in length, or as [`LabelLoss::of_head`].
pub fn supervised(
    logits: &[Option<Tensor>],
    targets: &[Option<Tensor>],
    loss: &dyn LabelLoss,
) -> Result<Option<Tensor>> {
    if logits.len() != targets.len() {
        candle_core::bail!(
            "found {} heads but {} labels, expected one a head (`None` where missing)",
            logits.len(),
            targets.len()
        );
    }
    let mut losses = Vec::with_capacity(logits.len());
    for (logits, target) in logits.iter().zip(targets) {
        if let (Some(logits), Some(target)) = (logits, target) {
            losses.push(loss.of_head(logits, target)?);
        }
    }
    super::mean_of(&losses)
}

/// [`supervised`] over every level of a network with deep supervision.
///
/// **Law** the sum of the levels' losses with weights 1, 1/2, 1/4, ... from the finest down, divided
/// by the sum of the weights. A level's label is every second voxel of the label above it along
/// each axis. Without `deep` levels it is [`supervised`].
///
/// **Errors** as [`supervised`], or when an edge of a label does not divide.
///
/// **Source** Isensee et al. 2021 (nnU-Net).
pub fn supervised_deep(
    logits: &[Option<Tensor>],
    deep: &[Vec<Option<Tensor>>],
    targets: &[Option<Tensor>],
    loss: &dyn LabelLoss,
) -> Result<Option<Tensor>> {
    let mut sum = supervised(logits, targets, loss)?;
    let (mut targets, mut weight, mut total) = (targets.to_vec(), 1.0, 1.0);
    for logits in deep {
        targets = targets
            .iter()
            .map(|target| target.as_ref().map(every_second).transpose())
            .collect::<Result<_>>()?;
        weight *= 0.5;
        total += weight;
        sum = match (sum, supervised(logits, &targets, loss)?) {
            (Some(sum), Some(level)) => Some((sum + (level * weight)?)?),
            (sum, _) => sum,
        };
    }
    sum.map(|sum| sum / total).transpose()
}

/// `[n, d, h, w]` to the voxels at even places, `[n, d / 2, h / 2, w / 2]`.
fn every_second(labels: &Tensor) -> Result<Tensor> {
    let (n, d, h, w) = labels.dims4()?;
    if [d, h, w].iter().any(|edge| edge % 2 != 0) {
        candle_core::bail!(
            "deep supervision needs labels whose edges halve, found {d} x {h} x {w} (z, y, x)"
        );
    }
    let even = |x: Tensor, outer: usize, length: usize, inner: usize| {
        let pairs = x.reshape((outer, length / 2, 2, inner))?;
        pairs.narrow(2, 0, 1)?.contiguous()
    };
    let x = even(labels.contiguous()?, n, d, h * w)?;
    let x = even(x, n * d / 2, h, w)?;
    let x = even(x, n * d / 2 * h / 2, w, 1)?;
    x.reshape((n, d / 2, h / 2, w / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn levels_weigh_half_of_the_one_above() {
        let labels: Vec<u8> = (0..64).map(|i| (i % 7 % 3) as u8).collect();
        let target = Tensor::from_vec(labels.clone(), (1, 4, 4, 4), &Device::Cpu).unwrap();
        let logits = |edge: usize, phase: f32| {
            let values = (0..edge * edge * edge * 3).map(|i| (i as f32 * 0.7 + phase).sin());
            let shape = (1, edge, edge, edge, 3);
            Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
        };
        let half: Vec<u8> = (0..8)
            .map(|i| labels[i / 4 * 32 + i / 2 % 2 * 8 + i % 2 * 2])
            .collect();
        let second = every_second(&target).unwrap();
        assert_eq!(second.flatten_all().unwrap().to_vec1::<u8>().unwrap(), half);
        let (fine, coarse, loss) = (logits(4, 0.0), logits(2, 1.0), DiceCe::default());
        let value = |x: &Tensor| x.to_scalar::<f32>().unwrap();
        let expected = (value(&loss.loss(&fine, &target).unwrap())
            + 0.5 * value(&loss.loss(&coarse, &second).unwrap()))
            / 1.5;
        let deep = [vec![Some(coarse)]];
        let (fine, target) = ([Some(fine)], [Some(target)]);
        let found = supervised_deep(&fine, &deep, &target, &loss)
            .unwrap()
            .unwrap();
        assert!((value(&found) - expected).abs() < 1e-6);
        let alone = supervised_deep(&fine, &[], &target, &loss)
            .unwrap()
            .unwrap();
        let plain = supervised(&fine, &target, &loss).unwrap().unwrap();
        assert_eq!(value(&alone), value(&plain));
        let odd = Tensor::zeros((1, 2, 3, 2), candle_core::DType::U8, &Device::Cpu).unwrap();
        let error = every_second(&odd).unwrap_err().to_string();
        assert!(error.contains("2 x 3 x 2"), "{error}");
    }
}
