//! Mean teacher: the student's probabilities approach the teacher's, where that one is certain.
//!
//! **Source** Tarvainen and Valpola, NeurIPS 2017; with uncertainty Yu et al., UA-MT, MICCAI 2019.

use super::softmax;
use crate::draw::DrawKey;
use crate::volume::Row;
use candle_core::{D, DType, Device, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mean squared distance between the student's probabilities (strong view) and the teacher's (weak view).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MeanTeacherSpec {
    /// Leaves out voxels of which noisy passes of the teacher are not certain (UA-MT); left out, every voxel counts.
    pub uncertainty: Option<UncertaintySpec>,
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

impl Default for MeanTeacherSpec {
    fn default() -> Self {
        Self {
            uncertainty: None,
            weight: 0.1,
            start: 0.0,
            ramp: 1.0,
        }
    }
}

/// The entropy of the mean prediction of several noisy passes, below which a voxel counts.
///
/// **Law** `H < (from + (1 - from) r) ln K` for K classes, with `r = exp(-5 (1 - x)²)` and `x` the
/// fraction of training that is done. The paper has two classes, and ln 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UncertaintySpec {
    /// Passes of the teacher.
    #[schemars(range(min = 1, max = 64))]
    pub passes: u32,
    /// Standard deviation of the Gaussian noise on the images.
    #[schemars(range(min = 0.0))]
    pub noise: f64,
    /// Largest noise, either way.
    #[schemars(range(min = 0.0))]
    pub clip: f64,
    /// Threshold at the start, as a share of the largest entropy; it rises to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub from: f64,
}

impl Default for UncertaintySpec {
    fn default() -> Self {
        Self {
            passes: 8,
            noise: 0.1,
            clip: 0.2,
            from: 0.75,
        }
    }
}

impl MeanTeacherSpec {
    /// **Errors** one sentence that names the field, what was found and what is possible.
    pub fn check(&self) -> std::result::Result<(), String> {
        let Some(u) = &self.uncertainty else {
            return Ok(());
        };
        if !(1..=64).contains(&u.passes) {
            let found = u.passes;
            return Err(format!("`uncertainty.passes` is {found}, expected 1 to 64"));
        }
        for (name, value) in [("noise", u.noise), ("clip", u.clip)] {
            if !value.is_finite() || value < 0.0 {
                return Err(format!(
                    "`uncertainty.{name}` is {value}, expected 0 or more"
                ));
            }
        }
        match (0.0..=1.0).contains(&u.from) {
            true => Ok(()),
            false => Err(format!("`uncertainty.from` is {}, expected 0 to 1", u.from)),
        }
    }
}

impl UncertaintySpec {
    /// Entropy below which a voxel counts, in nats.
    pub fn limit(&self, progress: f64, classes: usize) -> f64 {
        let left = 1.0 - progress.clamp(0.0, 1.0);
        let rise = (-5.0 * left * left).exp();
        (self.from + (1.0 - self.from) * rise) * (classes as f64).ln()
    }

    /// Noise for one modality's images in one pass.
    ///
    /// **Shape** f32, as `like`, `[n, d, h, w, 1]`. **Randomness** keyed by each row's subject,
    /// epoch and sample, by the modality and the pass.
    ///
    /// **Errors** when the device has no memory left.
    pub fn noise(
        &self,
        seed: u64,
        rows: &[&Row],
        (modality, pass): (usize, u32),
        like: &Tensor,
    ) -> Result<Tensor> {
        let voxels = like.elem_count() / rows.len().max(1);
        let mut noise = Vec::with_capacity(like.elem_count());
        for row in rows {
            let key = DrawKey {
                seed,
                epoch: row.epoch,
                subject: &row.subject,
                sample: row.sample,
            };
            let mut rng = key.rng(&format!("train.objective.mean_teacher.{modality}.{pass}"));
            let draw = |_| (rng.normal() * self.noise).clamp(-self.clip, self.clip) as f32;
            noise.extend((0..voxels).map(draw));
        }
        Tensor::from_vec(noise, like.shape(), &Device::Cpu)?.to_device(like.device())
    }
}

/// What the teacher says of one head: probabilities, and which voxels count.
#[derive(Debug, Clone)]
pub struct Belief {
    /// Class probabilities, f32 `[n, d, h, w, classes]`.
    pub probabilities: Tensor,
    /// 1 where a voxel counts, f32 `[n, d, h, w]`.
    pub certain: Tensor,
}

impl Belief {
    /// The belief of one pass's logits; with those of noisy passes, voxels are left out where the
    /// entropy of their mean reaches `limit`.
    ///
    /// **Errors** when shapes differ.
    pub fn new(logits: &Tensor, noisy: &[Tensor], limit: f64) -> Result<Self> {
        let probabilities = softmax(&logits.detach())?;
        let (n, d, h, w, _) = probabilities.dims5()?;
        let mut mean: Option<Tensor> = None;
        for pass in noisy {
            let p = (softmax(&pass.detach())? / noisy.len() as f64)?;
            mean = Some(match mean {
                Some(sum) => (sum + p)?,
                None => p,
            });
        }
        let certain = match mean {
            None => Tensor::ones((n, d, h, w), DType::F32, probabilities.device())?,
            Some(mean) => {
                // p ln p tends to 0 with p.
                let log = mean.clamp(1e-12f32, 1f32)?.log()?;
                let entropy = (mean * log)?.sum(D::Minus1)?.neg()?;
                entropy.lt(limit)?.to_dtype(DType::F32)?
            }
        };
        Ok(Self {
            probabilities,
            certain,
        })
    }
}

/// Mean over heads of the mean squared distance over certain voxels and classes.
///
/// `None` when no head has both. 0, with zero gradient, where no voxel is certain. The teacher's
/// side has no gradient.
///
/// **Errors** when the lists or the shapes differ.
pub fn mean_teacher(
    logits: &[Option<Tensor>],
    beliefs: &[Option<Belief>],
) -> Result<Option<Tensor>> {
    if logits.len() != beliefs.len() {
        candle_core::bail!(
            "found {} heads of the student and {} of the teacher, expected one each",
            logits.len(),
            beliefs.len()
        );
    }
    let mut losses = Vec::new();
    for (logits, belief) in logits.iter().zip(beliefs) {
        let (Some(logits), Some(belief)) = (logits, belief) else {
            continue;
        };
        let (n, d, h, w, classes) = logits.dims5()?;
        let apart = (softmax(logits)? - &belief.probabilities)?.sqr()?;
        // By slices first: one running f32 sum over a batch would lose small terms.
        let apart = apart.sum(D::Minus1)?.mul(&belief.certain)?;
        let mass = |x: &Tensor| x.reshape((n * d, h * w))?.sum(1)?.sum(0);
        let certain = f64::from(mass(&belief.certain)?.to_scalar::<f32>()?).max(1.0);
        losses.push((mass(&apart)? / (certain * classes as f64))?);
    }
    super::mean_of(&losses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    /// Logits `[1, 1, 1, 2, 2]` of two voxels from the probability of their second class.
    fn logits(second: [f32; 2]) -> Tensor {
        let logs: Vec<f32> = second
            .iter()
            .flat_map(|p| [(1.0 - p).ln(), p.ln()])
            .collect();
        Tensor::from_vec(logs, (1, 1, 1, 2, 2), &Device::Cpu).unwrap()
    }

    #[test]
    fn only_certain_voxels_pull_the_student() {
        let student = Var::from_tensor(&logits([0.5, 0.5])).unwrap();
        let teacher = logits([0.9, 0.6]);
        // Entropies of the mean of both passes, 0.9 and 0.55: 0.325 and 0.688.
        let noisy = [logits([0.9, 0.6]), logits([0.9, 0.5])];
        let belief = Belief::new(&teacher, &noisy, 0.5).unwrap();
        let certain: Vec<f32> = belief.certain.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(certain, [1.0, 0.0]);
        let heads = [Some(student.as_tensor().clone())];
        let loss = mean_teacher(&heads, &[Some(belief)]).unwrap().unwrap();
        assert!((loss.to_scalar::<f32>().unwrap() - 0.16).abs() < 1e-6);
        let gradient = loss.backward().unwrap();
        let gradient: Vec<f32> = (gradient.get(student.as_tensor()).unwrap())
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        assert!(gradient[1] < -0.01, "towards the teacher: {gradient:?}");
        assert_eq!(gradient[2..], [0.0, 0.0]);
        // Without noisy passes every voxel counts: (0.16 + 0.01) / 2.
        let belief = Belief::new(&teacher, &[], 0.0).unwrap();
        let loss = mean_teacher(&heads, &[Some(belief)]).unwrap().unwrap();
        assert!((loss.to_scalar::<f32>().unwrap() - 0.085).abs() < 1e-6);
    }

    #[test]
    fn the_threshold_rises_from_three_quarters_to_the_largest_entropy() {
        let spec = UncertaintySpec::default();
        let ln2 = 2f64.ln();
        let start = 0.75 + 0.25 * (-5f64).exp();
        assert!((spec.limit(0.0, 2) - start * ln2).abs() < 1e-12);
        assert!((spec.limit(1.0, 2) - ln2).abs() < 1e-12);
        assert!((spec.limit(1.0, 5) - 5f64.ln()).abs() < 1e-12);
        let middle = 0.75 + 0.25 * (-1.25f64).exp();
        assert!((spec.limit(0.5, 2) - middle * ln2).abs() < 1e-12);
    }

    #[test]
    fn noise_is_clipped_and_keyed() {
        let spec = UncertaintySpec::default();
        let row = Row {
            subject: "a".to_owned(),
            ..Row::default()
        };
        let like = Tensor::zeros((1, 8, 8, 8, 1), DType::F32, &Device::Cpu).unwrap();
        let noise = |pass| -> Vec<f32> {
            let noise = spec.noise(1, &[&row], (0, pass), &like).unwrap();
            noise.flatten_all().unwrap().to_vec1().unwrap()
        };
        let (one, two) = (noise(0), noise(1));
        assert_eq!(one, noise(0));
        assert_ne!(one, two);
        assert!(one.iter().all(|v| v.abs() <= 0.2) && one.iter().any(|v| v.abs() == 0.2));
    }
}
