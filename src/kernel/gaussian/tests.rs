use super::*;
use serde_json::Value;

const REFERENCE: &str = include_str!("../../../tests/reference/intensity.json");

/// The volume of the reference script, `[z, y, x]`.
fn field([nx, ny, nz]: [usize; 3]) -> Vec<f32> {
    let mut values = Vec::new();
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                values.push(((7 * x + 13 * y + 29 * z + 3 * x * y + 5 * y * z) % 101) as f32);
            }
        }
    }
    values
}

fn three<T>(value: &Value, number: impl Fn(&Value) -> T) -> [T; 3] {
    [0, 1, 2].map(|i| number(&value[i]))
}

/// The formula, one voxel at a time.
fn plainly(values: &[f32], shape: [usize; 3], sigma: [f64; 3], cut: f64) -> Vec<f32> {
    let mut now = values.to_vec();
    for axis in 0..3 {
        let w = weights(sigma[axis], cut);
        let stride = [1, shape[0], shape[0] * shape[1]][axis];
        let before = now.clone();
        for (i, v) in now.iter_mut().enumerate() {
            let at = (i / stride % shape[axis]) as isize;
            let read = |k: isize| {
                let to = mirrored(at + k, shape[axis]) as isize;
                before[(i as isize + (to - at) * stride as isize) as usize]
            };
            if w.len() > 1 {
                *v = read(0);
                for (k, &w) in w.iter().enumerate().skip(1) {
                    *v += w * ((read(-(k as isize)) + read(k as isize)) - 2.0 * read(0));
                }
            }
        }
    }
    now
}

#[test]
fn values_are_those_of_scipy() {
    let reference: Value = serde_json::from_str(REFERENCE).unwrap();
    let cases = reference["gaussian"].as_array().unwrap();
    assert!(cases.len() >= 4);
    for case in cases {
        let shape = three(&case["shape"], |v| v.as_u64().unwrap() as usize);
        let sigma = three(&case["sigma"], |v| v.as_f64().unwrap());
        let mut values = field(shape);
        smooth(&mut values, shape, sigma, case["cut"].as_f64().unwrap());
        let index = case["index"].as_array().unwrap();
        for (i, expected) in index.iter().zip(case["values"].as_array().unwrap()) {
            let (i, expected) = (i.as_u64().unwrap() as usize, expected.as_f64().unwrap());
            assert!(
                (f64::from(values[i]) - expected).abs() < 2e-5,
                "{shape:?} {sigma:?} voxel {i}: {} {expected}",
                values[i]
            );
        }
    }
}

#[test]
fn blocks_and_vectors_change_no_bit() {
    for (shape, sigma, cut) in [
        ([37, 5, 9], [0.7, 1.3, 0.9], 3.0),
        ([5, 3, 2], [3.0, 2.0, 4.0], 4.0),
        ([16, 8, 8], [0.0, 0.5, 0.0], 3.0),
        ([1, 1, 7], [2.0, 2.0, 0.6], 2.0),
        ([9, 9, 1], [0.4, 0.3, 5.0], 3.0),
    ] {
        let values = field(shape);
        let mut found = values.clone();
        smooth(&mut found, shape, sigma, cut);
        assert_eq!(
            found,
            plainly(&values, shape, sigma, cut),
            "{shape:?} {sigma:?}"
        );
    }
}

#[test]
fn nothing_to_smooth_keeps_every_bit_and_constants_stay() {
    let mut values = field([7, 5, 3]);
    values[3] = f32::NAN;
    let before: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
    smooth(&mut values, [7, 5, 3], [0.0, 0.1, 0.0], 3.0);
    let after: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
    assert_eq!(after, before);
    let mut flat = vec![-1000.3f32; 105];
    smooth(&mut flat, [7, 5, 3], [1.0, 2.0, 0.8], 3.0);
    assert_eq!(flat, [-1000.3; 105]);
}

#[test]
fn odd_voxels_stay_and_do_not_spread() {
    let shape = [9, 7, 5];
    let mut values = vec![2f32; 315];
    values[100] = f32::NAN;
    values[200] = f32::NEG_INFINITY;
    smooth_finite(&mut values, shape, [1.0; 3], 3.0);
    for (i, v) in values.iter().enumerate() {
        match i {
            100 => assert!(v.is_nan()),
            200 => assert_eq!(*v, f32::NEG_INFINITY),
            _ => assert!((v - 2.0).abs() < 2e-6, "{i}: {v}"),
        }
    }
    let mut plain = field(shape);
    let mut careful = plain.clone();
    smooth(&mut plain, shape, [1.0; 3], 3.0);
    smooth_finite(&mut careful, shape, [1.0; 3], 3.0);
    assert_eq!(plain, careful);
}

#[test]
fn exponentials_agree_with_the_systems() {
    for i in 0..2000 {
        let x = f64::from(i) * 0.02;
        assert!((exp_minus(x) / (-x).exp() - 1.0).abs() < 1e-12, "{x}");
    }
}
