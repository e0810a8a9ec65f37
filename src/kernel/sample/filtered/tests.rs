//! Against SciPy (`tests/reference/filtered.py` says how the numbers were made), and the laws.

use super::*;
use crate::kernel::sample::sample_linear;
use glam::{DMat3, DVec3};
use serde_json::Value;

const SHAPE: [usize; 3] = [17, 14, 12];

fn made<T>(shape: [usize; 3], value: impl Fn(usize, usize, usize) -> T) -> Vec<T> {
    let [nx, ny, nz] = shape;
    let at = |i: usize| value(i % nx, i / nx % ny, i / nx / ny);
    (0..nx * ny * nz).map(at).collect()
}

fn field() -> Vec<f32> {
    made(SHAPE, |x, y, z| {
        ((7 * x + 13 * y + 29 * z + 3 * x * y + 5 * y * z) % 101) as f32
    })
}

fn classes() -> Vec<u8> {
    made(SHAPE, |x, y, z| ((x / 3 + 2 * (y / 4) + z / 2) % 5) as u8)
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn map_of(rows: [[f64; 4]; 3]) -> DAffine3 {
    let column = |i: usize| DVec3::new(rows[0][i], rows[1][i], rows[2][i]);
    DAffine3 {
        matrix3: DMat3::from_cols(column(0), column(1), column(2)),
        translation: column(3),
    }
}

#[test]
fn filter_and_interpolation_agree_with_scipy() {
    let text = include_str!("../../../../tests/reference/filtered.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    let maps = reference["maps"].as_array().unwrap();
    assert_eq!(maps.len(), 6);
    for case in maps {
        let map = map_of(read(&case["matrix"]));
        let shape: [usize; 3] = read(&case["shape"]);
        let mut filter = Filter {
            readings: [AxisReading::Linear; 3],
            sigma_xyz: antialias_sigma(&map),
            ..Filter::default()
        };
        if let Some(axis) = read::<Option<usize>>(&case["separate"]) {
            filter.readings[axis] = AxisReading::Nearest;
            filter.sigma_xyz[axis] = 0.0;
        }
        let expected: [f64; 3] = read(&case["sigma"]);
        for (sigma, expected) in filter.sigma_xyz.iter().zip(expected) {
            assert!((sigma - expected).abs() < 1e-8, "{case}");
        }
        let image = sample_filtered(&field(), SHAPE, &map, shape, -1.0, &filter);
        let labels = vote_filtered(&classes(), SHAPE, &map, shape, 9, &filter);
        let index: Vec<usize> = read(&case["index"]);
        let values: Vec<f32> = read(&case["image"]);
        let (voted, firm): (Vec<u8>, Vec<bool>) = (read(&case["labels"]), read(&case["firm"]));
        assert!(firm.iter().filter(|f| **f).count() > 20);
        for (k, &i) in index.iter().enumerate() {
            let name = &case["name"];
            let off = (image[i] - values[k]).abs();
            assert!(
                off < 1e-3,
                "{name} voxel {i}: {} and {}",
                image[i],
                values[k]
            );
            assert!(!firm[k] || labels[i] == voted[k], "{name} voxel {i}");
        }
    }
}

#[test]
fn without_a_filter_values_are_those_of_plain_sampling() {
    let map = map_of([
        [1.3, 0.0, 0.0, -0.6],
        [0.0, -0.7, 0.0, 12.9],
        [0.0, 0.0, 1.0, 0.5],
    ]);
    let shape = [15, 22, 12];
    let plain = sample_linear(&field(), SHAPE, &map, shape, -1.0);
    let filtered = sample_filtered(&field(), SHAPE, &map, shape, -1.0, &Filter::default());
    for (a, b) in plain.iter().zip(&filtered) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn voxels_of_one_value_keep_it() {
    let flat = vec![-1000.3f32; SHAPE.iter().product()];
    let along = map_of([
        [2.1, 0.0, 0.0, 0.4],
        [0.0, 0.0, 1.6, 0.3],
        [0.0, 0.8, 0.0, 0.2],
    ]);
    let oblique = DAffine3::from_rotation_z(0.3) * DAffine3::from_scale(DVec3::splat(1.7));
    for map in [along, oblique] {
        for reading in [AxisReading::Cubic, AxisReading::Linear] {
            for sigma_xyz in [[0.0; 3], antialias_sigma(&map)] {
                let filter = Filter {
                    readings: [reading; 3],
                    sigma_xyz,
                    ..Filter::default()
                };
                let out = sample_filtered(&flat, SHAPE, &map, [8, 7, 6], -1000.3, &filter);
                assert!(
                    out.iter().all(|v| *v == -1000.3),
                    "{reading:?} {sigma_xyz:?}"
                );
            }
        }
    }
}

#[test]
fn a_value_that_is_not_finite_stays_where_it_is() {
    let mut values = vec![1f32; SHAPE.iter().product()];
    values[(6 * SHAPE[1] + 7) * SHAPE[0] + 8] = f32::NAN;
    let map = DAffine3::from_scale(DVec3::splat(2.0));
    let filter = Filter {
        readings: [AxisReading::Linear; 3],
        sigma_xyz: antialias_sigma(&map),
        ..Filter::default()
    };
    let out = sample_filtered(&values, SHAPE, &map, [8, 7, 6], 0.0, &filter);
    // Voxel 8, 7, 6 is between output voxels along y, where both sides weigh it by 0.
    assert!(out.iter().all(|v| (v - 1.0).abs() < 1e-6), "{out:?}");
}

#[test]
fn ties_take_the_class_of_the_nearest_voxel() {
    // Two classes in stripes: every output voxel that is between two stripes is a tie.
    let stripes: Vec<u8> = made([8, 1, 1], |x, _, _| if x < 4 { 7 } else { 3 });
    let filter = Filter {
        readings: [AxisReading::Linear; 3],
        sigma_xyz: [1.2, 0.0, 0.0],
        ..Filter::default()
    };
    // Position 3.5: nearest is voxel 4, as halves go up.
    let map = DAffine3::from_translation(DVec3::new(3.5, 0.0, 0.0));
    assert_eq!(
        vote_filtered(&stripes, [8, 1, 1], &map, [1, 1, 1], 0, &filter),
        [3]
    );
    // A hair below the middle voxel 3 is the nearest; the shares are still equal within rounding.
    let map = DAffine3::from_translation(DVec3::new(3.5 - 2e-6, 0.0, 0.0));
    assert_eq!(
        vote_filtered(&stripes, [8, 1, 1], &map, [1, 1, 1], 0, &filter),
        [7]
    );
}

#[test]
fn a_reversed_axis_changes_no_tie() {
    // Every second output voxel is halfway between two voxels.
    let values = made([6, 1, 1], |x, _, _| [5u8, 1, 4, 2, 6, 3][x]);
    let reversed: Vec<u8> = values.iter().rev().copied().collect();
    let floats = |classes: &[u8]| classes.iter().map(|c| f32::from(*c)).collect::<Vec<_>>();
    let half = DAffine3::from_scale(DVec3::new(0.5, 1.0, 1.0));
    let from_reversed = DAffine3::from_translation(DVec3::new(5.0, 0.0, 0.0))
        * DAffine3::from_scale(DVec3::new(-1.0, 1.0, 1.0))
        * half;
    // Off the axes by a hair of a turn, which the voxel-by-voxel path reads.
    let turn = DAffine3::from_rotation_z(1e-4);
    let up = Filter {
        readings: [AxisReading::Nearest; 3],
        ..Filter::default()
    };
    let down = Filter {
        ties: Ties {
            up: [false, true, true],
        },
        ..up
    };
    let shape = [11, 1, 1];
    let read = |classes: &[u8], map: &DAffine3, filter: &Filter| {
        (
            vote_filtered(classes, [6, 1, 1], map, shape, 0, filter),
            sample_filtered(&floats(classes), [6, 1, 1], map, shape, 0.0, filter),
        )
    };
    let expected = vec![5, 1, 1, 4, 4, 2, 2, 6, 6, 3, 3];
    for turn in [DAffine3::IDENTITY, turn] {
        let (labels, image) = read(&values, &(half * turn), &up);
        assert_eq!((&labels, image), (&expected, floats(&expected)), "{turn:?}");
        let (labels, image) = read(&reversed, &(from_reversed * turn), &down);
        assert_eq!((&labels, image), (&expected, floats(&expected)), "{turn:?}");
    }
}

#[test]
fn aligned_and_voxel_by_voxel_sampling_agree() {
    let map = map_of([
        [2.1, 0.0, 0.0, 0.4],
        [0.0, 1.6, 0.0, 0.3],
        [0.0, 0.0, 0.8, 0.2],
    ]);
    let shape = [8, 8, 14];
    let filter = Filter {
        readings: [
            AxisReading::Cubic,
            AxisReading::Linear,
            AxisReading::Nearest,
        ],
        sigma_xyz: [0.8, 0.5, 0.0],
        ..Filter::default()
    };
    let aligned = sample_filtered(&field(), SHAPE, &map, shape, 0.0, &filter);
    let mut smoothed = field();
    smooth_finite(&mut smoothed, SHAPE, filter.sigma_xyz, CUT);
    let mut single = vec![0.0; aligned.len()];
    oblique::interpolate(&smoothed, SHAPE, &map, shape, &filter, &mut single);
    for (a, b) in aligned.iter().zip(&single) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
    let aligned = vote_filtered(&classes(), SHAPE, &map, shape, 0, &filter);
    let mut single = vec![0; aligned.len()];
    oblique::vote(&classes(), SHAPE, &map, shape, &filter, &mut single);
    let differ = aligned.iter().zip(&single).filter(|(a, b)| a != b).count();
    assert!(
        differ * 500 < aligned.len(),
        "{differ} of {}",
        aligned.len()
    );
}

#[test]
fn one_voxel_volumes_and_far_grids_are_sampled() {
    let filter = Filter {
        readings: [AxisReading::Cubic; 3],
        sigma_xyz: [2.0; 3],
        ..Filter::default()
    };
    let map = DAffine3::from_translation(DVec3::new(-1.0, 0.0, 0.0));
    let out = sample_filtered(&[5.0], [1; 3], &map, [3, 1, 1], -9.0, &filter);
    assert_eq!([out[0], out[2]], [-9.0; 2]);
    assert!((out[1] - 5.0).abs() < 1e-5);
    let out = vote_filtered(&[5u8], [1; 3], &map, [3, 1, 1], 0, &filter);
    assert_eq!(out, [0, 5, 0]);
    let turned = DAffine3::from_rotation_z(0.5) * map;
    let out = vote_filtered(&[5u8], [1; 3], &turned, [3, 1, 1], 0, &filter);
    assert_eq!(out[1], 5);
}
