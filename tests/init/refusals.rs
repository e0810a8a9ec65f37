//! Values of other tools, and what cannot be recognised.

use super::{SHAPE, Shape, refused, written};

#[test]
fn values_of_other_tools_become_classes_without_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape {
        stored: [-1, 205, 420],
        ..SHAPE
    };
    for i in 1..=3 {
        shape.image(&folder.path().join(format!("d/p{i}/ct.nii.gz")));
        shape.label(&folder.path().join(format!("d/p{i}/seg.nii.gz")));
    }
    let (text, _) = written(folder.path(), "d", None);
    for part in [
        "map: { 205: 1, 420: 2 }",
        "ignore: [-1]",
        "classes: [background, label_205, label_420]",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_cannot_be_recognised_is_refused_with_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let error = refused(root.to_path_buf(), None);
    assert!(
        error.starts_with("no NIfTI file") && error.contains("it has no files"),
        "{error}"
    );
    std::fs::write(root.join("IM0001.dcm"), b"x").unwrap();
    let error = refused(root.to_path_buf(), None);
    assert!(
        error.contains("IM0001.dcm") && error.contains("dcm2niix"),
        "{error}"
    );
    assert!(refused(root.join("IM0001.dcm"), None).contains("expected a folder, or a table"));
    std::fs::write(
        root.join("dataset.json"),
        b"{ \"channel_names\": {}, \"file_ending\": \".mha\" }",
    )
    .unwrap();
    let error = refused(root.to_path_buf(), None);
    assert!(error.contains("`file_ending` is .mha"), "{error}");
    std::fs::write(root.join("dataset.json"), b"[1").unwrap();
    assert!(refused(root.to_path_buf(), None).contains("this is not JSON"));
}
