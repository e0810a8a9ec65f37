//! Against nibabel, SciPy and NumPy: `tests/reference/spatial.py` says how the numbers were made.

use super::*;
use crate::stage::MapStage;
use crate::stage::spatial::crop_foreground::{CropForeground, Threshold};
use crate::stage::spatial::flip::{Flip, FlipDraw};
use crate::stage::spatial::orient::Orient;
use crate::stage::spatial::pad::Pad;
use crate::stage::spatial::regrid::Axis;
use crate::stage::spatial::resample::Resample;
use crate::stage::spatial::rotate90::{Plane, Rotate90, Rotate90Draw};
use crate::stage::{Augment, Stage};
use serde_json::Value;

const SHAPE: [usize; 3] = [11, 9, 7];
const SMALL: [usize; 3] = [8, 10, 6];
const TOLERANCE: f64 = 1e-5;

fn reference() -> Value {
    serde_json::from_str(include_str!("../../../../tests/reference/spatial.json")).unwrap()
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn grid(shape: [usize; 3], affine: &Value) -> Grid {
    Grid::from_rows(shape, read(affine)).unwrap()
}

/// Largest difference to the sampled voxels and, relative to 100, of the mean.
fn difference(volume: &Volume, expected: &Value) -> f64 {
    assert_eq!(
        volume.grid().shape_xyz(),
        read::<[usize; 3]>(&expected["shape"])
    );
    let values = volume.to_f32();
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    let index: Vec<usize> = read(&expected["index"]);
    let sampled: Vec<f64> = read(&expected["values"]);
    assert!(index.len() > 20);
    let largest = index
        .iter()
        .zip(&sampled)
        .map(|(&i, v)| (f64::from(values[i]) - v).abs() / v.abs().max(1.0))
        .fold(0.0, f64::max);
    let mean_off = (mean - read::<f64>(&expected["mean"])).abs() / 100.0;
    largest.max(mean_off)
}

fn affine_difference(grid: &Grid, expected: &Value) -> f64 {
    let expected: [[f64; 4]; 3] = read(expected);
    let pairs = grid.rows().into_iter().zip(expected);
    pairs
        .flat_map(|(a, b)| a.into_iter().zip(b))
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max)
}

fn one(stage: impl Stage, input: Row) -> Row {
    run(&MapStage(stage), input).remove(0)
}

#[test]
fn orient_agrees_with_nibabel() {
    for case in reference()["orient"].as_array().unwrap() {
        let source = filled(grid(SHAPE, &case["affine"]), |i| field(i) as i16);
        assert_eq!(source.grid().orientation(), read::<String>(&case["before"]));
        let to: String = read(&case["to"]);
        let out = one(
            Orient { to: to.clone() },
            row(vec![channel("ct", Some(source))], vec![]),
        );
        assert_eq!(image(&out, 0).grid().orientation(), to);
        assert_eq!(image(&out, 0).dtype(), crate::volume::Dtype::I16);
        assert_eq!(difference(image(&out, 0), case), 0.0);
        assert!(affine_difference(image(&out, 0).grid(), &case["expected_affine"]) < 1e-9);
    }
}

#[test]
fn resample_agrees_with_scipy_on_the_grid_of_monai() {
    let mut largest = 0.0f64;
    for case in reference()["resample"].as_array().unwrap() {
        let first = filled(grid(SHAPE, &case["affine"]), |i| field(i) as i16);
        let on_other = grid(SMALL, &case["other_affine"]);
        let input = row(
            vec![
                channel("ct", Some(first)),
                channel("mr", Some(filled(on_other, |i| field(i) as f32))),
            ],
            vec![channel("", Some(filled(on_other, label_field)))],
        );
        let stage = Resample {
            images: Default::default(),
            spacing_mm: Some(read::<[f64; 3]>(&case["spacing_mm"]).map(Some)),
            like: None,
            labels: Default::default(),
            ..Default::default()
        };
        let out = one(stage, input);
        assert!(affine_difference(image(&out, 0).grid(), &case["expected_affine"]) < 1e-9);
        assert_eq!(label(&out).dtype(), crate::volume::Dtype::U8);
        assert_eq!(difference(label(&out), &case["labels"]), 0.0, "{case}");
        for (i, key) in ["first", "other"].into_iter().enumerate() {
            let found = difference(image(&out, i), &case[key]);
            assert!(found < TOLERANCE, "{key} {found} {}", case["spacing_mm"]);
            largest = largest.max(found);
        }
    }
    eprintln!("largest relative difference to SciPy {largest:.2e}");
}

#[test]
fn crop_and_pad_agree_with_numpy() {
    let spaced = Grid::with_spacing(SHAPE, [1.2, 0.8, 2.5]).unwrap();
    for case in reference()["crop"].as_array().unwrap() {
        let masked = filled(spaced, |i| {
            if label_field(i) == 1 {
                field(i) as f32
            } else {
                0.0
            }
        });
        let stage = CropForeground {
            above: Threshold::Value(read(&case["above"])),
            margin_mm: read(&case["margin_mm"]),
            modalities: None,
        };
        let out = one(
            stage,
            row(vec![channel("ct", Some(masked.clone()))], vec![]),
        );
        assert_eq!(difference(image(&out, 0), case), 0.0);
        let offset = read::<[i64; 3]>(&case["offset"]);
        let shape = image(&out, 0).grid().shape_xyz();
        assert_eq!(
            image(&out, 0).grid(),
            &spaced.window(offset, shape).unwrap()
        );
    }
    let case = &reference()["pad"];
    let source = filled(spaced, |i| (field(i) - 50) as i16);
    let stage = Pad {
        size: Some(read(&case["size"])),
        ..Pad::default()
    };
    let out = one(stage, row(vec![channel("ct", Some(source))], vec![]));
    assert_eq!(difference(image(&out, 0), case), 0.0);
    let offset = read::<[i64; 3]>(&case["expected_offset"]);
    let shape = image(&out, 0).grid().shape_xyz();
    assert_eq!(
        image(&out, 0).grid(),
        &spaced.window(offset, shape).unwrap()
    );
}

#[test]
fn turns_agree_with_numpy() {
    let cube = Grid::with_spacing([6; 3], [1.0; 3]).unwrap();
    for case in reference()["rot90"].as_array().unwrap() {
        let input = row(
            vec![channel("ct", Some(filled(cube, |i| field(i) as f32)))],
            vec![],
        );
        let draw = Rotate90Draw {
            plane: read::<Plane>(&case["plane"]),
            quarter_turns: read(&case["turns"]),
        };
        let out = Rotate90::default().apply(&draw, input).unwrap();
        assert_eq!(difference(image(&out, 0), case), 0.0, "{draw:?}");
    }
    let grid = Grid::with_spacing(SHAPE, [1.0; 3]).unwrap();
    for case in reference()["flip"].as_array().unwrap() {
        let input = row(
            vec![channel("ct", Some(filled(grid, |i| field(i) as f32)))],
            vec![],
        );
        let axes: Vec<usize> = read(&case["axes"]);
        let draw = FlipDraw {
            axes: axes.into_iter().map(|a| Axis::ALL[a]).collect(),
        };
        let out = Flip::default().apply(&draw, input).unwrap();
        assert_eq!(difference(image(&out, 0), case), 0.0, "{draw:?}");
    }
}
