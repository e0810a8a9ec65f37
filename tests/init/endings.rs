//! Files that differ in the ending of NIfTI.

use super::{SHAPE, has, written};

#[test]
fn both_endings_of_one_folder_are_one_cohort() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for i in 0..8 {
        let ending = if i < 3 { "nii" } else { "nii.gz" };
        SHAPE.image(&root.join(format!("d/imagesTr/c{i}_0000.{ending}")));
        SHAPE.label(&root.join(format!("d/labelsTr/c{i}.nii.gz")));
    }
    let (text, said) = written(root, "d", None);
    has(
        &text,
        &[
            "images: \"imagesTr/{subject}_{modality}.nii*\"",
            "labels: \"labelsTr/{subject}.nii.gz\"",
        ],
    );
    has(&said, &["8 subjects: 4 train"]);
    // The same of every other layout: a folder a subject, BIDS, one folder.
    for (data, name) in [
        ("nested", "s{i}/t1"),
        ("bids", "sub-{i}/anat/sub-{i}_T1w"),
        ("flat", "c{i}"),
        ("paired", "images/c{i}"),
    ] {
        for i in 0..4 {
            let ending = if i < 2 { "nii" } else { "nii.gz" };
            let name = name.replace("{i}", &i.to_string());
            SHAPE.image(&root.join(format!("{data}/{name}.{ending}")));
            if data == "paired" {
                SHAPE.label(&root.join(format!("{data}/labels/c{i}.{ending}")));
            }
        }
        std::fs::remove_file(root.join("chosen.yaml")).unwrap();
        let (text, said) = written(root, data, None);
        has(&text, &[".nii*\""]);
        has(&said, &["4 subjects: "]);
    }
}

#[test]
fn endings_in_upper_case_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for i in 0..3 {
        let path = root.join(format!("d/c{i}.nii.gz"));
        SHAPE.image(&path);
        std::fs::rename(&path, root.join(format!("d/C{i}.NII.GZ"))).unwrap();
    }
    let (text, said) = written(root, "d", None);
    has(&text, &["images: \"{subject}.NII.GZ\""]);
    has(&said, &["3 subjects: "]);
}
