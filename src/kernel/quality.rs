//! What can be measured of an image from its voxels alone: how noisy it is, how much it says.

use super::math::ln;
use super::percentile::percentiles;

/// Bins of [`entropy_bits`].
const BINS: usize = 256;

/// Median of the absolute values of a standard normal number.
const NORMAL_MEDIAN: f64 = 0.674_489_750_196_081_7;

/// Standard deviation of the noise, from differences of neighbours along x; `None` without two
/// neighbours for which `keep` holds.
///
/// **Law** `median(|v(x + 1) - v(x)|) / (0.6745 sqrt 2)`: edges are few, so the median hardly sees
/// them. Noise that is smooth from voxel to voxel counts too little. **Source** the robust
/// estimate of Donoho and Johnstone, Biometrika 81 (1994), on first differences.
pub fn noise_sd(values: &[f32], nx: usize, keep: impl Fn(f32) -> bool) -> Option<f64> {
    let mut steps = Vec::with_capacity(values.len());
    for row in values.chunks_exact(nx.max(1)) {
        let pairs = row.iter().zip(&row[1..]);
        let kept = pairs.filter(|(a, b)| keep(**a) && keep(**b));
        steps.extend(kept.map(|(a, b)| (b - a).abs()));
    }
    let median = percentiles(&steps, f32::is_finite, &[50.0])?;
    Some(median[0] / (NORMAL_MEDIAN * std::f64::consts::SQRT_2))
}

/// Shannon entropy in bits of the histogram of the voxels for which `keep` holds, 256 bins from
/// `low` to `high`; `None` where there are none, 0 where all are equal.
///
/// **Law** `-sum p log2 p`, from 0 to 8.
pub fn entropy_bits(
    values: &[f32],
    [low, high]: [f32; 2],
    keep: impl Fn(f32) -> bool,
) -> Option<f64> {
    let mut counts = [0u64; BINS];
    let width = (f64::from(high) - f64::from(low)) / BINS as f64;
    let scale = if width > 0.0 { 1.0 / width } else { 0.0 };
    for &v in values.iter().filter(|v| keep(**v)) {
        let bin = (f64::from(v) - f64::from(low)) * scale;
        counts[(bin as usize).min(BINS - 1)] += 1;
    }
    let all: u64 = counts.iter().sum();
    // The logarithm is ours: the system's differs between machines.
    let log2 = |count: u64| f64::from(ln(count as f32)) / std::f64::consts::LN_2;
    let filled = counts.iter().filter(|c| **c > 0);
    let weighted: f64 = filled.map(|c| *c as f64 * log2(*c)).sum();
    (all > 0).then(|| (log2(all) - weighted / all as f64).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::noise::add_normal;

    #[test]
    fn noise_is_found_on_slopes_and_over_edges() {
        let nx = 200;
        let mut values: Vec<f32> = (0..nx * 200)
            .map(|i| (i % nx) as f32 * 0.01 + if (i / 20) % 2 == 0 { 300.0 } else { 0.0 })
            .collect();
        add_normal(&mut values, 2.5, 4, 0);
        let found = noise_sd(&values, nx, |v| v.is_finite()).unwrap();
        // One pair in 20 is over an edge, which moves the median by 0.04 of its rank.
        assert!((found / 2.5 - 1.0).abs() < 0.08, "{found}");
        assert_eq!(noise_sd(&values[..1], 1, |_| true), None);
        assert_eq!(noise_sd(&[], 0, |_| true), None);
    }

    #[test]
    fn entropy_is_that_of_the_histogram() {
        let even: Vec<f32> = (0..256 * 9).map(|i| (i % 256) as f32).collect();
        let found = entropy_bits(&even, [0.0, 255.0], |_| true).unwrap();
        assert!((found - 8.0).abs() < 1e-5, "{found}");
        let two = [0.0f32, 1.0, 1.0, 1.0, f32::NAN];
        let found = entropy_bits(&two, [0.0, 1.0], f32::is_finite).unwrap();
        assert!((found - 0.811_278).abs() < 1e-5, "{found}");
        assert_eq!(entropy_bits(&[3.0; 7], [3.0; 2], |_| true), Some(0.0));
        assert_eq!(entropy_bits(&two, [0.0, 1.0], |_| false), None);
    }
}
