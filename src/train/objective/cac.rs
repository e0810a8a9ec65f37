//! Cross-modality anatomical consistency: two modalities in one frame show one anatomy.
//!
//! Modalities of different patients have no frame in common: see
//! [`class_statistics`](super::class_statistics) for those.

use super::ramp::Ramp;
use super::softmax;
use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The consistency of predictions between modalities (CAC).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacSpec {
    /// What the modalities have in common.
    pub pairing: Pairing,
    /// With `unpaired`: largest decay of the running statistics, min(1 - 1/(t+1), memory).
    #[schemars(range(min = 0.0, max = 0.9999))]
    pub memory: f64,
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

/// What the modalities that CAC compares have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// One subject in one frame: one minus the soft Dice overlap of two heads.
    #[default]
    Paired,
    /// Nothing but the kind of anatomy: class fractions and class prototypes, which do not depend
    /// on where a voxel is. The modalities may come from different subjects.
    Unpaired,
}

impl Default for CacSpec {
    fn default() -> Self {
        let rise = Ramp::default();
        Self {
            pairing: Pairing::default(),
            memory: 0.98,
            weight: rise.weight,
            start: rise.start,
            ramp: rise.ramp,
        }
    }
}

impl CacSpec {
    /// **Errors** one sentence that names the field, what was found and what is possible.
    pub fn check(&self) -> std::result::Result<(), String> {
        match (0.0..1.0).contains(&self.memory) {
            true => Ok(()),
            false => Err(format!(
                "`memory` is {}, expected 0 to below 1",
                self.memory
            )),
        }
    }
}

/// Squared probability a voxel that counts as nothing: a class absent from both heads agrees.
const SMOOTH_PER_VOXEL: f64 = 1e-6;

/// One minus the soft Dice overlap of two heads' foreground, logits `[n, d, h, w, classes]` each.
///
/// **Law** with `p`, `q` the softmax probabilities and `e = 1e-6` times the voxels of a volume:
/// `1 - mean_{n, k≥1} (2<p,q> + e) / (|p|² + |q|² + e)`. 0 for equal maps (two empty ones included),
/// towards 1 for disjoint ones. The gradient reaches both heads.
///
/// Only for heads in one frame: same crop, same geometric transform.
///
/// **Errors** when the shapes differ or there is no foreground class.
pub fn cac(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (n, d, h, w, classes) = a.dims5()?;
    if a.dims() != b.dims() || classes < 2 {
        candle_core::bail!(
            "logits to compare have shapes {:?} and {:?}, expected equal ones with 2 or more classes",
            a.dims(),
            b.dims()
        );
    }
    // Summed by slices first: one running f32 sum over a whole volume would lose small terms.
    let foreground = |x: &Tensor| -> Result<Tensor> {
        softmax(x)?
            .narrow(4, 1, classes - 1)?
            .contiguous()?
            .reshape((n, d, h * w, classes - 1))
    };
    let mass = |x: Tensor| x.sum(2)?.sum(1);
    let (p, q) = (foreground(a)?, foreground(b)?);
    let smooth = SMOOTH_PER_VOXEL * (d * h * w) as f64;
    let common = mass((&p * &q)?)?.affine(2.0, smooth)?;
    let both = ((mass(p.sqr()?)? + mass(q.sqr()?)?)? + smooth)?;
    (common / both)?.mean_all()?.affine(-1.0, 1.0)
}

/// Mean of [`cac`] over all pairs of present heads; `None` with fewer than two.
pub fn cac_all(logits: &[Option<Tensor>]) -> Result<Option<Tensor>> {
    super::mean_over_pairs(logits, cac)
}
