//! Endings, label maps without images, and misspelt placeholders.

use super::layouts::{touch, yaml};
use crate::source::tests::{ids, open, refusal, spec};
use std::path::Path;

#[test]
fn one_pattern_takes_both_endings_in_any_case() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    touch(
        root,
        &["i/a_1.nii", "i/b_2.nii.gz", "i/c.NII.GZ", "i/d.NII"],
    );
    touch(root, &["l/a_1.nii.gz", "l/b_2.nii"]);
    // None of these is a volume.
    for name in ["i/a_1.nii.json", "i/e.nii.gz.md5", "i/fnii"] {
        std::fs::write(root.join(name), "x").unwrap();
    }
    let text = yaml(
        root,
        "images: 'i/{subject}.nii*', labels: 'l/{subject}.nii*', modalities: [t1]",
    );
    let cohort = open(&text).unwrap();
    assert_eq!(ids(cohort.as_ref()), ["a_1", "b_2", "c", "d"]);
    assert!(cohort.warnings().is_empty());
    for record in cohort.subjects() {
        assert!(cohort.load(record).is_ok(), "{}", record.id);
        assert_eq!(record.labelled, record.id.contains('_'), "{}", record.id);
    }
    // Beside `.nii*` a placeholder still takes as much as fits.
    let text = yaml(root, "images: 'i/{subject}_{run}.nii*', modalities: [t1]");
    assert_eq!(ids(open(&text).unwrap().as_ref()), ["a", "b"]);
    touch(root, &["i/a_1.nii.gz"]);
    let text = yaml(root, "images: 'i/{subject}.nii*', modalities: [t1]");
    assert!(refusal(&text).contains("a_1.nii.gz"), "{}", refusal(&text));
}

#[test]
fn a_label_map_without_an_image_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    touch(root, &["i/a.nii.gz", "l/a.nii.gz", "l/b.nii.gz"]);
    let text = yaml(
        root,
        "images: 'i/{subject}.nii.gz', labels: 'l/{subject}.nii.gz', modalities: [t1]",
    );
    let warnings = open(&text).unwrap().warnings();
    let messages: Vec<&str> = warnings.iter().map(|(_, w)| w.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "label maps without an image, which are left out: 1, the first is l/b.nii.gz; add the images, or remove the label maps"
        ]
    );
    // An image is none, although the pattern of label maps fits it.
    touch(root, &["f/a_0000.nii.gz", "f/a.nii.gz"]);
    let text = yaml(
        root,
        "images: 'f/{subject}_{modality}.nii.gz', labels: 'f/{subject}.nii.gz', modalities: { t1: '0000' }",
    );
    assert!(open(&text).unwrap().warnings().is_empty());
}

#[test]
fn a_misspelt_modality_is_refused_with_the_nearest_placeholder() {
    let problems = |rest: &str| {
        let problems = spec(&yaml(Path::new("/data"), rest)).check();
        problems.err().unwrap_or_default().join("; ")
    };
    for modalities in ["{ t1: '0001' }", "[t1]", "[t1, t2]"] {
        let said = problems(&format!(
            "images: 'i/{{subject}}_{{modalty}}.nii.gz', modalities: {modalities}"
        ));
        assert!(said.contains("write {modality} for {modalty}"), "{said}");
    }
    let said = problems("images: 'i/{subject}_{run}.nii.gz', modalities: { t1: '0001' }");
    assert!(
        said.contains("`t1: 0001`") && said.contains("write `modalities: [t1]`"),
        "{said}"
    );
    // The text may be written out, and one modality needs none.
    for rest in [
        "images: 'i/{subject}_T1w.nii.gz', modalities: { t1: T1w }",
        "images: 'i/{subject}_{run}.nii.gz', modalities: [t1]",
    ] {
        assert_eq!(problems(rest), "");
    }
}
