//! What makes several modalities worth having: contrast, motion, grids, frames, lesions.

use super::*;
use crate::draw::{DrawKey, Range};
use crate::source::phantom::motion::Motion;
use crate::source::phantom::settings::Misalignment;
use glam::{DMat3, DVec3};

fn load(options: &str) -> Vec<Row> {
    let cohort = open(&format!("phantom: {{ {options} }}")).unwrap();
    rows(cohort.as_ref())
        .into_iter()
        .map(|(_, row)| row)
        .collect()
}

fn voxels(row: &Row, modality: usize) -> Vec<f32> {
    row.images[modality]
        .volume
        .as_ref()
        .unwrap()
        .to_f32()
        .into_owned()
}

/// Mean step across the border of a class against the voxels' noise elsewhere, inside the body.
fn border_contrast(row: &Row, modality: usize, class: u8) -> f64 {
    let (values, labels) = (voxels(row, modality), labels(row));
    let mean = |wanted: &dyn Fn(usize) -> bool| {
        let chosen: Vec<f64> = (0..labels.len())
            .filter(|i| wanted(*i))
            .map(|i| f64::from(values[i]))
            .collect();
        chosen.iter().sum::<f64>() / chosen.len() as f64
    };
    let [_, height, width] = row.images[modality]
        .volume
        .as_ref()
        .unwrap()
        .grid()
        .shape_zyx();
    let near = |i: usize, reach: usize| {
        [1, width, width * height].iter().any(|step| {
            let step = step * reach;
            i >= step
                && i + step < labels.len()
                && (labels[i - step] == class || labels[i + step] == class)
        })
    };
    let inside = mean(&|i| labels[i] == class);
    let around = mean(&|i| labels[i] == 0 && near(i, 3) && !near(i, 1));
    (inside - around).abs()
}

/// **Source** made by the version before these fields, with the Python package `blake3` over voxels
/// of `voxstream run` with `prepared: { nifti: true }`.
#[test]
fn a_cohort_without_new_fields_stays_byte_for_byte() {
    let rows = load(
        "subjects: 4, size: [20, 24, 16], modalities: [ct, mr, pet], classes: 3, misalign_mm: 4, missing: 0.2, partial_labels: 0.3, seed: 20",
    );
    let mut hasher = blake3::Hasher::new();
    for volume in rows.iter().flat_map(bytes) {
        hasher.update(&volume);
    }
    assert_eq!(
        hasher.finalize().to_hex().as_str(),
        "0a46a84c5618193f1e81f7b9af370b1d68bf6895613e54129d88f5ac519ad307"
    );
}

#[test]
fn complementary_organs_show_in_one_modality_alone() {
    let options = "subjects: 6, classes: 3, noise: 0.01, bias_field: 0";
    let mut shown = [[0.0; 2]; 3];
    for row in load(&format!("{options}, contrast: complementary")) {
        for class in 1..=3u8 {
            for modality in 0..2 {
                // Of CT 100 HU, of MR a tenth of the brightest value.
                let unit = [
                    100.0,
                    f64::from(voxels(&row, 1).iter().fold(0f32, |m, v| m.max(*v))) / 10.0,
                ];
                shown[usize::from(class - 1)][modality] +=
                    border_contrast(&row, modality, class) / unit[modality] / 6.0;
            }
        }
    }
    for (organ, contrast) in shown.iter().enumerate() {
        let (seen, hidden) = (contrast[organ % 2], contrast[1 - organ % 2]);
        assert!(
            seen > 0.3 && hidden < 0.5 * seen,
            "organ {organ}: {shown:?}"
        );
    }
}

#[test]
fn noise_bias_and_missing_may_differ_by_modality() {
    let even = load("subjects: 2, noise: 0, bias_field: 0, modalities: [mr, pet]");
    let noisy = load(
        "subjects: 2, noise: { mr: 0, pet: 0.2 }, bias_field: { mr: 0, pet: 0 }, modalities: [mr, pet]",
    );
    for (a, b) in even.iter().zip(&noisy) {
        assert_eq!(voxels(a, 0), voxels(b, 0));
        assert_ne!(voxels(a, 1), voxels(b, 1));
    }
    let rows = load("subjects: 40, size: [16, 16, 16], missing: { mr: 0.5 }");
    let missing = |m: usize| rows.iter().filter(|r| r.images[m].volume.is_none()).count();
    assert_eq!(missing(0), 0);
    assert!((8..32).contains(&missing(1)), "{}", missing(1));
}

#[test]
fn motion_has_the_drawn_amounts_and_folds_nothing() {
    let extent = DVec3::new(60.0, 60.0, 48.0);
    for seed in 0..40 {
        let key = DrawKey {
            seed,
            epoch: 0,
            subject: "motion",
            sample: 0,
        };
        let drawn = |shift, turn, waves| Misalignment {
            shift_mm: Range::Fixed(shift),
            rotation_deg: Range::Fixed(turn),
            elastic_mm: Range::Fixed(waves),
        };
        let rigid = Motion::draw(&mut key.rng("m"), &drawn(8.0, 10.0, 0.0), extent);
        let moved = rigid.pose.transform_point3(DVec3::ZERO).length();
        assert!((moved - 8.0).abs() < 1e-9, "{moved}");
        let (_, turn, _) = rigid.pose.to_scale_rotation_translation();
        assert!((turn.to_axis_angle().1.to_degrees() - 10.0).abs() < 1e-6);
        // The largest displacement that is allowed.
        let waves = Motion::draw(&mut key.rng("m"), &drawn(0.0, 0.0, 6.0), extent);
        assert!((waves.mean_displacement_mm(extent) - 6.0).abs() < 1e-9);
        let step = 1e-4;
        for i in 0..7usize.pow(3) {
            let along = |i: usize| i as f64 / 6.0 - 0.5;
            let at = DVec3::new(along(i % 7), along(i / 7 % 7), along(i / 49)) * extent;
            let slope = |axis: DVec3| {
                (waves.anatomy_from_frame(at + axis * step) - waves.anatomy_from_frame(at)) / step
            };
            let volume =
                DMat3::from_cols(slope(DVec3::X), slope(DVec3::Y), slope(DVec3::Z)).determinant();
            assert!(volume > 0.0, "seed {seed} at {at}: {volume}");
            let most = waves.displacement_mm(at).length();
            assert!(most <= waves.most_displacement_mm());
        }
    }
}

#[test]
fn a_modality_moves_with_its_label_map() {
    let options = "subjects: 3, modalities: [mr, pet], noise: 0.01, labels: each, misalignment: { shift_mm: 6, rotation_deg: 5, elastic_mm: 2 }";
    let still = load("subjects: 3, modalities: [mr, pet], noise: 0.01, labels: each");
    for (moved, still) in load(options).iter().zip(&still) {
        let names: Vec<&str> = moved.labels.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["mr", "pet"]);
        let map = |row: &Row, m: usize| {
            row.labels[m]
                .volume
                .as_ref()
                .unwrap()
                .as_slice::<u8>()
                .unwrap()
                .to_vec()
        };
        assert_eq!(map(still, 0), map(still, 1));
        assert_eq!(map(moved, 0), map(still, 0));
        assert_ne!(map(moved, 1), map(still, 1));
        // Edges of the moved image follow its own map and not the first one's.
        let with = |labels: usize| {
            let mut row = moved.clone();
            row.labels = vec![moved.labels[labels].clone()];
            edge_overlap(&row, 1)
        };
        assert!(with(1) > with(0), "{} {}", with(1), with(0));
    }
}

#[test]
fn one_frame_is_annotated_in_training_and_all_in_tests() {
    let rows = load("subjects: 24, size: [16, 16, 16], labels: one, test: 4, missing: { mr: 0.3 }");
    let annotated =
        |row: &Row| -> Vec<bool> { row.labels.iter().map(|c| c.volume.is_some()).collect() };
    let present =
        |row: &Row| -> Vec<bool> { row.images.iter().map(|c| c.volume.is_some()).collect() };
    let mut by_modality = [0; 2];
    for row in &rows[..20] {
        let found = annotated(row);
        assert_eq!(found.iter().filter(|a| **a).count(), 1);
        let m = found.iter().position(|a| *a).unwrap();
        assert!(present(row)[m]);
        by_modality[m] += 1;
    }
    assert!(by_modality.iter().all(|n| *n >= 4), "{by_modality:?}");
    assert!(rows[20..].iter().all(|row| annotated(row) == present(row)));
}

#[test]
fn lesions_are_a_class_that_one_modality_shows() {
    let options = "subjects: 6, classes: 2, noise: 0.01, bias_field: 0";
    let rows = load(&format!(
        "{options}, lesions: {{ count: [1, 3], radius_mm: 6, seen_in: [mr] }}"
    ));
    let plain = load(options);
    let mut shown = [0.0; 2];
    for (row, plain) in rows.iter().zip(&plain) {
        let (with, without) = (labels(row), labels(plain));
        let lesion: Vec<usize> = (0..with.len()).filter(|i| with[*i] == 3).collect();
        assert!(lesion.len() > 20, "{}", lesion.len());
        assert!((0..with.len()).all(|i| with[i] == 3 || with[i] == without[i]));
        for (modality, shown) in shown.iter_mut().enumerate() {
            let (a, b) = (voxels(row, modality), voxels(plain, modality));
            let scale = f64::from(b.iter().fold(0f32, |m, v| m.max(*v)));
            // Voxels that were an organ's keep its intensity where lesions are not seen.
            let there = lesion.iter().filter(|i| without[**i] != 0);
            let (sum, count) = there.fold((0.0, 0.0), |(s, n), i| {
                (s + f64::from((a[*i] - b[*i]).abs()), n + 1.0)
            });
            *shown += sum / count / scale / 6.0;
        }
    }
    assert!(shown[1] > 0.1 && shown[0] < 0.02, "{shown:?}");
}

#[test]
fn thick_slices_are_means_of_the_tissue() {
    let options = "subjects: 2, size: [24, 24, 24], spacing_mm: [2, 2, 2], modalities: [mr, t2], noise: 0, bias_field: 0";
    let thick = load(&format!("{options}, acquired_mm: {{ t2: [2, 2, 8] }}"));
    for row in &thick {
        let [first, second] = [0, 1].map(|m| *row.images[m].volume.as_ref().unwrap().grid());
        assert_eq!(
            (second.shape_xyz(), second.spacing_mm()),
            ([24, 24, 6], [2.0, 2.0, 8.0])
        );
        let centre = |grid: &Grid| {
            let middle = DVec3::from(grid.shape_xyz().map(|n| (n as f64 - 1.0) / 2.0));
            grid.world_from_voxel().transform_point3(middle)
        };
        assert!((centre(&first) - centre(&second)).length() < 1e-9);
    }
    // Means of four values each, whole blocks apart.
    let values: Vec<f32> = (0..2 * 4 * 3).map(|i| i as f32).collect();
    let found = super::super::field::averaged(values, [1, 2, 3], [2, 2, 1]);
    assert_eq!(found, [7.5, 8.5, 9.5, 13.5, 14.5, 15.5]);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (options, told) in [
        (
            "noise: { mri: 0.1 }",
            "`noise` names `mri`, which is no modality of this phantom; it has ct, mr",
        ),
        (
            "noise: { mr: 2 }",
            "`noise` of `mr` is 2; allowed is 0 to 1",
        ),
        ("bias_field: 3", "`bias_field` is 3; allowed is 0 to 2"),
        (
            "missing: { ct: -1 }",
            "`missing` of `ct` is a probability from 0 to 1, found -1",
        ),
        (
            "acquired_mm: { pet: [1, 1, 1] }",
            "`acquired_mm` names `pet`",
        ),
        (
            "acquired_mm: { mr: [1, 1, 100] }",
            "`acquired_mm` of `mr` is [1.0, 1.0, 100.0]; every axis needs 0.1 to 16 times `spacing_mm`",
        ),
        (
            "misalign_mm: 2, misalignment: { shift_mm: 2 }",
            "`misalign_mm` and `misalignment` both move modalities; remove one",
        ),
        (
            "misalignment: { elastic_mm: 20 }",
            "`misalignment.elastic_mm` reaches from 20 to 20; allowed is 0 to 7.2",
        ),
        (
            "modalities: [ct], contrast: complementary",
            "`contrast: complementary` needs two modalities or more",
        ),
        (
            "lesions: { seen_in: [pet] }",
            "`lesions.seen_in` names `pet`",
        ),
        (
            "lesions: { count: 99 }",
            "`lesions.count` reaches from 99 to 99; allowed is 0 to 16",
        ),
    ] {
        let found = open(&format!("phantom: {{ subjects: 4, {options} }}"));
        let text = found.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains(told), "{options}: {text}");
    }
}
