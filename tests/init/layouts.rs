//! Every layout that is recognised, each as a tree of its own.

use super::{SHAPE, has, nnunet, refused, written};
use std::path::Path;
use voxstream::init::Template;

#[test]
fn nnunet_raw_tells_channels_classes_and_what_to_ignore() {
    let folder = tempfile::tempdir().unwrap();
    nnunet(
        &folder.path().join("Dataset001"),
        10,
        &SHAPE,
        &["CT", "T2 FLAIR"],
    );
    SHAPE.image(
        &folder
            .path()
            .join("Dataset001/imagesTs/case_900_0000.nii.gz"),
    );
    let (text, said) = written(folder.path(), "Dataset001", None);
    has(
        &text,
        &[
            "path: Dataset001 ",
            "images: \"imagesTr/{subject}_{modality}.nii.gz\"",
            "labels: \"labelsTr/{subject}.nii.gz\"",
            "modalities: { ct: \"0000\", t2_flair: \"0001\" }",
            "ignore: [9]",
            "split: { seed: 1, validation: 2, test: 2 }",
            "window: { range: [",
            "modalities: [ct] }",
            "zscore: { foreground: all, modalities: [t2_flair] }",
            "classes: [background, core, shell]",
            "imagesTs holds 1 subject more;",
            "unet3d:",
        ],
    );
    has(
        &said,
        &["10 subjects: 6 train (6 labelled), 2 validation, 2 test"],
    );
}

#[test]
fn nnunet_raw_with_regions_proposes_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("d");
    nnunet(&root, 6, &SHAPE, &["T1"]);
    let json = |labels: &str| {
        let text = format!(
            "{{ \"channel_names\": {{ \"0\": \"T1\" }}, \"labels\": {{ \"background\": 0, {labels} }}, \"regions_class_order\": [2, 1], \"numTraining\": 6, \"file_ending\": \".nii.gz\" }}"
        );
        std::fs::write(root.join("dataset.json"), text).unwrap();
    };
    // Not in the order of letters: the order of the file counts.
    json("\"whole\": [1, 2], \"core\": 1");
    let (text, _) = written(folder.path(), "d", None);
    has(
        &text,
        &[
            "the data set declares overlapping regions (whole = [1, 2], core = [1])",
            "classes: [background, core_1, whole_2]",
            "  regions:",
            "    whole: [core_1, whole_2]\n    core: [core_1]\n",
        ],
    );
    let (text, _) = written(folder.path(), "d", Some(Template::SemiSupervised));
    has(
        &text,
        &["No `regions`: they are learnt by `supervised` alone"],
    );
    assert!(!text.contains("  regions:"), "{text}");
    json("\"whole\": [1, 2]");
    let (text, _) = written(folder.path(), "d", Some(Template::Supervised));
    has(
        &text,
        &[
            "No `regions`: of those that the data set declares, `whole_1` and `whole_2` are in the same of them.",
        ],
    );
}

#[test]
fn bids_with_sessions_keeps_patients_together() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("bids");
    for patient in 1..=6 {
        for session in ["baseline", "month12"] {
            let name =
                format!("sub-{patient:02}/ses-{session}/anat/sub-{patient:02}_ses-{session}");
            for suffix in ["T1w", "acq-tse_T2w"] {
                if patient != 2 || suffix == "T1w" {
                    SHAPE.image(&root.join(format!("{name}_{suffix}.nii.gz")));
                }
            }
            SHAPE.image(&root.join(format!("{}_bold.nii.gz", name.replace("anat", "func"))));
            let derivative =
                root.join(format!("derivatives/manual/{name}_desc-lesion_dseg.nii.gz"));
            SHAPE.label(&derivative);
            SHAPE.label(&root.join(format!("derivatives/bet/{name}_desc-brain_mask.nii.gz")));
        }
    }
    std::fs::write(root.join("dataset_description.json"), "{}").unwrap();
    std::fs::write(
        root.join("derivatives/manual/dseg.tsv"),
        "index\tname\n1\tcore\n2\tedema\n",
    )
    .unwrap();
    let (text, said) = written(folder.path(), "bids", None);
    has(
        &text,
        &[
            "images: \"sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}_{modality}.nii.gz\"",
            "derivatives/manual/sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}_desc-lesion_dseg.nii.gz",
            "id: \"{subject}_{session}\"",
            "patient: \"{subject}\"",
            "t1w: T1w",
            "t2w: acq-tse_T2w",
            "t2w is missing for 2 of 12 subjects",
            "classes: [background, core, edema]",
            "a fifth of 6 labelled patients each",
        ],
    );
    has(
        &said,
        &["12 subjects: 8 train (8 labelled), 2 validation, 2 test"],
    );
}

#[test]
fn bids_without_sessions_and_labels_is_prepared() {
    let folder = tempfile::tempdir().unwrap();
    for patient in ["a", "b", "c"] {
        SHAPE.image(
            &folder
                .path()
                .join(format!("b/sub-{patient}/anat/sub-{patient}_T1w.nii.gz")),
        );
    }
    let (text, _) = written(folder.path(), "b", None);
    has(
        &text,
        &[
            "images: \"sub-{subject}/anat/sub-{subject}_{modality}.nii.gz\"",
            "modalities: { t1w: T1w }",
            "prepared: { parquet: true",
        ],
    );
    let error = refused(folder.path().join("b"), Some(Template::Supervised));
    assert!(
        error.starts_with("template `supervised`: no subject has a label map"),
        "{error}"
    );
    let error = refused(folder.path().join("b"), Some(Template::Cmc));
    assert!(error.contains("take `prepare`"), "{error}");
}

#[test]
fn a_decathlon_list_is_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("Task04");
    let mut training = Vec::new();
    for i in 0..6 {
        SHAPE.image(&root.join(format!("imagesTr/h_{i}.nii.gz")));
        SHAPE.label(&root.join(format!("labelsTr/h_{i}.nii.gz")));
        training.push(format!(
            "{{\"image\": \"./imagesTr/h_{i}.nii.gz\", \"label\": \"./labelsTr/h_{i}.nii.gz\"}}"
        ));
    }
    SHAPE.image(&root.join("imagesTs/h_9.nii.gz"));
    let json = format!(
        "{{\"modality\": {{\"0\": \"MRI\"}}, \"labels\": {{\"0\": \"background\", \"1\": \"Anterior\", \"2\": \"Posterior\"}}, \"training\": [{}], \"test\": [\"./imagesTs/h_9.nii.gz\"]}}",
        training.join(", ")
    );
    std::fs::write(root.join("dataset.json"), json).unwrap();
    let (text, said) = written(folder.path(), "Task04", None);
    has(
        &text,
        &[
            "path: Task04/dataset.json",
            "where: \"section = 'training'\"",
            "classes: [background, Anterior, Posterior]",
            "names 1 more subjects without labels",
        ],
    );
    has(
        &said,
        &["6 subjects: 4 train (4 labelled), 1 validation, 1 test"],
    );
}

#[test]
fn folders_that_follow_no_standard_are_read_by_their_names() {
    let shapes = |root: &Path, files: &[(&str, bool)]| {
        for i in 1..=4 {
            for (pattern, is_label) in files {
                let path = root.join(pattern.replace("ID", &format!("p{i:02}")));
                if *is_label {
                    SHAPE.label(&path)
                } else {
                    SHAPE.image(&path)
                }
            }
        }
    };
    for (files, expected) in [
        (
            &[("images/ID.nii.gz", false), ("labels/ID.nii.gz", true)][..],
            &[
                "images: \"images/{subject}.nii.gz\"",
                "labels: \"labels/{subject}.nii.gz\"",
            ][..],
        ),
        (
            &[
                ("images/ID_t1.nii", false),
                ("images/ID_t2.nii", false),
                ("masks/ID.nii", true),
            ],
            &[
                "images: \"images/{subject}_{modality}.nii\"",
                "modalities: { t1: t1, t2: t2 }",
            ],
        ),
        (
            &[("img/ID.nii.gz", false), ("seg/ID_seg.nii.gz", true)],
            &[
                "images: \"img/{subject}.nii.gz\"",
                "labels: \"seg/{subject}_seg.nii.gz\"",
            ],
        ),
        (
            &[
                ("T1/ID.nii.gz", false),
                ("T2/ID.nii.gz", false),
                ("label/ID.nii.gz", true),
            ],
            &[
                "images: \"{modality}/{subject}.nii.gz\"",
                "labels: \"label/{subject}.nii.gz\"",
            ],
        ),
        (
            &[
                ("ID/FLAIR.nii.gz", false),
                ("ID/T1W.nii.gz", false),
                ("ID/label.nii.gz", true),
            ],
            &[
                "images: \"{subject}/{modality}.nii.gz\"",
                "labels: \"{subject}/label.nii.gz\"",
                "modalities: { flair: FLAIR, t1w: T1W }",
            ],
        ),
        (
            &[
                ("ID/ID_flair.nii.gz", false),
                ("ID/ID_t1ce.nii.gz", false),
                ("ID/ID_seg.nii.gz", true),
            ],
            &[
                "images: \"{subject}/{subject}_{modality}.nii.gz\"",
                "labels: \"{subject}/{subject}_seg.nii.gz\"",
            ],
        ),
        (
            &[
                ("ID/v1/ct.nii.gz", false),
                ("ID/v2/ct.nii.gz", false),
                ("ID/v1/mask.nii.gz", true),
                ("ID/v2/mask.nii.gz", true),
            ],
            &[
                "images: \"{subject}/{session}/ct.nii.gz\"",
                "id: \"{subject}_{session}\"",
                "patient: \"{subject}\"",
            ],
        ),
        (
            &[
                ("ID_ct.nii.gz", false),
                ("ID_mr.nii.gz", false),
                ("ID_label.nii.gz", true),
            ],
            &[
                "images: \"{subject}_{modality}.nii.gz\"",
                "labels: \"{subject}_label.nii.gz\"",
                "modalities: { ct: ct, mr: mr }",
            ],
        ),
        (
            &[("ID.nii.gz", false)],
            &[
                "images: \"{subject}.nii.gz\"",
                "modalities: { image: image }",
                "prepared:",
            ],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        shapes(&folder.path().join("data"), files);
        let (text, _) = written(folder.path(), "data", None);
        has(&text, expected);
    }
}

#[test]
fn a_table_of_paths_is_read_by_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("t");
    let mut table = String::from("case;person;age;image_ct;lesion mask\n");
    for i in 1..=6 {
        SHAPE.image(&root.join(format!("vol/{i}.nii.gz")));
        SHAPE.label(&root.join(format!("vol/{i}m.nii.gz")));
        table += &format!(
            "c{i};{:03};{};vol/{i}.nii.gz;vol/{i}m.nii.gz\n",
            i / 2,
            40 + i
        );
    }
    std::fs::write(root.join("cohort.csv"), table).unwrap();
    for data in ["t", "t/cohort.csv"] {
        let (text, _) = written(folder.path(), data, None);
        has(
            &text,
            &[
                "path: t/cohort.csv",
                "subject: case",
                "images: { ct: image_ct }",
                "label: \"lesion mask\"",
                "patient: person",
            ],
        );
        std::fs::remove_file(folder.path().join("chosen.yaml")).unwrap();
    }
}
