//! Bidirectional copy-paste: a labelled box in an unlabelled patch, and the reverse.
//!
//! **Source** Bai et al., Bidirectional Copy-Paste for Semi-Supervised Medical Image Segmentation,
//! CVPR 2023.

use crate::draw::DrawKey;
use crate::kernel::components::{Connectivity, components};
use crate::nn::dice_ce::{DiceCe, IGNORE};
use crate::volume::Row;
use candle_core::{DType, Device, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::supervised::supervised;

/// The student learns patches that are part labelled and part labelled by the teacher.
///
/// Each unlabelled row is paired with a labelled row of the same step, both in the weak view; one
/// box is exchanged, and the student learns both mixed patches. The teacher labels the whole
/// unlabelled patch by its most probable class, of which the largest component of each foreground
/// class is kept (the rest becomes background); no threshold is asked for. In each mix the labelled
/// and the unlabelled part have a Dice and cross-entropy loss of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BcpSpec {
    /// Weight of the unlabelled part of a mix; the labelled part has 1.
    #[schemars(range(min = 0.0))]
    pub unlabelled: f64,
    /// Weight of the soft Dice loss within a part.
    #[schemars(range(min = 0.0))]
    pub dice: f64,
    /// Weight of the cross-entropy within a part.
    #[schemars(range(min = 0.0))]
    pub cross_entropy: f64,
    /// Final weight of the term.
    #[schemars(range(min = 0.0))]
    pub weight: f64,
    /// When the term starts, as a fraction of training.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub start: f64,
    /// How long the weight rises, as a fraction of training.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ramp: f64,
}

impl Default for BcpSpec {
    fn default() -> Self {
        Self {
            unlabelled: 0.5,
            dice: 0.5,
            cross_entropy: 0.5,
            weight: 1.0,
            start: 0.0,
            ramp: 0.3,
        }
    }
}

impl BcpSpec {
    /// **Errors** one sentence where the weight of the unlabelled part is none.
    pub fn check(&self) -> std::result::Result<(), String> {
        match self.unlabelled.is_finite() && self.unlabelled >= 0.0 {
            true => Ok(()),
            false => Err(format!(
                "`unlabelled` is {}, expected 0 or more",
                self.unlabelled
            )),
        }
    }

    /// The loss of one part of one mix: labels outside of the part are [`IGNORE`].
    fn part(&self) -> DiceCe {
        DiceCe {
            dice_weight: self.dice,
            ce_weight: self.cross_entropy,
            ..DiceCe::default()
        }
    }

    /// Loss of one mix: the labelled part, plus `unlabelled` times the other. Each part is averaged
    /// over its own voxels and over the heads that know it; `None` when no head has both.
    ///
    /// **Errors** as [`supervised`].
    pub fn loss(
        &self,
        logits: &[Option<Tensor>],
        (labelled, unlabelled): (&[Option<Tensor>], &[Option<Tensor>]),
    ) -> Result<Option<Tensor>> {
        let known = supervised(logits, labelled, &self.part())?;
        let taught = supervised(logits, unlabelled, &self.part())?;
        match (known, taught) {
            (Some(known), Some(taught)) => Ok(Some((known + (taught * self.unlabelled)?)?)),
            (None, Some(taught)) => Ok(Some((taught * self.unlabelled)?)),
            (known, None) => Ok(known),
        }
    }
}

/// The box of each row: 1 inside, two thirds of each edge (rounded), its place uniform.
///
/// **Shape** u8 `[n, d, h, w]`. **Randomness** keyed by the row's subject, epoch and sample.
///
/// **Errors** when the device has no memory left.
pub fn boxes(seed: u64, rows: &[&Row], shape_zyx: [usize; 3], device: &Device) -> Result<Tensor> {
    let [d, h, w] = shape_zyx;
    let mut mask = vec![0u8; rows.len() * d * h * w];
    for (row, mask) in rows.iter().zip(mask.chunks_exact_mut((d * h * w).max(1))) {
        let key = DrawKey {
            seed,
            epoch: row.epoch,
            subject: &row.subject,
            sample: row.sample,
        };
        let mut rng = key.rng("train.objective.bcp");
        let [z, y, x] = shape_zyx.map(|n| {
            let edge = ((2 * n + 1) / 3).clamp(1, n);
            let first = rng.below(n - edge + 1);
            first..first + edge
        });
        for z in z {
            for y in y.clone() {
                let line = (z * h + y) * w;
                mask[line + x.start..line + x.end].fill(1);
            }
        }
    }
    Tensor::from_vec(mask, (rows.len(), d, h, w), device)
}

/// `inside` where the mask is 1, `outside` elsewhere.
///
/// **Shape** both `[n, d, h, w]` or `[n, d, h, w, c]`, `mask` u8 `[n, d, h, w]`.
///
/// **Errors** when shapes differ.
pub fn paste(inside: &Tensor, outside: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let mask = match inside.rank() == mask.rank() {
        true => mask.clone(),
        false => (mask.unsqueeze(mask.rank())?)
            .broadcast_as(inside.shape())?
            .contiguous()?,
    };
    mask.where_cond(inside, outside)
}

/// Labels with [`IGNORE`] where the mask is not `kept`, 1 or 0.
///
/// **Errors** when shapes differ.
pub fn part(labels: &Tensor, mask: &Tensor, kept: u8) -> Result<Tensor> {
    let ignored = (labels.zeros_like()? + f64::from(IGNORE))?;
    mask.eq(kept)?.where_cond(labels, &ignored)
}

/// The most probable class of each voxel, of each foreground class only its largest component.
///
/// Components are joined over faces, edges and corners; of equal ones the first in memory stays.
///
/// **Shape** logits `[n, d, h, w, classes]` to u8 `[n, d, h, w]`, without gradient.
///
/// **Errors** when there are not 1 to 255 classes.
pub fn largest_components(logits: &Tensor) -> Result<Tensor> {
    let (n, d, h, w, classes) = logits.dims5()?;
    if !(1..=usize::from(IGNORE)).contains(&classes) {
        candle_core::bail!("logits have {classes} classes, expected 1 to {IGNORE}");
    }
    let class = logits.detach().argmax(candle_core::D::Minus1)?;
    let class = class.to_dtype(DType::U8)?.to_device(&Device::Cpu)?;
    let mut labels: Vec<u8> = class.flatten_all()?.to_vec1()?;
    for labels in labels.chunks_exact_mut((d * h * w).max(1)) {
        let found = components(labels, [w, h, d], Connectivity::Corners, |v| v != 0);
        let mut largest: Vec<Option<usize>> = vec![None; classes];
        for (i, component) in found.list.iter().enumerate() {
            let best = &mut largest[usize::from(component.value)];
            if best.is_none_or(|b| found.list[b].voxels < component.voxels) {
                *best = Some(i);
            }
        }
        for run in &found.runs {
            let component = run.component as usize;
            let class = usize::from(found.list[component].value);
            if largest[class] != Some(component) {
                labels[run.start..run.start + run.length as usize].fill(0);
            }
        }
    }
    Tensor::from_vec(labels, (n, d, h, w), &Device::Cpu)?.to_device(logits.device())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(x: &Tensor) -> Vec<u8> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn row(subject: &str) -> Row {
        Row {
            subject: subject.to_owned(),
            ..Row::default()
        }
    }

    #[test]
    fn a_box_has_two_thirds_of_each_edge_also_in_patches_that_are_no_cubes() {
        let device = Device::Cpu;
        // Edges of the box: 6 8 12, 5 7 1, 3 3 5.
        for (shape, voxels) in [([9, 12, 18], 576), ([8, 10, 1], 35), ([4, 5, 7], 45)] {
            let (a, b) = (row("a"), row("b"));
            let mask = flat(&boxes(3, &[&a, &b], shape, &device).unwrap());
            let whole: usize = shape.iter().product();
            for mask in mask.chunks(whole) {
                let inside: Vec<usize> = (0..whole).filter(|i| mask[*i] == 1).collect();
                assert_eq!(inside.len(), voxels, "{shape:?}");
                // As far apart along each axis as the box is long.
                for (axis, stride) in [shape[1] * shape[2], shape[2], 1].into_iter().enumerate() {
                    let at = |i: &usize| i / stride % shape[axis];
                    let ends = inside.iter().map(at).min().zip(inside.iter().map(at).max());
                    let (first, last) = ends.unwrap();
                    let edge = (shape[axis] as f64 * 2.0 / 3.0).round() as usize;
                    assert_eq!(last - first + 1, edge.max(1), "{shape:?} {axis}");
                }
            }
            let alone = flat(&boxes(3, &[&b], shape, &device).unwrap());
            assert_eq!(alone, mask[whole..], "a row's box is its own");
        }
        let rows: Vec<Row> = (0..20).map(|i| row(&i.to_string())).collect();
        let rows: Vec<&Row> = rows.iter().collect();
        let mask = flat(&boxes(3, &rows, [9, 9, 9], &device).unwrap());
        let mut places: Vec<&[u8]> = mask.chunks(729).collect();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() > 10, "{}", places.len());
    }

    #[test]
    fn parts_of_a_mix_are_weighed_one_and_a_half_and_do_not_overlap() {
        let device = Device::Cpu;
        let logits = crate::nn::testing::noise(&[1, 3, 3, 3, 2], 4);
        let label = Tensor::ones((1, 3, 3, 3), DType::U8, &device).unwrap();
        let pseudo = label.zeros_like().unwrap();
        let mask = boxes(1, &[&row("a")], [3, 3, 3], &device).unwrap();
        let known = part(&label, &mask, 0).unwrap();
        let taught = part(&pseudo, &mask, 1).unwrap();
        for (k, t) in flat(&known).iter().zip(flat(&taught)) {
            assert!((*k == 255) != (t == 255));
        }
        assert_eq!(flat(&taught).iter().filter(|v| **v == 0).count(), 8);
        let spec = BcpSpec::default();
        let heads = [Some(logits.clone())];
        let number = |x: Tensor| x.to_scalar::<f32>().unwrap();
        let loss = spec.loss(&heads, (&[Some(known.clone())], &[Some(taught.clone())]));
        let single = |target: &Tensor| {
            let whole = DiceCe::default().loss(&logits, target).unwrap();
            number(whole) / 2.0
        };
        let expected = single(&known) + 0.5 * single(&taught);
        assert!((number(loss.unwrap().unwrap()) - expected).abs() < 1e-6);
        let mixed = flat(&paste(&pseudo, &label, &mask).unwrap());
        assert!(mixed.iter().zip(flat(&mask)).all(|(v, m)| *v == 1 - m));
    }

    #[test]
    fn of_each_class_the_largest_component_stays() {
        // A line of 12 voxels: class 1 with 1 and 3 voxels, class 2 with 2 and 1.
        let line = [1u8, 0, 2, 2, 0, 1, 1, 1, 0, 2, 0, 0];
        let logits: Vec<f32> = line
            .iter()
            .flat_map(|v| (0..3u8).map(move |k| f32::from(u8::from(k == *v))))
            .collect();
        let logits = Tensor::from_vec(logits, (1, 1, 1, 12, 3), &Device::Cpu).unwrap();
        let kept = flat(&largest_components(&logits).unwrap());
        assert_eq!(kept, [0, 0, 2, 2, 0, 1, 1, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn an_impossible_weight_is_refused() {
        for unlabelled in [-1.0, f64::NAN] {
            let spec = BcpSpec {
                unlabelled,
                ..BcpSpec::default()
            };
            assert!(spec.check().unwrap_err().contains("`unlabelled`"));
        }
    }
}
