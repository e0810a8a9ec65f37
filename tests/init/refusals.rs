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
fn a_mask_of_0_and_255_is_a_class() {
    let folder = tempfile::tempdir().unwrap();
    let write = |data: &str, stored: [i16; 3]| {
        let shape = Shape { stored, ..SHAPE };
        for i in 1..=3 {
            shape.image(&folder.path().join(format!("{data}/p{i}/ct.nii.gz")));
            shape.label(&folder.path().join(format!("{data}/p{i}/seg.nii.gz")));
        }
    };
    write("mask", [0, 255, 255]);
    let (text, _) = written(folder.path(), "mask", None);
    for part in ["map: { 255: 1 }", "classes: [background, label_255]"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("ignore:"), "{text}");
    // Beside another class it marks voxels that nobody annotated.
    write("both", [0, 1, 255]);
    std::fs::remove_file(folder.path().join("chosen.yaml")).unwrap();
    let (text, _) = written(folder.path(), "both", None);
    assert!(text.contains("ignore: [255]"), "{text}");
}

#[test]
fn a_number_that_was_not_seen_joins_no_other_class() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let with = |stored: [i16; 3], folder: &str, i: usize| {
        let shape = Shape { stored, ..SHAPE };
        shape.image(&root.join(format!("{folder}/p{i:02}/t1.nii.gz")));
        shape.label(&root.join(format!("{folder}/p{i:02}/seg.nii.gz")));
    };
    // Of 12 subjects 8 are looked at: 0, 1, 3, 4, 6, 7, 9 and 10. Only `p02` holds a 2.
    for i in 0..12 {
        with(if i == 2 { [0, 2, 3] } else { [0, 1, 3] }, "rare", i);
        with([0, 1, 300], "codes", i);
    }
    let (text, _) = written(root, "rare", None);
    assert!(!text.contains("map:"), "{text}");
    let text = text.replace("\n  # ", " ");
    for part in [
        "No label map that was looked at holds 2; 4 more were not looked at",
        "`init --sample 12` looks at all of them",
        "classes: [background, label_1, label_2, label_3]",
        "numbers found in 8 of 12 label maps",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    std::fs::remove_file(root.join("chosen.yaml")).unwrap();
    // 298 numbers between are codes of another tool.
    let (text, _) = written(root, "codes", None);
    for part in [
        "map: { 300: 2 }",
        "4 more label maps were not looked at",
        "classes: [background, label_1, label_300]",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // All were looked at: the gap is one.
    for i in 0..4 {
        with([0, 1, 3], "few", i);
    }
    std::fs::remove_file(root.join("chosen.yaml")).unwrap();
    let (text, _) = written(root, "few", None);
    assert!(text.contains("map: { 3: 2 }"), "{text}");
    assert!(!text.contains("not looked at"), "{text}");
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

#[test]
fn a_table_whose_rows_have_no_id_of_their_own_says_which_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["a", "b", "c"] {
        SHAPE.image(&root.join(format!("{name}.nii.gz")));
        SHAPE.label(&root.join(format!("{name}_l.nii.gz")));
    }
    let error = |text: &str| {
        std::fs::write(root.join("t.csv"), text).unwrap();
        refused(root.join("t.csv"), None)
    };
    let said = error("id,age,t1\np1,40,a.nii.gz\np2,41,b.nii.gz\n\np1,42,c.nii.gz\n");
    assert!(said.contains("`id` is `p1` on lines 2 and 5"), "{said}");
    let said = error(
        "patient,session,t1,label\np1,1,a.nii.gz,a_l.nii.gz\np1,2,b.nii.gz,b_l.nii.gz\np2,1,c.nii.gz,\n",
    );
    assert!(
        said.contains("`patient` is `p1` on lines 2 and 3")
            && said.contains("`patient` and `session` name a row together"),
        "{said}"
    );
    let said = error("id,t1\np1,a.nii.gz\n,b.nii.gz\n");
    assert!(said.contains("line 3 has no `id`"), "{said}");
    let said = error("id,t1\np1,x.nii.gz\np2,y.nii.gz\n");
    assert!(
        said.contains("no file that column `t1` names exists, the first is x.nii.gz"),
        "{said}"
    );
}

#[test]
fn label_maps_without_a_class_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let empty = Shape {
        stored: [0, 0, 0],
        ..SHAPE
    };
    for i in 1..=3 {
        SHAPE.image(&root.join(format!("empty/p{i}/ct.nii.gz")));
        empty.label(&root.join(format!("empty/p{i}/seg.nii.gz")));
        SHAPE.image(&root.join(format!("half/p{i}/ct.nii.gz")));
        let halves = |class: usize, _| class as f32 / 2.0;
        SHAPE.of(&root.join(format!("half/p{i}/seg.nii.gz")), halves);
    }
    let error = refused(root.join("empty"), None);
    assert!(
        error
            .contains("no class was found: 3 label maps that were looked at hold no value above 0"),
        "{error}"
    );
    let error = refused(root.join("half"), None);
    assert!(
        error.contains("the first is that of p1")
            && error.contains("the value 0.5 is no class number"),
        "{error}"
    );
    // Volumes can still be prepared.
    written(root, "empty", Some(voxstream::init::Template::Prepare));
}
