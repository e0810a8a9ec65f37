//! Input that is suspicious and used all the same: rows of the table `warnings`.

use std::path::Path;
use voxstream::cli::open;
use voxstream::run::driver::{RunOptions, run};
use voxstream::sink::{WarningRow, read_run_table};
use voxstream::spec::SourceFile;
use voxstream::volume::{Grid, Volume, nifti};

fn write(folder: &Path, subject: &str, value: impl Fn(usize) -> f32) {
    let grid = Grid::with_spacing([6, 5, 4], [1.0, 1.0, 2.0]).unwrap();
    let values = (0..grid.voxel_count()).map(value).collect();
    let volume = Volume::from_vec::<f32>(values, grid).unwrap();
    nifti::write(&folder.join(format!("{subject}_ct.nii.gz")), &volume, None).unwrap();
}

/// Subject, stage, modality, kind of every warning of a run.
fn warned(folder: &Path, source: &str) -> Vec<[String; 4]> {
    let text = format!(
        "name: c\nsource: {source}\nstages: [crop_foreground: {{ above: 0 }}, zscore: {{}}]\nsinks: {{ prepared: {{ parquet: true }} }}\n"
    );
    let file = SourceFile {
        name: folder.join("p.yaml").display().to_string(),
        text,
    };
    let (plan, cohort) = open(&file).unwrap();
    let out = folder.join("out");
    let options = RunOptions {
        out: Some(out.clone()),
        workers: Some(2),
        ..RunOptions::default()
    };
    run(plan, cohort, &options).unwrap();
    let rows: Vec<WarningRow> = read_run_table(&out).unwrap();
    let text = |t: Option<String>| t.unwrap_or_default();
    rows.into_iter()
        .map(|r| [text(r.subject_id), r.stage, text(r.modality), r.kind])
        .collect()
}

#[test]
fn images_without_content_are_rows_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "fine", |i| (i % 17) as f32);
    write(root, "nan", |_| f32::NAN);
    write(root, "negative", |i| -1.0 - (i % 3) as f32);
    write(root, "zero", |_| 0.0);
    let source = "{ folders: { path: '.', images: '{subject}_{modality}.nii.gz', labels: '{subject}_none.nii.gz', modalities: [ct] } }";
    let crop = "stages[0].crop_foreground";
    let zscore = "stages[1].zscore";
    let expected = [
        ["", "source", "", "source"],
        ["nan", "source", "ct", "not_finite"],
        ["nan", crop, "", "no_foreground"],
        ["nan", zscore, "ct", "no_foreground"],
        ["negative", crop, "", "no_foreground"],
        ["zero", "source", "ct", "constant_image"],
        ["zero", crop, "", "no_foreground"],
        ["zero", zscore, "ct", "no_foreground"],
    ];
    assert_eq!(warned(root, source), expected);
}

#[test]
fn lines_without_content_are_one_row_about_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "a", |i| (i % 17) as f32);
    std::fs::write(root.join("m.csv"), "subject,ct\na,a_ct.nii.gz\n,\n").unwrap();
    let source = "{ manifest: { path: m.csv, columns: { subject: subject, images: { ct: ct } } } }";
    assert_eq!(warned(root, source), [["", "source", "", "source"]]);
}

#[test]
fn classes_that_cannot_be_learnt_or_judged_are_rows_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let grid = Grid::with_spacing([8, 8, 8], [1.0; 3]).unwrap();
    for (subject, class) in [("a", 1u8), ("b", 1), ("v", 0)] {
        let image = (0..512).map(|i| (i % 17) as f32).collect();
        let label = (0..512).map(|i| class * u8::from(i % 3 == 0)).collect();
        let path = |name: &str| root.join(format!("{subject}_{name}.nii.gz"));
        let volume = Volume::from_vec::<f32>(image, grid).unwrap();
        nifti::write(&path("ct"), &volume, None).unwrap();
        let volume = Volume::from_vec::<u8>(label, grid).unwrap();
        nifti::write(&path("label"), &volume, None).unwrap();
    }
    let of = |steps: usize, out: &str| {
        let text = format!(
            "name: c\nsource:\n  folders: {{ path: '.', images: '{{subject}}_{{modality}}.nii.gz', labels: '{{subject}}_label.nii.gz', modalities: [ct], split: {{ validation: [v] }} }}\n\
             stages: [zscore: {{ foreground: all }}]\nviews: {{ shared: [patch: {{ size: [8, 8, 8], samples: 1 }}] }}\n\
             train: {{ classes: [background, liver, spleen], network: {{ unet3d: {{ width: 4, depth: 2 }} }}, objective: {{ supervised: {{}} }}, steps: {steps}, batch: {{ labelled: 1 }} }}\n"
        );
        let name = root.join("p.yaml").display().to_string();
        let (plan, cohort) = open(&SourceFile { name, text }).unwrap();
        let out = root.join(out);
        let options = RunOptions {
            out: Some(out.clone()),
            workers: Some(1),
            ..RunOptions::default()
        };
        run(plan, cohort, &options).unwrap();
        read_run_table::<WarningRow>(&out).unwrap()
    };
    let kinds =
        |rows: &[WarningRow]| -> Vec<String> { rows.iter().map(|row| row.kind.clone()).collect() };
    // One step takes one subject: the class may stand in the other.
    assert_eq!(kinds(&of(1, "short")), ["unscored_validation"]);
    let rows = of(4, "long");
    assert_eq!(kinds(&rows), ["unscored_validation", "untrained_class"]);
    let message = &rows[1].message;
    assert!(
        message
            .starts_with("none of the 2 labelled training subjects has a voxel of `spleen` (2),"),
        "{message}"
    );
}
