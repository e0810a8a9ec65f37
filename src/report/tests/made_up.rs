//! Runs that are made up: their tables, and what they note of themselves.

use super::*;

pub(super) const CLASSES: [&str; 4] = ["liver", "spleen", "kidney", "pancreas"];

/// A number in 0..1 that looks drawn and is the same everywhere.
pub(super) fn noise(seed: u64) -> f64 {
    let mixed = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed ^ (mixed >> 29)) >> 11) as f64 / (1u64 << 53) as f64
}

pub(super) fn metric(step: i64, split: &str, name: &str, value: f64) -> MetricRow {
    MetricRow {
        step,
        epoch: step / 100,
        split: split.into(),
        subject_id: None,
        modality: None,
        class: None,
        name: name.into(),
        value,
        unit: "1".into(),
    }
}

pub(super) fn metrics() -> Vec<MetricRow> {
    let mut rows = Vec::new();
    for step in 0..4000i64 {
        let t = step as f64 / 4000.0;
        let fall = (-5.0 * t).exp();
        let wiggle = 0.15 * (noise(step as u64) - 0.5) * (0.3 + fall);
        let (supervised, consistency) = (
            0.25 + 1.3 * fall + wiggle,
            (0.2 * t * (1.2 - t) + wiggle / 6.0).max(0.0),
        );
        rows.push(metric(step, "train", "loss", supervised + consistency));
        rows.push(metric(step, "train", "loss_supervised", supervised));
        rows.push(metric(step, "train", "loss_consistency", consistency));
        rows.push(metric(step, "train", "lr", 1e-3 * (1.0 - t).powf(0.9)));
        if step % 200 != 199 {
            continue;
        }
        for (m, modality) in ["ct", "mr"].iter().enumerate() {
            for (c, class) in CLASSES.iter().enumerate() {
                let top = 0.93 - 0.04 * m as f64 - [0.0, 0.03, 0.06, 0.38][c];
                let own = |name: &str, value: f64| MetricRow {
                    modality: Some((*modality).into()),
                    class: Some((*class).into()),
                    ..metric(
                        step,
                        if name == "dice" {
                            "validation"
                        } else {
                            "train"
                        },
                        name,
                        value,
                    )
                };
                let jitter = 0.03 * (noise((step * 31 + c as i64 * 7 + m as i64) as u64) - 0.5);
                rows.push(own("dice", top * (1.0 - (-6.0 * t).exp()) + jitter));
                rows.push(own(
                    "kept_fraction",
                    0.98 - 0.5 * (-4.0 * t).exp() - 0.05 * c as f64,
                ));
            }
        }
    }
    rows
}

pub(super) fn scores(subjects: usize, gain: f64) -> Vec<ScoreRow> {
    let mut rows = Vec::new();
    for i in 0..subjects {
        for (m, modality) in ["ct", "mr"].iter().enumerate() {
            for (c, class) in CLASSES.iter().enumerate() {
                let drawn = noise((i * 97 + c * 13 + m) as u64);
                let dice = 0.88 + gain - 0.05 * m as f64 - [0.0, 0.03, 0.06, 0.36][c]
                    + 0.08 * (drawn - 0.5);
                let truth_ml = [1500.0, 220.0, 300.0, 80.0][c] * (0.8 + 0.4 * drawn);
                rows.push(ScoreRow {
                    subject_id: format!("amos_{i:04}"),
                    split: if i % 3 == 0 { "validation" } else { "test" }.into(),
                    checkpoint: "best".into(),
                    modality: (*modality).into(),
                    class_id: c as i32 + 1,
                    class: (*class).into(),
                    dice: (i != 4 || c != 3).then_some(dice),
                    truth_ml,
                    predicted_ml: truth_ml * (0.9 + 0.15 * drawn),
                    truth_voxels: (truth_ml * 100.0) as i64,
                    predicted_voxels: (truth_ml * 95.0) as i64,
                    hd95_mm: (i != 4 || c != 3).then_some(2.0 + drawn),
                    nsd: vec![0.5, 0.75],
                    nsd_tolerance_mm: vec![1.0, 2.0],
                    ..ScoreRow::default()
                });
            }
        }
    }
    rows
}

pub(super) fn subjects() -> Vec<SubjectRow> {
    let subject = |i: usize| SubjectRow {
        subject_id: format!("amos_{i:04}"),
        patient: format!("amos_{i:04}"),
        entities: Default::default(),
        cohort: "amos".into(),
        split: "train".into(),
        labelled: i.is_multiple_of(5),
        modalities: vec!["ct".into(), "mr".into()],
        shape_x: 256,
        shape_y: 256,
        shape_z: 96,
        spacing_x_mm: 1.2,
        spacing_y_mm: 1.2,
        spacing_z_mm: 3.0,
        orientation: "RAS".into(),
        digest: format!("{i:064x}"),
        prepared_shape_x: Some(192),
        prepared_shape_y: Some(192),
        prepared_shape_z: Some(96),
        seconds: Some(1.4),
        bytes: 12_582_912,
        status: if i == 7 { "failed" } else { "ok" }.into(),
    };
    (0..60).map(subject).collect()
}

pub(super) fn edges() -> Vec<EdgeRow> {
    let edge = |node: &str, rows, seconds: [f64; 3], failures| EdgeRow {
        node: node.into(),
        rows,
        bytes: rows * 12_000_000,
        busy_seconds: seconds[0],
        starved_seconds: seconds[1],
        blocked_seconds: seconds[2],
        failures,
    };
    vec![
        edge("source", 58, [41.0, 0.0, 210.0], 1),
        edge("stages[0].orient", 58, [4.2, 30.0, 216.0], 0),
        edge("stages[1].resample", 57, [188.0, 18.0, 44.0], 1),
        edge("stages[2].patch", 4000, [12.0, 190.0, 48.0], 0),
        edge("views.strong[0].gamma", 4000, [36.0, 61.0, 153.0], 0),
        edge("train", 4000, [243.0, 7.0, 0.0], 0),
    ]
}

pub(super) const PIPELINE: &str = "seed: 20\nsource:\n  manifest: { path: manifest.parquet, where: \"split < 'z'\" }\nstages:\n  - orient: RAS\n  - resample: { spacing_mm: [1.5, 1.5, 2.0] }\ntrain: { network: cmc, steps: 4000 }\n";

pub(super) const PLAN: &str = r#"{"name": "cmc_amos", "seed": 20, "chains": {"stages": [
    {"path": "stages[0].orient"}, {"path": "stages[1].resample"}, {"path": "stages[2].patch"}],
    "views.strong": [{"path": "views.strong[0].gamma"}]}}"#;
pub(super) const STATUS: &str = r#"{"progress": "finished", "version": "0.1.0", "started": "2026-01-02T10:00:00+00:00", "starts": 2,
    "machine": {"host": "node7", "processor": "Some <CPU>", "cores": 2, "memory_bytes": 25769803776}}"#;

pub(super) fn fill(run: &Path, gain: f64) {
    write_table(&run.join("metrics.parquet"), &metrics()).unwrap();
    write_table(&run.join("scores.parquet"), &scores(18, gain)).unwrap();
    write_table(&run.join("subjects.parquet"), &subjects()).unwrap();
    write_table(&run.join("edges.parquet"), &edges()).unwrap();
    let failures = [
        FailureRow {
            subject_id: "amos_0007".into(),
            stage: "source".into(),
            cause: "data/amos_0007_ct.nii.gz: dim: 0 voxels along z, expected at least one".into(),
            file: Some("data/amos_0007_ct.nii.gz".into()),
        },
        FailureRow {
            subject_id: "amos_0031".into(),
            stage: "stages[1].resample".into(),
            cause: "<script>alert(1)</script>".into(),
            file: None,
        },
    ];
    write_table(&run.join("failures.parquet"), &failures).unwrap();
    let warning = WarningRow {
        subject_id: Some("amos_0012".into()),
        stage: "stages[1].zscore".into(),
        modality: Some("mr".into()),
        kind: "no_foreground".into(),
        message: "no voxel lies above the smallest value, <b>0</b>".into(),
    };
    let run_wide = WarningRow {
        subject_id: None,
        ..warning.clone()
    };
    write_table(&run.join("warnings.parquet"), &[run_wide, warning]).unwrap();
    let quality = |i: usize| QualityRow {
        subject_id: format!("amos_{i:04}"),
        sample: 0,
        step: 0,
        modality: "ct".into(),
        name: "snr".into(),
        value: if i == 33 {
            3.0
        } else {
            20.0 + 2.0 * noise(i as u64)
        },
    };
    let quality: Vec<QualityRow> = (0..60).map(quality).collect();
    write_table(&run.join("quality.parquet"), &quality).unwrap();
    std::fs::write(run.join("pipeline.yaml"), PIPELINE).unwrap();
    std::fs::write(run.join("plan.json"), PLAN).unwrap();
    std::fs::write(run.join("status.json"), STATUS).unwrap();
}
