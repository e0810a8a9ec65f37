//! Cross-modality anatomical consistency: two modalities in one frame show one anatomy.

use candle_core::{Result, Tensor};

use super::softmax;

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
