//! Against every pair of voxels, and against SciPy: `tests/reference/labels.py` made the numbers.

use super::*;
use proptest::prelude::*;

/// The mask of the same name in `tests/reference/labels.py`.
pub(crate) fn speckle(shape_xyz: [usize; 3], per_mille: u32) -> Vec<u8> {
    speckle_from(shape_xyz, per_mille, 0)
}

/// The mask of the same name in `tests/reference/surface.py`.
pub(crate) fn speckle_from(shape_xyz: [usize; 3], per_mille: u32, first: u32) -> Vec<u8> {
    (0..shape_xyz.iter().product::<usize>() as u32)
        .map(|i| {
            let mut h = (i + first).wrapping_mul(2_654_435_761);
            h ^= h >> 15;
            h = h.wrapping_mul(2_246_822_519);
            h ^= h >> 13;
            u8::from(h % 1000 < per_mille)
        })
        .collect()
}

fn position(i: usize, [nx, ny, _]: [usize; 3]) -> [f64; 3] {
    [i % nx, i / nx % ny, i / (nx * ny)].map(|v| v as f64)
}

fn by_pairs(features: &[u8], shape: [usize; 3], spacing: [f64; 3]) -> Vec<f64> {
    let at: Vec<[f64; 3]> = (0..features.len())
        .filter(|i| features[*i] != 0)
        .map(|i| position(i, shape))
        .collect();
    let nearest = |i| {
        let p = position(i, shape);
        let square = |q: &[f64; 3]| -> f64 {
            (0..3)
                .map(|a| ((p[a] - q[a]) * spacing[a]).powi(2))
                .sum::<f64>()
        };
        at.iter().map(square).fold(f64::INFINITY, f64::min).sqrt()
    };
    (0..features.len()).map(nearest).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn lower_envelopes_find_the_nearest_of_all_pairs(
        shape in (1usize..40, 1usize..9, 1usize..7),
        spacing in prop::array::uniform3(0.05f64..9.0),
        sparse in 1usize..60,
        seed in prop::collection::vec(0usize..60, 40 * 9 * 7),
    ) {
        let shape = [shape.0, shape.1, shape.2];
        let count = shape.iter().product();
        let features: Vec<u8> = seed[..count].iter().map(|v| u8::from(*v < sparse / 8) * 7).collect();
        let found = distances(&features, shape, spacing);
        let queried = distances_at(&features, shape, spacing, 0..count);
        for (i, expected) in by_pairs(&features, shape, spacing).into_iter().enumerate() {
            for d in [found[i], queried[i]] {
                let d = f64::from(d);
                prop_assert!(d == expected || (d - expected).abs() <= 4e-7 * expected, "{} {} {}", i, d, expected);
            }
        }
    }
}

#[test]
fn distances_agree_with_scipy() {
    let reference: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/reference/labels.json")).unwrap();
    let read = |v: &serde_json::Value| v.as_f64().unwrap();
    let shape = [23, 19, 17];
    for case in reference["distances"].as_array().unwrap() {
        let mask = speckle(shape, case["per_mille"].as_u64().unwrap() as u32);
        let spacing: [f64; 3] = serde_json::from_value(case["spacing_mm"].clone()).unwrap();
        let found = distances(&mask, shape, spacing);
        let mean = found.iter().map(|d| f64::from(*d)).sum::<f64>() / found.len() as f64;
        assert!((mean / read(&case["mean"]) - 1.0).abs() < 1e-7);
        let most = found.iter().copied().fold(0.0, f32::max);
        assert!((f64::from(most) / read(&case["max"]) - 1.0).abs() < 4e-7);
        let (index, values) = (&case["index"], case["values"].as_array().unwrap());
        assert!(values.len() > 50);
        for (i, expected) in index.as_array().unwrap().iter().zip(values) {
            let found = f64::from(found[i.as_u64().unwrap() as usize]);
            assert!((found - read(expected)).abs() <= 4e-7 * read(expected));
        }
    }
}

#[test]
fn no_feature_is_infinitely_far() {
    let shape = [9, 3, 2];
    assert_eq!(distances(&[0; 54], shape, [1.0; 3]), [f32::INFINITY; 54]);
    let at = distances_at(&[0; 54], shape, [1.0; 3], [3, 50]);
    assert_eq!(at, [f32::INFINITY; 2]);
    assert!(distances(&[], [0, 3, 2], [1.0; 3]).is_empty());
    assert!(distances(&[], [3, 0, 2], [1.0; 3]).is_empty());
}

/// Run with `--ignored --nocapture` to see voxel rates.
#[test]
#[ignore = "a measurement, not a check"]
fn voxel_rates() {
    let n = 128;
    let shape = [n; 3];
    let ball: Vec<u8> = (0..n * n * n)
        .map(|i| {
            let r: f64 = position(i, shape).iter().map(|p| (p - 63.5).powi(2)).sum();
            u8::from((r.sqrt() - 50.0).abs() < 0.6)
        })
        .collect();
    for (name, mask) in [("sphere", ball), ("speckle", speckle(shape, 5))] {
        let start = std::time::Instant::now();
        for _ in 0..5 {
            std::hint::black_box(distances(&mask, shape, [1.0, 1.0, 2.0]));
        }
        let seconds = start.elapsed().as_secs_f64() / 5.0;
        eprintln!("{name}: {:.0} Mvoxel/s", (n * n * n) as f64 / 1e6 / seconds);
    }
}
