//! Mean, standard deviation and extremes of voxels, added up in f64 in an order that never changes.

use super::simd::vectorised;

/// Partial sums side by side: enough for the widest registers, and part of the result's definition.
const LANES: usize = 16;

/// Mean and spread of the voxels that were counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// How many voxels were counted.
    pub count: usize,
    /// Their mean; 0 without voxels.
    pub mean: f64,
    /// Their standard deviation, divided by the count (not count - 1); 0 without voxels.
    pub sd: f64,
}

/// Moments of the voxels for which `keep` holds.
///
/// **Law** one pass over distances `d` from the first voxel that counts, in f64: the mean is that
/// voxel plus `mean(d)`, the variance `mean(d²) - mean(d)²`. The shift keeps the difference of the
/// two from losing digits: of f64's sixteen, twice as many as that voxel lies powers of ten of
/// standard deviations from the mean.
pub fn moments(values: &[f32], keep: impl Fn(f32) -> bool + Copy) -> Moments {
    let Some(shift) = values.iter().copied().find(|v| keep(*v)) else {
        return Moments {
            count: 0,
            mean: 0.0,
            sd: 0.0,
        };
    };
    let shift = f64::from(shift);
    let [count, sum, squares] = sums(values, shift, keep);
    let mean = sum / count;
    Moments {
        count: count as usize,
        mean: shift + mean,
        sd: (squares / count - mean * mean).max(0.0).sqrt(),
    }
}

/// Count, sum and sum of squares of the distances from `shift` of the voxels that count.
fn sums(values: &[f32], shift: f64, keep: impl Fn(f32) -> bool + Copy) -> [f64; 3] {
    let mut lanes = [[0f64; LANES]; 3];
    vectorised(
        #[inline(always)]
        || {
            let (whole, rest) = values.as_chunks::<LANES>();
            for chunk in whole {
                add(&mut lanes, chunk, shift, keep);
            }
            add(&mut lanes, rest, shift, keep);
        },
    );
    lanes.map(|lanes| lanes.iter().sum())
}

#[inline(always)]
fn add(
    [counts, sums, squares]: &mut [[f64; LANES]; 3],
    values: &[f32],
    shift: f64,
    keep: impl Fn(f32) -> bool,
) {
    for (((v, count), sum), square) in values.iter().zip(counts).zip(sums).zip(squares) {
        // Selected, not branched upon, so that the loop becomes vector code.
        let kept = keep(*v);
        let distance = if kept { f64::from(*v) - shift } else { 0.0 };
        *count += if kept { 1.0 } else { 0.0 };
        *sum += distance;
        *square += distance * distance;
    }
}

/// Smallest and largest finite voxel; `None` where no voxel is finite.
pub fn finite_bounds(values: &[f32]) -> Option<[f32; 2]> {
    let mut bounds = [0f32; 2];
    vectorised(
        #[inline(always)]
        || {
            let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
            let (whole, rest) = values.as_chunks::<LANES>();
            for chunk in whole {
                widen(chunk, &mut low, &mut high);
            }
            widen(rest, &mut low, &mut high);
            bounds = [
                low.into_iter().fold(f32::INFINITY, f32::min),
                high.into_iter().fold(f32::NEG_INFINITY, f32::max),
            ];
        },
    );
    (bounds[0] <= bounds[1]).then_some(bounds)
}

#[inline(always)]
fn widen(values: &[f32], low: &mut [f32; LANES], high: &mut [f32; LANES]) {
    for ((v, low), high) in values.iter().zip(low).zip(high) {
        let finite = v.is_finite();
        *low = if finite & (*v < *low) { *v } else { *low };
        *high = if finite & (*v > *high) { *v } else { *high };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_agree_with_their_definition() {
        let values: Vec<f32> = (0..1003)
            .map(|i| ((i * 37) % 101) as f32 - 20.0 + 1e4)
            .collect();
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let square = values.iter().map(|v| (f64::from(*v) - mean).powi(2));
        let sd = (square.sum::<f64>() / n).sqrt();
        let found = moments(&values, |_| true);
        assert_eq!(found.count, 1003);
        assert!((found.mean - mean).abs() < 1e-9 && (found.sd - sd).abs() < 1e-9);
    }

    #[test]
    fn voxels_that_are_not_finite_are_left_out() {
        let values = [f32::NAN, 2.0, f32::INFINITY, 4.0, f32::NEG_INFINITY];
        let found = moments(&values, f32::is_finite);
        assert_eq!((found.count, found.mean, found.sd), (2, 3.0, 1.0));
        assert_eq!(finite_bounds(&values), Some([2.0, 4.0]));
        assert_eq!(finite_bounds(&[f32::NAN]), None);
        assert_eq!(moments(&[], |_| true).count, 0);
    }
}
