use super::*;
use std::f64::consts::TAU;

fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut values = vec![0f32; count];
    crate::kernel::rician::add_rician(&mut values, 0.0, 1.0, seed);
    values
}

/// One coefficient by its definition, in f64.
fn coefficient(values: &[f32], [nx, ny, nz]: [usize; 3], [fx, fy, fz]: [usize; 3]) -> [f64; 2] {
    values
        .iter()
        .enumerate()
        .fold([0.0; 2], |[re, im], (i, v)| {
            let share = |k: usize, x: usize, n: usize| (k * x) as f64 / n as f64;
            let (x, y, z) = (i % nx, i / nx % ny, i / nx / ny);
            let turns = share(fx, x, nx) + share(fy, y, ny) + share(fz, z, nz);
            let (sine, cosine) = (TAU * turns).sin_cos();
            [re + f64::from(*v) * cosine, im - f64::from(*v) * sine]
        })
}

#[test]
fn a_transform_is_its_definition_and_comes_back() {
    for shape in [[6, 5, 4], [1, 7, 2], [35, 3, 1]] {
        let voxels: usize = shape.iter().product();
        let values = noise(voxels, 3);
        let mut found = Spectrum::new(values.clone(), vec![0.0; voxels], shape).unwrap();
        found.transform(false);
        for at in 0..voxels {
            let f = [
                at % shape[0],
                at / shape[0] % shape[1],
                at / shape[0] / shape[1],
            ];
            let [re, im] = coefficient(&values, shape, f);
            let far = (f64::from(found.re[at]) - re).abs() + (f64::from(found.im[at]) - im).abs();
            assert!(far < 1e-4, "{shape:?} {f:?}: {far}");
        }
        // Parseval: the energy is that of the voxels, times their number.
        let energy = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        let share = (energy(&found.re) + energy(&found.im)) / (energy(&values) * voxels as f64);
        assert!((share - 1.0).abs() < 1e-5, "{shape:?}: {share}");
        found.transform(true);
        for (v, back) in values.iter().zip(&found.re) {
            assert!((v - back / voxels as f32).abs() < 1e-5, "{shape:?}");
        }
    }
}

#[test]
fn amplitudes_are_blended_in_the_band_and_phases_stay() {
    let shape = [8, 6, 5];
    let (own, partner) = (noise(240, 1), noise(240, 2));
    let mut found = own.clone();
    blend_amplitude(&mut found, &partner, shape, [2, 1, 2], 0.75);
    for at in 0..240 {
        let f = [at % 8, at / 8 % 6, at / 48];
        let [a, b, c] = [&own, &partner, &found].map(|v| coefficient(v, shape, f));
        let low = |f: usize, n: usize| f.min(n - f);
        let within = low(f[0], 8) <= 2 && low(f[1], 6) <= 1 && low(f[2], 5) <= 2;
        let factor = match within {
            true => 0.25 + 0.75 * b[0].hypot(b[1]) / a[0].hypot(a[1]),
            false => 1.0,
        };
        let far = (c[0] - factor * a[0]).hypot(c[1] - factor * a[1]);
        assert!(far < 1e-3, "{f:?}: {far}");
    }
}

#[test]
fn no_share_and_the_same_amplitude_change_nothing() {
    let shape = [9, 4, 3];
    let own = noise(108, 5);
    let mut found = own.clone();
    blend_amplitude(&mut found, &noise(108, 6), shape, [4, 2, 1], 0.0);
    assert_eq!(found, own);
    blend_amplitude(&mut found, &own, shape, [4, 2, 1], 1.0);
    assert!(found.iter().zip(&own).all(|(a, b)| (a - b).abs() < 1e-5));
    // The mean alone is the partner's where the band is one coefficient wide.
    let mut flat = vec![2.0; 108];
    blend_amplitude(&mut flat, &[6.0; 108], shape, [0; 3], 0.5);
    assert!(flat.iter().all(|v| (v - 4.0).abs() < 1e-5));
    // No phase where nothing was: that of a positive number is taken.
    let mut nothing = vec![0.0; 108];
    blend_amplitude(&mut nothing, &[6.0; 108], shape, [0; 3], 0.5);
    assert!(nothing.iter().all(|v| (v - 3.0).abs() < 1e-5));
}
