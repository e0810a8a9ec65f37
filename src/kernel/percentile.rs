//! Percentiles of voxels, exact, in two passes over memory and without sorting.

/// Bins of each pass: the upper, then the lower half of a number's 32 bits.
const BINS: usize = 1 << 16;

/// Percentiles of the voxels for which `keep` holds; `None` where it holds for none.
///
/// **Law** with the `n` voxels in rising order, percentile `p` is at position `p / 100 * (n - 1)`;
/// between two voxels the values are mixed linearly in f64. **Source** NumPy `percentile` with its
/// default method. The error is that of one f64 mix: order statistics are found exactly, by a
/// histogram of the upper 16 bits and then one of the lower 16 bits in every bin that is asked for.
/// `percents` lie in 0 to 100 in any order; `keep` must not hold for NaN.
pub fn percentiles(
    values: &[f32],
    keep: impl Fn(f32) -> bool,
    percents: &[f64],
) -> Option<Vec<f64>> {
    // Two tables in turn: equal neighbours do not wait for each other's counts.
    let mut tables = [vec![0u32; BINS], vec![0u32; BINS]];
    let [even, odd] = &mut tables;
    for pair in values.chunks(2) {
        let count = |table: &mut [u32], v: f32| {
            table[key(v) as usize >> 16] += u32::from(keep(v));
        };
        count(even, pair[0]);
        if let Some(&second) = pair.get(1) {
            count(odd, second);
        }
    }
    let upper: Vec<u64> = even
        .iter()
        .zip(odd.iter())
        .map(|(a, b)| u64::from(*a) + u64::from(*b))
        .collect();
    let last = upper.iter().sum::<u64>().checked_sub(1)?;
    let places: Vec<(u64, u64, f64)> = percents
        .iter()
        .map(|percent| {
            let position = percent / 100.0 * last as f64;
            let below = (position as u64).min(last);
            (below, (below + 1).min(last), position - below as f64)
        })
        .collect();
    let mut ranks: Vec<u64> = places.iter().flat_map(|p| [p.0, p.1]).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let found = order_statistics(values, keep, &upper, &ranks);
    let at = |rank: u64| ranks.binary_search(&rank).map_or(f64::NAN, |i| found[i]);
    let mixed = places.iter().map(|&(below, above, share)| {
        let (below, above) = (at(below), at(above));
        // Without a share the neighbour must not count, not even as 0 * infinity.
        if share > 0.0 && above > below {
            below + (above - below) * share
        } else {
            below
        }
    });
    Some(mixed.collect())
}

/// The kept voxels of the given ranks (rising, from 0), from counts of their upper halves.
fn order_statistics(
    values: &[f32],
    keep: impl Fn(f32) -> bool,
    upper: &[u64],
    ranks: &[u64],
) -> Vec<f64> {
    // For each rank its bin and its rank within it.
    let mut inside = Vec::with_capacity(ranks.len());
    let (mut bin, mut before) = (0, 0u64);
    for &rank in ranks {
        while before + upper[bin] <= rank {
            before += upper[bin];
            bin += 1;
        }
        inside.push((bin, rank - before));
    }
    let mut wanted: Vec<usize> = inside.iter().map(|(bin, _)| *bin).collect();
    wanted.dedup();
    let mut slot_of = vec![0usize; BINS];
    for (slot, &bin) in wanted.iter().enumerate() {
        slot_of[bin] = slot + 1;
    }
    let mut lower = vec![vec![0u64; BINS]; wanted.len()];
    for &v in values {
        let key = key(v) as usize;
        let slot = slot_of[key >> 16];
        if slot > 0 && keep(v) {
            lower[slot - 1][key & (BINS - 1)] += 1;
        }
    }
    let statistic = |&(bin, rank): &(usize, u64)| {
        let counts = &lower[slot_of[bin] - 1];
        let mut before = 0;
        let low = counts.iter().position(|count| {
            before += count;
            before > rank
        });
        let key = bin << 16 | low.expect("the bin holds as many voxels as were counted");
        f64::from(value(key as u32))
    };
    inside.iter().map(statistic).collect()
}

/// A number's place in rising order.
#[inline(always)]
fn key(v: f32) -> u32 {
    let bits = v.to_bits();
    bits ^ (((bits as i32 >> 31) as u32) | 1 << 31)
}

/// The number at a place in rising order.
fn value(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key ^ 1 << 31 } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted_percentile(values: &[f32], percent: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f32::total_cmp);
        let position = percent / 100.0 * (sorted.len() - 1) as f64;
        let low = position as usize;
        let (a, b) = (sorted[low], sorted[(low + 1).min(sorted.len() - 1)]);
        f64::from(a) + (f64::from(b) - f64::from(a)) * (position - low as f64)
    }

    #[test]
    fn values_are_those_of_numpy() {
        let text = include_str!("../../tests/reference/intensity.json");
        let reference: serde_json::Value = serde_json::from_str(text).unwrap();
        let numbers = |name: &str| -> Vec<f64> {
            let list = reference["percentile"][name].as_array().unwrap();
            list.iter().map(|v| v.as_f64().unwrap()).collect()
        };
        let voxel = |i: usize| {
            let (x, y, z) = (i % 11, i / 11 % 9, i / 99);
            let field = (7 * x + 13 * y + 29 * z + 3 * x * y + 5 * y * z) % 101;
            ((field as f64 - 50.0) * 0.37) as f32
        };
        let values: Vec<f32> = (0..693).map(voxel).collect();
        let found = percentiles(&values, f32::is_finite, &numbers("percents")).unwrap();
        for (found, expected) in found.iter().zip(numbers("values")) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn order_statistics_are_exact_over_all_magnitudes() {
        let mut values: Vec<f32> = (0..5001u32)
            .map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9)))
            .filter(|v| v.is_finite())
            .collect();
        values.extend([0.0, -0.0, 1.0, 1.0, 1.0]);
        let percents = [100.0, 0.0, 50.0, 12.34, 99.9, 50.0];
        let found = percentiles(&values, f32::is_finite, &percents).unwrap();
        for (found, percent) in found.iter().zip(percents) {
            assert_eq!(*found, sorted_percentile(&values, percent), "{percent}");
        }
        assert!((0..1 << 16).all(|i: u32| key(value(i << 15)) == i << 15));
    }

    #[test]
    fn only_kept_voxels_count() {
        let values = [f32::NAN, 4.0, 0.0, 2.0, f32::INFINITY, 0.0];
        let nonzero = |v: f32| v.is_finite() && v != 0.0;
        let found = percentiles(&values, nonzero, &[0.0, 25.0, 100.0]);
        assert_eq!(found, Some(vec![2.0, 2.5, 4.0]));
        assert_eq!(
            percentiles(&values, |v| v > 1e9 && v.is_finite(), &[5.0]),
            None
        );
        assert_eq!(percentiles(&[], f32::is_finite, &[5.0]), None);
    }
}
