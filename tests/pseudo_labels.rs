//! Pseudo-labels that a prediction keeps: in parts, by the thresholds of the training or a fixed one.

use std::path::Path;
use voxstream::cli::{open, planned};
use voxstream::error::Error;
use voxstream::run::driver::{RunOptions, run};
use voxstream::sink::{Ledger, PredictionRow, PseudoLabelRow};
use voxstream::spec::SourceFile;
use voxstream::train::checkpoint::{find, state};

const SOURCE: &str = "source: { phantom: { subjects: 10, size: [24, 24, 24], modalities: [ct], classes: 2, labelled: 2,
          validation: 1, test: 1 } }
stages: [zscore: {}]
";

const TRAIN: &str = "views:
  shared: [patch: { size: [16, 16, 16] }]
  strong: [gaussian_noise: { std: [0.0, 0.1] }]
train: { classes: [background, a, b], network: { unet3d: { width: 4, depth: 2 } }, steps: 4,
         batch: { labelled: 1, unlabelled: 1 }";

fn ran(root: &Path, out: &str, seed: u64, sections: &str, resume: bool) -> Result<(), Error> {
    let file = SourceFile {
        name: root.join(format!("{out}.yaml")).display().to_string(),
        text: format!("name: p\nseed: {seed}\n{SOURCE}{sections}"),
    };
    let (plan, cohort) = open(&file)?;
    let options = RunOptions {
        out: Some(root.join(out)),
        workers: Some(1),
        resume,
        ..RunOptions::default()
    };
    run(plan, cohort, &options).map(drop)
}

fn with_teacher(root: &Path, out: &str, seed: u64) {
    let sections = format!(
        "{TRAIN}, objective: {{ supervised: {{}}, pseudo_label: {{}} }} }}
pseudo_label: {{ threshold: {{ freematch: {{ momentum: 0.5, floor: 0.2 }} }} }}
"
    );
    ran(root, out, seed, &sections, false).unwrap();
}

fn rows(root: &Path, out: &str) -> Vec<PseudoLabelRow> {
    Ledger::open(&root.join(out)).unwrap().read().unwrap()
}

fn thresholds(root: &Path, out: &str) -> Vec<f32> {
    let checkpoint = find(&root.join(out)).unwrap();
    let state = state::<serde_json::Value>(&checkpoint).unwrap();
    state.thresholds.unwrap().current()
}

#[test]
fn a_prediction_keeps_pseudo_labels_by_the_thresholds_of_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    with_teacher(root, "trained", 3);
    let predict = "predict: { checkpoint: trained }
score: { splits: [train] }
sinks: { predictions: {}, pseudo_labels: { nifti: true }, part_size: 64KiB }
";
    ran(root, "out", 0, predict, false).unwrap();
    let found = rows(root, "out");
    assert_eq!(found.len(), 8, "one row a subject of the training split");
    let wanted = thresholds(root, "trained");
    assert!(wanted.iter().any(|t| *t > 0.2), "{wanted:?}");
    for row in &found {
        assert_eq!((row.epoch, row.teacher_step), (0, 4));
        assert_eq!(row.thresholds, wanted);
        let classes = row.label.as_slice::<u8>().unwrap();
        let confidence = row.confidence.as_ref().unwrap().to_f32();
        for (class, kept) in row.kept_fraction.iter().enumerate() {
            let of_class = (0..classes.len()).filter(|i| usize::from(classes[*i]) == class);
            let values: Vec<f64> = of_class.map(|i| f64::from(confidence[i])).collect();
            let above = |slack: f64| {
                let threshold = f64::from(wanted[class]) + slack;
                let count = values.iter().filter(|p| **p >= threshold).count();
                count as f64 / values.len().max(1) as f64
            };
            // Stored as bytes, a confidence is known to half of 1/255.
            let kept = f64::from(*kept);
            let (least, most) = (above(0.5 / 255.0) - 1e-6, above(-0.5 / 255.0) + 1e-6);
            assert!((least..=most).contains(&kept), "{class}: {kept}");
        }
        let nifti = root.join(format!(
            "out/pseudo_labels/best/{}.joint.nii.gz",
            row.subject_id
        ));
        let written = voxstream::volume::nifti::read(&nifti, None).unwrap();
        assert_eq!(written.as_slice::<u8>().unwrap(), classes);
    }
    // Both tables of a part say the same, and the commit record names both.
    let ledger = Ledger::open(&root.join("out")).unwrap();
    assert!(ledger.parts().len() > 1);
    let predictions: Vec<PredictionRow> = ledger.read().unwrap();
    assert_eq!(predictions.len(), found.len());
    for (a, b) in predictions.iter().zip(&found) {
        assert_eq!(a.subject_id, b.subject_id);
        assert_eq!(a.label.as_slice::<u8>(), b.label.as_slice::<u8>());
    }
    // A file that is lost is made again, with the part that names it.
    let lost = root
        .join("out/pseudo_labels/best")
        .join(format!("{}.joint.nii.gz", found.last().unwrap().subject_id));
    std::fs::remove_file(&lost).unwrap();
    ran(root, "out", 0, predict, true).unwrap();
    assert!(lost.exists());
    assert_eq!(rows(root, "out").len(), 8);
}

#[test]
fn an_ensemble_takes_the_mean_of_thresholds_and_a_file_may_fix_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    with_teacher(root, "a", 3);
    with_teacher(root, "b", 4);
    let predict = |more: &str| {
        format!(
            "predict: {{ checkpoint: [a, b] }}\nscore: {{ splits: [test] }}\nsinks: {{ pseudo_labels: {{}} }}\n{more}"
        )
    };
    ran(root, "mean", 0, &predict(""), false).unwrap();
    let means: Vec<f32> = (thresholds(root, "a").iter().zip(thresholds(root, "b")))
        .map(|(a, b)| a / 2.0 + b / 2.0)
        .collect();
    assert_eq!(rows(root, "mean")[0].thresholds, means);
    let fixed = predict("pseudo_label: { threshold: { fixed: 0.75 } }\n");
    ran(root, "fixed", 0, &fixed, false).unwrap();
    assert_eq!(rows(root, "fixed")[0].thresholds, [0.75; 3]);
}

#[test]
fn a_network_without_thresholds_needs_a_fixed_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let train = format!("{TRAIN}, objective: {{ supervised: {{}} }} }}\n")
        .replace(", unlabelled: 1", "")
        .replace("  strong: [gaussian_noise: { std: [0.0, 0.1] }]\n", "");
    ran(root, "trained", 3, &train, false).unwrap();
    let predict = "predict: { checkpoint: trained }\nsinks: { pseudo_labels: {} }\n";
    let told = ran(root, "out", 0, predict, false).unwrap_err().to_string();
    assert!(
        told.contains("was trained without pseudo-labels")
            && told.contains("pseudo_label: { threshold: { fixed: 0.9 } }"),
        "{told}"
    );
    assert!(
        !root.join("out").exists(),
        "what cannot start leaves no folder"
    );
    let fixed = format!("{predict}pseudo_label: {{ threshold: {{ fixed: 0.9 }} }}\n");
    ran(root, "out", 0, &fixed, false).unwrap();
    assert_eq!(rows(root, "out")[0].thresholds, [0.9; 3]);
}

#[test]
fn a_rule_that_follows_training_is_refused_where_nothing_is_trained() {
    let text = format!(
        "name: p\n{SOURCE}predict: {{ checkpoint: trained }}\nsinks: {{ pseudo_labels: {{}} }}\npseudo_label: {{ ema: 0.9, threshold: {{ flexmatch: {{}} }} }}\n"
    );
    let file = SourceFile {
        name: "p.yaml".into(),
        text,
    };
    let Err(Error::Pipeline { diagnostics }) = planned(&file) else {
        panic!("no mistakes found")
    };
    let told: Vec<String> = diagnostics.iter().map(|d| d.render(false)).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("a prediction trains neither"), "{told:?}");
    assert!(told[1].contains("threshold: { fixed: 0.9 }"), "{told:?}");
}
