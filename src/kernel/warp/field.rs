//! Random vectors from a seed and their place: the same on every machine and on every replay.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Vectors whose components are uniform in `[-1, 1)` and independent.
///
/// **Law** component `c` of vector `i` is word `3 i + c` of ChaCha8's key stream: its upper 24
/// bits, scaled.
pub fn random_vectors(count: usize, seed: u64) -> Vec<[f32; 3]> {
    let mut key = *b"\0\0\0\0\0\0\0\0voxstream elastic field.";
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut stream = ChaCha8Rng::from_seed(key);
    let mut component = || (stream.next_u32() >> 8) as f32 * (1.0 / (1u32 << 23) as f32) - 1.0;
    (0..count)
        .map(|_| [component(), component(), component()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_uniform_and_depend_on_seed_and_place() {
        let vectors = random_vectors(20_000, 4);
        assert_eq!(vectors[..9], random_vectors(9, 4));
        assert_ne!(vectors[..9], random_vectors(9, 5));
        for axis in 0..3 {
            let values = || vectors.iter().map(|v| f64::from(v[axis]));
            let n = vectors.len() as f64;
            assert!(values().all(|v| (-1.0..1.0).contains(&v)));
            // Four standard errors of the mean and of the mean square (variances 1/3 and 4/45).
            assert!((values().sum::<f64>() / n).abs() < 4.0 * (1.0 / 3.0 / n).sqrt());
            let square = values().map(|v| v * v).sum::<f64>() / n;
            assert!((square - 1.0 / 3.0).abs() < 4.0 * (4.0 / 45.0 / n).sqrt());
        }
    }

    /// Bits that other machines must reproduce.
    #[test]
    fn the_first_vector_never_changes() {
        let bits = random_vectors(1, 1)[0].map(f32::to_bits);
        assert_eq!(bits, [1_039_467_536, 1_059_495_822, 3_196_305_168]);
    }
}
