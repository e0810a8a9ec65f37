//! Images whose background was set to 0, and images that are neither CT nor of a scale of their own.

use super::{SHAPE, Shape, has, written};
use std::path::Path;
use voxstream::init::Template;

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
