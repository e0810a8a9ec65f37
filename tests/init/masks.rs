//! Images whose background was set to 0, and images that are neither CT nor of a scale of their own.

use super::{SHAPE, Shape, has, write, written};
use std::path::Path;
use voxstream::init::Template;
use voxstream::volume::{Grid, Volume};

/// An image of whole numbers that is 0 outside of the classes.
fn masked(shape: &Shape, path: &Path, undershoot: impl Fn(usize) -> bool) {
    shape.of(path, |class, i| match (class, undershoot(i)) {
        (_, true) => -0.5,
        (0, _) => 0.0,
        (class, _) => (40 * class + (i * 7919) % 13) as f32,
    });
}

fn place(text: &str, step: &str) -> usize {
    let at = text.find(step);
    at.unwrap_or_else(|| panic!("`{step}` is not in\n{text}"))
}

#[test]
fn a_crop_waits_for_one_grid() {
    let coarse = Shape {
        shape: [10, 12, 16],
        spacing_mm: [2.0, 2.0, 1.5],
        ..SHAPE
    };
    for (second, is_first) in [(&SHAPE, true), (&coarse, false)] {
        let folder = tempfile::tempdir().unwrap();
        for i in 1..=3 {
            let subject = folder.path().join(format!("d/p{i}"));
            masked(&SHAPE, &subject.join("flair.nii.gz"), |_| false);
            masked(second, &subject.join("t1.nii.gz"), |_| false);
            SHAPE.label(&subject.join("lesion.nii.gz"));
        }
        let (text, _) = written(folder.path(), "d", Some(Template::Prepare));
        let [crop, resample] =
            ["- crop_foreground: { above: 0 }", "- resample:"].map(|step| place(&text, step));
        assert_eq!(crop < resample, is_first, "{text}");
    }
}

#[test]
fn what_a_spline_leaves_below_zero_unmasks_no_image() {
    // Some voxels beside the mask, and half of the tissue.
    for (every, is_cropped) in [(500, true), (2, false)] {
        let folder = tempfile::tempdir().unwrap();
        for i in 1..=3 {
            let path = folder.path().join(format!("d/p{i}/t1.nii.gz"));
            let is_low = |i: usize| i.is_multiple_of(every) && SHAPE.class(i) > 0;
            masked(&SHAPE, &path, is_low);
        }
        let (text, _) = written(folder.path(), "d", None);
        has(&text, &["zscore: { foreground: nonzero }"]);
        assert_eq!(text.contains("crop_foreground"), is_cropped, "{text}");
    }
}

/// An image whose values go through every number from `-half` to `half`.
fn phase(path: &Path, half: usize) {
    SHAPE.of(path, |_, i| {
        (i * 7919 % (2 * half + 1)) as f32 - half as f32
    });
}

#[test]
fn a_phase_is_a_circle_and_no_ct() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for i in 1..=4 {
        let subject = root.join(format!("d/p{i}"));
        phase(&subject.join("phase.nii.gz"), 3142);
        phase(&subject.join("echo.nii.gz"), 3142);
        phase(
            &subject.join("pha_e2.nii.gz"),
            if i % 2 == 0 { 2048 } else { 3142 },
        );
        // Cut at both ends, CT is as symmetric; hardly a voxel is at the upper one.
        SHAPE.of(&subject.join("scan.nii.gz"), |class, i| match i {
            7 => 1000.0,
            _ => [-1000.0, 40.0, 90.0][class] + (i * 7919 % 13) as f32,
        });
    }
    let grid = Grid::with_spacing(SHAPE.shape, SHAPE.spacing_mm).unwrap();
    let low = Volume::from_vec(vec![-1000f32; grid.voxel_count()], grid).unwrap();
    write(&root.join("d/p5/scan.nii.gz"), &low);
    let (text, _) = written(root, "d", None);
    let text = text.replace("\n  # ", " ");
    has(
        &text,
        &[
            "phase, by its name; its circle from -3142 to 3142",
            "window: { range: [-3142.0, 3142.0], to: [-1.73, 1.73], modalities: [phase] }",
            "a phase: its range is symmetric, and values reach both ends",
            "window: { range: [-3142.0, 3142.0], to: [-1.73, 1.73], modalities: [echo] }",
            "its range differs between images",
            "zscore: { foreground: all, modalities: [pha_e2] }",
            "values from -1000 on, as Hounsfield units have",
        ],
    );
}

#[test]
fn a_prediction_names_every_split_of_its_subjects() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut table = String::from("case,split,image_ct,label\n");
    for (i, split) in ["train", "validation", "test"].into_iter().enumerate() {
        SHAPE.image(&root.join(format!("plain/{i}.nii.gz")));
        SHAPE.image(&root.join(format!("given/vol/{i}.nii.gz")));
        SHAPE.label(&root.join(format!("given/vol/{i}m.nii.gz")));
        table += &format!("c{i},{split},vol/{i}.nii.gz,vol/{i}m.nii.gz\n");
    }
    std::fs::write(root.join("given/cohort.csv"), table).unwrap();
    let (text, _) = written(root, "given", Some(Template::Predict));
    has(&text, &["score: { splits: [train, validation, test] }"]);
    std::fs::remove_file(root.join("predict.yaml")).unwrap();
    let (text, _) = written(root, "plain", Some(Template::Predict));
    has(
        &text,
        &["No `score`: nobody has labels, and every subject is predicted."],
    );
    assert!(!text.contains("\nscore:"), "{text}");
}
