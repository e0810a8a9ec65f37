//! A large cohort costs a run what it uses of it.

use crate::pipelines::TINY;
use crate::spoilt::{Spoilt, Verb};
use std::path::Path;
use voxstream::cli::{open, open_to_run, read};
use voxstream::run::driver::{RunOptions, run};
use voxstream::spec::SourceFile;
use voxstream::store;
use voxstream::volume::{Grid, Volume, nifti};

/// Subjects of one small image each in a store, the first of them damaged, and a pipeline that stops there.
fn cohort(name: &str, subjects: usize) -> (std::sync::Arc<Spoilt>, SourceFile) {
    let (spoilt, root) = Spoilt::new(name);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ct.nii");
    let grid = Grid::with_spacing([4; 3], [1.0; 3]).unwrap();
    nifti::write(
        &file,
        &Volume::from_vec(vec![1i16; 64], grid).unwrap(),
        None,
    )
    .unwrap();
    let image = std::fs::read(file).unwrap();
    let mut list = "id,ct,age\n".to_owned();
    for subject in 0..subjects {
        let bytes = match subject {
            0 => &b"no image"[..],
            _ => &image,
        };
        store::write(&root.join(format!("data/s{subject:05}.nii")), bytes).unwrap();
        list += &format!("s{subject:05},data/s{subject:05}.nii,40\n");
    }
    store::write(&root.join("list.csv"), list.as_bytes()).unwrap();
    let text = format!(
        "name: large\nmax_failures: 0\nsource: {{ manifest: {{ path: {}/list.csv, columns: {{ subject: id, images: {{ ct: ct }} }} }} }}\nstages: [zscore: {{}}]\nsinks: {{ prepared: {{ parquet: true }} }}\n",
        root.display()
    );
    let name = "large.yaml".to_owned();
    (spoilt, SourceFile { name, text })
}

fn options(out: &Path, limit: Option<usize>) -> RunOptions {
    RunOptions {
        out: Some(out.to_owned()),
        workers: Some(2),
        limit,
        ..RunOptions::default()
    }
}

#[test]
fn the_first_part_begins_before_all_headers_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (store, file) = cohort("large", 6000);
    let headers = || store.count(Verb::Get, "data/s");
    let (plan, cohort) = open_to_run(&file, None).unwrap();
    assert_eq!(cohort.subjects().len(), 6000);
    // Nothing is promised of subjects that were not looked at.
    assert_eq!(plan.edges.source.channels[0].name, "ct");
    assert_eq!(plan.edges.source.channels[0].shape_xyz, None);
    let stopped = run(plan, cohort, &options(&folder.path().join("run"), None));
    let told = stopped.unwrap_err().to_string();
    assert!(told.contains("s00000"), "{told}");
    assert!(headers() < 6000, "{} requests", headers());
}

#[test]
fn a_limit_reads_the_headers_of_the_subjects_that_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let (store, file) = cohort("limited", 50);
    let (plan, cohort) = open_to_run(&file, Some(3)).unwrap();
    let subject = |i: usize| store.count(Verb::Get, &format!("s{i:05}"));
    assert_eq!([1, 2, 3, 49].map(|i| subject(i).min(1)), [1, 1, 0, 0]);
    assert_eq!(plan.edges.source.channels[0].shape_xyz, Some([4; 3]));
    let stopped = run(plan, cohort, &options(&folder.path().join("run"), Some(3)));
    assert!(stopped.is_err(), "the first subject is damaged");
    assert_eq!([3, 49].map(subject), [0, 0]);
    // Who asks what the cohort is made of is told of all of it.
    open(&file).unwrap();
    assert_ne!(subject(49), 0);
}

#[test]
fn a_limited_training_depends_on_the_subjects_that_it_uses() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let set = TINY.iter().copied().chain(["train.steps=2"]);
    let set: Vec<String> = set.map(str::to_owned).collect();
    let file = read(Path::new("pipelines/04-cmc-phantom.yaml"), &set).unwrap();
    let (plan, cohort) = open_to_run(&file, Some(1)).unwrap();
    run(plan, cohort, &options(&out, Some(1))).unwrap();
    let plan = std::fs::read_to_string(out.join("plan.json")).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    // One with and one without labels to train on, one to validate, one to test on; of eight.
    assert_eq!(plan["subjects"].as_object().unwrap().len(), 4);
}
