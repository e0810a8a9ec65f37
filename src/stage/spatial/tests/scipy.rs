//! What SciPy finds where anatomy moves (`tests/reference/warp.py` says how the values were made).

use super::*;
use crate::kernel::warp::Bend;
use crate::stage::spatial::affine::AffineDraw;
use crate::volume::{Interpolation, Warp};
use serde_json::Value;
use std::sync::Arc;

#[test]
fn scipy_finds_the_same_values() {
    const SHAPE: [usize; 3] = [15, 13, 11];
    const CONTROL: [usize; 3] = [5, 4, 6];
    let text = include_str!("../../../../tests/reference/warp.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
        serde_json::from_value(value.clone()).unwrap()
    }
    let grid = Grid::from_rows(SHAPE, read(&reference["affine"])).unwrap();
    let control = Grid::from_rows(CONTROL, read(&reference["control_from_world"])).unwrap();
    let bend = |size: f32| {
        let points = (0..CONTROL.iter().product()).map(|n: usize| [n % 5, n / 5 % 4, n / 20]);
        let wave = |n: usize| ((n % 17) as f32 / 8.0 - 1.0) * size;
        let vector = |[i, j, k]: [usize; 3]| {
            [
                3 * i + 5 * j + 7 * k,
                11 * i + 2 * j + 3 * k + 4,
                5 * i + 9 * j + k + 8,
            ]
            .map(wave)
        };
        Warp::Elastic(Bend {
            control_from_input: control.world_from_voxel(),
            shape_xyz: CONTROL,
            displacement: points.map(vector).collect(),
        })
    };
    let cases = reference["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let name = &case["name"];
        let draw: Option<[[f32; 3]; 4]> = read(&case["draw"]);
        let turn = draw.map(|[rotation_deg, scale, shear_deg, translation_mm]| {
            let draw = AffineDraw {
                rotation_deg,
                scale,
                shear_deg,
                translation_mm,
            };
            draw.warp(&grid)
        });
        let size: f32 = read(&case["size"]);
        let bent = (size > 0.0).then(|| bend(size));
        // Steps in the order in which anatomy moves, the last one first to ask for a position.
        let warps = if read(&case["elastic_first"]) {
            [bent, turn]
        } else {
            [turn, bent]
        };
        let mut out = row(
            vec![channel("ct", Some(filled(grid, |i| field(i) as i16)))],
            vec![channel("", Some(filled(grid, label_field)))],
        );
        for warp in warps.into_iter().flatten() {
            out = out.warped(&Arc::new(warp), Interpolation::default());
        }
        for (volume, expected) in [
            (image(&out, 0), &case["image"]),
            (label(&out), &case["label"]),
        ] {
            let values = volume.to_f32();
            let index: Vec<usize> = read(&expected["index"]);
            let sampled: Vec<f64> = read(&expected["values"]);
            assert!(index.len() > 50);
            for (i, v) in index.iter().zip(sampled) {
                let off = (f64::from(values[*i]) - v).abs();
                assert!(off < 2e-4, "{name} at {i}: {} {v}", values[*i]);
            }
            let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
            assert!(
                (mean - read::<f64>(&expected["mean"])).abs() < 2e-4,
                "{name}"
            );
        }
    }
}
