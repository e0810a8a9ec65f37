//! Resampling that keeps small structures: antialiasing, labels by volume, thick slices.

use super::*;
use crate::draw::Range;
use crate::stage::spatial::elastic::{Elastic, ElasticDraw, ElasticInPlane};
use crate::stage::spatial::resample::{Resample, ResampledLabels, SeparateZ};
use crate::stage::{Augment, Stage};
use serde_json::Value;

mod lesions;

fn resampled(stage: &Resample, input: Row) -> Row {
    stage.map(input).unwrap().remove(0).materialised()
}

fn to(spacing_mm: [f64; 3]) -> Resample {
    Resample {
        spacing_mm: Some(spacing_mm.map(Some)),
        ..Resample::default()
    }
}

fn blob(grid: Grid) -> Volume {
    let [sx, sy, sz] = grid.spacing_mm();
    filled(grid, |[i, j, k]| {
        let (x, y, z) = (i as f64 * sx, j as f64 * sy, k as f64 * sz);
        let near = |a: f64, b: f64, c: f64, r: f64| {
            (-((x - a).powi(2) + (y - b).powi(2) + (z - c).powi(2)) / (2.0 * r * r)).exp()
        };
        (100.0 * near(15.0, 16.0, 17.0, 2.0) + 40.0 * near(22.0, 14.0, 12.0, 4.0) + x + 0.5 * z)
            as f32
    })
}

#[test]
fn antialias_agrees_with_the_filters_of_torchio() {
    let text = include_str!("../../../../tests/reference/filtered.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    let case = &reference["torchio"];
    let read = |key: &str| serde_json::from_value(case[key].clone()).unwrap();
    let shape: [usize; 3] = serde_json::from_value(case["shape"].clone()).unwrap();
    let (old_mm, new_mm): ([f64; 3], [f64; 3]) = (read("old_mm"), read("new_mm"));
    let grid = Grid::with_spacing(shape, old_mm).unwrap();
    let input = || row(vec![channel("ct", Some(blob(grid)))], vec![]);
    let filtered = Resample {
        antialias: true,
        ..to(new_mm)
    };
    let (with, without) = (
        resampled(&filtered, input()),
        resampled(&to(new_mm), input()),
    );
    let size: [usize; 3] = serde_json::from_value(case["size"].clone()).unwrap();
    assert_eq!(image(&with, 0).grid().shape_xyz(), size);
    let voxels: Vec<[usize; 3]> = serde_json::from_value(case["voxels"].clone()).unwrap();
    let values: Vec<f32> = serde_json::from_value(case["values"].clone()).unwrap();
    let furthest = |row: &Row| {
        let found = image(row, 0).to_f32();
        let pairs = voxels.iter().zip(&values);
        pairs.fold(0f32, |most, ([x, y, z], v)| {
            most.max((found[(z * size[1] + y) * size[0] + x] - v).abs())
        })
    };
    // SimpleITK's Gaussian is a recursive approximation: half a percent of the range of 120.
    assert!(furthest(&with) < 0.6, "{}", furthest(&with));
    assert!(furthest(&without) > 3.0, "{}", furthest(&without));
}

fn subject_to_resample() -> Row {
    let grid = oblique([26, 22, 17], [1.0, 1.2, 2.0], 0.2);
    let classes = filled(grid, |[x, y, z]| 1 + ((x / 4 + y / 5 + z / 3) % 3) as u16);
    row(
        vec![
            channel("ct", Some(filled(grid, |i| field(i) as i16 - 40))),
            channel(
                "mr",
                Some(filled(oblique([20, 21, 15], [1.3, 1.1, 2.2], 0.35), |i| {
                    field(i) as f32
                })),
            ),
        ],
        vec![channel("", Some(classes))],
    )
}

#[test]
fn deferred_and_materialised_chains_are_equal_around_a_filter() {
    let chains = [
        "[orient: { to: LPI }, resample: { spacing_mm: [2.5, 2.0, 3.0], antialias: true, labels: volume }, pad: { size: [20, 20, 20] }, flip: { axes: [x, z], p: 1 }]",
        "[crop: { size: [20, 18, 15] }, pad: { size: [24, 24, 24] }, resample: { spacing_mm: [1.7, 3.0, 2.0], antialias: true, images: cubic, labels: volume }, orient: { to: PSR }, crop: { size: [7, 6, 5] }]",
        "[orient: { to: SAL }, resample: { spacing_mm: [3.0, 1.0, 1.0], separate_z: always, labels: linear }, pad: { size: [14, 30, 30] }]",
    ];
    for text in chains {
        let document = crate::spec::node::Document::parse(text).unwrap();
        let stages: Vec<_> = (document.root().items())
            .map(|step| {
                let (key, body) = step.entries().next().unwrap();
                let name = key.text().unwrap().to_owned();
                let entry = plans::ENTRIES.iter().find(|e| e.name == name).unwrap();
                (entry.parse)(body).unwrap()
            })
            .collect();
        let mut input = subject_to_resample();
        if text.starts_with("[crop") {
            // A crop needs one grid.
            input.images.truncate(1);
        }
        let chain = |materialises: bool| {
            stages
                .iter()
                .enumerate()
                .fold(input.clone(), |row, (i, stage)| {
                    let row = stage
                        .run(&format!("stages[{i}]"), 3, row)
                        .unwrap()
                        .remove(0);
                    if materialises {
                        row.materialised()
                    } else {
                        row
                    }
                })
        };
        let (deferred, materialised) = (chain(false).materialised(), chain(true));
        for ((role, a), (_, b)) in deferred.volumes().zip(materialised.volumes()) {
            assert_eq!(
                (a.grid(), a.dtype()),
                (b.grid(), b.dtype()),
                "{text} {role:?}"
            );
            assert_eq!(a.buffer(), b.buffer(), "{text} {role:?}");
        }
    }
}

#[test]
fn a_finer_grid_is_resampled_the_same_with_and_without_antialias() {
    let finer = to([0.8, 1.0, 1.5]);
    let filtered = Resample {
        antialias: true,
        ..finer.clone()
    };
    let input = || {
        let mut row = subject_to_resample();
        row.images.truncate(1);
        row
    };
    let (with, without) = (resampled(&filtered, input()), resampled(&finer, input()));
    assert_eq!(image(&with, 0).buffer(), image(&without, 0).buffer());
}

#[test]
fn thick_slices_are_not_blended_with_separate_z() {
    let grid = Grid::with_spacing([12, 12, 6], [1.0, 1.0, 5.0]).unwrap();
    let slices = || {
        row(
            vec![channel(
                "ct",
                Some(filled(grid, |[x, _, z]| (100 * z + x) as f32)),
            )],
            vec![],
        )
    };
    let stage = |separate_z| Resample {
        separate_z,
        antialias: true,
        ..to([1.6, 1.0, 2.0])
    };
    let is_blended = |row: &Row| {
        let values = image(row, 0).to_f32();
        values.iter().any(|v| v % 100.0 > 12.0)
    };
    for separate in [SeparateZ::Auto, SeparateZ::Always] {
        assert!(!is_blended(&resampled(&stage(separate), slices())));
    }
    assert!(is_blended(&resampled(&stage(SeparateZ::Never), slices())));
    // The slices of the new grid are thick, along x; in between voxels of x the nearest is read.
    let even = Grid::with_spacing([12, 12, 12], [1.0; 3]).unwrap();
    let columns = row(
        vec![channel(
            "ct",
            Some(filled(even, |[x, y, _]| (100 * x + y) as f32)),
        )],
        vec![],
    );
    let stage = Resample {
        separate_z: SeparateZ::Auto,
        ..to([3.5, 0.9, 1.0])
    };
    assert!(!is_blended(&resampled(&stage, columns)));
}

#[test]
fn elastic_displaces_thick_slices_in_their_plane() {
    let stack = |thick_mm| {
        let grid = oblique([24, 24, 9], [1.0, 1.0, thick_mm], 0.3);
        row(
            vec![channel(
                "ct",
                Some(filled(grid, |[_, _, z]| 10.0 * z as f32)),
            )],
            vec![],
        )
    };
    let moves = |in_plane, thick_mm| {
        let stage = Elastic {
            control_spacing_mm: 8.0,
            displacement_mm: Range::Fixed(3.0),
            p: 1.0,
            in_plane,
            ..Elastic::default()
        };
        let draw = ElasticDraw {
            max_mm: 3.0,
            seed: 5,
        };
        let out = stage.apply(&draw, stack(thick_mm)).unwrap().materialised();
        let values = image(&out, 0).to_f32();
        let inner = |i: &usize| (6..18).contains(&(i % 24)) && (6..18).contains(&(i / 24 % 24));
        (0..values.len())
            .filter(inner)
            .any(|i| (values[i] - 10.0 * (i / 576) as f32).abs() > 1e-2)
    };
    assert!(!moves(ElasticInPlane::Auto, 4.0));
    assert!(
        moves(ElasticInPlane::Auto, 2.9),
        "2.9 mm slices are not thick"
    );
    assert!(!moves(ElasticInPlane::Always, 2.9));
    assert!(
        moves(ElasticInPlane::Always, 1.0),
        "even voxels have no slices"
    );
    assert!(moves(ElasticInPlane::Never, 4.0));
}
