//! Where patches are drawn.

use super::*;
use crate::draw::DrawKey;
use crate::stage::spatial::fill::{FillValue, OutsideFill};
use crate::stage::spatial::patch::{Patch, Windows};
use crate::stage::{Augment, AugmentStage};
use crate::volume::Dtype;

fn patch(size: [usize; 3], positive: f64) -> Patch {
    Patch {
        size,
        samples: 4,
        positive,
        classes: None,
        grid: None,
        fill: OutsideFill::default(),
    }
}

fn draws(stage: &Patch, row: &Row, count: u32) -> Vec<crate::stage::spatial::patch::PatchDraw> {
    (0..count)
        .map(|sample| {
            let key = DrawKey {
                seed: 3,
                epoch: 0,
                subject: "s",
                sample,
            };
            stage.draw(&mut key.rng("patch"), row, sample).unwrap()
        })
        .collect()
}

/// Class 1 fills a corner, class 2 is one voxel far from it.
fn subject() -> Row {
    let grid = Grid::with_spacing([20, 16, 12], [1.0; 3]).unwrap();
    let labels = filled(grid, |[x, y, z]| match [x, y, z] {
        [15, 9, 7] => 2u8,
        [0..4, 0..4, 0..4] => 1,
        _ => 0,
    });
    row(
        vec![channel("ct", Some(filled(grid, |i| field(i) as i16)))],
        vec![channel("", Some(labels))],
    )
}

#[test]
fn positive_patches_hold_their_class_and_classes_are_equally_likely() {
    let (stage, row, n) = (patch([6, 4, 4], 0.5), subject(), 2000);
    let found = draws(&stage, &row, n);
    let count = |class| found.iter().filter(|d| d.class == class).count() as f64;
    let sigma = (f64::from(n) * 0.25 * 0.75).sqrt();
    for class in [1, 2] {
        assert!((count(Some(class)) - 0.25 * f64::from(n)).abs() < 4.0 * sigma);
    }
    for draw in &found {
        let inside = (0..3).all(|a| (0..=[14, 12, 8][a]).contains(&draw.offset_xyz[a]));
        assert!(inside, "{draw:?}");
        match draw.class {
            Some(2) => assert_eq!(draw.offset_xyz, [12, 7, 5]),
            Some(1) => assert!(draw.offset_xyz.iter().all(|&o| o < 4)),
            _ => {}
        }
    }
    // Every position that exists is reached, the last one too.
    let uniform: Vec<_> = found.iter().filter(|d| d.class.is_none()).collect();
    for axis in 0..3 {
        let mut seen: Vec<i64> = uniform.iter().map(|d| d.offset_xyz[axis]).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (0..=[14, 12, 8][axis]).collect::<Vec<i64>>());
    }
}

#[test]
fn listed_classes_alone_are_foreground() {
    let stage = Patch {
        classes: Some(vec![2, 9]),
        ..patch([4; 3], 1.0)
    };
    let found = draws(&stage, &subject(), 50);
    assert!(found.iter().all(|d| d.class == Some(2)));
    let absent = Patch {
        classes: Some(vec![9]),
        ..patch([4; 3], 1.0)
    };
    assert!(
        draws(&absent, &subject(), 50)
            .iter()
            .all(|d| d.class.is_none())
    );
}

#[test]
fn unlabelled_subjects_are_cut_uniformly() {
    let mut unlabelled = subject();
    unlabelled.labels[0].volume = None;
    let found = draws(&patch([6, 4, 4], 1.0), &unlabelled, 1500);
    assert!(found.iter().all(|d| d.class.is_none()));
    let mean = found.iter().map(|d| d.offset_xyz[0] as f64).sum::<f64>() / 1500.0;
    // Uniform over 0..=14 has variance (15² - 1) / 12.
    assert!(
        (mean - 7.0).abs() < 4.0 * (224.0f64 / 12.0 / 1500.0).sqrt(),
        "{mean}"
    );
}

#[test]
fn small_volumes_are_padded_around_their_middle() {
    let out = run(&AugmentStage(patch([32, 8, 13], 0.5)), subject());
    assert_eq!(out.len(), 4);
    for row in &out {
        let volume = image(row, 0);
        assert_eq!(volume.grid().shape_xyz(), [32, 8, 13]);
        let values = volume.as_slice::<i16>().unwrap();
        assert!(
            (0..6).all(|x| values[x] == 0),
            "the minimum stands in front"
        );
        assert_eq!(row.draws[0].draw["offset_xyz"][0], -6);
        assert_eq!(row.draws[0].draw["offset_xyz"][2], 0);
    }
    assert_eq!(
        out.iter().map(|r| r.sample).collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
}

#[test]
fn small_volumes_are_filled_with_the_value_asked_for() {
    let stage = Patch {
        fill: OutsideFill::Every(FillValue::Number(-1024.0)),
        ..patch([24, 8, 13], 0.5)
    };
    let planned = stage.check(&schema_of(&subject())).unwrap();
    assert_eq!(planned.channels[0].dtype, Some(Dtype::F32));
    for row in run(&AugmentStage(stage), subject()) {
        // Two voxels in front along x; along z the odd one is behind.
        let values = image(&row, 0).as_slice::<f32>().unwrap();
        let labels = label(&row).as_slice::<u8>().unwrap();
        for (i, value) in values.iter().enumerate() {
            let is_filled = !(2..22).contains(&(i % 24)) || i / 24 / 8 == 12;
            assert_eq!(*value == -1024.0, is_filled, "voxel {i}");
            assert!(!is_filled || labels[i] == 0, "voxel {i}");
        }
    }
}

#[test]
fn a_grid_of_windows_covers_every_voxel() {
    for (size, overlap) in [([6, 5, 4], 0.5), ([7, 16, 3], 0.0), ([1, 3, 20], 0.9)] {
        let stage = Patch {
            grid: Some(Windows { overlap }),
            ..patch(size, 0.5)
        };
        let input = subject();
        let rows = run(&AugmentStage(stage.clone()), input.clone());
        let mut schema = schema_of(&input);
        schema = stage.check(&schema).unwrap();
        assert_eq!(schema.rows_per_subject, Some(rows.len() as u32));
        let mut covered = vec![false; 20 * 16 * 12];
        for row in &rows {
            let start: [i64; 3] =
                serde_json::from_value(row.draws[0].draw["offset_xyz"].clone()).unwrap();
            for i in 0..size.iter().product::<usize>() {
                let at = [i % size[0], i / size[0] % size[1], i / size[0] / size[1]];
                let p = [0, 1, 2].map(|a| start[a] + at[a] as i64);
                if (0..3).all(|a| (0..[20, 16, 12][a]).contains(&p[a])) {
                    covered[((p[2] * 16 + p[1]) * 20 + p[0]) as usize] = true;
                    assert_eq!(
                        image(row, 0).as_slice::<i16>().unwrap()[i],
                        field(p.map(|p| p as usize)) as i16
                    );
                }
            }
        }
        assert!(covered.into_iter().all(|c| c));
    }
}
