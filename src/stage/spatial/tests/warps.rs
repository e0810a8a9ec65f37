//! Steps that interpolate: where anatomy goes, and what stays.

use super::*;
use crate::draw::{DrawKey, Range};
use crate::stage::spatial::affine::{Affine, AffineDraw, InPlane};
use crate::stage::spatial::elastic::{Elastic, ElasticDraw};
use crate::stage::spatial::misalign::Misalign;
use crate::stage::spatial::motion::{FOLDS_NOTHING, PerAxis, random_bend};
use crate::stage::{Augment, AugmentStage};
use crate::volume::{Dtype, LabelInterpolation, Warp};
use glam::DMat3;

const CENTRES: [[f64; 3]; 3] = [[14.0, 20.0, 12.0], [30.0, 17.5, 15.0], [22.0, 30.0, 9.0]];

/// Three balls with soft rims in CT, each of its own class, and the same in an MR that is in register.
pub(super) fn balls() -> Row {
    let grid = oblique([44, 46, 26], [1.0, 1.0, 1.5], 0.3);
    let ball = |at: [usize; 3], b: usize| {
        let d = (0..3).map(|a| (at[a] as f64 - CENTRES[b][a]) * [1.0, 1.0, 1.5][a]);
        (d.map(|d| d * d).sum::<f64>() / -18.0).exp() as f32
    };
    let sum = move |at| (0..3).map(|b| ball(at, b)).sum::<f32>();
    let class = move |at| {
        (0..3)
            .find(|b| ball(at, *b) > 0.5)
            .map_or(0, |b| b as u8 + 1)
    };
    row(
        vec![
            channel("ct", Some(filled(grid, sum))),
            channel("mr", Some(filled(grid, move |at| 2.0 - sum(at)))),
        ],
        vec![
            channel("", Some(filled(grid, class))),
            channel("mr", Some(filled(grid, class))),
        ],
    )
}

/// World point of the middle of a class.
pub(super) fn middle_of(labels: &Volume, class: u8) -> DVec3 {
    let (stored, grid) = (labels.as_slice::<u8>().unwrap(), labels.grid());
    let [nx, ny, _] = grid.shape_xyz();
    let hits: Vec<DVec3> = (0..stored.len())
        .filter(|&i| stored[i] == class)
        .map(|i| DVec3::new((i % nx) as f64, (i / nx % ny) as f64, (i / nx / ny) as f64))
        .collect();
    assert!(!hits.is_empty(), "class {class} is there");
    let mean = hits.iter().sum::<DVec3>() / hits.len() as f64;
    grid.world_from_voxel().transform_point3(mean)
}

fn count(labels: &Volume, class: u8) -> f64 {
    let stored = labels.as_slice::<u8>().unwrap();
    stored.iter().filter(|v| **v == class).count() as f64
}

/// Where the first ball's light is, weighted by brightness.
pub(super) fn light(volume: &Volume) -> DVec3 {
    let (values, grid) = (volume.to_f32(), volume.grid());
    let [nx, ny, _] = grid.shape_xyz();
    let (mut sum, mut weight) = (DVec3::ZERO, 0.0);
    for (i, &v) in values.iter().enumerate() {
        let at = DVec3::new((i % nx) as f64, (i / nx % ny) as f64, (i / nx / ny) as f64);
        sum += at * f64::from(v);
        weight += f64::from(v);
    }
    grid.world_from_voxel().transform_point3(sum / weight)
}

pub(super) fn bits(row: &Row) -> Vec<(Dtype, Vec<u8>)> {
    let volumes = row.volumes();
    volumes
        .map(|(_, v)| (v.dtype(), v.buffer().to_vec()))
        .collect()
}

pub(super) fn draws<A: Augment>(stage: &A, row: &Row, count: u32) -> Vec<Option<A::Draw>> {
    let draw = |sample| {
        let key = DrawKey {
            seed: 3,
            epoch: 0,
            subject: "s01",
            sample,
        };
        stage.draw(&mut key.rng("stages[0]"), row, 0)
    };
    (0..count).map(draw).collect()
}

#[test]
fn a_turn_puts_landmarks_where_it_says() {
    let row = balls();
    let grid = *label(&row).grid();
    let draw = AffineDraw {
        rotation_deg: [10.0, -15.0, 30.0],
        scale: [1.2, 1.2, 1.2],
        translation_mm: [2.0, -1.5, 3.0],
        ..AffineDraw::STILL
    };
    let out = Affine::default().apply(&draw, row.clone()).unwrap();
    assert_eq!(label(&out).grid(), &grid);
    let [x, y, z] = draw.rotation_deg.map(|d| f64::from(d).to_radians());
    let turn = DMat3::from_rotation_z(z) * DMat3::from_rotation_y(y) * DMat3::from_rotation_x(x);
    // Axes of this grid: orthogonal, x reversed.
    let spacing = DVec3::from(grid.spacing_mm());
    let axes = grid.world_from_voxel().matrix3 * DMat3::from_diagonal(spacing.recip());
    let centre = grid
        .world_from_voxel()
        .transform_point3(DVec3::new(21.5, 22.5, 12.5));
    for class in 1..=3 {
        let before = axes.transpose() * (middle_of(label(&row), class) - centre);
        let after = turn * before * 1.2 + DVec3::new(2.0, -1.5, 3.0);
        let expected = axes * after + centre;
        for labels in &out.labels {
            let found = middle_of(labels.volume.as_ref().unwrap(), class);
            assert!(
                found.distance(expected) < 0.2,
                "{class}: {found} {expected}"
            );
        }
        let growth = count(label(&out), class) / count(label(&row), class);
        assert!(
            (growth - 1.2f64.powi(3)).abs() < 0.1,
            "larger is larger: {growth}"
        );
    }
    // Images go where labels go.
    let dimmest = |volume: &Volume, class: u8| {
        let values = volume.to_f32();
        let labels = out.labels[0].volume.as_ref().unwrap();
        let inside = labels.as_slice::<u8>().unwrap().iter().zip(values.iter());
        let inside = inside.filter(|(c, _)| **c == class).map(|(_, v)| *v);
        inside.fold(f32::INFINITY, f32::min)
    };
    assert!((1..=3).all(|class| dimmest(image(&out, 0), class) > 0.3));
}

#[test]
fn nothing_drawn_keeps_every_bit() {
    let grid = oblique([9, 8, 7], [1.0, 1.2, 1.5], 0.4);
    let input = row(
        vec![channel("ct", Some(filled(grid, |i| field(i) as i16)))],
        vec![channel("ct", Some(filled(grid, label_field)))],
    );
    let still = Affine::default().apply(&AffineDraw::STILL, input.clone());
    assert_eq!(bits(&still.unwrap()), bits(&input));
    let unbent = ElasticDraw {
        max_mm: 0.0,
        seed: 5,
    };
    let unbent = Elastic::default().apply(&unbent, input.clone());
    assert_eq!(bits(&unbent.unwrap()), bits(&input));
    let zero = Misalign {
        modalities: vec!["ct".to_owned()],
        shift_voxels: Some(Range::Fixed(0.0)),
        ..Misalign::default()
    };
    assert_eq!(draws(&zero, &input, 9), vec![None; 9]);
    let fixed = |value| Range::Fixed(value);
    let none = Affine {
        rotation_deg: PerAxis::All(fixed(0.0)),
        scale: fixed(1.0),
        in_plane: InPlane::Never,
        p_rotation: 1.0,
        p_scale: 1.0,
        ..Affine::default()
    };
    assert_eq!(draws(&none, &input, 9), vec![None; 9]);
    let none = Elastic {
        displacement_mm: fixed(0.0),
        p: 1.0,
        ..Elastic::default()
    };
    assert_eq!(draws(&none, &input, 9), vec![None; 9]);
}

#[test]
fn turn_and_scale_happen_each_with_its_probability() {
    let stage = Affine {
        p: 0.8,
        p_rotation: 0.25,
        p_scale: 0.5,
        ..Affine::default()
    };
    let n = 2000;
    let drawn: Vec<AffineDraw> = (draws(&stage, &balls(), n).into_iter().flatten()).collect();
    let share = |test: &dyn Fn(&AffineDraw) -> bool| {
        drawn.iter().filter(|d| test(d)).count() as f64 / f64::from(n)
    };
    let turned = |d: &AffineDraw| d.rotation_deg != [0.0; 3];
    let scaled = |d: &AffineDraw| d.scale != [1.0; 3];
    for (expected, found) in [
        (0.2, share(&turned)),
        (0.4, share(&scaled)),
        (0.1, share(&|d| turned(d) && scaled(d))),
    ] {
        let error = 4.0 * (expected * (1.0 - expected) / f64::from(n)).sqrt();
        assert!((found - expected).abs() < error, "{found} {expected}");
    }
    assert!(drawn.iter().all(|d| d.scale[0] == d.scale[2]));
    let each = Affine {
        anisotropic: true,
        p_scale: 1.0,
        ..Affine::default()
    };
    let mut drawn = draws(&each, &balls(), 9).into_iter().flatten();
    assert!(drawn.all(|d| d.scale[0] != d.scale[1] && d.scale[1] != d.scale[2]));
}

#[test]
fn slices_stay_in_their_plane() {
    let grid = oblique([30, 32, 6], [1.0, 1.0, 5.0], 0.2);
    let input = row(
        vec![channel(
            "ct",
            Some(filled(grid, |[_, _, z]| z as f32 + 1.0)),
        )],
        vec![],
    );
    let stage = Affine {
        p_rotation: 1.0,
        p_scale: 1.0,
        p_shear: 1.0,
        p_translation: 1.0,
        shear_deg: PerAxis::uniform(-10.0, 10.0),
        translation_mm: PerAxis::uniform(-3.0, 3.0),
        ..Affine::default()
    };
    for draw in draws(&stage, &input, 6).into_iter().flatten() {
        assert!(draw.rotation_deg[0] == 0.0 && draw.rotation_deg[2] != 0.0);
        assert!(draw.shear_deg[0] != 0.0 && draw.shear_deg[1..] == [0.0; 2]);
        let out = stage.apply(&draw, input.clone()).unwrap();
        let values = image(&out, 0).to_f32();
        for (z, slice) in values.chunks(30 * 32).enumerate() {
            // Its own slice, or what is outside: the minimum.
            let count = |value: f32| slice.iter().filter(|v| (**v - value).abs() < 1e-5).count();
            let (own, out) = (count(z as f32 + 1.0), count(1.0));
            assert!(
                own > 300 && (z == 0 || own + out == slice.len()),
                "slice {z}"
            );
        }
    }
    let cube = Affine {
        in_plane: InPlane::Never,
        ..stage
    };
    let mut draws = draws(&cube, &input, 6).into_iter().flatten();
    assert!(draws.all(|d| d.rotation_deg[0] != 0.0));
}

#[test]
fn bends_move_landmarks_and_fold_nothing() {
    let row = balls();
    let stage = Elastic {
        control_spacing_mm: 12.0,
        ..Elastic::default()
    };
    for seed in 0..4 {
        let draw = ElasticDraw {
            max_mm: (FOLDS_NOTHING * 12.0) as f32,
            seed,
        };
        let grid = *label(&row).grid();
        let bend = random_bend(&grid, 12.0, draw.max_mm, seed, None).unwrap();
        let warp = Warp::Elastic(bend);
        let out = stage.apply(&draw, row.clone()).unwrap();
        for class in 1..=3 {
            let expected = warp.moved_point(middle_of(label(&row), class));
            let found = middle_of(label(&out), class);
            assert!(
                found.distance(expected) < 0.7,
                "{class}: {found} {expected}"
            );
        }
        let mut least = f64::INFINITY;
        for i in 0..grid.voxel_count() / 5 {
            let at = [i * 5 % 44, i * 5 / 44 % 46, i * 5 / 44 / 46].map(|n| n as f64);
            let world = grid.world_from_voxel().transform_point3(DVec3::from(at));
            let h = 1e-3;
            let slope = |axis: DVec3| {
                (warp.source_point(world + axis * h) - warp.source_point(world - axis * h))
                    / (2.0 * h)
            };
            let jacobian = DMat3::from_cols(slope(DVec3::X), slope(DVec3::Y), slope(DVec3::Z));
            least = least.min(jacobian.determinant());
        }
        assert!(least > 0.0 && least < 0.9, "{least}");
    }
}

#[test]
fn labels_hold_declared_classes_only() {
    let grid = oblique([20, 18, 16], [1.0, 1.2, 1.5], 0.4);
    let classes = [0u16, 7, 300, 65_535];
    let labels = filled(grid, |i| classes[field(i) as usize % 4]);
    let input = row(vec![], vec![channel("", Some(labels))]);
    for labels in [LabelInterpolation::Nearest, LabelInterpolation::Linear] {
        let stages: [Box<dyn AnyStage>; 2] = [
            Box::new(AugmentStage(Affine {
                p_rotation: 1.0,
                p_scale: 1.0,
                labels,
                ..Affine::default()
            })),
            Box::new(AugmentStage(Elastic {
                images: Default::default(),
                control_spacing_mm: 8.0,
                displacement_mm: Range::Fixed(3.0),
                p: 1.0,
                labels,
                ..Elastic::default()
            })),
        ];
        for stage in stages {
            let out = run(stage.as_ref(), input.clone()).remove(0);
            assert_ne!(bits(&out), bits(&input));
            let found = label(&out).as_slice::<u16>().unwrap();
            assert!(found.iter().all(|v| classes.contains(v)));
        }
    }
}
