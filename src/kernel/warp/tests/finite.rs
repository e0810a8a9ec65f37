//! Values that are not finite spread to what they have a share in, and no further; voxels of one value keep it.

use super::*;

const AT: [usize; 3] = [5, 6, 7];

/// A field with one odd voxel.
fn odd(value: f32) -> Vec<f32> {
    let mut source = field(SOURCE);
    source[offset(SOURCE, AT)] = value;
    source
}

/// No move but for rounding, a move by one voxel to the outermost, and a turn of the axes.
fn exact_moves() -> [(&'static str, DAffine3); 3] {
    let last = DVec3::from(SOURCE.map(|n| n as f64 - 1.0));
    let axes = DMat3::from_cols(-DVec3::X, DVec3::Z, -DVec3::Y);
    let start = DVec3::new(last.x, last.y, 0.0);
    [
        ("rounding", DAffine3::from_translation(DVec3::splat(3e-9))),
        (
            "backwards",
            DAffine3::from_translation(DVec3::splat(-1.0 - 3e-9)),
        ),
        (
            "turn",
            DAffine3 {
                matrix3: axes,
                translation: start - DVec3::splat(2e-10),
            },
        ),
    ]
}

#[test]
fn voxels_without_weight_do_not_count() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let source = odd(value);
        for (name, map) in exact_moves() {
            let route = Route::new(vec![Step::Affine(map)]);
            let found = [
                linear(&source, SOURCE, &route, SOURCE, 0.0),
                cubic(&source, SOURCE, &route, SOURCE, 0.0),
                sample_linear(&source, SOURCE, &map, SOURCE, 0.0),
            ];
            for found in found {
                let odd: Vec<usize> = (0..found.len())
                    .filter(|i| !found[*i].is_finite())
                    .collect();
                let [at] = odd[..] else {
                    panic!("{name}, {value}: {} voxels are not finite", odd.len());
                };
                assert_eq!(found[at].to_bits(), value.to_bits(), "{name}");
            }
        }
    }
}

#[test]
fn a_share_counts_however_small() {
    let source = odd(f32::NAN);
    let route = Route::new(vec![Step::Affine(DAffine3::from_translation(
        DVec3::X * 1e-3,
    ))]);
    let odd = |values: Vec<f32>| values.iter().filter(|v| v.is_nan()).count();
    assert_eq!(odd(linear(&source, SOURCE, &route, SOURCE, 0.0)), 2);
    assert_eq!(odd(cubic(&source, SOURCE, &route, SOURCE, 0.0)), 4);
}

#[test]
fn voxels_of_one_value_keep_it() {
    let shape = [25, 17, 15];
    for value in [-1000.0, -128.0, 0.1, 3071.7f32] {
        let flat = vec![value; SOURCE.into_iter().product()];
        for (name, steps) in routes() {
            let route = Route::new(steps);
            for read in [linear, cubic] {
                let found = read(&flat, SOURCE, &route, shape, value);
                assert!(found.iter().all(|v| *v == value), "{name} {value}");
            }
        }
    }
}
