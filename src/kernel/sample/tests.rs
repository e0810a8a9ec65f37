use super::*;
use glam::{DMat3, DVec3};
use proptest::prelude::*;

const SOURCE: [usize; 3] = [11, 8, 6];

fn field(shape: [usize; 3]) -> Vec<f32> {
    (0..shape.iter().product::<usize>())
        .map(|i| ((i * 7919) % 1013) as f32 / 101.3 - 5.0)
        .collect()
}

/// Maps along the axes, in any order and direction; some voxels of their outputs are outside of [`SOURCE`].
fn along_axes(scale: [f64; 3], bits: u8, order: usize, shift: [f64; 3]) -> DAffine3 {
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    let mut columns = [DVec3::ZERO; 3];
    let mut offset = DVec3::from(shift);
    for (output, column) in columns.iter_mut().enumerate() {
        let axis = orders[order][output];
        let reversed = bits >> output & 1 == 1;
        column[axis] = if reversed {
            -scale[output]
        } else {
            scale[output]
        };
        if reversed {
            offset[axis] += SOURCE[axis] as f64;
        }
    }
    DAffine3 {
        matrix3: DMat3::from_cols(columns[0], columns[1], columns[2]),
        translation: offset,
    }
}

/// Maps that follow no axis.
fn oblique(angles: [f64; 3], scale: [f64; 3], shift: [f64; 3]) -> DAffine3 {
    let turn = DAffine3::from_rotation_z(angles[0])
        * DAffine3::from_rotation_y(angles[1])
        * DAffine3::from_rotation_x(angles[2]);
    let middle = DVec3::new(5.0, 3.5, 2.5);
    DAffine3::from_translation(middle + DVec3::from(shift))
        * turn
        * DAffine3::from_scale(DVec3::from(scale))
        * DAffine3::from_translation(-middle)
}

/// The definition, one voxel at a time in f64.
fn by_definition(
    source: &[f32],
    source_shape: [usize; 3],
    map: &DAffine3,
    shape: [usize; 3],
    fill: f64,
    is_linear: bool,
) -> Vec<f64> {
    let at =
        |i: [usize; 3]| f64::from(source[(i[2] * source_shape[1] + i[1]) * source_shape[0] + i[0]]);
    let mut out = Vec::new();
    for i in 0..shape.iter().product::<usize>() {
        let index = DVec3::new(
            (i % shape[0]) as f64,
            (i / shape[0] % shape[1]) as f64,
            (i / shape[0] / shape[1]) as f64,
        );
        let p = map.transform_point3(index);
        let inside = (0..3).all(|a| {
            let row = map.matrix3.row(a).length();
            let reach = 0.5 * row.max(1.0) + 1e-6;
            p[a] >= -reach && p[a] <= source_shape[a] as f64 - 1.0 + reach
        });
        let clamped = [0, 1, 2].map(|a| p[a].clamp(0.0, source_shape[a] as f64 - 1.0));
        out.push(if !inside {
            fill
        } else if is_linear {
            let low = clamped.map(|p| p.floor());
            let mut sum = 0.0;
            for corner in 0..8 {
                let mut weight = 1.0;
                let corner_at = [0, 1, 2].map(|a| {
                    let w = clamped[a] - low[a];
                    let high = corner >> a & 1 == 1;
                    weight *= if high { w } else { 1.0 - w };
                    (low[a] as usize + usize::from(high)).min(source_shape[a] - 1)
                });
                sum += weight * at(corner_at);
            }
            sum
        } else {
            at([0, 1, 2]
                .map(|a| ((p[a] + 0.5 + 1e-6).floor().max(0.0) as usize).min(source_shape[a] - 1)))
        });
    }
    out
}

fn largest_difference(map: &DAffine3, shape: [usize; 3]) -> (f64, f64) {
    let source = field(SOURCE);
    let difference = |out: Vec<f32>, expected: Vec<f64>| {
        out.iter()
            .zip(&expected)
            .map(|(a, b)| (f64::from(*a) - b).abs())
            .fold(0.0, f64::max)
    };
    let linear = difference(
        sample_linear(&source, SOURCE, map, shape, -9.0),
        by_definition(&source, SOURCE, map, shape, -9.0, true),
    );
    let nearest = difference(
        sample_nearest(&source, SOURCE, map, shape, -9.0, Ties::UP),
        by_definition(&source, SOURCE, map, shape, -9.0, false),
    );
    (linear, nearest)
}

#[test]
fn identity_is_exact() {
    let source = field(SOURCE);
    assert_eq!(
        sample_linear(&source, SOURCE, &DAffine3::IDENTITY, SOURCE, 0.0),
        source
    );
    assert_eq!(
        sample_nearest(&source, SOURCE, &DAffine3::IDENTITY, SOURCE, 0.0, Ties::UP),
        source
    );
}

#[test]
fn an_infinite_neighbour_without_weight_does_not_count() {
    let mut source = field(SOURCE);
    source[5] = f32::INFINITY;
    let map = DAffine3::from_scale(DVec3::new(0.5, 1.0, 1.0));
    let out = sample_linear(&source, SOURCE, &map, [21, 8, 6], 0.0);
    assert_eq!(out[8], source[4]);
    assert!(out[9].is_infinite() && out[10].is_infinite());
}

#[test]
fn single_slices_and_far_maps_are_fine() {
    let source = field([4, 4, 1]);
    let turn = DAffine3::from_rotation_z(0.1);
    let out = sample_linear(&source, [4, 4, 1], &turn, [4, 4, 1], -9.0);
    let expected = by_definition(&source, [4, 4, 1], &turn, [4, 4, 1], -9.0, true);
    for (a, b) in out.iter().zip(expected) {
        assert!((f64::from(*a) - b).abs() < 1e-5);
    }
    let far = DAffine3::from_translation(DVec3::splat(1e12)) * turn;
    assert_eq!(
        sample_linear(&source, [4, 4, 1], &far, [2, 2, 2], -9.0),
        [-9.0; 8]
    );
    assert_eq!(
        sample_nearest(&source, [4, 4, 1], &far, [2, 2, 2], -9.0, Ties::UP),
        [-9.0; 8]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn separable_maps_follow_the_definition(
        scale in prop::array::uniform3(0.3..2.5f64),
        bits in 0u8..8,
        order in 0usize..6,
        shift in prop::array::uniform3(-3.0..3.0f64),
    ) {
        let map = along_axes(scale, bits, order, shift);
        prop_assert!(source_axes(&map, [9, 10, 7]).is_some());
        let (linear, nearest) = largest_difference(&map, [9, 10, 7]);
        prop_assert!(linear < 1e-5 && nearest == 0.0, "{linear} {nearest}");
    }

    #[test]
    fn general_maps_follow_the_definition(
        angles in prop::array::uniform3(-3.0..3.0f64),
        scale in prop::array::uniform3(0.3..2.5f64),
        shift in prop::array::uniform3(-3.0..3.0f64),
    ) {
        let map = oblique(angles, scale, shift);
        let (linear, _) = largest_difference(&map, [9, 10, 7]);
        prop_assert!(linear < 1e-5, "{linear}");
    }

    #[test]
    fn voxels_of_one_value_keep_it_and_no_value_is_beyond_others(
        angles in prop::array::uniform3(-3.0..3.0f64),
        scale in prop::array::uniform3(0.3..2.5f64),
        bits in 0u8..8,
        order in 0usize..6,
        shift in prop::array::uniform3(-3.0..3.0f64),
        value in -2000.0..2000.0f32,
    ) {
        let flat = vec![value; SOURCE.into_iter().product()];
        // Steps between a background and values far from it.
        let steps: Vec<f32> = field(SOURCE).iter().map(|v| if *v > 1.0 { 3071.0 } else { value }).collect();
        for map in [along_axes(scale, bits, order, shift), oblique(angles, scale, shift)] {
            let found = sample_linear(&flat, SOURCE, &map, [9, 10, 7], value);
            prop_assert!(found.iter().all(|v| *v == value));
            let found = sample_linear(&steps, SOURCE, &map, [9, 10, 7], value);
            prop_assert!(found.iter().all(|v| (value..=3071.0).contains(v)));
        }
    }
}

#[test]
fn general_nearest_follows_the_definition() {
    // Fixed maps: a drawn one may put a voxel within rounding of a half.
    for angle in [0.3, 1.1, -2.0] {
        let map = DAffine3::from_translation(DVec3::new(1.03, 2.07, 0.51))
            * DAffine3::from_rotation_z(angle)
            * DAffine3::from_rotation_x(0.4 * angle)
            * DAffine3::from_scale(DVec3::new(0.83, 1.17, 0.71));
        assert!(source_axes(&map, [12, 10, 9]).is_none());
        assert_eq!(largest_difference(&map, [12, 10, 9]).1, 0.0, "{angle}");
    }
}

/// Run with `--ignored --nocapture` to see voxel rates.
#[test]
#[ignore = "a measurement, not a check"]
fn voxel_rates() {
    let n = 128;
    let shape = [n; 3];
    let source = field(shape);
    let labels: Vec<u8> = source.iter().map(|v| v.abs() as u8).collect();
    let axis = DAffine3::from_scale(DVec3::splat(0.97));
    let turn = DAffine3::from_translation(DVec3::splat(20.0))
        * DAffine3::from_rotation_z(0.2)
        * DAffine3::from_rotation_x(0.1)
        * DAffine3::from_scale(DVec3::splat(0.8));
    let inner = DAffine3::from_translation(DVec3::splat(25.0))
        * DAffine3::from_rotation_z(0.2)
        * DAffine3::from_rotation_x(0.1)
        * DAffine3::from_scale(DVec3::splat(0.5));
    for (name, map) in [
        ("axis-aligned", axis),
        ("general", turn),
        ("general, wholly inside", inner),
    ] {
        let best = |run: &dyn Fn() -> usize| {
            (0..9)
                .map(|_| {
                    let start = std::time::Instant::now();
                    std::hint::black_box(run());
                    start.elapsed().as_secs_f64()
                })
                .fold(f64::INFINITY, f64::min)
        };
        let linear = best(&|| sample_linear(&source, shape, &map, shape, 0.0).len());
        let nearest = best(&|| sample_nearest(&labels, shape, &map, shape, 0, Ties::UP).len());
        let rate = |seconds: f64| (n * n * n) as f64 / 1e6 / seconds;
        eprintln!(
            "{name}: linear {:.0}, nearest {:.0} Mvoxel/s",
            rate(linear),
            rate(nearest)
        );
    }
}

#[test]
fn a_voxel_without_weight_spreads_nothing_through_any_map() {
    let mut source = field(SOURCE);
    let index = |[x, y, z]: [usize; 3]| (z * SOURCE[1] + y) * SOURCE[0] + x;
    for odd in [f32::NAN, f32::INFINITY] {
        for at in [[3, 3, 1], [2, 4, 1], [2, 3, 2], [3, 4, 2]] {
            source[index(at)] = odd;
        }
        // The first position is on voxel (2, 3, 1); the map is of no axis.
        let map = DAffine3::from_translation(DVec3::new(2.0, 3.0, 1.0))
            * DAffine3::from_rotation_z(0.3)
            * DAffine3::from_rotation_x(0.2);
        let found = sample_linear(&source, SOURCE, &map, [4, 3, 2], 0.0);
        assert_eq!(found[0], source[index([2, 3, 1])]);
        assert!(!found[1].is_finite(), "half of an odd voxel is odd");
    }
}
