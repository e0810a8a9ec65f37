//! What a source says of its files, from the pipeline file to the tables of a run.

use std::path::Path;
use voxstream::cli::check::CheckFormat;
use voxstream::cli::{open, planned};
use voxstream::error::Error;
use voxstream::run::driver::{RunOptions, RunOutcome, run};
use voxstream::sink::{FailureRow, PartRow, SubjectRow, read_run_table};
use voxstream::spec::SourceFile;
use voxstream::volume::{Grid, Volume, nifti};

fn image(grid: Grid) -> Volume {
    let values = (0..grid.voxel_count()).map(|i| (i % 97) as f32).collect();
    Volume::from_vec::<f32>(values, grid).unwrap()
}

fn label(grid: Grid) -> Volume {
    let values = (0..grid.voxel_count()).map(|i| (i % 3) as u8).collect();
    Volume::from_vec::<u8>(values, grid).unwrap()
}

/// Four subjects: `fine` fits, `label` has a wrong affine, `apart` another modality elsewhere,
/// `turned` stores its label in another order of axes.
fn cohort(folder: &Path) {
    let grid = Grid::with_spacing([20, 18, 16], [1.0, 1.0, 2.0]).unwrap();
    let half = Grid::with_spacing([20, 18, 16], [0.5, 0.5, 1.0]).unwrap();
    let slab = grid.window([0, 0, 12], [20, 18, 4]).unwrap();
    let turned = [
        [-1.0, 0.0, 0.0, 19.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 2.0, 0.0],
    ];
    let turned = Grid::from_rows([20, 18, 16], turned).unwrap();
    for (name, second, map) in [
        ("apart", slab, grid),
        ("fine", grid, grid),
        ("label", grid, half),
        ("turned", grid, turned),
    ] {
        let write = |suffix: &str, volume: &Volume| {
            let path = folder.join(format!("{name}_{suffix}.nii.gz"));
            nifti::write(&path, volume, None).unwrap();
        };
        write("ct", &image(grid));
        write("mr", &image(second));
        write("label", &label(map));
    }
}

fn file(folder: &Path, more: &str) -> SourceFile {
    let text = format!(
        "name: c\nsource:\n  folders: {{ path: '.', images: '{{subject}}_{{modality}}.nii.gz', labels: '{{subject}}_label.nii.gz', modalities: [ct, mr] }}\n{more}\
         stages: [orient: {{ to: RAS }}, resample: {{ like: ct }}]\n\
         sinks: {{ prepared: {{ parquet: true }} }}\n"
    );
    SourceFile {
        name: folder.join("p.yaml").display().to_string(),
        text,
    }
}

fn ran(folder: &Path, out: &str, more: &str) -> RunOutcome {
    let (plan, cohort) = open(&file(folder, more)).unwrap();
    let options = RunOptions {
        out: Some(folder.join(out)),
        workers: Some(2),
        ..RunOptions::default()
    };
    run(plan, cohort, &options).unwrap()
}

fn failed(outcome: &RunOutcome) -> Vec<&str> {
    outcome
        .failures
        .iter()
        .map(|f| f.subject.as_str())
        .collect()
}

#[test]
fn a_volume_that_does_not_fit_fails_its_subject_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    cohort(root);
    let outcome = ran(root, "strict", "");
    assert_eq!(failed(&outcome), ["apart", "label"]);
    let rows: Vec<FailureRow> = read_run_table(&root.join("strict")).unwrap();
    assert_eq!(rows[0].stage, "source");
    assert!(
        rows[0]
            .cause
            .starts_with("image.mr covers little of the field of view of image.ct: ")
            && rows[0]
                .cause
                .contains("25 % of the image's field of view covered"),
        "{}",
        rows[0].cause
    );
    assert!(
        rows[1].cause.starts_with("label has the shape of image.ct, but another affine: 0.5 x 0.5 x 1 mm RAS against 1 x 1 x 2 mm RAS")
            && rows[1].cause.contains("on_mismatch: resample"),
        "{}",
        rows[1].cause
    );
    let parts: Vec<PartRow> = read_run_table(&root.join("strict")).unwrap();
    assert_eq!(parts.iter().map(|part| part.rows).sum::<i64>(), 2);
    let check = |more: &str| {
        std::fs::write(root.join("p.yaml"), file(root, more).text).unwrap();
        let mut out = Vec::new();
        let code = voxstream::cli::check::check(
            &[root.join("p.yaml")],
            &[],
            true,
            CheckFormat::Text,
            &mut out,
        )
        .unwrap();
        (code, String::from_utf8(out).unwrap())
    };
    let (code, text) = check("");
    assert_eq!(code, 2);
    for said in [
        "apart: error: image.mr covers little",
        "label: error: label has the shape",
        "turned: label stores the voxels of image.ct in another order of axes (LAS and RAS); `orient` brings both in one",
        "2 subjects unusable",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    for (policy, said) in [
        ("warn", "label: warning: label has the shape"),
        ("resample", "0 subjects unusable"),
    ] {
        let more = format!("  registration: {{ on_mismatch: {policy} }}\n");
        assert!(failed(&ran(root, policy, &more)).is_empty());
        let (code, text) = check(&more);
        assert!(code == 0 && text.contains(said), "{text}");
    }
    let lower = ran(root, "lower", "  registration: { min_overlap: 0.2 }\n");
    assert_eq!(failed(&lower), ["label"]);
}

#[test]
fn a_source_is_one_of_three_and_its_options_are_checked() {
    let refused = |source: &str| {
        let text = format!("name: c\nsource: {source}\nstages: [zscore: {{}}]\n");
        let file = SourceFile {
            name: "p.yaml".into(),
            text,
        };
        let Err(Error::Pipeline { diagnostics }) = planned(&file) else {
            panic!("planned: {source}")
        };
        diagnostics
            .iter()
            .map(|d| d.render(false))
            .collect::<String>()
    };
    let phantom = "phantom: { subjects: 2 }";
    for (source, said) in [
        (
            "{ labels: { ignore: 255 } }".to_owned(),
            "found 0 sources, expected one of `manifest`, `folders` and `phantom`",
        ),
        (
            format!(
                "{{ {phantom}, folders: {{ path: ., images: '{{subject}}.nii', modalities: [ct] }} }}"
            ),
            "found 2 sources",
        ),
        (
            format!("{{ {phantom}, registration: {{ min_overlap: 50 }} }}"),
            "`registration.min_overlap` is 50",
        ),
        (
            format!("{{ {phantom}, registration: {{ tolerance_mm: -1 }} }}"),
            "`registration.tolerance_mm` is -1",
        ),
        (
            format!("{{ {phantom}, labels: {{ ignore: 3 }} }}"),
            "a phantom has none",
        ),
        (
            format!("{{ {phantom}, labels: {{ ignore: three }} }}"),
            "a whole number or a list of them",
        ),
        (format!("{{ {phantom}, lables: {{}} }}"), "lables"),
    ] {
        let text = refused(&source);
        assert!(text.contains(said), "{source}: {text}");
    }
}

#[test]
fn check_names_a_path_that_exists_in_the_current_folder_only() {
    let folder = tempfile::tempdir().unwrap();
    // Tests run in the project's folder, which has `src`.
    let text = "name: c\nsource: { folders: { path: src, images: '{subject}.nii', modalities: [ct] } }\nstages: [zscore: {}]\n";
    let path = folder.path().join("p.yaml");
    std::fs::write(&path, text).unwrap();
    let mut out = Vec::new();
    let files = std::slice::from_ref(&path);
    let code =
        voxstream::cli::check::check(files, &[], false, CheckFormat::Text, &mut out).unwrap();
    assert_eq!((code, out.is_empty()), (2, true));
    let plan = planned(&SourceFile {
        name: path.display().to_string(),
        text: text.into(),
    })
    .unwrap();
    let error = voxstream::source::check_place("src", &plan.file.folder())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("it exists in the current folder: write `"),
        "{error}"
    );
    std::fs::create_dir(folder.path().join("src")).unwrap();
    let checked = |set: &[String]| {
        voxstream::cli::check::check(files, set, false, CheckFormat::Text, &mut Vec::new()).unwrap()
    };
    assert_eq!(checked(&[]), 0);
    // What `run --set` will say of a value is known before.
    assert_eq!(checked(&["stages=[zscore: {foreground: 3}]".into()]), 2);
}

#[test]
fn what_paths_say_is_kept_in_the_table_of_subjects_and_found_by_sql() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let grid = Grid::with_spacing([8, 8, 8], [1.0; 3]).unwrap();
    for study in ["p1_before", "p1_after", "p2_before"] {
        let path = root.join(format!("{study}.nii.gz"));
        nifti::write(&path, &image(grid), None).unwrap();
    }
    let text = "name: c\nsource: { folders: { path: '.', images: '{subject}_{visit}.nii.gz', id: '{visit}-{subject}', patient: '{subject}', modalities: [ct] } }\n\
         stages: [zscore: {}]\nsinks: { prepared: { parquet: true } }\n";
    let name = root.join("p.yaml").display().to_string();
    let (plan, cohort) = open(&SourceFile {
        name,
        text: text.to_owned(),
    })
    .unwrap();
    let out = root.join("out");
    let options = RunOptions {
        out: Some(out.clone()),
        ..RunOptions::default()
    };
    run(plan, cohort, &options).unwrap();
    let rows: Vec<SubjectRow> = read_run_table(&out).unwrap();
    let found: Vec<[&str; 3]> = (rows.iter())
        .map(|r| {
            [
                r.subject_id.as_str(),
                r.patient.as_str(),
                r.entities["visit"].as_str(),
            ]
        })
        .collect();
    assert_eq!(
        found,
        [
            ["after-p1", "p1", "after"],
            ["before-p1", "p1", "before"],
            ["before-p2", "p2", "before"]
        ]
    );
    let session = voxstream::query::Session::open(&out).unwrap();
    let query = "select patient from subjects where entities['visit'] = 'before' order by patient";
    let batches = session.sql(query).unwrap();
    let mut printed = Vec::new();
    voxstream::query::print(&batches, voxstream::query::Format::Csv, &mut printed).unwrap();
    assert_eq!(String::from_utf8(printed).unwrap(), "patient\np1\np2\n");
}
