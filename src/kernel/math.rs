//! Elementary functions of f32 that loops can vectorise and that give the same bits on every machine.
//!
//! The system's `ln`, `powf` and `sin` differ between platforms in the last bit and are called one
//! voxel at a time. These use additions, multiplications and one division, which IEEE 754 rounds
//! alike everywhere; nothing is fused. Series, not fitted polynomials, so each bound can be checked.

use std::f32::consts::{FRAC_PI_2, LN_2, LOG2_E};

/// Bits of the square root of one half: mantissas are taken from there to the square root of two.
const SQRT_HALF_BITS: u32 = 0x3f35_04f3;

/// Exponent and natural logarithm of the mantissa of a positive normal number.
///
/// **Law** `ln m = 2 artanh s` with `s = (m - 1) / (m + 1)`, five terms; `|s| <= 0.172` leaves 1e-9.
#[inline(always)]
fn split_ln(x: f32) -> (f32, f32) {
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF_BITS);
    let exponent = (shifted as i32) >> 23;
    let m = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(SQRT_HALF_BITS));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = 1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * (1.0 / 9.0))));
    (exponent as f32, 2.0 * s * series)
}

/// Natural logarithm of a positive normal number.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let (exponent, mantissa) = split_ln(x);
    exponent * LN_2 + mantissa
}

/// Two to the power of `x`, for `x` from -126 to 127; values outside are taken to the nearer end.
///
/// **Law** nearest integer in the exponent, eight terms of the exponential series for the rest.
#[inline(always)]
pub fn exp2(x: f32) -> f32 {
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-126.0, 127.0);
    let shifted = x + ROUND;
    let r = (x - (shifted - ROUND)) * LN_2;
    let series = 1.0
        + r * (1.0
            + r * (0.5
                + r * (1.0 / 6.0
                    + r * (1.0 / 24.0
                        + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)))))));
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    series * f32::from_bits(power.wrapping_add(127) << 23)
}

/// `t` to the power of `exponent`, for `t` from 0 to 1 and a positive exponent; 0 stays 0.
///
/// **Law** `2^(exponent * log2 t)`. Results below 2^-126 become 2^-126.
#[inline(always)]
pub fn unit_pow(t: f32, exponent: f32) -> f32 {
    let (whole, mantissa) = split_ln(t);
    let power = exp2(exponent * (whole + mantissa * LOG2_E));
    if t < f32::MIN_POSITIVE { 0.0 } else { power }
}

/// Sine and cosine of a whole turn cut into 2^32 steps.
///
/// **Law** step 0 is at -45 degrees; the two highest bits choose the quarter, the rest an angle
/// within 45 degrees of its middle. Taylor series to the ninth and eighth power leave 3e-8.
#[inline(always)]
pub fn sin_cos_of_turn(step: u32) -> (f32, f32) {
    let within = (step & 0x3fff_ffff) as i32 - (1 << 29);
    let a = within as f32 * (FRAC_PI_2 / (1u32 << 30) as f32);
    let z = a * a;
    let sine = a
        * (1.0 - z * (1.0 / 6.0 - z * (1.0 / 120.0 - z * (1.0 / 5040.0 - z * (1.0 / 362_880.0)))));
    let cosine = 1.0 - z * (0.5 - z * (1.0 / 24.0 - z * (1.0 / 720.0 - z * (1.0 / 40_320.0))));
    let odd = step & (1 << 30) != 0;
    let (x, y) = if odd { (-sine, cosine) } else { (cosine, sine) };
    let sign = step & (1 << 31);
    let turned = |v: f32| f32::from_bits(v.to_bits() ^ sign);
    (turned(y), turned(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_f64() {
        let (mut ln_worst, mut exp_worst, mut turn_worst) = (0f64, 0f64, 0f64);
        for i in 1..200_000u32 {
            let x = i as f32 * 1e-3;
            let scale = f64::from(x).ln().abs().max(1e-2);
            ln_worst = ln_worst.max((f64::from(ln(x)) - f64::from(x).ln()).abs() / scale);
            let e = (i as f32 - 1e5) * 1e-3;
            let exact = f64::from(e).exp2();
            exp_worst = exp_worst.max((f64::from(exp2(e)) / exact - 1.0).abs());
            let step = i.wrapping_mul(0x9e37_79b9);
            let angle = (f64::from(step) / 2f64.powi(32) - 0.125) * std::f64::consts::TAU;
            let (s, c) = sin_cos_of_turn(step);
            turn_worst = turn_worst
                .max((f64::from(s) - angle.sin()).abs())
                .max((f64::from(c) - angle.cos()).abs());
        }
        assert!(ln_worst < 4e-7 && exp_worst < 2e-7 && turn_worst < 2e-7);
    }

    #[test]
    fn powers_of_the_unit_interval_keep_its_ends() {
        let mut worst = 0f64;
        for g in [0.1f32, 0.7, 1.0, 1.5, 4.0] {
            assert_eq!(unit_pow(0.0, g), 0.0);
            assert_eq!(unit_pow(1.0, g), 1.0);
            for i in 1..1000 {
                let t = i as f32 / 1000.0;
                let exact = f64::from(t).powf(f64::from(g));
                worst = worst.max((f64::from(unit_pow(t, g)) - exact).abs());
            }
        }
        assert!(worst < 2e-7, "{worst}");
    }
}
