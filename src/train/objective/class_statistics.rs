//! Anatomical consistency of unpaired modalities: what two cohorts show of each class on average.
//!
//! A CT of one patient and an MR of another have no voxel in common, and rows of a step may hold one
//! modality each. What stays comparable does not depend on where voxels lie: how much of a patch each
//! class takes (its fraction) and what its features look like (its prototype). Both are kept as
//! running means of each modality, so that a crop is compared with many crops, not with one.

use super::{mean_of, softmax};
use crate::nn::mean_pool3d::mean_pool3d;
use candle_core::{D, Device, Result, Tensor};
use serde::{Deserialize, Serialize};

/// Fraction added to denominators: classes below a thousandth of a patch count less.
const FLOOR: f64 = 1e-3;

/// Running means of one modality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Running {
    /// Updates so far.
    updates: u64,
    /// Of these, how many were in when devices last made one of what they had seen.
    #[serde(default)]
    shared: u64,
    /// Mean probability of each foreground class.
    fractions: Vec<f32>,
    /// Mean over voxels of probability times feature, `[class][channel]`: the prototype up to its length.
    prototypes: Vec<Vec<f32>>,
}

/// Running class fractions and prototypes of every modality.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassStatistics {
    modalities: Vec<Option<Running>>,
}

/// What one crop shows of each foreground class; gradients reach the head and the features.
struct Seen {
    /// `[classes - 1]`.
    fractions: Tensor,
    /// `[classes - 1, channels]`.
    prototypes: Tensor,
}

impl Seen {
    /// From logits `[n, d, h, w, classes]` and features `[n, d/s, h/s, w/s, c]`.
    ///
    /// The probabilities are averaged over the `s³` voxels under each feature.
    fn of(logits: &Tensor, features: &Tensor) -> Result<Self> {
        let (n, _, _, _, classes) = logits.dims5()?;
        let (_, fd, fh, fw, c) = features.dims5()?;
        if classes < 2 {
            candle_core::bail!("found {classes} classes, expected 2 or more, background included");
        }
        let k = classes - 1;
        let p = softmax(logits)?.narrow(4, 1, k)?;
        let p = mean_pool3d(&p, [fd, fh, fw])?;
        let voxels = n * fd * fh * fw;
        let p = p.reshape((voxels, k))?;
        let features = features.reshape((voxels, c))?;
        Ok(Self {
            fractions: p.mean(0)?,
            prototypes: (p.t()?.matmul(&features)? / voxels as f64)?,
        })
    }
}

impl Running {
    /// Takes in one crop.
    fn update(&mut self, seen: &Seen, memory: f64) -> Result<()> {
        self.updates += 1;
        let keep = (1.0 - 1.0 / self.updates as f64).min(memory);
        let blend = |old: &mut [f32], new: &[f32]| {
            let both = old.iter_mut().zip(new);
            both.for_each(|(o, n)| {
                *o = (keep * f64::from(*o) + (1.0 - keep) * f64::from(*n)) as f32
            });
        };
        blend(&mut self.fractions, &seen.fractions.to_vec1()?);
        let rows: Vec<Vec<f32>> = seen.prototypes.to_vec2()?;
        let both = self.prototypes.iter_mut().zip(&rows);
        both.for_each(|(old, new)| blend(old, new));
        Ok(())
    }

    fn fractions(&self, device: &Device) -> Result<Tensor> {
        Tensor::new(&self.fractions[..], device)
    }

    /// How far a crop of another modality, whose running means are `own`, is from this one.
    fn distance(&self, seen: &Seen, own: &Self) -> Result<Tensor> {
        let device = seen.fractions.device();
        let (theirs, mean) = (self.fractions(device)?, own.fractions(device)?);
        // The value of the running mean, with the gradient of the crop alone.
        let ours = (mean + (&seen.fractions - seen.fractions.detach())?)?;
        let both = ((&ours + &theirs)? + FLOOR)?;
        let of_fractions = ((&ours - &theirs)? / both)?.sqr()?.mean_all()?;
        let prototypes = Tensor::new(self.prototypes.clone(), device)?;
        let length = |x: &Tensor| (x.sqr()?.sum(D::Minus1)? + 1e-12)?.sqrt();
        let cosine = ((&seen.prototypes * &prototypes)?.sum(D::Minus1)?
            / (length(&seen.prototypes)? * length(&prototypes)?)?)?;
        // A class counts as far as both show it.
        let crop = seen.fractions.detach();
        let shown = ((&crop * &theirs)?.sqrt()? * 2.0)?;
        let shown = (shown / ((&crop + &theirs)? + FLOOR)?)?;
        let apart = (cosine.affine(-0.5, 0.5)? * &shown)?.sum_all()?;
        let of_prototypes = (apart / (shown.sum_all()? + FLOOR)?)?;
        (of_fractions + of_prototypes)? * 0.5
    }
}

impl ClassStatistics {
    /// The mean of what several devices have seen, of each modality over those that saw it since
    /// the last such mean, each as often as it did.
    #[must_use]
    pub fn mean(all: &[&Self]) -> Self {
        let modalities = all.iter().map(|s| s.modalities.len()).max().unwrap_or(0);
        let mean = |m: usize| {
            let seen: Vec<&Running> = (all.iter())
                .filter_map(|s| s.modalities.get(m)?.as_ref())
                .collect();
            let mut mean = (*seen.first()?).clone();
            let news: Vec<f64> = (seen.iter())
                .map(|r| (r.updates - r.shared) as f64)
                .collect();
            let all_news: f64 = news.iter().sum();
            if all_news == 0.0 {
                return Some(mean);
            }
            mean.updates = seen.iter().map(|r| r.updates).max()?;
            mean.shared = mean.updates;
            let of = |to: &mut Vec<f32>, from: &dyn Fn(&Running) -> &Vec<f32>| {
                for (i, to) in to.iter_mut().enumerate() {
                    let both = seen.iter().zip(&news);
                    let sum: f64 = both.map(|(r, news)| news * f64::from(from(r)[i])).sum();
                    *to = (sum / all_news) as f32;
                }
            };
            of(&mut mean.fractions, &|r| &r.fractions);
            for (k, prototype) in mean.prototypes.iter_mut().enumerate() {
                of(prototype, &|r| &r.prototypes[k]);
            }
            Some(mean)
        };
        Self {
            modalities: (0..modalities).map(mean).collect(),
        }
    }

    /// The term of one batch, and what it shows is taken into the running means.
    ///
    /// **Law** for a present modality `a` and another `b` that was met before, over the foreground
    /// classes `k` with running fractions `f`, `g`: half of `mean_k ((f - g) / (f + g + e))²` plus half
    /// of `sum_k v (1 - cos(P, Q)) / 2 / (sum_k v + e)`, where `P` is this crop's mean of probability
    /// times feature, `Q` the running one of `b`, `v = 2 sqrt(f' g) / (f' + g + e)` with the crop's
    /// own fraction `f'`, and `e = 1e-3`; then the mean over all such pairs. From 0 to 1, and the
    /// same wherever voxels lie. The gradient reaches this batch's head and features, as if
    /// the running fraction moved with the crop.
    ///
    /// `None` until two modalities were met.
    ///
    /// **Shapes** logits `[n, d, h, w, classes]` and features `[n, d/s, h/s, w/s, c]`, one entry a modality.
    ///
    /// **Errors** when shapes do not fit each other or what was met before.
    pub fn compare(
        &mut self,
        logits: &[Option<Tensor>],
        features: &[Option<Tensor>],
        memory: f64,
    ) -> Result<Option<Tensor>> {
        self.modalities.resize(logits.len(), None);
        let mut present = Vec::new();
        for (m, (logits, features)) in logits.iter().zip(features).enumerate() {
            let (Some(logits), Some(features)) = (logits, features) else {
                continue;
            };
            let seen = Seen::of(logits, features)?;
            let (classes, channels) = seen.prototypes.dims2()?;
            let own = self.modalities[m].get_or_insert_with(|| Running {
                updates: 0,
                shared: 0,
                fractions: vec![0.0; classes],
                prototypes: vec![vec![0.0; channels]; classes],
            });
            own.update(&seen, memory)?;
            present.push((m, seen));
        }
        let mut losses = Vec::new();
        for (m, seen) in &present {
            let Some(own) = &self.modalities[*m] else {
                continue;
            };
            let others = self.modalities.iter().enumerate().filter(|(o, _)| o != m);
            for other in others.filter_map(|(_, other)| other.as_ref()) {
                losses.push(other.distance(seen, own)?);
            }
        }
        mean_of(&losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    /// Logits `[1, 2, 2, 2, 2]` with this probability of the one foreground class at each voxel.
    fn logits(p: [f32; 8]) -> Tensor {
        let logs: Vec<f32> = p.iter().flat_map(|p| [(1.0 - p).ln(), p.ln()]).collect();
        Tensor::from_vec(logs, (1, 2, 2, 2, 2), &Device::Cpu).unwrap()
    }

    fn features(values: &[f32]) -> Tensor {
        Tensor::from_vec(
            values.to_vec(),
            (1, 2, 2, 2, values.len() / 8),
            &Device::Cpu,
        )
        .unwrap()
    }

    fn number(x: &Option<Tensor>) -> f64 {
        f64::from(x.as_ref().unwrap().to_scalar::<f32>().unwrap())
    }

    #[test]
    fn two_modalities_agree_with_the_written_law_wherever_voxels_lie() {
        let p = [0.9, 0.1, 0.5, 0.2, 0.7, 0.3, 0.6, 0.4];
        let q = [0.2, 0.3, 0.1, 0.4, 0.25, 0.15, 0.05, 0.35];
        let u: Vec<f32> = (0..16).map(|i| (i as f32 * 1.3).sin()).collect();
        let v: Vec<f32> = (0..16).map(|i| (i as f32 * 0.7).cos()).collect();
        let mut statistics = ClassStatistics::default();
        let first = [Some(logits(p)), None];
        let found = statistics
            .compare(&first, &[Some(features(&u)), None], 0.5)
            .unwrap();
        assert!(found.is_none(), "one modality alone has nothing to compare");
        let second = [None, Some(logits(q))];
        let found = statistics
            .compare(&second, &[None, Some(features(&v))], 0.5)
            .unwrap();
        let mean = |p: &[f32; 8]| p.iter().map(|v| f64::from(*v)).sum::<f64>() / 8.0;
        let prototype = |p: &[f32; 8], f: &[f32]| -> Vec<f64> {
            let at = |c: usize, i: usize| f64::from(p[i]) * f64::from(f[2 * i + c]) / 8.0;
            (0..2).map(|c| (0..8).map(|i| at(c, i)).sum()).collect()
        };
        let (f, g) = (mean(&q), mean(&p));
        let (a, b) = (prototype(&q, &v), prototype(&p, &u));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
        let shown = 2.0 * (f * g).sqrt() / (f + g + FLOOR);
        let apart = shown * (1.0 - cosine) / 2.0 / (shown + FLOOR);
        let expected = 0.5 * (((f - g) / (f + g + FLOOR)).powi(2) + apart);
        assert!(
            (number(&found) - expected).abs() < 1e-6,
            "{found:?} {expected}"
        );
        // The same voxels in another order.
        let mut moved = ClassStatistics::default();
        moved
            .compare(&first, &[Some(features(&u)), None], 0.5)
            .unwrap();
        let (mut q, mut pairs) = (q, v.chunks(2).collect::<Vec<_>>());
        q.reverse();
        pairs.reverse();
        let again = [None, Some(features(&pairs.concat()))];
        let again = moved
            .compare(&[None, Some(logits(q))], &again, 0.5)
            .unwrap();
        assert!((number(&again) - expected).abs() < 1e-6);
    }

    #[test]
    fn descent_brings_fractions_and_features_together() {
        let mut statistics = ClassStatistics::default();
        let fixed: Vec<f32> = (0..16).map(|i| (i as f32).sin()).collect();
        let known = [Some(logits([0.4; 8])), None];
        statistics
            .compare(&known, &[Some(features(&fixed)), None], 0.0)
            .unwrap();
        let head = Var::from_tensor(&logits([0.05; 8])).unwrap();
        let bottleneck = Var::from_tensor(&features(&[0.3; 16])).unwrap();
        let mut losses = Vec::new();
        for _ in 0..60 {
            let (x, f) = (head.as_tensor().clone(), bottleneck.as_tensor().clone());
            let loss = statistics
                .compare(&[None, Some(x)], &[None, Some(f)], 0.0)
                .unwrap();
            losses.push(number(&loss));
            let gradients = loss.unwrap().backward().unwrap();
            for var in [&head, &bottleneck] {
                let step = (gradients.get(var.as_tensor()).unwrap() * 20.0).unwrap();
                var.set(&(var.as_tensor() - step).unwrap()).unwrap();
            }
        }
        assert!(losses[0] > 0.3 && losses[59] < 0.01, "{losses:?}");
    }

    #[test]
    fn edges_that_do_not_divide_are_refused() {
        let narrow = Tensor::zeros((1, 2, 2, 3, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let refused = ClassStatistics::default()
            .compare(&[Some(logits([0.5; 8]))], &[Some(narrow)], 0.9)
            .unwrap_err();
        assert!(refused.to_string().contains("[2, 2, 2]"), "{refused}");
    }
}
