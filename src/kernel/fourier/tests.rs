use super::*;
use std::f64::consts::TAU;

fn noise(count: usize) -> Vec<f32> {
    let mut values = vec![0f32; count];
    crate::kernel::rician::add_rician(&mut values, 0.0, 1.0, 4);
    values
}

/// The transform by its definition, in f64, with the real part taken.
fn plainly(source: &[f32], shape: [usize; 3], axis: usize, response: &[f32]) -> Vec<f64> {
    let n = shape[axis];
    let stride: usize = shape[..axis].iter().product();
    let kernel: Vec<f64> = (0..n)
        .map(|shift| {
            let terms = (0..n)
                .map(|k| f64::from(response[k]) * (TAU * (k * shift) as f64 / n as f64).cos());
            terms.sum::<f64>() / n as f64
        })
        .collect();
    (0..source.len())
        .map(|at| {
            let i = at / stride % n;
            let from = at - i * stride;
            let terms =
                (0..n).map(|j| f64::from(source[from + j * stride]) * kernel[(n + i - j) % n]);
            terms.sum()
        })
        .collect()
}

#[test]
fn lines_are_filtered_as_the_definition_says() {
    for shape in [
        [12, 10, 7],
        [5, 3, 16],
        [1, 4, 33],
        [60, 2, 64],
        [13, 22, 1],
    ] {
        let source = noise(shape.iter().product());
        for axis in 0..3 {
            let n = shape[axis];
            let response: Vec<f32> = (0..n).map(|i| ((i * i + 1) as f32).sin()).collect();
            let mut out = vec![1f32; source.len()];
            add_filtered(&mut out, &source, shape, axis, &response);
            let expected = plainly(&source, shape, axis, &response);
            for (found, expected) in out.iter().zip(&expected) {
                assert!(
                    (f64::from(*found) - 1.0 - expected).abs() < 3e-6,
                    "{shape:?} axis {axis}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn nothing_to_add_keeps_every_bit() {
    let source = noise(210);
    let mut out = source.clone();
    add_filtered(&mut out, &source, [7, 6, 5], 1, &[0.0; 6]);
    assert_eq!(out, source);
    assert_eq!(frequencies(5).collect::<Vec<_>>(), [0, 1, 2, -2, -1]);
    assert_eq!(frequencies(4).collect::<Vec<_>>(), [0, 1, -2, -1]);
}

#[test]
fn waves_are_single_coefficients() {
    let shape = [8, 6, 5];
    let mut values = vec![2f32; 240];
    add_wave(&mut values, shape, [3, -2, 1], 0.1, 0.5);
    for (i, found) in values.iter().enumerate() {
        let at = [i % 8, i / 8 % 6, i / 48].map(|v| v as f64);
        let turns = 3.0 * at[0] / 8.0 - 2.0 * at[1] / 6.0 + at[2] / 5.0 + 0.1;
        let expected = 2.0 + 0.5 * (TAU * turns).cos();
        assert!((f64::from(*found) - expected).abs() < 1e-6);
    }
}
