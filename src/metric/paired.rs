//! Comparing two methods on the same subjects: paired test and interval of the mean difference.

use crate::draw::DrawKey;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 10_000;
/// Tails outside of the interval, together.
const OUTSIDE: f64 = 0.05;
/// Up to this many non-zero differences the test's distribution is computed exactly.
const MOST_EXACT: usize = 50;

/// What the differences of pairs say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// Pairs.
    pub pairs: usize,
    /// Mean difference.
    pub mean: f64,
    /// 95 % interval of the mean difference: bootstrap over pairs. `None` for fewer than two pairs.
    pub interval: Option<[f64; 2]>,
    /// Smaller rank sum of the Wilcoxon signed-rank test. `None` if no difference is other than 0.
    pub wilcoxon: Option<f64>,
    /// Two-sided p value of the test; `None` as above.
    pub p_value: Option<f64>,
}

/// Compares pairs by their differences, all finite; `None` for no pairs.
///
/// **Law** Wilcoxon signed-rank test, two-sided: differences of 0 are left out, equal ones share
/// their mean rank; the distribution over all signs is exact for up to 50 differences, above that
/// normal with the variance corrected for ties and a continuity correction. The interval is that from
/// the 2.5th to the 97.5th percentile of the means of 10,000 resamples of the pairs, drawn from a
/// fixed seed: the same differences give the same interval.
/// **Source** Wilcoxon, Biometrics Bulletin 1 (1945); Pratt and Gibbons, Concepts of Nonparametric
/// Theory (1981); Efron and Tibshirani, An Introduction to the Bootstrap (1993), percentile method.
pub fn paired(differences: &[f64]) -> Option<Paired> {
    if differences.is_empty() {
        return None;
    }
    let test = signed_ranks(differences);
    Some(Paired {
        pairs: differences.len(),
        mean: differences.iter().sum::<f64>() / differences.len() as f64,
        interval: bootstrap(differences),
        wilcoxon: test.map(|(statistic, _)| statistic),
        p_value: test.map(|(_, p)| p),
    })
}

/// The interval of the mean over resamples.
fn bootstrap(differences: &[f64]) -> Option<[f64; 2]> {
    let count = differences.len();
    if count < 2 {
        return None;
    }
    let key = DrawKey {
        seed: 0,
        epoch: 0,
        subject: "",
        sample: 0,
    };
    let mut rng = key.rng("metric.paired.bootstrap");
    let mut mean = || {
        let sum: f64 = (0..count).map(|_| differences[rng.below(count)]).sum();
        sum / count as f64
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| mean()).collect();
    means.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| means[(share * (RESAMPLES - 1) as f64).round() as usize];
    Some([at(OUTSIDE / 2.0), at(1.0 - OUTSIDE / 2.0)])
}

/// The smaller rank sum and its two-sided p value; `None` if every difference is 0.
fn signed_ranks(differences: &[f64]) -> Option<(f64, f64)> {
    let mut sorted: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    sorted.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    let count = sorted.len();
    if count == 0 {
        return None;
    }
    // Twice the ranks: the mean of two neighbouring ranks is a whole number then.
    let (mut ranks, mut ties) = (Vec::with_capacity(count), 0.0);
    for group in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let (first, size) = (ranks.len() + 1, group.len());
        ranks.extend(std::iter::repeat_n(2 * first + size - 1, size));
        let size = size as f64;
        ties += size * size * size - size;
    }
    let total: usize = ranks.iter().sum();
    let signed = ranks.iter().zip(&sorted);
    let positive: usize = signed.filter(|(_, d)| **d > 0.0).map(|(r, _)| r).sum();
    let smaller = positive.min(total - positive);
    let p = match count <= MOST_EXACT {
        true => exact(&ranks, smaller, total),
        false => normal(count as f64, ties, smaller as f64 / 2.0),
    };
    Some((smaller as f64 / 2.0, p))
}

/// Two-sided p value from the sums of ranks over all signs.
fn exact(ranks: &[usize], smaller: usize, total: usize) -> f64 {
    // Share of the signs with each sum of positive ranks; at most 50 halvings stay exact.
    let mut shares = vec![0.0; total + 1];
    shares[0] = 1.0;
    let mut reached = 0;
    for &rank in ranks {
        reached += rank;
        for sum in (0..=reached).rev() {
            let with = if sum >= rank { shares[sum - rank] } else { 0.0 };
            shares[sum] = 0.5 * (shares[sum] + with);
        }
    }
    let tail: f64 = shares[..=smaller].iter().sum();
    (2.0 * tail).min(1.0)
}

/// Two-sided p value of the normal approximation.
fn normal(count: f64, ties: f64, smaller: f64) -> f64 {
    let mean = count * (count + 1.0) / 4.0;
    let variance = count * (count + 1.0) * (2.0 * count + 1.0) / 24.0 - ties / 48.0;
    let z = (mean - smaller - 0.5).max(0.0) / variance.sqrt();
    complementary_error(z / std::f64::consts::SQRT_2).min(1.0)
}

/// The complementary error function for arguments from 0.
///
/// **Law** the continued fraction of Laplace above 2, the power series below; the relative error is
/// below 1e-12.
fn complementary_error(x: f64) -> f64 {
    let scale = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x > 2.0 {
        let fraction = (1..=120)
            .rev()
            .fold(x, |deeper, k| x + f64::from(k) / 2.0 / deeper);
        return scale / fraction;
    }
    let (mut term, mut sum) = (x, x);
    for k in 1..80 {
        term *= 2.0 * x * x / f64::from(2 * k + 1);
        sum += term;
    }
    1.0 - 2.0 * scale * sum
}

#[cfg(test)]
mod tests;
