//! A data set in a store gives the pipeline that a local copy of it gives.

use super::{SHAPE, args, nnunet};
use crate::stores::{bucket, upload};
use std::path::{Path, PathBuf};
use voxstream::cli::init::init;

/// The pipeline for a data set, whose path is written as `PLACE`.
fn proposed(data: &Path, folder: &Path) -> String {
    let path = folder.join("p.yaml");
    let mut arguments = args(data.to_owned(), Some(path.clone()), None);
    arguments.force = true;
    let mut said = Vec::new();
    let code = init(&arguments, &mut said).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(code, 0, "{}", String::from_utf8_lossy(&said));
    let text = std::fs::read_to_string(&path).unwrap();
    let line = |line: &str| match line.trim_start().split_once("path: ") {
        Some(("", rest)) => {
            let (_, reason) = rest.split_once(" #").unwrap_or((rest, ""));
            format!("path: PLACE #{reason}")
        }
        _ => line.to_owned(),
    };
    text.lines().map(|l| line(l) + "\n").collect()
}

#[test]
fn folders_and_tables_in_a_store_are_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    nnunet(&root.join("raw"), 8, &SHAPE, &["CT"]);
    let mut table = String::from("case,image_ct,mask\n");
    for i in 1..=6 {
        SHAPE.image(&root.join(format!("listed/vol/{i}.nii.gz")));
        SHAPE.label(&root.join(format!("listed/vol/{i}m.nii.gz")));
        table += &format!("c{i},vol/{i}.nii.gz,vol/{i}m.nii.gz\n");
    }
    std::fs::write(root.join("listed/cohort.csv"), table).unwrap();
    let store = bucket("init");
    upload(&root, &store);
    for (data, words) in [
        ("raw", "classes: [background, core, shell]"),
        ("listed", "images: { ct: image_ct }"),
        ("listed/cohort.csv", "images: { ct: image_ct }"),
    ] {
        let local = proposed(&root.join(data), folder.path());
        assert!(local.contains(words) && local.contains("PLACE"), "{local}");
        assert_eq!(proposed(&store.join(data), folder.path()), local, "{data}");
    }
    let nothing: PathBuf = store.join("nothing");
    let error = init(&args(nothing, None, None), &mut Vec::new()).unwrap_err();
    assert!(
        error.to_string().contains("memory://init/nothing"),
        "{error}"
    );
}
