//! Gaussian noise from a seed and a voxel's place: the same on every machine and on every replay.

use super::math::{ln, sin_cos_of_turn};
use super::simd::vectorised;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Voxels made from one stretch of key stream; part of the noise's definition.
pub const BLOCK: usize = 2048;
const HALF: usize = BLOCK / 2;

/// Adds `std` times a standard normal number to every voxel.
///
/// **Law** voxel `i` depends on `seed` and `i` alone: block `i / 2048` of ChaCha8's key stream holds
/// 1024 radii, then 1024 angles; pair `j` becomes voxels `j` and `j + 1024` of the block by Box and
/// Muller (1958): `sqrt(-2 ln u) * (cos a, sin a)`. `u` has 31 bits, so no voxel is beyond 6.6 sd.
///
/// `first` is the number of `values[0]`, a multiple of [`BLOCK`].
pub fn add_normal(values: &mut [f32], std: f32, seed: u64, first: usize) {
    debug_assert_eq!(first % BLOCK, 0, "stretches begin with a block");
    let mut key = *b"\0\0\0\0\0\0\0\0voxstream gaussian noise";
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut stream = ChaCha8Rng::from_seed(key);
    // One 32-bit word of the stream a voxel.
    stream.set_word_pos(first as u128);
    let (mut words, mut normals) = ([0u32; BLOCK], [0f32; BLOCK]);
    for block in values.chunks_mut(BLOCK) {
        stream.fill_bytes(bytemuck::cast_slice_mut(&mut words));
        vectorised(
            #[inline(always)]
            || {
                box_muller(&words, &mut normals);
                for (value, normal) in block.iter_mut().zip(&normals) {
                    *value += std * normal;
                }
            },
        );
    }
}

#[inline(always)]
fn box_muller(words: &[u32; BLOCK], normals: &mut [f32; BLOCK]) {
    let (radii, angles) = words.split_at(HALF);
    let (first, second) = normals.split_at_mut(HALF);
    for (((radius, angle), first), second) in radii.iter().zip(angles).zip(first).zip(second) {
        // In (0, 1]: a zero would have no logarithm.
        let u = ((u32::from_le(*radius) >> 1) as i32 as f32 + 1.0) * (1.0 / (1u32 << 31) as f32);
        let r = (-2.0 * ln(u)).sqrt();
        let (sine, cosine) = sin_cos_of_turn(u32::from_le(*angle));
        *first = r * cosine;
        *second = r * sine;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut values = vec![0f32; count];
        add_normal(&mut values, 1.0, seed, 0);
        values
    }

    #[test]
    fn voxels_are_standard_normal_and_independent() {
        let n = 1 << 20;
        let values = noise(n, 3);
        let mean_of = |f: &dyn Fn(f64) -> f64| {
            values.iter().map(|v| f(f64::from(*v))).sum::<f64>() / n as f64
        };
        // Four standard errors each; the moments' variances are 1, 2, 15 and 96.
        let error = |variance: f64| 4.0 * (variance / n as f64).sqrt();
        assert!(mean_of(&|v| v).abs() < error(1.0));
        assert!((mean_of(&|v| v * v) - 1.0).abs() < error(2.0));
        assert!(mean_of(&|v| v.powi(3)).abs() < error(15.0));
        assert!((mean_of(&|v| v.powi(4)) - 3.0).abs() < error(96.0));
        // Kolmogorov's distance from the normal distribution, at its 1e-4 quantile.
        let mut sorted: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
        sorted.sort_by(f64::total_cmp);
        let points = [
            (0.0, 0.5),
            (1.0, 0.841_344_746),
            (-1.0, 0.158_655_254),
            (2.0, 0.977_249_868),
        ];
        for (at, share) in points {
            let below = sorted.partition_point(|v| *v < at) as f64 / n as f64;
            assert!(
                (below - share).abs() < 2.23 / (n as f64).sqrt(),
                "{at}: {below}"
            );
        }
        for lag in [1, HALF, BLOCK] {
            let pairs = values.iter().zip(&values[lag..]);
            let product = pairs.map(|(a, b)| f64::from(a * b)).sum::<f64>() / (n - lag) as f64;
            assert!(product.abs() < error(1.0), "lag {lag}: {product}");
        }
    }

    #[test]
    fn a_voxel_depends_on_seed_and_place_alone() {
        let (long, short) = (noise(5000, 9), noise(3001, 9));
        assert_eq!(long[..3001], short);
        assert_ne!(long[..3001], noise(3001, 10));
        let mut rest = vec![0f32; 5000 - BLOCK];
        add_normal(&mut rest, 1.0, 9, BLOCK);
        assert_eq!(rest, long[BLOCK..]);
    }

    /// Bits that other machines must reproduce.
    #[test]
    fn first_voxels_never_change() {
        let bits: Vec<u32> = noise(3, 1).iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, [1_047_741_240, 3_188_808_656, 1_023_346_230]);
    }
}
