//! What a prediction covers, and where its label maps lie.

use std::path::Path;
use voxstream::cli::open;
use voxstream::cli::report::{ReportArgs, report};
use voxstream::cli::view::{ViewArgs, view};
use voxstream::run::driver::{RunOptions, RunOutcome, run};
use voxstream::sink::{Ledger, PredictionRow};
use voxstream::spec::SourceFile;
use voxstream::volume::grid::SAME_GRID_TOLERANCE_MM;
use voxstream::volume::{Grid, Volume, nifti};

/// Four subjects with images of 16 x 16 x 16 mm; those of `fine` have a label of half the voxel size over the
/// first 12 mm of x, the others one on the image's grid, or none.
fn cohort(root: &Path, labelled: &[usize], fine: &[usize]) -> Grid {
    let grid = Grid::with_spacing([16; 3], [1.0; 3]).unwrap();
    let first = [-0.25; 3];
    let finer = Grid::from_rows(
        [24, 32, 32],
        [0, 1, 2].map(|i| {
            let mut row = [0.0; 4];
            (row[i], row[3]) = (0.5, first[i]);
            row
        }),
    )
    .unwrap();
    for subject in 0..4 {
        let is_in = |i: usize, [nx, ny]: [usize; 2], mm: f64| {
            let place = [i % nx, i / nx % ny, i / (nx * ny)];
            (place.iter()).all(|v| (2.0..9.0).contains(&(*v as f64 * mm)))
        };
        let bright = |i| is_in(i, [16, 16], 1.0);
        let image = (0..4096).map(|i| {
            if bright(i) {
                100.0
            } else {
                0.1 * (i % 7) as f32
            }
        });
        let write = |kind: &str, volume: Volume| {
            let path = root.join(format!("s{subject}_{kind}.nii.gz"));
            nifti::write(&path, &volume, None).unwrap();
        };
        write(
            "mr",
            Volume::from_vec(image.collect::<Vec<f32>>(), grid).unwrap(),
        );
        if fine.contains(&subject) {
            let label = (0..24 * 32 * 32).map(|i| u8::from(is_in(i, [24, 32], 0.5)));
            write(
                "label",
                Volume::from_vec(label.collect::<Vec<u8>>(), finer).unwrap(),
            );
        } else if labelled.contains(&subject) {
            let label = (0..4096).map(|i| u8::from(bright(i)));
            write(
                "label",
                Volume::from_vec(label.collect::<Vec<u8>>(), grid).unwrap(),
            );
        }
    }
    grid
}

/// Runs a pipeline with this source and these sections.
fn made(root: &Path, out: &str, source: &str, sections: &str) -> RunOutcome {
    let file = SourceFile {
        name: root.join(format!("{out}.yaml")).display().to_string(),
        text: format!("name: p\nseed: 5\nsource:\n{source}{sections}"),
    };
    let (plan, cohort) = open(&file).unwrap();
    let options = RunOptions {
        out: Some(root.join(out)),
        workers: Some(1),
        ..RunOptions::default()
    };
    run(plan, cohort, &options).unwrap()
}

fn ran(root: &Path, out: &str, folders: &str, sections: &str) -> RunOutcome {
    let source = format!(
        "  folders:\n    path: .\n    images: '{{subject}}_{{modality}}.nii.gz'\n{folders}"
    );
    let stages = "stages: [zscore: { foreground: all }]\n";
    made(root, out, &source, &format!("{stages}{sections}"))
}

const LABELS: &str = "    labels: '{subject}_label.nii.gz'\n    modalities: [mr]\n";
const IMAGES: &str = "    modalities: [mr]\n";
const TRAIN: &str = "views: { shared: [patch: { size: [16, 16, 16] }] }
train: { classes: [background, a], network: { unet3d: { width: 4, depth: 2 } }, objective: { supervised: {} },
         optimizer: { lr: 0.01 }, steps: 30, validate: { every: 30 }, batch: { labelled: 1 } }
";
const PREDICT: &str = "predict: { checkpoint: trained }\nsinks: { predictions: { nifti: true } }\n";

fn trained(root: &Path) -> RunOutcome {
    let split = "    split: { validation: [s2], test: [s3] }\n";
    ran(root, "trained", &format!("{LABELS}{split}"), TRAIN)
}

#[test]
fn images_without_labels_are_all_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    cohort(root, &[0, 1, 2, 3], &[]);
    trained(root);
    let outcome = ran(root, "out", IMAGES, PREDICT);
    assert_eq!((outcome.failures.len(), outcome.scores.len()), (0, 0));
    let rows: Vec<PredictionRow> = Ledger::open(&root.join("out")).unwrap().read().unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row.subject_id.as_str()).collect();
    assert_eq!(ids, ["s0", "s1", "s2", "s3"]);
    drawn(root);
    // Where the source says who is for testing, those alone are predicted.
    let split = "    split: { validation: [s2], test: [s3] }\n";
    ran(root, "test", &format!("{LABELS}{split}"), PREDICT);
    let rows: Vec<PredictionRow> = Ledger::open(&root.join("test")).unwrap().read().unwrap();
    assert_eq!(rows.len(), 1);
    // And splits that are named count, whether anybody is in them or not.
    let named = format!("{PREDICT}score: {{ splits: [test] }}\n");
    ran(root, "named", IMAGES, &named);
    let rows: Vec<PredictionRow> = Ledger::open(&root.join("named")).unwrap().read().unwrap();
    assert_eq!(rows.len(), 0);
}

/// Predictions without truth are drawn: beside the heading there is a band for each subject.
fn drawn(root: &Path) {
    let picture = root.join("view.png");
    let args = ViewArgs {
        target: root.join("out"),
        subject: None,
        stage: None,
        seed: None,
        epoch: 0,
        set: Vec::new(),
        out: Some(picture.clone()),
    };
    assert_eq!(view(&args, &mut Vec::new()).unwrap(), 0);
    let file = std::io::BufReader::new(std::fs::File::open(&picture).unwrap());
    let info = png::Decoder::new(file).read_info().unwrap();
    // Pictures of 260 pixels and less text: without them the page is 200 high.
    assert!(info.info().height > 500, "{:?}", info.info());
    let args = ReportArgs {
        runs: vec![root.join("out")],
        out: Some(root.join("page.html")),
        no_pictures: false,
    };
    report(&args, &mut Vec::new()).unwrap();
    let html = std::fs::read_to_string(root.join("page.html")).unwrap();
    assert!(html.contains("<h2>Predictions</h2>"));
}

#[test]
fn label_maps_lie_on_the_grid_of_the_image_and_are_scored_on_that_of_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let grid = cohort(root, &[0, 1, 2], &[3]);
    let outcome = trained(root);
    assert_eq!(outcome.failures, []);
    let score = outcome.scores.iter().find(|s| s.checkpoint == "best");
    let score = score.unwrap();
    // 14 voxels a side of 0.5 mm.
    assert_eq!(score.truth_voxels, 14 * 14 * 14);
    assert!(score.dice.unwrap() > 0.8, "{score:?}");
    let outcome = ran(
        root,
        "out",
        &format!("{LABELS}    split: {{ test: [s3] }}\n"),
        PREDICT,
    );
    assert_eq!(outcome.scores[0].dice, score.dice);
    let written = root.join("out/predictions/best/s3.joint.nii.gz");
    let written = nifti::read(&written, None).unwrap();
    assert!(written.grid().is_same(&grid, SAME_GRID_TOLERANCE_MM));
    let rows: Vec<PredictionRow> = Ledger::open(&root.join("out")).unwrap().read().unwrap();
    assert!(rows[0].label.grid().is_same(&grid, SAME_GRID_TOLERANCE_MM));
}

#[test]
fn a_modality_that_the_network_knows_and_the_source_has_not_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let ran = |out: &str, modalities: &str, sections: &str| {
        let source = format!(
            "  phantom: {{ subjects: 4, size: [16, 16, 16], modalities: {modalities}, classes: 1, labelled: 1, test: 1 }}\n"
        );
        made(
            root,
            out,
            &source,
            &format!("stages: [zscore: {{}}]\n{sections}"),
        )
    };
    let train = TRAIN.replace("steps: 30, validate: { every: 30 }", "steps: 1");
    ran("trained", "[ct, mr]", &train);
    assert_eq!(ran("both", "[ct, mr]", PREDICT).warnings, []);
    let warnings = ran("one", "[ct]", PREDICT).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let told = &warnings[0];
    assert_eq!(
        (told.kind.as_str(), told.subject_id.as_ref()),
        ("absent_modality", None)
    );
    assert!(
        told.message
            .contains("trained on ct, mr, and the source has no mr"),
        "{told:?}"
    );
}
