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

/// Four subjects of these files, `ID` and `NN` for theirs; `true` marks label maps.
fn files(root: &Path, files: &[(&str, bool)]) {
    for i in 1..=4 {
        for (pattern, is_label) in files {
            let name = pattern.replace("ID", &format!("p{i:02}"));
            let path = root.join(name.replace("NN", &format!("{i:02}")));
            match is_label {
                true => SHAPE.label(&path),
                false => SHAPE.image(&path),
            }
        }
    }
}

#[test]
fn a_label_map_in_the_folder_of_the_images_is_no_image() {
    for tail in [
        "seg",
        "mask",
        "label",
        "labels",
        "segmentation",
        "gt",
        "lesion",
        "kidney",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let label = format!("ID_{tail}.nii.gz");
        files(
            &folder.path().join("d"),
            &[("ID.nii.gz", false), (&label, true)],
        );
        let (text, said) = written(folder.path(), "d", None);
        let label = format!("labels: \"{{subject}}_{tail}.nii.gz\"");
        has(&text, &["images: \"{subject}.nii.gz\"", &label]);
        has(&said, &["4 subjects: 3 train (3 labelled), 1 validation"]);
    }
    for (names, expected) in [
        (
            &[("volume-NN.nii", false), ("segmentation-NN.nii", true)][..],
            &[
                "images: \"volume-{subject}.nii\"",
                "labels: \"segmentation-{subject}.nii\"",
                "modalities: { volume: volume- }",
            ][..],
        ),
        (
            &[("imgNN.nii.gz", false), ("labelNN.nii.gz", true)],
            &[
                "images: \"img{subject}.nii.gz\"",
                "labels: \"label{subject}.nii.gz\"",
            ],
        ),
        (
            &[
                ("t1_ID.nii.gz", false),
                ("t2_ID.nii.gz", false),
                ("seg_ID.nii.gz", true),
            ],
            &[
                "images: \"{modality}_{subject}.nii.gz\"",
                "labels: \"seg_{subject}.nii.gz\"",
                "modalities: { t1: t1, t2: t2 }",
            ],
        ),
        (
            &[("case_NN.nii.gz", false), ("case_NN_seg.nii.gz", true)],
            &[
                "images: \"{subject}.nii.gz\"",
                "labels: \"{subject}_seg.nii.gz\"",
            ],
        ),
        (
            &[("ID_ct.nii.gz", false), ("ID_ct_liver.nii.gz", true)],
            &[
                "images: \"{subject}_ct.nii.gz\"",
                "labels: \"{subject}_ct_liver.nii.gz\"",
            ],
        ),
        (
            &[
                ("ID_t1.nii.gz", false),
                ("ID_t2.nii.gz", false),
                ("ID_t1_seg.nii.gz", true),
                ("ID_t1_brain_mask.nii.gz", true),
            ],
            &[
                "images: \"{subject}_{modality}.nii.gz\"",
                "labels: \"{subject}_t1_seg.nii.gz\"",
                "other label maps: `*_brain_mask` of 4 images",
            ],
        ),
        (
            &[("ID/ID.nii.gz", false), ("ID/ID_mask.nii.gz", true)],
            &[
                "images: \"{subject}/{subject}.nii.gz\"",
                "labels: \"{subject}/{subject}_mask.nii.gz\"",
                "modalities: { image: image }",
            ],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        files(&folder.path().join("d"), names);
        let (text, said) = written(folder.path(), "d", None);
        has(&text, expected);
        has(&said, &["4 subjects: 3 train (3 labelled), 1 validation"]);
    }
}

#[test]
fn numbers_behind_names_are_ids_unless_subjects_share_them() {
    for (names, expected, subjects) in [
        (
            &[("scan_NN.nii.gz", false)][..],
            "images: \"{subject}.nii.gz\"",
            "4 subjects",
        ),
        (
            &[("ID_0000.nii.gz", false), ("ID_0001.nii.gz", false)],
            "modalities: { \"0000\": \"0000\", \"0001\": \"0001\" }",
            "4 subjects",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        files(&folder.path().join("d"), names);
        let (text, said) = written(folder.path(), "d", None);
        has(&text, &[expected]);
        has(&said, &[subjects]);
    }
}

#[test]
fn a_modality_of_label_maps_is_read_as_labels() {
    let region_map = ("ID/dlmuse.nii.gz", true);
    for (names, expected) in [
        (
            &[("ID/T1.nii.gz", false), region_map][..],
            &[
                "images: \"{subject}/{modality}.nii.gz\"",
                "labels: \"{subject}/dlmuse.nii.gz\"",
                "modalities: { t1: T1 }",
                "`dlmuse` holds regions of one whole number each, so it is read as the label map",
                "classes: [background, label_1, label_2]",
            ][..],
        ),
        (
            &[
                ("ID/T1.nii.gz", false),
                region_map,
                ("ID/lesion.nii.gz", true),
            ],
            &[
                "labels: \"{subject}/lesion.nii.gz\"",
                "modalities: { t1: T1 }",
                "and is left out: other label maps are there",
            ],
        ),
        (
            &[region_map],
            &[
                "images: \"{subject}/dlmuse.nii.gz\"",
                "as label maps do; correct `source` if it is one",
            ],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        files(&folder.path().join("d"), names);
        let (text, _) = written(folder.path(), "d", None);
        has(&text.replace("\n# ", " "), expected);
    }
}
