//! What is proposed, and that a run of it starts.

use super::{SHAPE, Shape, args, nnunet, written};
use voxstream::cli::init::init;
use voxstream::cli::{inspect, open, read};
use voxstream::init::Template;
use voxstream::run::driver::{RunOptions, run};
use voxstream::sink::{FingerprintClassRow, FingerprintRow, read_table};

#[test]
fn every_template_passes_check_and_two_steps_of_training_run() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    nnunet(&root.join("d"), 8, &SHAPE, &["T1", "T2"]);
    for template in [
        Template::Prepare,
        Template::Supervised,
        Template::SemiSupervised,
        Template::Cmc,
        Template::Predict,
    ] {
        let (text, _) = written(root, "d", Some(template));
        if template == Template::Predict {
            assert!(text.contains("predict: { checkpoint: runs/d }"), "{text}");
            continue;
        }
        let small = [
            "train.steps=2",
            "train.validate.every=2",
            "train.network.unet3d.width=2",
            "train.network.cmc.width=2",
            "train.batch.labelled=1",
            "train.batch.unlabelled=1",
        ];
        let is_there = |set: &&&str| {
            let key = set
                .split('=')
                .next()
                .and_then(|path| path.rsplit('.').next());
            let network = set.split('.').nth(2).filter(|_| set.contains("network"));
            template != Template::Prepare
                && key.is_some_and(|key| text.contains(&format!("{key}:")))
                && network.is_none_or(|network| text.contains(network))
        };
        let set: Vec<String> = small
            .iter()
            .filter(is_there)
            .map(|s| (*s).to_owned())
            .collect();
        let file = read(&root.join(format!("{}.yaml", template.name())), &set).unwrap();
        let (plan, cohort) = open(&file).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let options = RunOptions {
            out: Some(root.join(template.name())),
            workers: Some(1),
            ..RunOptions::default()
        };
        let outcome = run(plan, cohort, &options).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert!(outcome.failures.is_empty(), "{outcome:?}");
    }
}

#[test]
fn a_file_that_is_there_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    nnunet(&root.join("d"), 3, &SHAPE, &["T1"]);
    let path = root.join("p.yaml");
    std::fs::write(&path, "mine").unwrap();
    let mut args = args(root.join("d"), Some(path.clone()), None);
    let error = init(&args, &mut Vec::new()).unwrap_err().to_string();
    assert!(
        error.contains("is there already") && error.contains("`--force`"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    args.force = true;
    assert_eq!(init(&args, &mut Vec::new()).unwrap(), 0);
    // Printed, the paths are absolute.
    args.output = None;
    let mut out = Vec::new();
    init(&args, &mut out).unwrap();
    let place = format!(
        "path: {} ",
        root.join("d").canonicalize().unwrap().display()
    );
    assert!(String::from_utf8(out).unwrap().contains(&place));
}

#[test]
fn the_fingerprint_is_kept_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    nnunet(&root.join("d"), 5, &SHAPE, &["CT"]);
    let mut out = Vec::new();
    let kept = root.join("kept");
    let failed = inspect::data_sets(&[root.join("d")], 3, Some(&kept), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(failed, 0, "{text}");
    for part in [
        "layout        nnU-Net raw",
        "5 of 5 patients, 5 with labels; voxels of 3 looked at",
        "voxels    20 x 24 x 16",
        "spacing   1 x 1 x 1.5 mm",
        "inside labels",
        "value     1 core: in 3 subjects",
        "mL in 1 components",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let rows: Vec<FingerprintRow> = read_table(&kept.join("fingerprint.parquet")).unwrap();
    assert_eq!(rows.len(), 10);
    let sampled: Vec<&FingerprintRow> = rows.iter().filter(|r| r.mean.is_some()).collect();
    assert_eq!(sampled.len(), 3);
    // Inside the labels values are 60 or 110 and up to 12 more.
    let row = sampled[0];
    assert_eq!(
        (row.volume.as_str(), row.foreground.as_deref()),
        ("image.ct", Some("labels"))
    );
    assert!(row.p00_5.unwrap() >= 60.0 && row.p99_5.unwrap() <= 122.0 && row.low.unwrap() >= 10.0);
    assert_eq!((row.shape_x, row.spacing_z_mm), (20, 1.5));
    let classes: Vec<FingerprintClassRow> =
        read_table(&kept.join("fingerprint_classes.parquet")).unwrap();
    assert_eq!(classes.len(), 6);
    let voxels = 20 * 24 * 16;
    let of_class = (0..voxels).filter(|&i| SHAPE.class(i) == 1).count();
    assert_eq!(classes[0].value, 1);
    assert!((classes[0].volume_ml - of_class as f64 * 1.5e-3).abs() < 1e-9);
    assert_eq!(classes[0].components, 1);
}

#[test]
fn thick_slices_and_hounsfield_units_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let thick = |z: f64| Shape {
        shape: [64, 64, 12],
        spacing_mm: [0.8, 0.8, z],
        values: [-1000.0, 40.0, 90.0],
        ..SHAPE
    };
    for (i, z) in [5.0, 5.0, 5.0, 4.0, 6.0].into_iter().enumerate() {
        thick(z).image(&root.join(format!("d/p{i}/scan.nii.gz")));
        thick(z).label(&root.join(format!("d/p{i}/seg.nii.gz")));
    }
    let (text, _) = written(root, "d", None);
    let text = text.replace("\n  # ", " ");
    for part in [
        // The 10th percentile of 4, 5, 5, 5, 6.
        "spacing_mm: [0.8, 0.8, 4.4], separate_z: auto",
        "along z, more than three times as coarse, the 10th percentile",
        "window: { range: [",
        "as Hounsfield units have",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn sides_are_not_mirrored_and_few_subjects_are_not_split() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    nnunet(&root.join("d"), 2, &SHAPE, &["T1"]);
    let json = root.join("d/dataset.json");
    let text = std::fs::read_to_string(&json).unwrap();
    std::fs::write(&json, text.replace("core", "Left-Hippocampus")).unwrap();
    let (text, _) = written(root, "d", None);
    for part in [
        "flip: { axes: [y, z], p: 0.5 }",
        "2 labelled subjects are too few to hold one out",
        "score: { splits: [train] }",
        "classes: [background, Left-Hippocampus, shell]",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("seed: 1,"), "{text}");
}

#[test]
fn the_folds_that_are_proposed_take_the_place_of_the_split() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    nnunet(&root.join("d"), 8, &SHAPE, &["T1"]);
    let (text, _) = written(root, "d", Some(Template::Supervised));
    let chosen: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("    split:") && !line.starts_with("score:"))
        .map(|line| line.replace("    # split:", "    split:"))
        .collect();
    let path = root.join("folds.yaml");
    std::fs::write(&path, chosen.join("\n")).unwrap();
    let (plan, cohort) = open(&read(&path, &[]).unwrap()).unwrap();
    let folds = cohort.folds().unwrap();
    assert_eq!(
        (folds.parts.len(), plan.pipeline.source.folds()),
        (5, Some(5))
    );
    let scored = plan
        .pipeline
        .score
        .as_ref()
        .unwrap()
        .0
        .splits
        .as_ref()
        .unwrap();
    assert_eq!(scored.len(), 2, "{scored:?}");
}
