//! Regions that are scored of a network that learns classes, as challenges compare them.

use super::*;

const SCORED: &str =
    "{ whole: [edema, necrosis, enhancing], core: [necrosis, 3], active: enhancing }";

/// The pipeline with `score.regions`.
fn with_regions(root: &Path, regions: &str, more: &str) -> SourceFile {
    let mut file = pipeline(root, more);
    let metrics = "metrics: [dice, hd95_monai_mm]";
    let both = format!("{metrics}, regions: {regions}");
    file.text = file.text.replace(metrics, &both);
    assert!(file.text.contains(&both));
    file
}

fn run_file(root: &Path, out: &str, file: &SourceFile) -> Result<RunOutcome, Error> {
    let (plan, cohort) = open(file)?;
    let options = RunOptions {
        out: Some(root.join(out)),
        workers: Some(1),
        ..RunOptions::default()
    };
    run(plan, cohort, &options)
}

/// The rows that are not of regions.
fn of_classes(scores: &[ScoreRow]) -> Vec<ScoreRow> {
    let classes = scores.iter().filter(|s| s.class_id > 0);
    classes.cloned().collect()
}

#[test]
fn scored_regions_change_no_class_and_no_choice() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    cohort(root);
    let sinks = "sinks: { predictions: { parquet: true, nifti: true } }\n";
    let more = format!("{}{sinks}", train("", 24, 5));
    let plain = ran(root, "plain", &more).unwrap();
    let scored = run_file(root, "scored", &with_regions(root, SCORED, &more)).unwrap();
    assert!(scored.failures.is_empty(), "{:?}", scored.failures);
    assert_eq!(scored.trained_regions, 0);
    assert_eq!(of_classes(&scored.scores), plain.scores);

    // The means over classes of every validation, and so the best checkpoint, are the same.
    let means = |out: &str| -> Vec<(i64, f64)> {
        let metrics: Vec<MetricRow> = read_table(&root.join(out).join("metrics.parquet")).unwrap();
        let own = metrics.iter().filter(|m| m.name == "mean_dice");
        own.map(|m| (m.step, m.value)).collect()
    };
    assert!(!means("plain").is_empty());
    assert_eq!(means("scored"), means("plain"));
    let best = |out: &str| {
        find(&root.join(out))
            .unwrap()
            .file_name()
            .unwrap()
            .to_owned()
    };
    assert_eq!(best("scored"), best("plain"));
    let metrics: Vec<MetricRow> = read_table(&root.join("scored/metrics.parquet")).unwrap();
    let curve = |class| {
        let own = |m: &&MetricRow| m.name == "dice" && m.class.as_deref() == Some(class);
        metrics.iter().filter(own).count()
    };
    let validations = means("scored").len();
    assert_eq!((curve("whole"), curve("edema")), (validations, validations));

    // Regions are unions of the predicted classes, with the figures of classes.
    let truth = label(&root.join("s2_label.nii"));
    let prediction = label(&root.join("scored/predictions/best/s2.joint.nii.gz"));
    let rows = scores(&scored.scores, "s2", "best");
    let regions: Vec<(&str, i32)> = rows[3..].iter().map(|r| (r.0, r.1)).collect();
    assert_eq!(regions, [("whole", -1), ("core", -2), ("active", -3)]);
    let unions: [&[u8]; 3] = [&[1, 2, 3], &[2, 3], &[3]];
    for ((name, _, found), classes) in rows[3..].iter().zip(unions) {
        let expected = dice(&prediction, &truth, classes);
        assert!((found - expected).abs() < 1e-12, "{name}");
    }
    assert!((scored.scores.iter()).any(|s| s.class_id < 0 && s.hd95_monai_mm.is_some()));
    // Post-processing is chosen class by class, as the network learns.
    let cleaned: Vec<PostprocessingRow> =
        read_table(&root.join("scored/postprocessing.parquet")).unwrap();
    assert!(cleaned.iter().all(|r| r.class_id > 0));

    // A prediction knows the classes from the checkpoint.
    let predict = "predict: { checkpoint: plain }\n";
    let predicted = run_file(root, "predicted", &with_regions(root, SCORED, predict)).unwrap();
    assert_eq!(
        scores(&predicted.scores, "s3", "best"),
        scores(&scored.scores, "s3", "best")
    );
    let wrong = with_regions(root, "{ core: [necrossis, 3] }", predict);
    let Err(Error::Pipeline { diagnostics }) = run_file(root, "wrong", &wrong) else {
        panic!("a class that the network does not have");
    };
    let error = &diagnostics[0].error;
    assert_eq!(error.message, "unknown class `necrossis`");
    assert_eq!(error.help.as_deref(), Some("did you mean `necrosis`?"));
    assert!(error.at.is_some());
    // What cannot start leaves no folder.
    assert!(!root.join("wrong").exists());
}

#[test]
fn a_network_of_regions_scores_further_ones_behind_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    cohort(root);
    let more = train(REGIONS, 2, 1);
    let plain = ran(root, "plain", &more).unwrap();
    let both = with_regions(root, "{ core: [2, 3], rim: [edema, enhancing] }", &more);
    let scored = run_file(root, "scored", &both).unwrap();
    assert_eq!(scored.trained_regions, 3);
    let own = |s: &&ScoreRow| s.class_id != -4;
    let (trained, further): (Vec<&ScoreRow>, Vec<&ScoreRow>) = scored.scores.iter().partition(own);
    assert_eq!(trained, plain.scores.iter().collect::<Vec<_>>());
    // Two subjects under two checkpoints.
    assert_eq!(further.len(), 4);
    assert!(further.iter().all(|s| s.class == "rim"));
    let mean = |outcome: &RunOutcome| summary(&outcome.scores, outcome.trained_regions).overall;
    assert_eq!(mean(&scored), mean(&plain));
}
