//! Post-processing that is chosen on the validation subjects, from training to prediction.

use std::path::Path;
use voxstream::cli::{open, planned};
use voxstream::run::driver::{RunOptions, RunOutcome, run};
use voxstream::sink::{PostprocessingRow, ScoreRow, read_table};
use voxstream::spec::SourceFile;
use voxstream::train::checkpoint::{ModelFile, find, read_json};
use voxstream::volume::{Grid, Volume, nifti};

/// Eight subjects with a bright block `a` and a dark block `b`. Those that validate and test also have a
/// second bright block far away, which is no `a` and which training never showed.
fn cohort(root: &Path) {
    let grid = Grid::with_spacing([16; 3], [1.0; 3]).unwrap();
    for subject in 0..8 {
        let (mut image, mut label) = (Vec::new(), Vec::new());
        for i in 0..grid.voxel_count() {
            let [x, y, z] = [i % 16, i / 16 % 16, i / 256];
            let is_in = |[from, to]: [usize; 2], v: usize| (from..to).contains(&v);
            let shift = subject % 3;
            let a = is_in([1 + shift, 8], x) && is_in([1, 8], y) && is_in([2, 9], z);
            let b = is_in([1, 8], x) && is_in([10, 15], y) && is_in([3 + shift, 9 + shift], z);
            let other = is_in([11, 15], x) && is_in([10, 14], y) && is_in([11, 15], z);
            let texture = (7 * x + 5 * y + 3 * z + subject) % 11;
            let value = match (a || other && subject < 4, b) {
                (true, _) => 100.0,
                (_, true) => -100.0,
                _ => 0.0,
            };
            image.push(value + texture as f32);
            label.push(u8::from(a) + 2 * u8::from(b));
        }
        let write = |kind: &str, volume: Volume| {
            let path = root.join(format!("s{subject}_{kind}.nii"));
            nifti::write(&path, &volume, None).unwrap();
        };
        write("mr", Volume::from_vec(image, grid).unwrap());
        write("label", Volume::from_vec(label, grid).unwrap());
    }
}

fn ran(root: &Path, out: &str, more: &str) -> RunOutcome {
    let text = format!(
        "name: c
seed: 5
source:
  folders:
    path: .
    images: '{{subject}}_mr.nii'
    labels: '{{subject}}_label.nii'
    modalities: [mr]
    split: {{ validation: [s0, s1], test: [s2, s3] }}
stages: [zscore: {{ foreground: all }}]
score: {{ splits: [validation, test] }}
{more}"
    );
    let file = SourceFile {
        name: root.join("p.yaml").display().to_string(),
        text,
    };
    let (plan, cohort) = open(&file).unwrap();
    let options = RunOptions {
        out: Some(root.join(out)),
        workers: Some(1),
        ..RunOptions::default()
    };
    run(plan, cohort, &options).unwrap()
}

const TRAIN: &str = "views: { shared: [patch: { size: [16, 16, 16] }] }
train: { classes: [background, a, b], network: { unet3d: { width: 4, depth: 2 } }, objective: { supervised: {} },
         optimizer: { lr: 0.01 }, steps: 60, validate: { every: 30 }, batch: { labelled: 1 }";

fn mean(scores: &[ScoreRow], split: &str, class: &str) -> f64 {
    let of_class = scores
        .iter()
        .filter(|s| s.split == split && s.class == class && s.checkpoint == "best");
    let dice: Vec<f64> = of_class.filter_map(|s| s.dice).collect();
    dice.iter().sum::<f64>() / dice.len() as f64
}

#[test]
fn the_largest_component_is_kept_where_it_raises_dice_on_validation() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    cohort(root);
    let trained = ran(root, "trained", &format!("{TRAIN} }}\n"));
    let rows: Vec<PostprocessingRow> =
        read_table(&root.join("trained/postprocessing.parquet")).unwrap();
    assert_eq!(rows.len(), 2);
    let checkpoint = find(&root.join("trained")).unwrap();
    let model: ModelFile = read_json(&checkpoint.join("model.json")).unwrap();
    for row in &rows {
        assert_eq!(row.keep_largest, row.largest_dice > row.dice, "{row:?}");
        let kept = model.postprocessing.keep_largest.get("joint");
        let is_kept = kept.is_some_and(|classes| classes.contains(&(row.class_id as u16)));
        assert_eq!(is_kept, row.keep_largest, "{row:?}");
        // The best checkpoint is scored with what it notes.
        let scored = mean(&trained.scores, "validation", &row.class);
        let expected = row.dice.max(row.largest_dice);
        assert!((scored - expected).abs() < 1e-12, "{row:?} {scored}");
    }
    assert!(
        rows.iter()
            .any(|row| row.keep_largest && row.changed_subjects > 0),
        "nothing is chosen, so nothing is tested: {rows:?}"
    );

    // Prediction does the same, and leaves it where it is told to.
    let predict = |more: &str| format!("predict: {{ checkpoint: trained{more} }}\n");
    let with = ran(root, "with", &predict(""));
    let without = ran(root, "without", &predict(", postprocess: false"));
    for row in &rows {
        for split in ["validation", "test"] {
            let dice = |of: &RunOutcome| mean(&of.scores, split, &row.class);
            assert_eq!(dice(&with), dice(&trained), "{split} {row:?}");
        }
        let plain = mean(&without.scores, "validation", &row.class);
        assert!((plain - row.dice).abs() < 1e-12, "{row:?} {plain}");
    }

    let off = ran(root, "off", &format!("{TRAIN}, postprocess: false }}\n"));
    assert!(!root.join("off/postprocessing.parquet").exists());
    for row in &rows {
        let plain = mean(&off.scores, "validation", &row.class);
        assert!((plain - row.dice).abs() < 1e-12, "{row:?} {plain}");
    }
}

#[test]
fn a_list_of_checkpoints_names_each_once() {
    let errors = |checkpoint: &str| {
        let file = SourceFile {
            name: "p.yaml".to_owned(),
            text: format!(
                "name: c\nsource: {{ phantom: {{ subjects: 2 }} }}\npredict: {{ checkpoint: {checkpoint} }}\n"
            ),
        };
        let Err(voxstream::error::Error::Pipeline { diagnostics }) = planned(&file) else {
            panic!("no mistake in {checkpoint}")
        };
        diagnostics[0].render(false)
    };
    let twice = errors("[runs/a, runs/b, runs/a]");
    assert!(
        twice.contains("`runs/a` is listed twice") && twice.contains("p.yaml:3:41"),
        "{twice}"
    );
    assert!(errors("[]").contains("lists no checkpoint"));
    assert!(errors("{ a: b }").contains("expected a path, or a list of paths"));
}
