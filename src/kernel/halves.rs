//! Half floats as single ones.

use half::f16;

/// Appends half floats as f32, each exactly.
///
/// The slice conversion of the package `half` calls a function for every eight numbers and needs zeros to write over;
/// it takes twice the time.
pub fn append_halves(numbers: &[f16], to: &mut Vec<f32>) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") && std::arch::is_x86_feature_detected!("f16c") {
        #[expect(unsafe_code, reason = "the processor's own conversion")]
        // SAFETY: the processor has what the function is compiled for.
        unsafe {
            by_vectors(numbers, to);
        }
        return;
    }
    to.extend(numbers.iter().map(|number| number.to_f32()));
}

/// Eight at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn by_vectors(numbers: &[f16], to: &mut Vec<f32>) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    to.reserve(numbers.len());
    let (eights, rest) = numbers.as_chunks::<8>();
    let spare = to.spare_capacity_mut().as_mut_ptr().cast::<f32>();
    for (i, eight) in eights.iter().enumerate() {
        #[expect(unsafe_code, reason = "vector loads and stores take addresses")]
        // SAFETY: eight numbers are the 16 bytes that are read; room for as many values as there are numbers is
        // reserved behind the vector's last.
        unsafe {
            let bits = _mm_loadu_si128(eight.as_ptr().cast::<__m128i>());
            _mm256_storeu_ps(spare.add(8 * i), _mm256_cvtph_ps(bits));
        }
    }
    #[expect(unsafe_code, reason = "the values are written by address")]
    // SAFETY: they were written just now.
    unsafe {
        to.set_len(to.len() + 8 * eights.len());
    }
    to.extend(rest.iter().map(|number| number.to_f32()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_float_keeps_its_value() {
        let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        // Stretches of every length up to three vectors, so that the rest is converted, too.
        for length in (0..24).chain([all.len()]) {
            let mut values = vec![7.0];
            append_halves(&all[..length], &mut values);
            let expected = all[..length].iter().map(|number| number.to_f32());
            assert_eq!((values.len(), values[0]), (1 + length, 7.0));
            for (value, expected) in values[1..].iter().zip(expected) {
                let same = value.to_bits() == expected.to_bits();
                assert!(
                    same || value.is_nan() && expected.is_nan(),
                    "{value} {expected}"
                );
            }
        }
    }
}
