//! Steps that decide about rows and classes, and every figure, from a file to the tables.

use std::path::Path;
use voxstream::cli::open;
use voxstream::error::Error;
use voxstream::plan::explain::{Form, explain};
use voxstream::plan::ranges::Subjects;
use voxstream::run::driver::{RunOptions, RunOutcome, run};
use voxstream::sink::{FailureRow, QualityRow, ScoreRow, SubjectRow, read_run_table, read_table};
use voxstream::spec::SourceFile;

fn pipeline(stages: &str, shared: &str, classes: &str) -> SourceFile {
    let text = format!(
        "
name: flow
seed: 20
source: {{ phantom: {{ subjects: 9, size: [16, 16, 16], classes: 3, labelled: 3, validation: 1, test: 2 }} }}
stages:
  - window: {{ range: [-175, 250], modalities: [ct] }}
  - zscore: {{ modalities: [mr] }}
{stages}
views:
  shared:
    - patch: {{ size: [16, 16, 16] }}
{shared}
  strong:
    - drop_modality: {{ p: 0.5 }}
pseudo_label: {{ threshold: {{ fixed: 0.5 }} }}
train:
  classes: {classes}
  network: {{ cmc: {{ width: 4, depth: 3 }} }}
  objective: {{ supervised: {{}}, csc: {{ weight: 0.02 }} }}
  steps: 4
  batch: {{ labelled: 2, unlabelled: 1 }}
score:
  metrics: [dice, hd95_mm, hd95_monai_mm, hd95_medpy_mm, assd_mm, nsd, volume_difference, lesion_f1]
  nsd_tolerance_mm: [2, 20]
"
    );
    SourceFile {
        name: "flow.yaml".into(),
        text,
    }
}

fn ran(file: &SourceFile, out: &Path) -> RunOutcome {
    tried(file, out).unwrap()
}

fn tried(file: &SourceFile, out: &Path) -> Result<RunOutcome, Error> {
    let (plan, cohort) = match open(file) {
        Ok(opened) => opened,
        Err(error) => {
            voxstream::cli::show_error(&error);
            panic!("the pipeline has mistakes");
        }
    };
    let options = RunOptions {
        out: Some(out.to_owned()),
        workers: Some(2),
        ..RunOptions::default()
    };
    run(plan, cohort, &options)
}

#[test]
fn a_stray_class_fails_its_subjects_and_is_told_in_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("stray");
    // The phantom has three classes; whether a patch meets the third one must not matter.
    let error = tried(&pipeline("", "", "[background, a, b]"), &out).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("no labelled training subject can be used") && told.contains("label value 3"),
        "{told}"
    );
    let failures: Vec<FailureRow> = read_run_table(&out).unwrap();
    assert_eq!(failures.len(), 3, "{failures:?}");
    assert!(failures.iter().all(|f| f.stage == "train.classes"));
}

#[test]
fn training_goes_on_with_the_one_labelled_subject_a_filter_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let stages =
        "  - filter: { where: \"split <> 'train' or not labelled or subject_id like '%1'\" }";
    let file = pipeline(stages, "", "[background, a, b, c]");
    let outcome = ran(&file, &folder.path().join("one"));
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
}

#[test]
fn classes_are_merged_for_training_and_truth_alike_and_rows_are_filtered() {
    let folder = tempfile::tempdir().unwrap();
    let plain = pipeline("", "", "[background, a, b, c]");
    let before = ran(&plain, &folder.path().join("plain")).scores;
    let stages = "  - quality: { modalities: [mr], percentiles: [50] }
  - filter: { where: \"subject_id not like '%0' and has_ct and shape_x = 16\" }
  - merge: { groups: [{ classes: [2, 3], into: 2 }] }
  - remap: { map: { 1: 2, 2: 1 }, others: fail }
  - keep_largest: { min_share: 0.01 }
  - balance: { by: labelled }";
    let mut changed = pipeline(stages, "    - repeat: { times: 2 }", "[background, bc, a]");
    // Enough that every unlabelled subject has its turn: what is told of a subject is told when it is used.
    changed.text = changed.text.replace("steps: 4", "steps: 12");
    let out = folder.path().join("changed");
    let outcome = ran(&changed, &out);
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    let subjects: Vec<SubjectRow> = read_run_table(&out).unwrap();
    let status = |id: &str| {
        &subjects
            .iter()
            .find(|s| s.subject_id.ends_with(id))
            .unwrap()
            .status
    };
    assert_eq!(
        (status("0"), status("1")),
        (&"left_out".into(), &"ok".into())
    );

    let figures: Vec<QualityRow> = read_run_table(&out).unwrap();
    // Of those that were prepared, at least the 2 labelled ones left, 1 for validation, 2 for the test.
    let medians: Vec<_> = figures.iter().filter(|f| f.name == "p50").collect();
    assert!((5..=8).contains(&medians.len()), "{}", medians.len());
    assert!(figures.iter().all(|f| f.modality == "mr" && f.step == 2));
    assert!(figures.iter().any(|f| f.name == "snr" && f.value > 1.0));

    let rows: Vec<ScoreRow> = read_table(&out.join("scores.parquet")).unwrap();
    assert_eq!(rows, outcome.scores);
    // 2 test subjects, 2 heads, 2 classes, 2 checkpoints.
    assert_eq!(rows.len(), 16);
    for row in &rows {
        let truth = |class: &str| -> i64 {
            let found = before.iter().find(|r| {
                r.class == class && r.subject_id == row.subject_id && r.modality == row.modality
            });
            found.unwrap().truth_voxels
        };
        let expected = match row.class.as_str() {
            "a" => truth("a"),
            _ => truth("b") + truth("c"),
        };
        assert_eq!(row.truth_voxels, expected, "{}", row.class);
        assert!(row.truth_voxels > 0 && row.truth_lesions.unwrap() > 0);
        assert_eq!(row.nsd_tolerance_mm, [2.0, 20.0]);
        assert!(row.nsd.len() == 2 && row.nsd[0] <= row.nsd[1]);
        assert!(row.lesion_f1.is_some());
        let distances = [
            row.hd95_mm,
            row.hd95_monai_mm,
            row.hd95_medpy_mm,
            row.assd_mm,
        ];
        for distance in distances {
            assert_eq!(distance.is_some(), row.predicted_voxels > 0);
            assert!(distance.is_none_or(|d| d >= 0.0));
        }
        let difference = (row.predicted_ml - row.truth_ml) / row.truth_ml;
        assert_eq!(row.volume_difference, Some(difference));
    }
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("NSD at 2 mm") && report.contains("lesion F1"));
}

#[test]
fn steps_stand_where_scoring_and_preparation_can_follow() {
    let refused = |stages: &str, shared: &str| {
        let file = pipeline(stages, shared, "[background, a, b, c]");
        match voxstream::cli::planned(&file) {
            Ok(plan) => panic!("{}", explain(&plan, Form::Text, &Subjects::default())),
            Err(error) => format!("{error:?}"),
        }
    };
    let many = refused("  - repeat: { times: 2 }", "");
    assert!(many.contains("makes 2 rows of a subject"), "{many}");
    let late = refused(
        "",
        "    - merge: { groups: [{ classes: [2, 3], into: 2 }] }",
    );
    assert!(late.contains("where scoring does not see it"), "{late}");
    let unknown = refused("  - filter: { where: \"spacing_z > 3\" }", "");
    assert!(unknown.contains("did you mean `spacing_z_mm`"), "{unknown}");
}
