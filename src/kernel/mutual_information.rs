//! How much two images say about each other, whatever their contrasts.

/// The number of a value that does not count.
pub const NO_BIN: u8 = u8::MAX;
/// Share of values below the first and above the last bin: outliers take no bins.
const TAIL: f64 = 0.005;

/// Bins that `count` pairs of values can fill: the cube root, from 4 to 32.
pub fn bins_for(count: usize) -> usize {
    ((count as f64).cbrt() as usize).clamp(4, 32)
}

/// The number of each value's bin; bins are equally wide between the 0.5 % and 99.5 % quantiles.
///
/// Values beyond the quantiles lie in the outermost bins; what is not finite gets [`NO_BIN`], and
/// of equal values all lie in bin 0. **Panics** when there are 0 or more than 255 bins.
pub fn binned(values: &[f32], bins: usize) -> Vec<u8> {
    assert!((1..=255).contains(&bins), "{bins} bins");
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    if sorted.is_empty() {
        return vec![NO_BIN; values.len()];
    }
    let tail = (sorted.len() as f64 * TAIL) as usize;
    let end = sorted.len() - 1 - tail;
    let high = *sorted.select_nth_unstable_by(end, f32::total_cmp).1;
    let low = *sorted.select_nth_unstable_by(tail, f32::total_cmp).1;
    let width = (f64::from(high) - f64::from(low)) / bins as f64;
    let bin = |v: f32| {
        if !v.is_finite() {
            NO_BIN
        } else if width > 0.0 {
            // A negative number becomes 0.
            (((f64::from(v) - f64::from(low)) / width) as usize).min(bins - 1) as u8
        } else {
            0
        }
    };
    values.iter().map(|&v| bin(v)).collect()
}

/// Normalised mutual information of two images from the bins of their voxels.
///
/// **Law** `(H(a) + H(b)) / H(a, b)`, from 1 (one says nothing of the other) to 2 (each is known
/// from the other); pairs of which one has [`NO_BIN`] do not count. `None` where none counts or
/// an image is constant. **Source** Studholme, Hill and Hawkes, Pattern Recognition 32, 1999.
///
/// **Panics** when a bin's number is `bins` or more and not [`NO_BIN`].
pub fn normalised_mutual_information(a: &[u8], b: &[u8], bins: usize) -> Option<f64> {
    let mut joint = vec![0u32; bins * bins];
    for (&a, &b) in a.iter().zip(b) {
        if a != NO_BIN && b != NO_BIN {
            joint[usize::from(a) * bins + usize::from(b)] += 1;
        }
    }
    let total = joint.iter().map(|&n| f64::from(n)).sum::<f64>();
    let entropy = |counts: &mut dyn Iterator<Item = f64>| -> f64 {
        let shares = counts.filter(|n| *n > 0.0).map(|n| n / total);
        -shares.map(|p| p * p.ln()).sum::<f64>()
    };
    let both = entropy(&mut joint.iter().map(|&n| f64::from(n)));
    let of_a = entropy(
        &mut joint
            .chunks(bins)
            .map(|row| row.iter().map(|&n| f64::from(n)).sum()),
    );
    let column = |j: usize| (0..bins).map(|i| f64::from(joint[i * bins + j])).sum();
    let of_b = entropy(&mut (0..bins).map(column));
    (of_a > 0.0 && of_b > 0.0).then(|| (of_a + of_b) / both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measure_is_its_formula() {
        let a = [0, 0, 1, 1, NO_BIN, 0];
        assert_eq!(normalised_mutual_information(&a, &a, 2), Some(2.0));
        let swapped = a.map(|v| if v == NO_BIN { v } else { 1 - v });
        assert_eq!(normalised_mutual_information(&a, &swapped, 2), Some(2.0));
        let apart = normalised_mutual_information(&[0, 0, 1, 1], &[0, 1, 0, 1], 2).unwrap();
        assert!((apart - 1.0).abs() < 1e-12);
        // p = (1/2, 1/4, 1/4): H(a, b) = 1.5 bits, H(a) = 1 bit, H(b) = H(1/4) bits.
        let found = normalised_mutual_information(&[0, 0, 1, 1], &[0, 0, 0, 1], 2).unwrap();
        let of_b = -(0.75 * 0.75f64.log2() + 0.25 * 0.25f64.log2());
        assert!((found - (1.0 + of_b) / 1.5).abs() < 1e-12);
        assert_eq!(normalised_mutual_information(&[0; 4], &[0; 4], 2), None);
        assert_eq!(normalised_mutual_information(&[0, 1], &[0; 2], 2), None);
        assert_eq!(normalised_mutual_information(&[NO_BIN], &[0], 2), None);
    }

    #[test]
    fn bins_leave_outliers_and_odd_values_out() {
        let mut values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        values[3] = f32::NAN;
        values[500] = 1e30;
        let bins = binned(&values, 10);
        assert_eq!(bins[3], NO_BIN);
        assert_eq!([bins[0], bins[150], bins[500], bins[999]], [0, 1, 9, 9]);
        assert!((0..1000).filter(|i| bins[*i] == 5).count() > 90);
        assert_eq!(binned(&[2.0; 5], 10), [0; 5]);
        assert_eq!(binned(&[f32::INFINITY; 2], 10), [NO_BIN; 2]);
    }
}
