//! Smooth multiplicative fields: the exponential of a polynomial of the voxel's place.

use super::math::exp2;
use super::simd::vectorised;
use std::f32::consts::LOG2_E;

/// Highest total degree of a polynomial.
pub const MOST_ORDER: usize = 5;

/// How many coefficients a polynomial of three variables and total degree `order` has.
pub const fn coefficient_count(order: usize) -> usize {
    (order + 1) * (order + 2) * (order + 3) / 6
}

/// Multiplies `[z, y, x]` voxels by `exp(sum of c_ijk X^i Y^j Z^k)` with `i + j + k <= order`.
///
/// **Law** `X = (2 x + 1 - n) / n` for voxel `x` of `n`, and so on: -1 and 1 are the outer faces of
/// the volume. Coefficients come with `k` fastest, then `j`, then `i`; there are
/// [`coefficient_count`] of them, missing ones count as 0, and `order` is at most [`MOST_ORDER`].
/// Exponents beyond +-87 (factors of 2^126) are taken to the nearer end. For each row of voxels the
/// polynomial is brought down to one in `X`, so that a voxel costs `order` multiplications and an
/// exponential. With coefficients of 0 every voxel keeps its bits.
pub fn multiply_exp_polynomial(
    values: &mut [f32],
    [nx, ny, nz]: [usize; 3],
    order: usize,
    coefficients: &[f32],
) {
    let place = |i: usize, n: usize| (2.0 * i as f64 + 1.0 - n as f64) / n as f64;
    let xs: Vec<f32> = (0..nx).map(|x| place(x, nx) as f32).collect();
    for (row, voxels) in values.chunks_exact_mut(nx.max(1)).enumerate() {
        let (y, z) = (place(row % ny, ny), place(row / ny, nz));
        // Powers above `order` have coefficients of 0.
        let mut along_x = [0f32; MOST_ORDER + 1];
        let mut next = coefficients.iter();
        for (i, along_x) in along_x.iter_mut().enumerate().take(order + 1) {
            let (mut sum, mut y_power) = (0.0, 1.0);
            for j in 0..=order - i {
                let mut z_power = y_power;
                for _ in 0..=order - i - j {
                    sum += z_power * next.next().map_or(0.0, |c| f64::from(*c));
                    z_power *= z;
                }
                y_power *= y;
            }
            *along_x = sum as f32 * LOG2_E;
        }
        vectorised(
            #[inline(always)]
            || match order {
                0 => multiply_row::<1>(voxels, &xs, &along_x),
                1 => multiply_row::<2>(voxels, &xs, &along_x),
                2 => multiply_row::<3>(voxels, &xs, &along_x),
                3 => multiply_row::<4>(voxels, &xs, &along_x),
                _ => multiply_row::<{ MOST_ORDER + 1 }>(voxels, &xs, &along_x),
            },
        );
    }
}

#[inline(always)]
fn multiply_row<const TERMS: usize>(
    voxels: &mut [f32],
    xs: &[f32],
    along_x: &[f32; MOST_ORDER + 1],
) {
    for (v, x) in voxels.iter_mut().zip(xs) {
        let mut exponent = along_x[TERMS - 1];
        for c in along_x[..TERMS - 1].iter().rev() {
            exponent = exponent * x + c;
        }
        *v *= exp2(exponent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_the_formula() {
        let shape = [7, 5, 4];
        for order in 0..=MOST_ORDER {
            let count = coefficient_count(order);
            let c: Vec<f32> = (0..count).map(|i| (i as f32 * 1.7).sin() * 0.5).collect();
            let mut values = vec![3f32; 140];
            multiply_exp_polynomial(&mut values, shape, order, &c);
            for (voxel, found) in values.iter().enumerate() {
                let at = [voxel % 7, voxel / 7 % 5, voxel / 35];
                let [x, y, z] =
                    [0, 1, 2].map(|a| (2.0 * at[a] as f64 + 1.0) / shape[a] as f64 - 1.0);
                let mut exponent = 0.0;
                let mut next = c.iter();
                for i in 0..=order as i32 {
                    for j in 0..=order as i32 - i {
                        for k in 0..=order as i32 - i - j {
                            let c = f64::from(*next.next().unwrap());
                            exponent += c * x.powi(i) * y.powi(j) * z.powi(k);
                        }
                    }
                }
                let expected = 3.0 * exponent.exp();
                assert!(
                    (f64::from(*found) / expected - 1.0).abs() < 2e-6,
                    "order {order}: {found} {expected}"
                );
            }
            assert!(changes_nothing_without_them(order, count));
        }
    }

    fn changes_nothing_without_them(order: usize, count: usize) -> bool {
        let mut values = vec![1f32; 8];
        multiply_exp_polynomial(&mut values, [2, 2, 2], order, &vec![0.0; count + 1]);
        values == [1f32; 8]
    }

    #[test]
    fn no_coefficients_keep_every_bit() {
        let before = [0.1f32, -7.3e8, f32::NEG_INFINITY, 3e-40, -0.0, 5.0];
        let mut values = before;
        multiply_exp_polynomial(&mut values, [3, 2, 1], 3, &[0.0; 20]);
        assert_eq!(values.map(f32::to_bits), before.map(f32::to_bits));
    }
}
