//! Channel-wise semantic consistency: a channel should mean the same in every modality.

use super::ramp::Ramp;
use candle_core::{D, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The consistency of channels between modalities (CSC): NT-Xent over channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CscSpec {
    /// Temperature of the NT-Xent loss; lower ones stress the closest wrong channels.
    #[schemars(range(min = 0.01, max = 10.0))]
    pub temperature: f64,
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

impl Default for CscSpec {
    /// The paper adds the term with weight 1; in `benches/experiments` that, from the first step, took 0.2 of
    /// Dice from a head, and this weight took nothing.
    fn default() -> Self {
        let rise = Ramp::default();
        Self {
            temperature: 0.5,
            weight: 0.02,
            start: rise.start,
            ramp: rise.ramp,
        }
    }
}

impl CscSpec {
    /// **Errors** one sentence that names the field, what was found and what is possible.
    pub fn check(&self) -> std::result::Result<(), String> {
        if (0.01..=10.0).contains(&self.temperature) {
            return Ok(());
        }
        let found = self.temperature;
        Err(format!("`temperature` is {found}, expected 0.01 to 10"))
    }
}

/// Added to a channel's squared norm, so that a dead channel has cosine 0 and a finite gradient.
const SQUARED_NORM_FLOOR: f64 = 1e-6;

/// NT-Xent over the `2c` channels of two feature maps, `[n, d, h, w, c]` each, as one number.
///
/// **Law** per volume, with the rows `r` the channels of `u` then of `v` and `s` their cosines over
/// the voxels: `mean_i -ln( exp(s(i, i*)/T) / sum_{j≠i} exp(s(i, j)/T) )`, where `i*` is the same
/// channel of the other map; then the mean over the batch. The cosines are one `2c x 2c` product.
///
/// Nothing here compares voxels with voxels: both maps may be moved by one permutation of the
/// voxels without effect.
///
/// **Errors** when the shapes differ or the temperature is not positive.
///
/// **Source** Chen et al. 2020 (SimCLR), equation 1, with channels for samples.
pub fn csc(u: &Tensor, v: &Tensor, temperature: f64) -> Result<Tensor> {
    if temperature.is_nan() || temperature <= 0.0 {
        candle_core::bail!("temperature is {temperature}, expected a positive number");
    }
    let Pairs {
        scores,
        itself,
        partner,
    } = Pairs::new(u, v, temperature)?;
    let positive = scores.broadcast_mul(&partner)?.sum(D::Minus1)?;
    let scores = scores.broadcast_sub(&(itself * 1e9)?)?;
    let most = scores.detach().max_keepdim(D::Minus1)?;
    let total = scores.broadcast_sub(&most)?.exp()?.sum_keepdim(D::Minus1)?;
    (total.log()? + most)?.mean_all()? - positive.mean_all()?
}

/// Every channel of two maps compared with every other.
struct Pairs {
    /// `[n, 2c, 2c]`: cosines over a temperature.
    scores: Tensor,
    /// `[2c, 2c]`, 1 where a channel meets itself.
    itself: Tensor,
    /// `[2c, 2c]`, 1 where a channel meets the same one of the other map.
    partner: Tensor,
}

impl Pairs {
    fn new(u: &Tensor, v: &Tensor, temperature: f64) -> Result<Self> {
        let (n, d, h, w, c) = u.dims5()?;
        if u.dims() != v.dims() {
            candle_core::bail!(
                "features to compare have shapes {:?} and {:?}, expected equal ones",
                u.dims(),
                v.dims()
            );
        }
        // Only the joined map has the size of the features; all that follows is 2c x 2c a volume.
        let rows = Tensor::cat(&[u, v], 4)?.reshape((n, d * h * w, 2 * c))?;
        let products = rows.t()?.matmul(&rows)?;
        let itself = Tensor::eye(2 * c, products.dtype(), products.device())?;
        let squared = products.broadcast_mul(&itself)?.sum_keepdim(D::Minus1)?;
        // Both sides of a score carry one of these: 1 / (|i| |j| T).
        let scale = ((squared + SQUARED_NORM_FLOOR)? * temperature)?.powf(-0.5)?;
        let scores = products.broadcast_mul(&scale)?.broadcast_mul(&scale.t()?)?;
        let partner = Tensor::cat(&[itself.narrow(0, c, c)?, itself.narrow(0, 0, c)?], 0)?;
        Ok(Self {
            scores,
            itself,
            partner,
        })
    }
}

/// How alike channels of two modalities are, as cosines over the voxels of their features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Mean over the channels that CSC pulls together: the same one of both modalities.
    pub same: f64,
    /// Mean over all others, which CSC pushes apart.
    pub other: f64,
}

impl Similarity {
    /// The mean of several; `None` of none.
    pub fn mean(of: &[Self]) -> Option<Self> {
        let mean = |part: fn(&Self) -> f64| of.iter().map(part).sum::<f64>() / of.len() as f64;
        (!of.is_empty()).then(|| Self {
            same: mean(|s| s.same),
            other: mean(|s| s.other),
        })
    }
}

/// [`Similarity`] of two feature maps, `[n, d, h, w, c]` each.
///
/// **Errors** when the shapes differ.
fn similarity(u: &Tensor, v: &Tensor) -> Result<Similarity> {
    let pairs = Pairs::new(&u.detach(), &v.detach(), 1.0)?;
    let cosines = pairs.scores.mean(0)?;
    let mean = |of: &Tensor| -> Result<f64> {
        let sum = (&cosines * of)?.sum_all()?.to_scalar::<f32>()?;
        Ok(f64::from(sum / of.sum_all()?.to_scalar::<f32>()?))
    };
    let rest = (1.0 - (&pairs.itself + &pairs.partner)?)?;
    Ok(Similarity {
        same: mean(&pairs.partner)?,
        other: mean(&rest)?,
    })
}

/// Mean [`Similarity`] over all pairs of present modalities; `None` with fewer than two.
pub fn similarity_all(features: &[Option<Tensor>]) -> Result<Option<Similarity>> {
    let present: Vec<&Tensor> = features.iter().flatten().collect();
    let mut found = Vec::new();
    for (i, first) in present.iter().enumerate() {
        for second in &present[i + 1..] {
            found.push(similarity(first, second)?);
        }
    }
    Ok(Similarity::mean(&found))
}

/// Mean of [`csc`] over all pairs of present modalities; `None` with fewer than two.
pub fn csc_all(features: &[Option<Tensor>], temperature: f64) -> Result<Option<Tensor>> {
    super::mean_over_pairs(features, |u, v| csc(u, v, temperature))
}
