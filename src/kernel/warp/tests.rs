mod cubic;
mod finite;
mod rates;

use super::*;
use crate::kernel::sample::{Ties, sample_linear, sample_nearest};
use glam::{DAffine3, DMat3, DVec3};

const SOURCE: [usize; 3] = [23, 18, 14];

type Shape = [usize; 3];

/// A function that has one job read by itself.
macro_rules! alone {
    ($name:ident, $job:ident, $value:ty, [$($generics:tt)*], [$($ties:expr)?]) => {
        fn $name $($generics)*(
            source: &[$value],
            from: Shape,
            route: &Route,
            shape: Shape,
            fill: $value,
        ) -> Vec<$value> {
            let mut out = vec![fill; shape.iter().product()];
            let job = $job::new(source, fill, &mut out, $($ties)?);
            gather(&mut [Box::new(job)], from, route, shape);
            out
        }
    };
}

alone!(linear, Linear, f32, [], []);
alone!(cubic, Cubic, f32, [], []);
alone!(nearest, Nearest, T, [<T: bytemuck::Pod>], [Ties::UP]);
alone!(voted, LabelLinear, T, [<T: bytemuck::Pod + PartialOrd>], [Ties::UP]);

fn field(shape: [usize; 3]) -> Vec<f32> {
    (0..shape.iter().product::<usize>())
        .map(|i| ((i * 7919) % 1013) as f32 / 101.3 - 5.0)
        .collect()
}

/// Patches of classes 1 to 5.
fn classes(shape: [usize; 3]) -> Vec<u16> {
    let [nx, ny, _] = shape;
    (0..shape.iter().product::<usize>())
        .map(|i| ((i % nx / 3 + 2 * (i / nx % ny / 4) + i / nx / ny / 2) % 5 + 1) as u16)
        .collect()
}

fn bend(shape_xyz: [usize; 3], size: f32, seed: u64, control_from_input: DAffine3) -> Step {
    let vectors = random_vectors(shape_xyz.iter().product(), seed);
    let displacement = vectors.iter().map(|v| v.map(|c| c * size)).collect();
    Step::Bend(Bend {
        control_from_input,
        shape_xyz,
        displacement,
    })
}

/// Control points 5.5, 7 and 6 input units apart, the first one before the input's origin.
fn control() -> DAffine3 {
    DAffine3::from_scale(DVec3::new(1.0 / 5.5, 1.0 / 7.0, 1.0 / 6.0))
        * DAffine3::from_translation(DVec3::new(6.0, 4.0, 5.0))
}

fn turn(angle: f64) -> DAffine3 {
    let middle = DVec3::new(11.0, 8.5, 6.5);
    DAffine3::from_translation(middle + DVec3::new(0.4, -0.7, 0.2))
        * DAffine3::from_rotation_z(angle)
        * DAffine3::from_rotation_x(0.6 * angle)
        * DAffine3::from_scale(DVec3::new(1.1, 0.9, 1.05))
        * DAffine3::from_translation(-middle)
}

/// Bend first, affine first, permuted axes, two bends, and a control grid smaller than the volume.
fn routes() -> Vec<(&'static str, Vec<Step>)> {
    let swap = DAffine3::from_mat3(DMat3::from_cols(DVec3::Y, DVec3::Z, -DVec3::X))
        * DAffine3::from_scale(DVec3::splat(0.9));
    let back = Step::Affine(swap.inverse());
    let away = DAffine3::from_translation(DVec3::new(0.0, 0.0, 20.0));
    vec![
        ("aligned", vec![bend([6, 5, 5], 1.6, 3, control())]),
        (
            "aligned, then turned",
            vec![
                Step::Affine(DAffine3::from_translation(DVec3::new(0.3, -1.0, 0.6))),
                bend([6, 5, 5], 1.6, 3, control()),
                Step::Affine(turn(0.3)),
            ],
        ),
        (
            "turned, then bent",
            vec![Step::Affine(turn(-0.4)), bend([6, 5, 5], 1.6, 4, control())],
        ),
        (
            "permuted",
            vec![
                Step::Affine(away * swap),
                bend([6, 5, 6], 1.2, 5, control()),
                Step::Affine(away.inverse()),
                back,
            ],
        ),
        (
            "two bends",
            vec![
                bend([6, 5, 5], 1.0, 6, control()),
                Step::Affine(turn(0.2)),
                bend([4, 4, 4], 0.8, 7, control() * turn(0.5)),
                Step::Affine(turn(-0.2)),
            ],
        ),
        (
            "small control grid",
            vec![bend([1, 2, 1], 1.4, 8, control())],
        ),
    ]
}

/// The definition, one voxel at a time in f64: weight of each of the 8 voxels around, or outside.
fn corners(route: &Route, source: [usize; 3], at: DVec3) -> Option<[([usize; 3], f64); 8]> {
    let p = route.point(at);
    let inside = (0..3).all(|a| {
        let reach = 0.5 * route.affine.matrix3.row(a).length().max(1.0) + 1e-6;
        p[a] >= -reach && p[a] <= source[a] as f64 - 1.0 + reach
    });
    inside.then(|| {
        let clamped = [0, 1, 2].map(|a| p[a].clamp(0.0, source[a] as f64 - 1.0));
        [0, 1, 2, 3, 4, 5, 6, 7].map(|corner| {
            let mut weight = 1.0;
            let voxel = [0, 1, 2].map(|a| {
                let low = clamped[a].floor();
                let high = corner >> a & 1 == 1;
                let w = clamped[a] - low;
                weight *= if high { w } else { 1.0 - w };
                (low as usize + usize::from(high)).min(source[a] - 1)
            });
            (voxel, weight)
        })
    })
}

fn each_voxel(shape: [usize; 3]) -> impl Iterator<Item = (usize, DVec3)> {
    (0..shape.iter().product::<usize>()).map(move |i| {
        let [x, y] = [shape[0], shape[1]];
        let at = [i % x, i / x % y, i / x / y].map(|n| n as f64);
        (i, DVec3::from(at))
    })
}

fn offset(shape: [usize; 3], voxel: [usize; 3]) -> usize {
    (voxel[2] * shape[1] + voxel[1]) * shape[0] + voxel[0]
}

#[test]
fn rows_lie_where_points_do() {
    for (name, steps) in routes() {
        let route = Route::new(steps);
        let shape = [1000, 3, 4];
        let mut walk = Walk::new(&route, SOURCE, shape);
        for z in 0..shape[2] {
            for y in 0..shape[1] {
                for (x, found) in walk.positions(y, z).into_iter().enumerate() {
                    let expected = route.point(DVec3::new(x as f64, y as f64, z as f64));
                    let error = DVec3::from(found).distance(expected);
                    assert!(error < 2e-6, "{name} at {x} {y} {z}: {error}");
                }
            }
        }
    }
}

#[test]
fn values_follow_the_definition() {
    let (source, shape) = (field(SOURCE), [25, 17, 15]);
    for (name, steps) in routes() {
        let route = Route::new(steps);
        let found = linear(&source, SOURCE, &route, shape, -9.0);
        let mut outside = 0;
        for (i, at) in each_voxel(shape) {
            let expected = match corners(&route, SOURCE, at) {
                None => -9.0,
                Some(corners) => (corners.iter())
                    .map(|(voxel, w)| w * f64::from(source[offset(SOURCE, *voxel)]))
                    .sum(),
            };
            outside += usize::from(expected == -9.0);
            let error = (f64::from(found[i]) - expected).abs();
            assert!(error < 5e-5, "{name} at {at}: {} {expected}", found[i]);
        }
        assert!(
            outside > 20 && outside < found.len() / 2,
            "{name}: {outside}"
        );
    }
}

#[test]
fn classes_follow_the_definition() {
    let (source, shape) = (classes(SOURCE), [25, 17, 15]);
    for (name, steps) in routes() {
        let route = Route::new(steps);
        let near = nearest(&source, SOURCE, &route, shape, 0);
        let heaviest = voted(&source, SOURCE, &route, shape, 0);
        let mut moved = 0;
        for (i, at) in each_voxel(shape) {
            let Some(corners) = corners(&route, SOURCE, at) else {
                assert_eq!([near[i], heaviest[i]], [0; 2], "{name} at {at}");
                continue;
            };
            let mut sums = [0.0; 6];
            for (voxel, w) in corners {
                sums[usize::from(source[offset(SOURCE, voxel)])] += w;
            }
            let most = sums.iter().copied().fold(0.0, f64::max);
            // Positions agree to 1e-6; whoever is that close to winning may win.
            assert!(
                sums[usize::from(heaviest[i])] > most - 1e-5,
                "{name} at {at}"
            );
            let p = route.point(at);
            let near_half = (0..3).any(|a| (p[a] - p[a].floor() - 0.5).abs() < 1e-5);
            if !near_half {
                let voxel =
                    [0, 1, 2].map(|a| ((p[a] + 0.5).floor().max(0.0) as usize).min(SOURCE[a] - 1));
                assert_eq!(near[i], source[offset(SOURCE, voxel)], "{name} at {at}");
            }
            moved += usize::from(heaviest[i] != near[i]);
        }
        assert!(
            moved > 0,
            "{name}: votes and nearest voxels differ somewhere"
        );
    }
}

#[test]
fn affine_routes_are_samples_and_no_move_is_exact() {
    let (source, labels) = (field(SOURCE), classes(SOURCE));
    let still = bend([3, 3, 3], 0.0, 1, control());
    let there = DAffine3::from_translation(DVec3::new(0.0, 0.0, 0.5)) * turn(0.4);
    let route = Route::new(vec![
        Step::Affine(there),
        still.clone(),
        Step::Affine(turn(0.1)),
    ]);
    let map = turn(0.1) * there;
    assert_eq!(route.as_affine(), Some(map));
    let walked = linear(&source, SOURCE, &route, [9, 8, 7], -1.0);
    let sampled = sample_linear(&source, SOURCE, &map, [9, 8, 7], -1.0);
    for (walked, sampled) in walked.iter().zip(&sampled) {
        assert!((walked - sampled).abs() < 1e-5, "{walked} {sampled}");
    }
    assert_eq!(
        nearest(&labels, SOURCE, &route, [9, 8, 7], 9),
        sample_nearest(&labels, SOURCE, &map, [9, 8, 7], 9, Ties::UP)
    );
    for identity in [Route::new(vec![]), Route::new(vec![still])] {
        assert_eq!(linear(&source, SOURCE, &identity, SOURCE, 0.0), source);
        assert_eq!(cubic(&source, SOURCE, &identity, SOURCE, 0.0), source);
        assert_eq!(nearest(&labels, SOURCE, &identity, SOURCE, 0), labels);
        assert_eq!(voted(&labels, SOURCE, &identity, SOURCE, 0), labels);
    }
}

#[test]
fn a_bend_by_whole_voxels_is_exact() {
    let (source, shape) = (field(SOURCE), [20, 15, 12]);
    let Step::Bend(mut whole) = bend([5, 4, 4], 0.0, 1, control()) else {
        unreachable!()
    };
    whole.displacement = vec![[2.0, -1.0, 1.0]; 80].into();
    let route = Route::new(vec![Step::Bend(whole)]);
    let found = linear(&source, SOURCE, &route, shape, 7.5);
    for (i, at) in each_voxel(shape) {
        let at = at + DVec3::new(2.0, -1.0, 1.0);
        let expected = if at.y < 0.0 {
            7.5
        } else {
            source[offset(SOURCE, at.to_array().map(|v| v as usize))]
        };
        assert_eq!(found[i], expected, "{at}");
    }
}

#[test]
fn many_volumes_in_one_pass_are_the_same_as_each_alone() {
    let (source, labels) = (field(SOURCE), classes(SOURCE));
    let small: Vec<u8> = labels.iter().map(|v| *v as u8).collect();
    let shape = [25, 17, 15];
    let count = shape.iter().product();
    let mut all = routes();
    all.push(("affine", vec![Step::Affine(turn(0.25))]));
    for (name, steps) in all {
        let route = Route::new(steps);
        let mut values = [vec![0.0; count], vec![0.0; count]];
        let (mut near, mut heaviest) = (vec![0u8; count], vec![0u16; count]);
        let [first, second] = &mut values;
        gather(
            &mut [
                Box::new(Linear::new(&source, 1.0, first)),
                Box::new(Nearest::new(&small, 9, &mut near, Ties::UP)),
                Box::new(Cubic::new(&source, 2.0, second)),
                Box::new(LabelLinear::new(&labels, 8, &mut heaviest, Ties::UP)),
            ],
            SOURCE,
            &route,
            shape,
        );
        let alone = linear(&source, SOURCE, &route, shape, 1.0);
        assert_eq!(values[0], alone, "{name}");
        let alone = cubic(&source, SOURCE, &route, shape, 2.0);
        assert_eq!(values[1], alone, "{name}");
        assert_eq!(near, nearest(&small, SOURCE, &route, shape, 9), "{name}");
        let alone = voted(&labels, SOURCE, &route, shape, 8);
        assert_eq!(heaviest, alone, "{name}");
    }
}

#[test]
fn slices_and_far_or_mad_routes_are_fine() {
    let source = field([4, 4, 1]);
    let flat = [4, 4, 1];
    let route = Route::new(vec![bend([4, 4, 3], 0.4, 2, control())]);
    let found = linear(&source, flat, &route, flat, -9.0);
    for (i, at) in each_voxel(flat) {
        let expected: f64 = corners(&route, flat, at).map_or(-9.0, |corners| {
            let values = corners.iter();
            values
                .map(|(v, w)| w * f64::from(source[offset(flat, *v)]))
                .sum()
        });
        assert!((f64::from(found[i]) - expected).abs() < 1e-5);
    }
    for far in [1e12, -1e300, f64::NAN] {
        let route = Route::new(vec![
            Step::Affine(DAffine3::from_translation(DVec3::splat(far)) * turn(0.1)),
            bend([4, 4, 3], 0.4, 2, control()),
        ]);
        assert_eq!(linear(&source, flat, &route, [2; 3], -9.0), [-9.0; 8]);
        assert_eq!(nearest(&source, flat, &route, [2; 3], -9.0), [-9.0; 8]);
    }
    assert!(linear(&source, flat, &route, [0, 3, 3], 0.0).is_empty());
}
