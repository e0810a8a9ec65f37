//! Label values of other tools, from the pipeline file to the tables of a run.

use std::path::Path;
use voxstream::cli::{open, planned};
use voxstream::error::Error;
use voxstream::run::driver::{RunOptions, RunOutcome, run};
use voxstream::sink::{ScoreRow, WarningRow, read_table};
use voxstream::spec::SourceFile;
use voxstream::volume::{Grid, Volume, nifti};

/// Two subjects whose labels hold 0, 205, 420 and -1 in blocks of the x axis.
fn cohort(folder: &Path) {
    let grid = Grid::with_spacing([16, 16, 16], [1.0; 3]).unwrap();
    let image: Vec<f32> = (0..grid.voxel_count()).map(|i| (i % 97) as f32).collect();
    let stored = |i: usize| [0i32, 205, 420, -1][i % 16 / 4];
    let label: Vec<i32> = (0..grid.voxel_count()).map(stored).collect();
    for subject in ["a", "b"] {
        let write = |name: &str, volume: &Volume| {
            let path = folder.join(format!("{subject}_{name}.nii.gz"));
            nifti::write(&path, volume, None).unwrap();
        };
        write("ct", &Volume::from_vec(image.clone(), grid).unwrap());
        write("label", &Volume::from_vec(label.clone(), grid).unwrap());
    }
}

fn file(folder: &Path, labels: &str, more: &str) -> SourceFile {
    let text = format!(
        "name: c\nsource:\n  folders:\n    path: '.'\n    images: '{{subject}}_ct.nii.gz'\n    labels: '{{subject}}_label.nii.gz'\n    modalities: [ct]\n    split: {{ test: [b] }}\n  labels: {labels}\n{more}"
    );
    SourceFile {
        name: folder.join("p.yaml").display().to_string(),
        text,
    }
}

fn ran(folder: &Path, out: &str, labels: &str, more: &str) -> RunOutcome {
    let (plan, cohort) = open(&file(folder, labels, more)).unwrap();
    let options = RunOptions {
        out: Some(folder.join(out)),
        workers: Some(1),
        ..RunOptions::default()
    };
    run(plan, cohort, &options).unwrap()
}

const PREPARE: &str =
    "stages: [zscore: { foreground: all }]\nsinks: { prepared: { parquet: true, nifti: true } }\n";

const TRAIN: &str = "stages: [zscore: { foreground: all }]\n\
     views: { shared: [patch: { size: [16, 16, 16] }] }\n\
     train: { classes: [background, a, b], network: { unet3d: { width: 4, depth: 2 } }, objective: { supervised: {} }, steps: 1, batch: { labelled: 1 } }\n\
     score: { splits: [test] }\n";

#[test]
fn mapped_values_are_classes_in_every_output() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    cohort(root);
    let labels = "{ map: { 205: 1, 420: 2 }, ignore: -1 }";
    assert!(ran(root, "prepared", labels, PREPARE).failures.is_empty());
    let label = root.join("prepared/prepared/nifti/a/label.nii.gz");
    let label = nifti::read(&label, None).unwrap();
    let row: Vec<u8> = label.as_slice::<u8>().unwrap()[..16].to_vec();
    assert_eq!(
        row,
        [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 255, 255, 255, 255]
    );

    assert!(ran(root, "trained", labels, TRAIN).failures.is_empty());
    let scores: Vec<ScoreRow> = read_table(&root.join("trained/scores.parquet")).unwrap();
    let truth: Vec<(&str, f64)> = (scores.iter())
        .filter(|s| s.subject_id == "b" && s.checkpoint == scores[0].checkpoint)
        .map(|s| (s.class.as_str(), s.truth_ml))
        .collect();
    // A quarter of 4096 mm3 each.
    assert_eq!(truth, [("a", 1.024), ("b", 1.024)]);
    let warnings: Vec<WarningRow> = read_table(&root.join("trained/warnings.parquet")).unwrap();
    assert!(warnings.iter().all(|w| w.kind != "label"), "{warnings:?}");

    // A value that is mapped to 255 is ignored alike, and needs no `ignore`.
    let marked = "{ map: { 205: 1, 420: 2, -1: 255 } }";
    assert!(ran(root, "marked", marked, TRAIN).failures.is_empty());
    let again: Vec<ScoreRow> = read_table(&root.join("marked/scores.parquet")).unwrap();
    assert_eq!(again, scores);
}

#[test]
fn what_no_map_names_stays_and_negative_values_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    cohort(root);
    let outcome = ran(root, "refused", "{ map: { 205: 1 } }", PREPARE);
    let causes: Vec<&str> = outcome.failures.iter().map(|f| f.cause.as_str()).collect();
    assert_eq!(causes.len(), 2);
    assert!(
        causes[0].contains("x 12, y 0, z 0 is -1,") && causes[0].contains("map: { -1: CLASS }"),
        "{causes:?}"
    );
    let labels = "{ map: { 205: 1, -1: 0 } }";
    assert!(ran(root, "kept", labels, PREPARE).failures.is_empty());
    let label = root.join("kept/prepared/nifti/a/label.nii.gz");
    let label = nifti::read(&label, None).unwrap();
    let row = &label.as_slice::<u16>().unwrap()[..16];
    assert_eq!(
        row,
        [0, 0, 0, 0, 1, 1, 1, 1, 420, 420, 420, 420, 0, 0, 0, 0]
    );
    let (plan, cohort) = open(&file(root, labels, TRAIN)).unwrap();
    let options = RunOptions {
        out: Some(root.join("stray")),
        ..RunOptions::default()
    };
    let error = run(plan, cohort, &options).unwrap_err().to_string();
    assert!(
        error.contains("label value 420, but `train.classes` names 3 classes"),
        "{error}"
    );
}

#[test]
fn a_stored_value_does_not_join_a_class_that_the_map_made_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    cohort(root);
    // `b` also holds 1, the class of 205.
    let path = root.join("b_label.nii.gz");
    let label = nifti::read(&path, None).unwrap();
    let mut values = label.as_slice::<i32>().unwrap().to_vec();
    values[0] = 1;
    let label = Volume::from_vec(values, *label.grid()).unwrap();
    nifti::write(&path, &label, None).unwrap();
    let outcome = ran(
        root,
        "refused",
        "{ map: { 205: 1, 420: 2 }, ignore: -1 }",
        PREPARE,
    );
    let failures: Vec<(&str, &str)> = (outcome.failures.iter())
        .map(|f| (f.subject.as_str(), f.cause.as_str()))
        .collect();
    let [("b", cause)] = failures[..] else {
        panic!("{failures:?}")
    };
    assert!(
        cause.contains("it turns 205 into 1; write `1: 1` into the map"),
        "{cause}"
    );
    let joined = "{ map: { 205: 1, 1: 1, 420: 2 }, ignore: -1 }";
    assert!(ran(root, "joined", joined, PREPARE).failures.is_empty());
    let label = root.join("joined/prepared/nifti/b/label.nii.gz");
    let label = nifti::read(&label, None).unwrap();
    let row = &label.as_slice::<u8>().unwrap()[..6];
    assert_eq!(row, [1, 0, 0, 0, 1, 1]);
}

#[test]
fn a_prepared_subject_is_found_again_under_the_same_map_only() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    cohort(root);
    let digest = |labels: &str| {
        let (_, cohort) = open(&file(root, labels, PREPARE)).unwrap();
        cohort.digest(&cohort.subjects()[0]).unwrap()
    };
    let plain = digest("{}");
    assert_eq!(plain, digest("{ map: {} }"));
    let mapped = digest("{ map: { 205: 1 } }");
    assert!(mapped != plain && mapped != digest("{ map: { 205: 2 } }"));
}

#[test]
fn a_bad_map_is_refused_at_its_line_and_column() {
    let refused = |labels: &str, more: &str| {
        let Err(Error::Pipeline { diagnostics }) = planned(&file(Path::new("."), labels, more))
        else {
            panic!("planned: {labels}")
        };
        let rendered = diagnostics.iter().map(|d| d.render(false));
        rendered.collect::<Vec<_>>().join("\n")
    };
    for (labels, more, place, said) in [
        (
            "{ map: { 205: 1, 420: -2 } }",
            PREPARE,
            ":9:33",
            "`labels.map` turns 420 into -2, which is no class number",
        ),
        (
            "{ map: { 205: 70000 } }",
            PREPARE,
            ":9:25",
            "write one from 0 to 65535, or 255 for voxels that nobody annotated",
        ),
        ("{ map: { 205: one } }", PREPARE, ":9:25", "found `one`"),
        (
            "{ map: { left: 1 } }",
            PREPARE,
            ":9:20",
            "expected a whole number, as the label files hold it",
        ),
        (
            "{ map: [205] }",
            PREPARE,
            ":9:18",
            "a map from stored value to class number",
        ),
        (
            "{ map: { 205: 1, 420: 3 } }",
            TRAIN,
            ":9:33",
            "turns 420 into 3, but `train.classes` has 3 classes, 0 to 2",
        ),
    ] {
        let text = refused(labels, more);
        assert!(
            text.contains(said) && text.contains(place),
            "{labels}: {text}"
        );
        assert_eq!(text.matches("p.yaml").count(), 1, "{text}");
    }
}
