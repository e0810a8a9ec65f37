mod acquisition;

use crate::source::tests::open;
use crate::source::{Cohort, SubjectRecord};
use crate::volume::{Dtype, Grid, Row, Split};
use std::collections::BTreeSet;

fn labels(row: &Row) -> Vec<u8> {
    let volume = row.labels[0].volume.as_ref().expect("labelled");
    volume.as_slice::<u8>().expect("u8").to_vec()
}

fn rows(cohort: &dyn Cohort) -> Vec<(&SubjectRecord, Row)> {
    (cohort.subjects().iter())
        .map(|s| (s, cohort.load(s).unwrap()))
        .collect()
}

fn bytes(row: &Row) -> Vec<Vec<u8>> {
    row.volumes()
        .map(|(_, v)| v.buffer().as_slice().to_vec())
        .collect()
}

#[test]
fn a_subject_depends_on_seed_and_number_alone() {
    let six = open("phantom: { subjects: 6, size: [24, 20, 28], misalign_mm: 3 }").unwrap();
    let nine = open("phantom: { subjects: 9, size: [24, 20, 28], misalign_mm: 3 }").unwrap();
    let other =
        open("phantom: { subjects: 6, size: [24, 20, 28], misalign_mm: 3, seed: 8 }").unwrap();
    let mut seen = BTreeSet::new();
    for i in (0..6).rev() {
        let row = six.load(&six.subjects()[i]).unwrap();
        let same = nine.load(&nine.subjects()[i]).unwrap();
        assert_eq!(bytes(&row), bytes(&same));
        assert_ne!(
            bytes(&row),
            bytes(&other.load(&other.subjects()[i]).unwrap())
        );
        assert_eq!(row.images[0].volume.as_ref().unwrap().dtype(), Dtype::I16);
        assert_eq!(row.images[1].volume.as_ref().unwrap().dtype(), Dtype::F32);
        seen.insert(six.digest(&six.subjects()[i]).unwrap());
    }
    assert_eq!(seen.len(), 6);
    assert!(!seen.contains(&other.digest(&other.subjects()[0]).unwrap()));
}

#[test]
fn every_class_is_there_and_no_other() {
    for classes in [1u8, 2, 3, 5, 8] {
        let cohort = open(&format!(
            "phantom: {{ subjects: 12, size: [40, 40, 40], spacing_mm: [2, 2, 2], classes: {classes} }}"
        ))
        .unwrap();
        for (subject, row) in rows(cohort.as_ref()) {
            let labels = labels(&row);
            let count = |k: u8| labels.iter().filter(|&&l| l == k).count();
            let smallest = (1..=classes).map(count).min().unwrap();
            assert!(smallest >= 8, "{} of {classes}: {smallest}", subject.id);
            assert!(labels.iter().all(|&l| l <= classes));
            let share = count(0) as f64 / labels.len() as f64;
            assert!(share > 0.7 && share < 0.99, "background {share}");
        }
    }
}

#[test]
fn splits_labels_and_headers_agree() {
    let cohort = open("phantom: { subjects: 12, size: [16, 16, 16], labelled: 4, validation: 2, test: 4, modalities: [ct, mr, pet], missing: 0.6 }").unwrap();
    let of = |split: Split| {
        cohort
            .subjects()
            .iter()
            .filter(|s| s.split == split)
            .count()
    };
    assert_eq!(
        (of(Split::Train), of(Split::Validation), of(Split::Test)),
        (6, 2, 4)
    );
    let mut missing = 0;
    for (subject, row) in rows(cohort.as_ref()) {
        let present = row.images.iter().filter(|c| c.volume.is_some()).count();
        assert!(present >= 1, "{}", subject.id);
        missing += 3 - present;
        assert_eq!(
            row.is_labelled(),
            subject.labelled || subject.split != Split::Train
        );
        let truth = cohort.load_labels(subject).unwrap();
        assert_eq!(truth[0].volume.is_some(), row.is_labelled());
        let headers = cohort.headers(subject).unwrap();
        let volumes: Vec<_> = row
            .volumes()
            .map(|(r, v)| (r, v.dtype(), *v.grid()))
            .collect();
        let told: Vec<_> = headers.iter().map(|h| (h.role, h.dtype, h.grid)).collect();
        assert_eq!(volumes, told);
    }
    assert!((8..29).contains(&missing), "{missing} of 36 missing at 0.6");
    assert_eq!(cohort.subjects().iter().filter(|s| s.labelled).count(), 4);
    let sure = open("phantom: { subjects: 9, size: [16, 16, 16], missing: 1 }").unwrap();
    let present = |s: &SubjectRecord| s.images.iter().filter(|v| v.location.is_some()).count();
    assert!(sure.subjects().iter().all(|s| present(s) == 1));
    assert_eq!(sure.schema().unwrap().channels[2].dtype, Some(Dtype::U8));
}

#[test]
fn partial_labels_leave_slices_out() {
    let cohort =
        open("phantom: { subjects: 3, size: [16, 16, 32], partial_labels: 0.5, test: 1 }").unwrap();
    let slices = |row: &Row| {
        let labels = labels(row);
        let whole = |v: &[u8]| v.iter().all(|&l| l == 255);
        assert!(labels.chunks(256).all(|s| whole(s) || !s.contains(&255)));
        labels.chunks(256).filter(|s| whole(s)).count()
    };
    let found: Vec<usize> = rows(cohort.as_ref())
        .iter()
        .map(|(_, r)| slices(r))
        .collect();
    assert!(
        (6..27).contains(&found[0]) && (6..27).contains(&found[1]),
        "{found:?}"
    );
    assert_eq!(found[2], 0, "truth of a test subject is whole");
}

/// Best Dice over all intervals of 64 intensity bins.
fn best_threshold_dice(values: &[f32], wanted: &[bool]) -> f64 {
    const BINS: usize = 64;
    let organ: Vec<f32> = (values.iter().zip(wanted))
        .filter_map(|(v, &w)| w.then_some(*v))
        .collect();
    let low = organ.iter().copied().fold(f32::MAX, f32::min);
    let high = organ.iter().copied().fold(f32::MIN, f32::max);
    let mut bins = [[0usize; 2]; BINS];
    for (v, &w) in values.iter().zip(wanted) {
        if *v >= low && *v <= high {
            let bin = ((v - low) / (high - low) * BINS as f32) as usize;
            bins[bin.min(BINS - 1)][usize::from(w)] += 1;
        }
    }
    let mut best = 0.0f64;
    for from in 0..BINS {
        let (mut hit, mut all) = (0, 0);
        for [other, own] in &bins[from..] {
            hit += own;
            all += own + other;
            best = best.max(2.0 * hit as f64 / (all + organ.len()) as f64);
        }
    }
    best
}

#[test]
fn no_threshold_solves_it_and_no_modality_is_empty() {
    let cohort = open("phantom: { subjects: 6, classes: 3, modalities: [ct, mr, t2] }").unwrap();
    let mut worst = 0.0f64;
    for (_, row) in rows(cohort.as_ref()) {
        let labels = labels(&row);
        for image in &row.images {
            let values = image.volume.as_ref().unwrap().to_f32().into_owned();
            assert!(values.iter().all(|v| v.is_finite()));
            for class in 1..=3u8 {
                let wanted: Vec<bool> = labels.iter().map(|&l| l == class).collect();
                worst = worst.max(best_threshold_dice(&values, &wanted));
            }
        }
    }
    println!("best threshold Dice {worst:.3}");
    assert!(worst < 0.75, "{worst}");
}

/// Mean step across the label's borders against the mean step elsewhere: large where both align.
fn edge_overlap(row: &Row, modality: usize) -> f64 {
    let volume = row.images[modality].volume.as_ref().unwrap();
    let [_, height, width] = volume.grid().shape_zyx();
    let values = volume.to_f32();
    let labels = labels(row);
    let (mut on, mut off) = ((0.0, 0.0), (0.0, 0.0));
    for i in 0..values.len() - width * height {
        for step in [1, width, width * height] {
            let jump = f64::from((values[i + step] - values[i]).abs().min(150.0));
            let sum = if labels[i] != labels[i + step] {
                &mut on
            } else {
                &mut off
            };
            *sum = (sum.0 + jump, sum.1 + 1.0);
        }
    }
    (on.0 / on.1) / (off.0 / off.1)
}

#[test]
fn labels_follow_the_first_modality() {
    let load = |options: &str| {
        let cohort = open(&format!(
            "phantom: {{ subjects: 4, modalities: [mr, pet], noise: 0.01{options} }}"
        ))
        .unwrap();
        let rows: Vec<Row> = rows(cohort.as_ref()).into_iter().map(|(_, r)| r).collect();
        rows
    };
    let (straight, moved) = (load(""), load(", misalign_mm: 12"));
    let mut weaker = 0;
    for (a, b) in straight.iter().zip(&moved) {
        assert_eq!(labels(a), labels(b));
        let voxels = |r: &Row, m: usize| r.images[m].volume.as_ref().unwrap().to_f32().into_owned();
        assert_eq!(voxels(a, 0), voxels(b, 0));
        assert_ne!(voxels(a, 1), voxels(b, 1));
        weaker += usize::from(edge_overlap(b, 1) < edge_overlap(a, 1));
    }
    assert!(weaker >= 3, "edges left the label in {weaker} of 4");
}
