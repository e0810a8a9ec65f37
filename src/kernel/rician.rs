//! Noise of magnitude images, from a seed and a voxel's place.

use super::math::{ln, sin_cos_of_turn};
use super::simd::vectorised;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Voxels made from one stretch of key stream; part of the noise's definition.
pub const BLOCK: usize = 1024;

/// Adds complex Gaussian noise to signals above `zero` and takes the magnitude.
///
/// **Law** with `a = v - zero` and `n1`, `n2` standard normal, `v' = zero + sqrt((a + std n1)^2 +
/// (std n2)^2)` (Rice 1944; Gudbjartsson and Patz 1995). Voxels below `zero`, and NaN, are no
/// signal and stay. Voxel `i` depends on `seed` and `i` alone: block `i / 1024` of ChaCha8's key
/// stream holds 1024 radii, then 1024 angles, and `n1, n2 = sqrt(-2 ln u) * (cos a, sin a)` (Box and
/// Muller 1958).
pub fn add_rician(values: &mut [f32], zero: f32, std: f32, seed: u64) {
    let mut key = *b"\0\0\0\0\0\0\0\0voxstream rician noise  ";
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut stream = ChaCha8Rng::from_seed(key);
    let mut words = [0u32; 2 * BLOCK];
    for block in values.chunks_mut(BLOCK) {
        stream.fill_bytes(bytemuck::cast_slice_mut(&mut words));
        let (radii, angles) = words.split_at(BLOCK);
        vectorised(
            #[inline(always)]
            || {
                for ((v, radius), angle) in block.iter_mut().zip(radii).zip(angles) {
                    // In (0, 1]: a zero would have no logarithm.
                    let u = ((u32::from_le(*radius) >> 1) as i32 as f32 + 1.0)
                        * (1.0 / (1u32 << 31) as f32);
                    let r = std * (-2.0 * ln(u)).sqrt();
                    let (sine, cosine) = sin_cos_of_turn(u32::from_le(*angle));
                    let real = (*v - zero) + r * cosine;
                    let imaginary = r * sine;
                    let noisy = zero + (real * real + imaginary * imaginary).sqrt();
                    *v = if *v >= zero { noisy } else { *v };
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and mean square of the noisy signal at one amplitude.
    fn means(amplitude: f32, std: f32) -> [f64; 2] {
        let mut values = vec![7.0 + amplitude; 1 << 18];
        add_rician(&mut values, 7.0, std, 5);
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v) - 7.0).sum::<f64>() / n;
        let square = values.iter().map(|v| (f64::from(*v) - 7.0).powi(2));
        [mean, square.sum::<f64>() / n]
    }

    #[test]
    fn magnitudes_have_rices_moments() {
        let n = f64::from(1 << 18);
        // Without signal Rayleigh: mean s sqrt(pi / 2), variance (2 - pi / 2) s^2.
        let [mean, square] = means(0.0, 0.5);
        let pi = std::f64::consts::PI;
        let error = 0.5 * ((2.0 - 0.5 * pi) / n).sqrt();
        assert!(
            (mean - 0.5 * (0.5 * pi).sqrt()).abs() < 3.0 * error,
            "{mean}"
        );
        // The square is exponential: mean 2 s^2, standard deviation the same.
        assert!((square - 0.5).abs() < 3.0 * 0.5 / n.sqrt(), "{square}");
        // With signal A the mean square is A^2 + 2 s^2, its variance 4 A^2 s^2 + 4 s^4.
        let [_, square] = means(2.0, 0.5);
        let error = ((4.0 * 4.0 * 0.25 + 4.0 * 0.0625) / n).sqrt();
        assert!((square - 4.5).abs() < 3.0 * error, "{square}");
    }

    #[test]
    fn a_voxel_depends_on_seed_and_place_alone_and_odd_ones_stay() {
        let noise = |count: usize, seed| {
            let mut values = vec![1f32; count];
            add_rician(&mut values, 0.0, 0.3, seed);
            values
        };
        assert_eq!(noise(5000, 9)[..3001], noise(3001, 9));
        assert_ne!(noise(3001, 9), noise(3001, 10));
        let mut odd = [-1.0, f32::NAN, f32::NEG_INFINITY, f32::INFINITY];
        add_rician(&mut odd, 0.0, 0.3, 1);
        assert_eq!(
            [odd[0], odd[2], odd[3]],
            [-1.0, f32::NEG_INFINITY, f32::INFINITY]
        );
        assert!(odd[1].is_nan());
    }
}
