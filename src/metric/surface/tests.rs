//! Against surface-distance, MedPy and MONAI (`tests/reference/surface.py`), and against all pairs.

use super::super::crop::{boxes, mask};
use super::*;
use crate::kernel::distance::tests::speckle_from;
use proptest::prelude::*;
use serde_json::Value;

const SHAPE: [usize; 3] = [23, 19, 17];

fn reference() -> Value {
    serde_json::from_str(include_str!("../../../tests/reference/surface.json")).unwrap()
}

/// `labels` of `tests/reference/surface.py`.
fn labels(shift: [i64; 3], first: u32) -> Vec<u8> {
    let noise = speckle_from(SHAPE, 60, first);
    let value = |i: usize| {
        let at = [i % 23, i / 23 % 19, i / (23 * 19)].map(|v| v as i64);
        let d = [0, 1, 2].map(|a| at[a] - [11, 9, 8][a] - shift[a]);
        let d = 4 * d[0] * d[0] + 5 * d[1] * d[1] + 9 * d[2] * d[2];
        match noise[i] > 0 {
            true if d > 420 => 3,
            speck if (d < 80) ^ (speck && d < 120) => 2,
            _ if d < 300 => 1,
            _ => 0,
        }
    };
    (0..23 * 19 * 17).map(value).collect()
}

fn masks(truth: &[u8], prediction: &[u8], class: u8, spacing_mm: [f64; 3]) -> Masks {
    let region = boxes([truth, prediction], SHAPE, 4)[usize::from(class)].unwrap();
    Masks {
        truth: mask(truth, SHAPE, region, class),
        prediction: mask(prediction, SHAPE, region, class),
        shape_xyz: region.shape_xyz,
        spacing_mm,
    }
}

fn close(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!(
        (found - expected).abs() <= 1e-6 * expected,
        "{what}: {found} {expected}"
    );
}

#[test]
fn areas_are_those_of_surface_distance() {
    let expected: Vec<f64> = serde_json::from_value(reference()["areas_mm2"].clone()).unwrap();
    let found = elements::areas_mm2([0.7, 1.3, 3.0]);
    assert_eq!((found.len(), expected.len()), (256, 256));
    for (case, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (found - expected).abs() < 1e-8,
            "{case}: {found} {expected}"
        );
    }
}

#[test]
fn figures_are_those_of_the_packages_they_are_named_after() {
    let reference = reference();
    let (truth, prediction) = (labels([0; 3], 0), labels([1, -1, 1], 7919));
    let tolerances: Vec<f64> = serde_json::from_value(reference["tolerances_mm"].clone()).unwrap();
    for case in reference["cases"].as_array().unwrap() {
        let spacing_mm: [f64; 3] = serde_json::from_value(case["spacing_mm"].clone()).unwrap();
        let class = case["class"].as_u64().unwrap() as u8;
        for (map, name) in [(&truth, "truth"), (&prediction, "prediction")] {
            let count = map.iter().filter(|v| **v == class).count();
            assert_eq!(reference["voxels"][name][usize::from(class)], count);
        }
        let masks = masks(&truth, &prediction, class, spacing_mm);
        let elements = surfaces(&masks, Definition::Elements).unwrap();
        close(elements.hd95_mm(), &case["hd95"], "hd95");
        let [from_truth, from_prediction] = elements.means_mm();
        close(from_truth, &case["means"][0], "mean from truth");
        close(from_prediction, &case["means"][1], "mean from prediction");
        for (i, tolerance) in tolerances.iter().enumerate() {
            close(elements.nsd(*tolerance), &case["nsd"][i], "nsd");
        }
        let voxels = surfaces(&masks, Definition::Voxels).unwrap();
        close(voxels.hd95_medpy_mm(), &case["medpy_hd95"], "MedPy's hd95");
        close(voxels.hd95_monai_mm(), &case["monai_hd95"], "MONAI's hd95");
        close(voxels.assd_mm(), &case["medpy_assd"], "MedPy's assd");
        close(voxels.assd_mm(), &case["monai_assd"], "MONAI's assd");
    }
}

#[test]
fn hand_measured_boxes() {
    // Two plates of 4 x 4 x 1 voxels, three slices apart.
    let shape_xyz = [4, 4, 4];
    let plate = |z: usize| -> Vec<u8> { (0..64).map(|i| u8::from(i / 16 == z)).collect() };
    let masks = Masks {
        truth: plate(0),
        prediction: plate(3),
        shape_xyz,
        spacing_mm: [1.0, 1.0, 2.0],
    };
    let voxels = surfaces(&masks, Definition::Voxels).unwrap();
    assert_eq!(
        (voxels.from_truth.len(), voxels.from_prediction.len()),
        (16, 16)
    );
    assert_eq!((voxels.hd95_medpy_mm(), voxels.assd_mm()), (6.0, 6.0));
    let elements = surfaces(&masks, Definition::Elements).unwrap();
    // The near side of each plate is 4 mm from the other plate, the far side 6 mm.
    assert_eq!(elements.hd95_mm(), 6.0);
    assert!((elements.assd_mm() - 5.0).abs() < 1e-12);
    assert_eq!((elements.nsd(3.9), elements.nsd(6.0)), (0.0, 1.0));
    assert!((elements.nsd(4.0) - 0.5).abs() < 1e-12);
    let empty = Masks {
        prediction: vec![0; 64],
        ..masks.clone()
    };
    assert_eq!(surfaces(&empty, Definition::Elements), None);
    let same = Masks {
        prediction: plate(0),
        ..masks
    };
    let same = surfaces(&same, Definition::Elements).unwrap();
    assert_eq!(
        (same.hd95_mm(), same.assd_mm(), same.nsd(0.0)),
        (0.0, 0.0, 1.0)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn distances_are_the_smallest_of_all_pairs(
        shape in (1usize..6, 1usize..5, 1usize..5),
        spacing_mm in prop::array::uniform3(0.3f64..3.0),
        seed in prop::collection::vec((0u8..2, 0u8..2), 6 * 5 * 5),
    ) {
        let shape_xyz = [shape.0, shape.1, shape.2];
        let count: usize = shape_xyz.iter().product();
        let (truth, prediction): (Vec<u8>, Vec<u8>) = seed[..count].iter().copied().unzip();
        let masks = Masks { truth, prediction, shape_xyz, spacing_mm };
        for definition in [Definition::Elements, Definition::Voxels] {
            let Some(found) = surfaces(&masks, definition) else { continue };
            let of = |mask: &[u8]| Surface::of(mask, &masks, definition);
            let (truth, prediction) = (of(&masks.truth), of(&masks.prediction));
            let [nx, ny, _] = truth.shape_xyz;
            let at = |i: usize| [i % nx, i / nx % ny, i / (nx * ny)];
            let between = |a: usize, b: usize| {
                let (a, b) = (at(a), at(b));
                (0..3).map(|i| ((a[i] as f64 - b[i] as f64) * spacing_mm[i]).powi(2)).sum::<f64>().sqrt()
            };
            for (points, own, other) in [(&found.from_truth, &truth, &prediction), (&found.from_prediction, &prediction, &truth)] {
                prop_assert_eq!(points.len(), own.points.len());
                for (point, (from, weight)) in points.iter().zip(&own.points) {
                    let nearest = other.points.iter().map(|(to, _)| between(*from, *to)).fold(f64::INFINITY, f64::min);
                    prop_assert!((f64::from(point.distance_mm) - nearest).abs() <= 4e-7 * nearest);
                    prop_assert_eq!(point.weight, *weight);
                }
            }
        }
    }

    #[test]
    fn percentiles_are_those_of_sorted_lists(values in prop::collection::vec((0u8..40, 1u8..9), 1..80), share in 0.01f64..1.0) {
        let points: Vec<Point> = values.iter().map(|(d, w)| Point { distance_mm: f32::from(*d), weight: f64::from(*w) }).collect();
        let mut sorted = points.clone();
        sorted.sort_by(|a, b| a.distance_mm.total_cmp(&b.distance_mm));
        let total: f64 = points.iter().map(|p| p.weight).sum();
        let mut reached = 0.0;
        let first = sorted.iter().find(|p| { reached += p.weight; reached >= share * total });
        prop_assert_eq!(weighted_percentile(&points, share), f64::from(first.unwrap().distance_mm));
        let rank = share * (sorted.len() - 1) as f64;
        let at = |i: usize| f64::from(sorted[i.min(sorted.len() - 1)].distance_mm);
        let linear = at(rank as usize) + (at(rank as usize + 1) - at(rank as usize)) * rank.fract();
        prop_assert!((percentile(points.iter(), share) - linear).abs() < 1e-9);
    }
}

#[test]
fn the_surface_dice_of_what_agrees_nowhere_is_zero_without_a_sign() {
    let at = |x: usize| (0..12).map(|i| u8::from(i == x)).collect::<Vec<_>>();
    for definition in [Definition::Elements, Definition::Voxels] {
        let apart = Masks {
            truth: at(1),
            prediction: at(9),
            shape_xyz: [12, 1, 1],
            spacing_mm: [3.0; 3],
        };
        let nsd = surfaces(&apart, definition).unwrap().nsd(1.0);
        assert_eq!(nsd.to_bits(), 0.0_f64.to_bits(), "{nsd}");
    }
}
