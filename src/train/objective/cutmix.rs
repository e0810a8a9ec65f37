//! CutMix of strong views: a box of each patch is taken from another patch of the batch, and its
//! pseudo-label with it.
//!
//! **Source** Yun et al., CutMix, ICCV 2019; for weak and strong views Yang et al., UniMatch,
//! CVPR 2023. The teacher looks at whole weak views; only what the student sees is mixed.

use crate::draw::DrawKey;
use crate::kernel::boxes::{VoxelBox, check_edges};
use crate::volume::Row;
use candle_core::{Device, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A box of another patch in each strong view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CutMixSpec {
    /// Probability that a strong view is mixed.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub p: f64,
    /// Edge of the box as a share of the patch's, drawn uniformly between both for each axis.
    pub edge: [f64; 2],
}

impl Default for CutMixSpec {
    fn default() -> Self {
        Self {
            p: 0.5,
            edge: [0.25, 0.75],
        }
    }
}

impl CutMixSpec {
    /// Says what does not fit.
    ///
    /// **Errors** one sentence that names the field, what was found and what is possible.
    pub fn check(&self) -> std::result::Result<(), String> {
        if !(0.0..=1.0).contains(&self.p) {
            return Err(format!("`cutmix.p` is {}, expected 0 to 1", self.p));
        }
        check_edges(self.edge).map_err(|problem| format!("`cutmix.edge` {problem}"))
    }

    /// Which voxels of each row come from the next row of the batch: 1 inside the box.
    ///
    /// **Shape** u8 `[n, d, h, w]`. **Randomness** keyed by the row's subject, epoch, sample and view.
    ///
    /// **Errors** when the device has no memory left.
    pub fn mask(
        &self,
        seed: u64,
        rows: &[&Row],
        shape_zyx: [usize; 3],
        device: &Device,
    ) -> Result<Tensor> {
        let [d, h, w] = shape_zyx;
        let mut mask = vec![0u8; rows.len() * d * h * w];
        for (row, mask) in rows.iter().zip(mask.chunks_exact_mut(d * h * w)) {
            let key = DrawKey {
                seed,
                epoch: row.epoch,
                subject: &row.subject,
                sample: row.sample,
            };
            // Each strong view of a patch has a box of its own.
            let mut rng = match row.view.strip_prefix("strong.") {
                Some(view) => key.rng(&format!("train.objective.pseudo_label.cutmix.{view}")),
                None => key.rng("train.objective.pseudo_label.cutmix"),
            };
            if !rng.chance(self.p) {
                continue;
            }
            let drawn = VoxelBox::draw(&mut rng, self.edge, shape_zyx);
            drawn.lines(shape_zyx, |line| mask[line].fill(1));
        }
        Tensor::from_vec(mask, (rows.len(), d, h, w), device)
    }
}

/// Takes masked voxels from the next row of the batch, the last row's from the first.
///
/// **Shape** `values` `[n, d, h, w]` or `[n, d, h, w, c]`, `mask` u8 `[n, d, h, w]`.
///
/// **Errors** when shapes differ.
pub fn mix(values: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let rows = values.dim(0)? as u32;
    let next: Vec<u32> = (0..rows).map(|i| (i + 1) % rows).collect();
    let next = values.index_select(&Tensor::new(next, values.device())?, 0)?;
    let mask = match values.rank() - mask.rank() {
        0 => mask.clone(),
        _ => mask
            .unsqueeze(mask.rank())?
            .broadcast_as(values.shape())?
            .contiguous()?,
    };
    mask.where_cond(&next, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(subject: &str) -> Row {
        Row {
            subject: subject.to_owned(),
            ..Row::default()
        }
    }

    #[test]
    fn voxels_in_the_box_and_their_labels_come_from_the_next_row() {
        let device = Device::Cpu;
        let (a, b) = (row("a"), row("b"));
        let spec = CutMixSpec {
            p: 1.0,
            ..CutMixSpec::default()
        };
        let mask = spec.mask(3, &[&a, &b], [8, 10, 12], &device).unwrap();
        let shares: Vec<u8> = mask.flatten_all().unwrap().to_vec1().unwrap();
        for (i, subject) in ["a", "b"].iter().enumerate() {
            let inside = shares[i * 960..][..960]
                .iter()
                .map(|v| usize::from(*v))
                .sum::<usize>();
            // Edges of a quarter to three quarters: 2·3·3 to 6·8·9 voxels.
            assert!((18..=432).contains(&inside), "{subject}: {inside}");
            let alone = spec
                .mask(3, &[&row(subject)], [8, 10, 12], &device)
                .unwrap();
            let alone: Vec<u8> = alone.flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(alone, shares[i * 960..][..960], "a row's box is its own");
        }
        let values: Vec<f32> = (0..1920).map(|i| (i / 960) as f32).collect();
        let values = Tensor::from_vec(values, (2, 8, 10, 12, 1), &device).unwrap();
        let mixed: Vec<f32> = mix(&values, &mask)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        for (i, (value, inside)) in mixed.iter().zip(&shares).enumerate() {
            let own = i / 960;
            let expected = if *inside == 1 { 1 - own } else { own };
            assert_eq!(*value as usize, expected);
        }
        let labels = values
            .squeeze(4)
            .unwrap()
            .to_dtype(candle_core::DType::U8)
            .unwrap();
        let labels: Vec<u8> = mix(&labels, &mask)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        assert!(labels.iter().zip(&mixed).all(|(l, v)| f32::from(*l) == *v));
    }

    #[test]
    fn rows_are_mixed_with_their_probability() {
        let spec = CutMixSpec::default();
        let mixed = (0..500).filter(|i| {
            let row = row(&i.to_string());
            let mask = spec.mask(1, &[&row], [4, 4, 4], &Device::Cpu).unwrap();
            let sum = mask.flatten_all().unwrap().to_vec1::<u8>().unwrap();
            sum.contains(&1)
        });
        let share = mixed.count() as f64 / 500.0;
        assert!((share - 0.5).abs() < 0.07, "{share}");
    }

    #[test]
    fn impossible_boxes_are_refused() {
        for (p, edge) in [
            (1.5, [0.2, 0.5]),
            (0.5, [0.0, 0.5]),
            (0.5, [0.6, 0.5]),
            (0.5, [0.5, 1.5]),
        ] {
            assert!(CutMixSpec { p, edge }.check().is_err());
        }
    }
}
