//! Names that more than one layout could have written.

use super::{SHAPE, has, nnunet, written};
use std::path::Path;

/// Six cases whose ids end in four digits, as those of AMOS22 do, and their `dataset.json`.
fn amos(root: &Path, labels: &str, json: &str) {
    let mut training = Vec::new();
    for i in 1..=6 {
        SHAPE.image(&root.join(format!("imagesTr/amos_{i:04}.nii.gz")));
        SHAPE.label(&root.join(format!("{labels}/amos_{i:04}.nii.gz")));
        training.push(format!(
            "{{\"image\": \"./imagesTr/amos_{i:04}.nii.gz\", \"label\": \"./{labels}/amos_{i:04}.nii.gz\"}}"
        ));
    }
    if !json.is_empty() {
        let text = json.replace("TRAINING", &training.join(", "));
        std::fs::write(root.join("dataset.json"), text).unwrap();
    }
}

#[test]
fn four_digits_that_label_maps_share_are_no_channel() {
    let list = "{\"modality\": {\"0\": \"CT\"}, \"labels\": {\"0\": \"background\", \"1\": \"spleen\", \"2\": \"liver\"}, \"training\": [TRAINING]}";
    for (labels, json, expected) in [
        (
            "labelsTr",
            list,
            &[
                "path: d/dataset.json",
                "classes: [background, spleen, liver]",
            ][..],
        ),
        // Label maps in a folder of another name: the list says what the files are.
        ("truth", list, &["path: d/dataset.json"]),
        (
            "labelsTr",
            "",
            &[
                "images: \"imagesTr/{subject}.nii.gz\"",
                "labels: \"labelsTr/{subject}.nii.gz\"",
            ],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        amos(&folder.path().join("d"), labels, json);
        let (text, said) = written(folder.path(), "d", None);
        has(&text, expected);
        has(
            &said,
            &["6 subjects: 4 train (4 labelled), 1 validation, 1 test"],
        );
    }
    // nnU-Net's first version lists cases, not files: channels stay channels.
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("d");
    nnunet(&root, 6, &SHAPE, &["T1", "T2"]);
    let listed = "{\"modality\": {\"0\": \"T1\", \"1\": \"T2\"}, \"labels\": {\"0\": \"background\", \"1\": \"core\"}, \"training\": [{\"image\": \"./imagesTr/case_000.nii.gz\", \"label\": \"./labelsTr/case_000.nii.gz\"}]}";
    std::fs::write(root.join("dataset.json"), listed).unwrap();
    let (text, _) = written(folder.path(), "d", None);
    has(&text, &["modalities: { t1: \"0000\", t2: \"0001\" }"]);
}
