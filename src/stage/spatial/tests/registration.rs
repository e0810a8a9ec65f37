//! What `register_check` measures, and what its policies do.

use super::*;
use crate::stage::spatial::register_check::{Policy, RegisterCheck};
use crate::stage::{MapStage, Stage, StageError};

/// CT and an MR of another contrast, whose anatomy is `shift_mm` further along x, on a grid of its own.
fn pair(shift_mm: f64, mr: Grid) -> Row {
    let ct = Grid::with_spacing([48, 40, 30], [1.5; 3]).unwrap();
    let anatomy = |p: DVec3| (p.x / 6.0).sin() + (p.y / 5.0).cos() + (p.z / 4.0).sin();
    let at = |grid: &Grid, i: [usize; 3]| {
        (grid.world_from_voxel()).transform_point3(DVec3::from(i.map(|n| n as f64)))
    };
    let shift = DVec3::new(shift_mm, 0.0, 0.0);
    row(
        vec![
            channel("pet", None),
            channel("ct", Some(filled(ct, |i| anatomy(at(&ct, i)) as f32))),
            channel(
                "mr",
                Some(filled(mr, |i| {
                    (anatomy(at(&mr, i) - shift) - 0.7).powi(2) as f32
                })),
            ),
        ],
        vec![
            channel("ct", Some(filled(ct, label_field))),
            channel("mr", Some(filled(mr, label_field))),
        ],
    )
}

fn same() -> Grid {
    Grid::with_spacing([48, 40, 30], [1.5; 3]).unwrap()
}

fn finer() -> Grid {
    Grid::with_spacing([72, 60, 45], [1.0; 3]).unwrap()
}

fn checked(policy: Policy, row: Row) -> Result<Row, StageError> {
    let stage = RegisterCheck {
        policy,
        ..RegisterCheck::default()
    };
    let planned = stage.check(&schema_of(&row)).unwrap();
    let out = stage.map(row)?.remove(0);
    for (plan, is) in planned.channels.iter().zip(schema_of(&out).channels) {
        assert!(
            plan.shape_xyz.is_none() || is.shape_xyz.is_none() || plan.shape_xyz == is.shape_xyz
        );
    }
    Ok(out)
}

#[test]
fn registered_modalities_pass_on_their_own_grids() {
    for policy in [Policy::Fail, Policy::Warn, Policy::Drop] {
        for mr in [same(), finer()] {
            let out = checked(policy, pair(0.0, mr)).unwrap();
            let found: Vec<(&str, &str)> = (out.quality.iter())
                .map(|m| (m.modality.as_str(), m.name.trim_start_matches("register_")))
                .collect();
            let names = ["corner_mm", "overlap", "nmi", "nmi_shifted"];
            assert_eq!(found, names.map(|name| ("mr", name)));
            assert!(out.quality[2].value > out.quality[3].value);
            assert_eq!(image(&out, 2).grid(), &mr);
            assert!(out.images[0].volume.is_none());
        }
    }
    let out = checked(Policy::Resample, pair(0.0, finer())).unwrap();
    assert!(out.volumes().all(|(_, v)| v.grid() == &same()));
    assert_eq!(
        image(&out, 1).to_f32(),
        image(&pair(0.0, same()), 1).to_f32()
    );
}

#[test]
fn anatomy_out_of_place_is_found_and_treated_as_asked() {
    let off = || pair(6.0, finer());
    for policy in [Policy::Fail, Policy::Resample] {
        let error = checked(policy, off()).unwrap_err().to_string();
        assert!(
            error.contains("`image.mr`") && error.contains("[4, 0, 0]"),
            "{error}"
        );
    }
    assert!(
        checked(Policy::Warn, off()).unwrap().images[2]
            .volume
            .is_some()
    );
    let dropped = checked(Policy::Drop, off()).unwrap();
    assert!(dropped.images[2].volume.is_none() && dropped.labels[1].volume.is_none());
    assert!(dropped.images[1].volume.is_some() && dropped.labels[0].volume.is_some());
}

#[test]
fn little_overlap_and_far_corners_are_found() {
    let half = same().window([24, 0, 0], [48, 40, 30]).unwrap();
    let error = checked(Policy::Fail, pair(0.0, half))
        .unwrap_err()
        .to_string();
    assert!(error.contains("covers 50.0 %"), "{error}");
    let near = same().window([2, 0, 0], [48, 40, 30]).unwrap();
    assert!(checked(Policy::Fail, pair(0.0, near)).is_ok());
    let strict = RegisterCheck {
        max_corner_mm: Some(1.0),
        like: Some("mr".to_owned()),
        ..RegisterCheck::default()
    };
    let error = strict.map(pair(0.0, near)).unwrap_err().to_string();
    assert!(
        error.contains("3.00 mm") && error.contains("`image.ct`"),
        "{error}"
    );
    let measured = strict.measure(image(&pair(0.0, near), 1), image(&pair(0.0, near), 2));
    assert!((measured.corner_mm - 3.0).abs() < 1e-9 && measured.likeness.is_some());
}

#[test]
fn mistakes_are_named() {
    let input = schema_of(&pair(0.0, same()));
    for (stage, part) in [
        (
            RegisterCheck {
                like: Some("us".to_owned()),
                ..RegisterCheck::default()
            },
            "`us`",
        ),
        (
            RegisterCheck {
                min_overlap: 1.5,
                ..RegisterCheck::default()
            },
            "1.5",
        ),
        (
            RegisterCheck {
                tolerance: f64::NAN,
                ..RegisterCheck::default()
            },
            "tolerance",
        ),
    ] {
        let error = stage.check(&input).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let alone = row(vec![], vec![]);
    assert_eq!(run(&MapStage(RegisterCheck::default()), alone).len(), 1);
}

#[test]
fn cubic_reading_keeps_a_parabola_that_linear_reading_cuts() {
    use crate::stage::spatial::resample::Resample;
    use crate::volume::ImageInterpolation;
    let grid = Grid::with_spacing([16, 16, 16], [1.0; 3]).unwrap();
    let parabola = |i: [usize; 3]| (i[0] * i[0]) as f32;
    let largest = |images| {
        let resample = Resample {
            spacing_mm: Some([Some(0.5), None, None]),
            images,
            ..Resample::default()
        };
        let subject = row(vec![channel("ct", Some(filled(grid, parabola)))], vec![]);
        let out = resample.map(subject).unwrap().remove(0);
        let values = image(&out, 0).to_f32().into_owned();
        let nx = image(&out, 0).grid().shape_xyz()[0];
        // Away from the ends, where voxels are repeated.
        let line = values[..nx].iter().enumerate().skip(4).take(nx - 8);
        line.map(|(i, v)| (v - (0.5 * i as f32).powi(2)).abs())
            .fold(0f32, f32::max)
    };
    assert!(largest(ImageInterpolation::Cubic) < 1e-3);
    assert!((largest(ImageInterpolation::Linear) - 0.25).abs() < 1e-3);
}
