//! What is left out is said, on the terminal and in the file.

use super::{SHAPE, args, has, nnunet, written};
use voxstream::cli::init::init;

/// Both texts say it; comments of the file are broken into lines.
fn both(text: &str, said: &str, parts: &[&str]) {
    has(&text.replace("\n# ", " "), parts);
    has(said, parts);
}

#[test]
fn folders_of_another_depth_and_studies_without_a_session_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for i in 0..8 {
        SHAPE.image(&root.join(format!("sites/siteA/scanner1/a{i}/t1.nii.gz")));
        SHAPE.image(&root.join(format!("sites/siteB/deep/deeper/b{i}/t1.nii.gz")));
    }
    SHAPE.image(&root.join("sites/siteB/deep/deeper/b9/t1.nii.gz"));
    let (text, said) = written(root, "sites", None);
    both(
        &text,
        &said,
        &[
            "8 NIfTI files in folders of another depth are left out, such as siteA/scanner1/a0/t1.nii.gz",
        ],
    );
    std::fs::remove_file(root.join("chosen.yaml")).unwrap();
    for i in 0..6 {
        let (at, name) = match i {
            0 | 1 => (format!("sub-{i}/anat"), format!("sub-{i}_T1w")),
            _ => (format!("sub-{i}/ses-1/anat"), format!("sub-{i}_ses-1_T1w")),
        };
        SHAPE.image(&root.join(format!("bids/{at}/{name}.nii.gz")));
    }
    let (text, said) = written(root, "bids", None);
    both(
        &text,
        &said,
        &["2 images without a session are left out, such as sub-0/anat/sub-0_T1w.nii.gz"],
    );
    assert!(!said.contains("in no subject"), "{said}");
}

#[test]
fn every_file_that_no_subject_has_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    nnunet(&root.join("d"), 5, &SHAPE, &["T1"]);
    let (_, said) = written(root, "d", None);
    assert!(!said.contains("in no subject"), "{said}");
    std::fs::remove_file(root.join("chosen.yaml")).unwrap();
    SHAPE.label(&root.join("d/labelsTr/alone.nii.gz"));
    SHAPE.image(&root.join("d/others/x.nii.gz"));
    let (text, said) = written(root, "d", None);
    both(
        &text,
        &said,
        &["2 of 12 NIfTI files are in no subject, such as labelsTr/alone.nii.gz, others/x.nii.gz"],
    );
    has(
        &said,
        &["warning: label maps without an image, which are left out: 1"],
    );
    std::fs::remove_file(root.join("chosen.yaml")).unwrap();
    // A file whose place another one has, up to the ending.
    let twin = root.join("d/labelsTr/twin.nii");
    SHAPE.label(&twin);
    let of_case = std::fs::read_dir(root.join("d/imagesTr")).unwrap().next();
    let name = of_case.unwrap().unwrap().file_name().into_string().unwrap();
    SHAPE.image(&root.join("d/imagesTr").join(name.trim_end_matches(".gz")));
    let (text, said) = written(root, "d", None);
    both(&text, &said, &["4 of 14 NIfTI files are in no subject"]);
}

#[test]
fn a_subject_that_cannot_be_read_is_named_with_the_whole_cause() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut table = "id,t1,label\n".to_owned();
    for i in 0..3 {
        SHAPE.image(&root.join(format!("i{i}.nii.gz")));
        SHAPE.label(&root.join(format!("l{i}.nii.gz")));
        table += &format!("s{i},i{i}.nii.gz,l{i}.nii.gz\n");
    }
    std::fs::remove_file(root.join("l1.nii.gz")).unwrap();
    std::fs::write(root.join("i2.nii.gz"), [0x1f, 0x8b, 8, 0]).unwrap();
    std::fs::write(root.join("t.csv"), table).unwrap();
    let mut out = Vec::new();
    init(&args(root.join("t.csv"), None, None), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap().replace("\n# ", " ");
    has(&text, &["Unusable: s1: ", "No such file", "Unusable: s2: "]);
    // The file of the image is there, whatever it holds.
    for wrong in [
        "t1 is missing",
        "failed.",
        "1 subjects",
        "1 labelled subjects",
    ] {
        assert!(!text.contains(wrong), "{wrong}: {text}");
    }
}
