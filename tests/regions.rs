//! Overlapping regions from the file to the label map: learnt, painted, scored, and read by prediction.

mod scored;

use crate::folds::{args, written};
use std::path::Path;
use voxstream::cli::run::run as run_command;
use voxstream::cli::{FoldArg, RunArgs, open, planned, read};
use voxstream::error::Error;
use voxstream::query::Session;
use voxstream::run::driver::{RunOptions, RunOutcome, run};
use voxstream::run::evaluate::summary;
use voxstream::sink::{MetricRow, PostprocessingRow, ScoreRow, read_table};
use voxstream::spec::SourceFile;
use voxstream::train::checkpoint::{ModelFile, find, read_json};
use voxstream::volume::{Grid, Volume, nifti};

/// Ten subjects with a box of edema around a box of necrosis around a box that is enhancing, each in a tone
/// of its own. A slice of every label map is not annotated.
fn cohort(root: &Path) {
    let grid = Grid::with_spacing([16; 3], [1.0; 3]).unwrap();
    for subject in 0..10 {
        let (mut image, mut label) = (Vec::new(), Vec::new());
        let shift = subject % 3;
        for i in 0..grid.voxel_count() {
            let at = [i % 16, i / 16 % 16, i / 256];
            let is_in = |margin: usize| {
                (at.iter()).all(|v| (1 + shift + margin..14 + shift - margin).contains(v))
            };
            let class = u8::from(is_in(0)) + u8::from(is_in(2)) + u8::from(is_in(4));
            let tone = [0.0, 40.0, 80.0, 120.0][usize::from(class)];
            let texture = (7 * at[0] + 5 * at[1] + 3 * at[2] + subject) % 11;
            image.push(tone + texture as f32);
            label.push(if at[2] == 5 { 9 } else { class });
        }
        let write = |kind: &str, volume: Volume| {
            nifti::write(&root.join(format!("s{subject}_{kind}.nii")), &volume, None).unwrap();
        };
        write("mr", Volume::from_vec(image, grid).unwrap());
        write("label", Volume::from_vec(label, grid).unwrap());
    }
}

const CLASSES: &str = "classes: [background, edema, necrosis, enhancing]";

const REGIONS: &str =
    "regions: { whole: [edema, necrosis, enhancing], core: [necrosis, 3], active: enhancing }";

fn train(regions: &str, steps: usize, seed: usize) -> String {
    format!(
        "seed: {seed}
views: {{ shared: [patch: {{ size: [16, 16, 16] }}] }}
train:
  {CLASSES}
  {regions}
  network: {{ unet3d: {{ width: 4, depth: 2 }} }}
  optimizer: {{ lr: 0.01 }}
  steps: {steps}
  validate: {{ every: {} }}
  batch: {{ labelled: 1 }}
",
        (steps / 10).max(2)
    )
}

fn pipeline(root: &Path, more: &str) -> SourceFile {
    let text = format!(
        "name: regions
source:
  folders:
    path: .
    images: '{{subject}}_mr.nii'
    labels: '{{subject}}_label.nii'
    modalities: [mr]
    split: {{ validation: [s0, s1], test: [s2, s3] }}
  labels: {{ ignore: 9 }}
stages: [zscore: {{ foreground: all }}]
score: {{ splits: [test], metrics: [dice, hd95_monai_mm] }}
{more}"
    );
    SourceFile {
        name: root.join("p.yaml").display().to_string(),
        text,
    }
}

fn ran(root: &Path, out: &str, more: &str) -> Result<RunOutcome, Error> {
    let (plan, cohort) = open(&pipeline(root, more))?;
    let options = RunOptions {
        out: Some(root.join(out)),
        workers: Some(1),
        ..RunOptions::default()
    };
    run(plan, cohort, &options)
}

/// Name, number and Dice of the scores of a subject under a checkpoint.
fn scores<'a>(all: &'a [ScoreRow], subject: &str, checkpoint: &str) -> Vec<(&'a str, i32, f64)> {
    let own = all
        .iter()
        .filter(|s| s.subject_id == subject && s.checkpoint == checkpoint);
    own.map(|s| (&*s.class, s.class_id, s.dice.unwrap()))
        .collect()
}

/// Dice of a union of classes of two label maps, where they are annotated.
fn dice(prediction: &[u8], truth: &[u8], classes: &[u8]) -> f64 {
    let annotated = prediction.iter().zip(truth).filter(|(_, t)| **t != 9);
    let (mut both, mut all) = (0, 0);
    for (p, t) in annotated.map(|(p, t)| (classes.contains(p), classes.contains(t))) {
        both += usize::from(p && t);
        all += usize::from(p) + usize::from(t);
    }
    2.0 * both as f64 / all as f64
}

fn label(path: &Path) -> Vec<u8> {
    nifti::read(path, None)
        .unwrap()
        .to_f32()
        .iter()
        .map(|v| *v as u8)
        .collect()
}

#[test]
fn nested_regions_are_painted_scored_and_read_by_prediction() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    cohort(root);
    let sinks = "sinks: { predictions: { parquet: true, nifti: true } }\n";
    let more = format!("{}{sinks}", train(REGIONS, 24, 5));
    let trained = ran(root, "trained", &more).unwrap();
    assert!(trained.failures.is_empty(), "{:?}", trained.failures);

    // Validation takes the mean of the regions; that steps raise it is a test of the trainer.
    let metrics: Vec<MetricRow> = read_table(&root.join("trained/metrics.parquet")).unwrap();
    let curve = |name: &str, class: Option<&str>| -> Vec<(i64, f64)> {
        let own = metrics
            .iter()
            .filter(|m| m.name == name && m.class.as_deref() == class && m.split == "validation");
        own.map(|m| (m.step, m.value)).collect()
    };
    for (step, mean) in curve("mean_dice", None) {
        let at = |region| {
            curve("dice", Some(region))
                .iter()
                .find(|d| d.0 == step)
                .map(|d| d.1)
        };
        let regions: Vec<f64> = ["whole", "core", "active"]
            .into_iter()
            .filter_map(at)
            .collect();
        let expected = regions.iter().sum::<f64>() / regions.len() as f64;
        assert!(
            (mean - expected).abs() < 1e-12,
            "{step}: {mean} {regions:?}"
        );
    }

    // Classes and regions are scored, regions as unions of the painted classes.
    let names: Vec<(&str, i32)> = scores(&trained.scores, "s2", "best")
        .iter()
        .map(|s| (s.0, s.1))
        .collect();
    let expected = [
        ("edema", 1),
        ("necrosis", 2),
        ("enhancing", 3),
        ("whole", -1),
        ("core", -2),
        ("active", -3),
    ];
    assert_eq!(names, expected);
    let prediction = label(&root.join("trained/predictions/best/s2.joint.nii.gz"));
    let truth = label(&root.join("s2_label.nii"));
    for (name, _, found) in scores(&trained.scores, "s2", "best") {
        let classes: &[u8] = match name {
            "edema" => &[1],
            "necrosis" => &[2],
            "enhancing" | "active" => &[3],
            "whole" => &[1, 2, 3],
            _ => &[2, 3],
        };
        assert!(
            (found - dice(&prediction, &truth, classes)).abs() < 1e-12,
            "{name}"
        );
    }
    assert!((trained.scores.iter()).any(|s| s.class_id < 0 && s.hd95_monai_mm.is_some()));
    let cleaned: Vec<PostprocessingRow> =
        read_table(&root.join("trained/postprocessing.parquet")).unwrap();
    let cleaned: Vec<(&str, i32)> = cleaned.iter().map(|r| (&*r.class, r.class_id)).collect();
    assert_eq!(cleaned, expected[3..]);

    // The checkpoint says what it predicts: prediction needs nothing else.
    let file: ModelFile =
        read_json(&find(&root.join("trained")).unwrap().join("model.json")).unwrap();
    let painted: Vec<u8> = file.model.regions.iter().map(|r| r.paints).collect();
    assert_eq!(painted, [1, 2, 3]);
    let predicted = ran(root, "predicted", "predict: { checkpoint: trained }\n").unwrap();
    for subject in ["s2", "s3"] {
        assert_eq!(
            scores(&predicted.scores, subject, "best"),
            scores(&trained.scores, subject, "best")
        );
    }
}

#[test]
fn an_ensemble_is_of_the_same_regions() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    cohort(root);
    for (out, regions, seed) in [
        ("a", REGIONS, 1),
        ("b", REGIONS, 2),
        ("classes", "", 1),
        (
            "other",
            "regions: { lesion: [1, 2, 3], core: [2, 3], active: 3 }",
            1,
        ),
    ] {
        ran(root, out, &train(regions, 2, seed)).unwrap();
    }
    let predict = |list: &str| {
        ran(
            root,
            &list.replace(", ", "-"),
            &format!("predict: {{ checkpoint: [{list}] }}\n"),
        )
    };
    let together = predict("a, b").unwrap();
    // Two subjects, three classes and three regions.
    assert_eq!(together.scores.len(), 12);
    let refused = |list: &str| predict(list).unwrap_err().to_string();
    let text = refused("a, classes");
    assert!(
        text.contains("its regions are none, those of")
            && text.contains("whole (classes 1 2 3, painted as 1)"),
        "{text}"
    );
    let text = refused("a, other");
    assert!(
        text.contains("an ensemble averages probabilities of the same regions"),
        "{text}"
    );

    // A checkpoint whose regions are not those of its network.
    let path = find(&root.join("b")).unwrap().join("model.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let model: serde_json::Value = serde_json::from_str(&text).unwrap();
    let changed = |regions: serde_json::Value| {
        let mut model = model.clone();
        model["model"]["regions"] = regions;
        std::fs::write(&path, model.to_string()).unwrap();
        let _ = std::fs::remove_dir_all(root.join("b-only"));
        ran(root, "b-only", "predict: { checkpoint: b }\n")
            .unwrap_err()
            .to_string()
    };
    let regions = &model["model"]["regions"];
    let mut order = regions.as_array().unwrap().clone();
    order.reverse();
    let text = changed(order.into());
    assert!(
        text.contains("model.json: the regions of class 2 are painted as class 1"),
        "{text}"
    );
    let text = changed(serde_json::json!([]));
    assert!(text.contains("head"), "{text}");
}

#[test]
fn folds_score_regions_beside_classes() {
    let folder = tempfile::tempdir().unwrap();
    let (file, group) = (written(folder.path()), folder.path().join("group"));
    let all = RunArgs {
        fold: Some(FoldArg::All),
        set: vec!["train.regions={both: [a, b], second: b}".to_owned()],
        ..args(&file, &group)
    };
    assert_eq!(run_command(&all, &mut Vec::new()).unwrap(), 0);
    let session = Session::open(&group).unwrap();
    let counted = |sql: &str| {
        use arrow::array::AsArray as _;
        let batches = session.sql(sql).unwrap();
        batches[0]
            .column(0)
            .as_primitive::<arrow::datatypes::Int64Type>()
            .value(0)
    };
    let of = |names: &str| {
        format!(
            "select count(*) from cross_validation where split = 'validation' and checkpoint = 'best' and class in ({names}) and folds = 3"
        )
    };
    assert_eq!(counted(&of("'both'")), 1);
    assert!(counted("select count(*) from leaderboard where mean_region_dice is not null") > 0);
    // The mean is over classes, and no region is in it.
    assert_eq!(
        counted(
            "select count(*) from (select avg(mean_dice) filter (where class in ('a', 'b')) as classes,
             max(mean_dice) filter (where class is null) as mean from cross_validation
             where split = 'validation' and checkpoint = 'best')
             where classes - mean < 1e-9 and mean - classes < 1e-9"
        ),
        1
    );
}

#[test]
fn the_gallery_pipeline_of_regions_runs() {
    let folder = tempfile::tempdir().unwrap();
    let set = [
        "source.phantom.subjects=6",
        "source.phantom.size=[16,16,16]",
        "source.phantom.validation=1",
        "source.phantom.test=2",
        "views.shared[0].patch.size=[16,16,16]",
        "train.network.unet3d.width=2",
        "train.steps=2",
    ];
    let set: Vec<String> = set.map(str::to_owned).to_vec();
    let file = read(Path::new("pipelines/16-regions-phantom.yaml"), &set).unwrap();
    let (plan, cohort) = open(&file).unwrap();
    let options = RunOptions {
        out: Some(folder.path().join("run")),
        workers: Some(1),
        ..RunOptions::default()
    };
    let outcome = run(plan, cohort, &options).unwrap();
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    // 2 test subjects, 2 classes and 2 regions, 2 checkpoints.
    assert_eq!(outcome.scores.len(), 16);
}

#[test]
fn a_file_without_regions_is_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let plan = planned(&pipeline(folder.path(), &train("", 2, 1))).unwrap();
    let (train, _) = plan.pipeline.train.as_ref().unwrap();
    let text = serde_json::to_string(train).unwrap();
    assert!(!text.contains("regions"), "{text}");
}
