//! The unlabelled losses of the released CMC code, faults included: a negative control.
//!
//! Neither loss trains anything there, and neither does here. What it costs to print them can be
//! compared with what the terms `csc` and `cac` gain by being done right.
//!
//! **Source** the code released with CMC (Zhu et al., MICCAI 2024), `trainer.py` and `main.py`.

use candle_core::{D, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows of each feature map that [`csc_as_released`] compares: all of the 16 x 16 x 16 map that the
/// released code has for a patch of 128 voxels. Larger maps are compared by their first rows.
pub const MOST_ROWS: usize = 4096;

/// Rows whose similarities to all others are held at once: 16 MiB of f32 with the most rows.
const BLOCK: usize = 512;

/// Temperature of the released code.
const TEMPERATURE: f64 = 0.5;

/// The released CMC losses as a negative control: their value is reported and added to `loss`, their gradient is zero.
///
/// **Law** `w1 CSC + w2 CAC` of the student's prediction of the unlabelled weak view, made without
/// gradient; `w1 = exp(-5 (1 - x)²)`, `w2 = (1 + cos(pi x)) / 2` with `x` the fraction of training
/// that is done. CSC compares rows of consecutive voxels instead of channels, at most 4096 rows of
/// each map; CAC is the Dice similarity of raw logits, background included, added with a positive sign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CmcAsReleasedSpec {
    /// When the term starts, as a fraction of training (350 of 500 epochs in the released code).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub start: f64,
}

impl Default for CmcAsReleasedSpec {
    fn default() -> Self {
        Self { start: 0.7 }
    }
}

/// Weights of CSC and of CAC at `progress`, the fraction of training that is done.
pub fn weights(progress: f64) -> (f64, f64) {
    let left = 1.0 - progress;
    let falling = (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0;
    ((-5.0 * left * left).exp(), falling)
}

/// The released CSC of two feature maps `[n, d, h, w, c]`, as one number without gradient.
///
/// **Law** per volume NT-Xent, temperature 0.5, over the rows of both maps, where a map with
/// channels first is cut into rows of `c` consecutive values: with 512 channels and 16³ voxels a row
/// is an eighth of one channel. Then the mean over the batch.
///
/// The released code holds `(2 rows)² x c` values at once (128 GiB); this one 512 rows' products,
/// and no more than [`MOST_ROWS`] rows of each map.
///
/// **Errors** when the shapes differ.
pub fn csc_as_released(u: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (n, d, h, w, c) = u.dims5()?;
    if u.dims() != v.dims() {
        candle_core::bail!(
            "features to compare have shapes {:?} and {:?}, expected equal ones",
            u.dims(),
            v.dims()
        );
    }
    let rows = (d * h * w).min(MOST_ROWS);
    let cut = |x: &Tensor, i: usize| -> Result<Tensor> {
        let channels_first = x.detach().get(i)?.reshape((d * h * w, c))?.t()?;
        let cut = channels_first.contiguous()?.reshape((d * h * w, c))?;
        let cut = cut.narrow(0, 0, rows)?;
        let norm = cut.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
        cut.broadcast_div(&norm.maximum(1e-12)?)
    };
    let mut losses = Vec::with_capacity(n);
    for i in 0..n {
        let (a, b) = (cut(u, i)?, cut(v, i)?);
        let positive = (&a * &b)?.sum(D::Minus1)?.mean_all()?;
        let both = Tensor::cat(&[&a, &b], 0)?;
        let against = both.t()?.contiguous()?;
        let mut logs = Vec::new();
        for first in (0..2 * rows).step_by(BLOCK) {
            let block = both.narrow(0, first, BLOCK.min(2 * rows - first))?;
            let itself = (block.sqr()?.sum(D::Minus1)? / TEMPERATURE)?.exp()?;
            let all = (block.matmul(&against)? / TEMPERATURE)?.exp()?;
            logs.push((all.sum(D::Minus1)? - itself)?.log()?);
        }
        let logs = Tensor::cat(&logs, 0)?.mean_all()?;
        losses.push((logs - (positive / TEMPERATURE)?)?);
    }
    Tensor::stack(&losses, 0)?.mean_all()
}

/// The released CAC of two heads' logits `[n, d, h, w, classes]`, without gradient.
///
/// **Law** `mean_{n, k} (2<P,Q> + e) / (|P|² + |Q|² + e)` of raw logits, `e = 1e-6`. It is a
/// similarity, 1 for equal maps, which the released code adds to what is minimised.
///
/// **Errors** when the shapes differ.
pub fn cac_as_released(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (n, d, h, w, classes) = a.dims5()?;
    if a.dims() != b.dims() {
        candle_core::bail!(
            "logits to compare have shapes {:?} and {:?}, expected equal ones",
            a.dims(),
            b.dims()
        );
    }
    let rows = |x: &Tensor| x.detach().reshape((n, d, h * w, classes));
    let mass = |x: Tensor| x.sum(2)?.sum(1);
    let (p, q) = (rows(a)?, rows(b)?);
    let common = mass((&p * &q)?)?.affine(2.0, 1e-6)?;
    let both = ((mass(p.sqr()?)? + mass(q.sqr()?)?)? + 1e-6)?;
    (common / both)?.mean_all()
}

/// `w1 CSC + w2 CAC` over all pairs of present modalities; `None` with fewer than two.
///
/// **Errors** when shapes differ.
pub fn as_released(
    features: &[Option<Tensor>],
    logits: &[Option<Tensor>],
    progress: f64,
) -> Result<Option<Tensor>> {
    let (w1, w2) = weights(progress);
    let csc = super::mean_over_pairs(features, csc_as_released)?;
    let cac = super::mean_over_pairs(logits, cac_as_released)?;
    match (csc, cac) {
        (Some(csc), Some(cac)) => Ok(Some(((csc * w1)? + (cac * w2)?)?)),
        (one, other) => match one.map(|x| x * w1).or(other.map(|x| x * w2)) {
            Some(alone) => Ok(Some(alone?)),
            None => Ok(None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::cac::cac;
    use super::*;
    use crate::nn::testing::{noise, values};

    fn number(x: &Tensor) -> f64 {
        f64::from(x.to_scalar::<f32>().unwrap())
    }

    #[test]
    fn equal_predictions_cost_most_where_they_should_cost_nothing() {
        let (a, b) = (noise(&[2, 3, 4, 5, 3], 1), noise(&[2, 3, 4, 5, 3], 2));
        let equal = number(&cac_as_released(&a, &a).unwrap());
        let apart = number(&cac_as_released(&a, &b).unwrap());
        assert!((equal - 1.0).abs() < 1e-6, "{equal}");
        assert!(apart < 0.5, "{apart}");
        // Done right, equal predictions cost nothing and others something.
        let sure = (&a * 40.0).unwrap();
        assert!(number(&cac(&sure, &sure).unwrap()) < 0.02);
        assert!(number(&cac(&a, &b).unwrap()) > 0.1);
        // Opposite logits are the least it can be.
        let opposite = number(&cac_as_released(&a, &a.neg().unwrap()).unwrap());
        assert!((opposite + 1.0).abs() < 1e-4, "{opposite}");
    }

    #[test]
    fn rows_are_consecutive_voxels_of_a_channel() {
        // 2 volumes of 3 x 4 x 2 voxels, 4 channels: 24 rows of 4 values a map.
        let shape = [2, 3, 4, 2, 4];
        let (u, v) = (noise(&shape, 1), noise(&shape, 2));
        let rows = |x: &[f32], volume: usize| -> Vec<Vec<f64>> {
            let at = |k: usize| f64::from(x[(volume * 24 + k % 24) * 4 + k / 24]);
            (0..24)
                .map(|r| (0..4).map(|j| at(r * 4 + j)).collect())
                .collect()
        };
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let mut expected = 0.0;
        for volume in 0..2 {
            let mut both = rows(&values(&u), volume);
            both.extend(rows(&values(&v), volume));
            let score = |i: usize, j: usize| {
                let (a, b) = (&both[i], &both[j]);
                (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt() / 0.5).exp()
            };
            for i in 0..48 {
                let others: f64 = (0..48).filter(|j| *j != i).map(|j| score(i, j)).sum();
                expected -= (score(i, (i + 24) % 48) / others).ln() / 96.0;
            }
        }
        let found = number(&csc_as_released(&u, &v).unwrap());
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }

    #[test]
    fn large_maps_are_compared_by_their_first_rows() {
        let (u, v) = (noise(&[1, 20, 16, 16, 2], 1), noise(&[1, 20, 16, 16, 2], 2));
        // Rows of two values: the first 4096 are the first channel's and 3072 values of the second.
        let whole = number(&csc_as_released(&u, &v).unwrap());
        let other = Tensor::cat(
            &[
                v.narrow(4, 0, 1).unwrap(),
                Tensor::cat(
                    &[
                        v.narrow(4, 1, 1).unwrap().narrow(1, 0, 12).unwrap(),
                        noise(&[1, 8, 16, 16, 1], 3),
                    ],
                    1,
                )
                .unwrap(),
            ],
            4,
        )
        .unwrap();
        assert_eq!(number(&csc_as_released(&u, &other).unwrap()), whole);
        assert!(number(&csc_as_released(&u, &u).unwrap()) < whole);
    }

    #[test]
    fn weights_are_those_of_the_released_code() {
        for (progress, w1, w2) in [(0.7, 0.638, 0.206), (0.8, 0.819, 0.095), (1.0, 1.0, 0.0)] {
            let (csc, cac) = weights(progress);
            assert!(
                (csc - w1).abs() < 5e-4 && (cac - w2).abs() < 6e-4,
                "{progress}"
            );
        }
    }
}
