mod layouts;
mod names;

use crate::source::Location;
use crate::source::tests::{ids, open, refusal, write_nifti};
use crate::volume::Split;
use std::path::Path;

fn two_modalities(root: &Path) {
    for (subject, modalities) in [
        ("p1", &["FLAIR", "T1W"][..]),
        ("p2", &["T1W"]),
        ("p10", &["FLAIR", "T1W"]),
    ] {
        for modality in modalities {
            let file = format!("{subject}/{subject}_{modality}.nii");
            write_nifti(&root.join(file), [3, 4, 5], 1, 1.5, 10);
        }
        write_nifti(
            &root.join(format!("{subject}/label.nii")),
            [3, 4, 5],
            1,
            1.5,
            1,
        );
    }
    // Neither of these is a subject: the two ids differ, the name is hidden.
    write_nifti(&root.join("p3/p4_T1W.nii"), [3, 4, 5], 1, 1.5, 10);
    write_nifti(&root.join("p5/._p5_T1W.nii"), [3, 4, 5], 1, 1.5, 10);
}

fn yaml(root: &Path, more: &str) -> String {
    format!(
        "folders: {{ path: '{}', images: '{{subject}}/{{subject}}_{{modality}}.nii', labels: '{{subject}}/label.nii', modalities: {{ flair: FLAIR, t1: T1W }}{more} }}",
        root.display()
    )
}

#[test]
fn subjects_are_the_union_over_modalities() {
    let folder = tempfile::tempdir().unwrap();
    two_modalities(folder.path());
    let cohort = open(&yaml(folder.path(), "")).unwrap();
    assert_eq!(ids(cohort.as_ref()), ["p1", "p10", "p2"]);
    assert_eq!(cohort.modalities(), ["flair", "t1"]);
    assert_eq!(cohort.label_names(), [""]);
    let partial = &cohort.subjects()[2];
    let row = cohort.load(partial).unwrap();
    assert_eq!((row.split, row.is_labelled()), (Split::Train, true));
    assert!(row.images[0].volume.is_none());
    let t1 = row.images[1].volume.as_ref().unwrap();
    assert_eq!(t1.grid().shape_xyz(), [3, 4, 5]);
    assert_eq!(t1.to_f32()[0], 10.0);
    assert_eq!(cohort.headers(partial).unwrap().len(), 2);
    let columns: Vec<String> = (row.to_batch().schema().fields().iter())
        .map(|f| f.name().clone())
        .filter(|name| name.starts_with("image.") || name.starts_with("label"))
        .collect();
    assert_eq!(columns, ["image.flair", "image.t1", "label"]);
}

#[test]
fn labels_of_unlabelled_subjects_are_never_opened() {
    let folder = tempfile::tempdir().unwrap();
    two_modalities(folder.path());
    let split = ", split: { labelled: [p1], test: [p10] }";
    // Corrupt: reading it would fail. Deleted: finding it would fail.
    std::fs::write(folder.path().join("p2/label.nii"), b"not a label").unwrap();
    let cohort = open(&yaml(folder.path(), split)).unwrap();
    let [p1, p10, p2] = cohort.subjects() else {
        panic!("{:?}", cohort.subjects())
    };
    assert!(p1.labelled && !p2.labelled && !p10.labelled && p10.split == Split::Test);
    assert!(p2.labels.iter().all(|l| l.location.is_none()));
    let digest = cohort.digest(p2).unwrap();
    std::fs::remove_file(folder.path().join("p2/label.nii")).unwrap();
    let row = cohort.load(p2).unwrap();
    assert!(!row.is_labelled() && row.labels.len() == 1);
    assert!(cohort.load_labels(p2).unwrap()[0].volume.is_none());
    assert_eq!(cohort.headers(p2).unwrap().len(), 1);
    assert_eq!(cohort.digest(p2).unwrap(), digest);
    // A record that claims to be labelled all the same finds nothing to open.
    let mut forged = p2.clone();
    forged.labelled = true;
    assert!(!cohort.load(&forged).unwrap().is_labelled());
    assert!(cohort.load(p1).unwrap().is_labelled());
    let truth = cohort.load_labels(p10).unwrap();
    assert_eq!(truth[0].volume.as_ref().unwrap().to_f32()[0], 1.0);
    let reopened = open(&yaml(folder.path(), split)).unwrap();
    assert_eq!(reopened.subjects(), cohort.subjects());
    for subject in ["p1", "p10"] {
        std::fs::remove_file(folder.path().join(subject).join("label.nii")).unwrap();
    }
    let bare = open(&yaml(folder.path(), "")).unwrap();
    assert!(bare.subjects().iter().all(|s| !s.labelled));
    assert!(bare.subjects().iter().all(|s| bare.load(s).is_ok()));
}

#[cfg(unix)]
#[test]
fn a_link_that_cannot_be_followed_concerns_its_subject_alone() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    two_modalities(root);
    // An image that was never fetched, notes that nobody asks for, a loop, a folder inside itself.
    std::fs::create_dir(root.join("p6")).unwrap();
    symlink("../absent/key", root.join("p6/p6_T1W.nii")).unwrap();
    symlink("absent", root.join("p1/notes.txt")).unwrap();
    symlink("loop", root.join("p1/loop")).unwrap();
    symlink(".", root.join("p1/self")).unwrap();
    symlink("..", root.join("p2/above")).unwrap();
    symlink("nothing", root.join("p9")).unwrap();
    let cohort = open(&yaml(root, "")).unwrap();
    assert_eq!(ids(cohort.as_ref()), ["p1", "p10", "p2", "p6"]);
    for subject in cohort.subjects() {
        let (loaded, headers) = (cohort.load(subject), cohort.headers(subject));
        assert_eq!(loaded.is_ok(), subject.id != "p6", "{}", subject.id);
        assert_eq!(headers.is_ok(), subject.id != "p6", "{}", subject.id);
        if let Err(error) = loaded {
            assert!(error.to_string().contains("p6/p6_T1W.nii"), "{error}");
        }
    }
    assert!(cohort.schema().is_ok());
    let absent = root.join("none").display().to_string();
    assert!(refusal(&yaml(Path::new(&absent), "")).contains("does not exist"));
}

#[test]
fn a_digest_follows_its_files() {
    let folder = tempfile::tempdir().unwrap();
    two_modalities(folder.path());
    let cohort = open(&yaml(folder.path(), "")).unwrap();
    let p1 = &cohort.subjects()[0];
    let before = cohort.digest(p1).unwrap();
    assert_eq!(before, cohort.digest(p1).unwrap());
    assert_ne!(before, cohort.digest(&cohort.subjects()[1]).unwrap());
    let path = folder.path().join("p1/p1_T1W.nii");
    write_nifti(&path, [3, 4, 6], 1, 1.5, 10);
    assert_ne!(before, cohort.digest(p1).unwrap());
    std::fs::remove_file(path).unwrap();
    assert!(cohort.digest(p1).is_err() && cohort.load(p1).is_err());
}

#[test]
fn a_pattern_that_fits_nothing_shows_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["d", "b", "a", "c"] {
        write_nifti(
            &folder.path().join(format!("images/{name}.nii")),
            [2; 3],
            1,
            1.0,
            0,
        );
    }
    let one = |pattern: &str| {
        format!(
            "folders: {{ path: '{}', images: '{pattern}', modalities: [mr] }}",
            folder.path().display()
        )
    };
    let message = refusal(&one("images/{subject}.nii.gz"));
    assert_eq!(
        message,
        format!(
            "no file in {} fits `images/{{subject}}.nii.gz`: no file in `images` fits `{{subject}}.nii.gz`; in `images` stand a.nii, b.nii, c.nii, d.nii",
            folder.path().display()
        )
    );
    let cohort = open(&one("images/{subject}.nii")).unwrap();
    assert_eq!(ids(cohort.as_ref()), ["a", "b", "c", "d"]);
    assert!(cohort.label_names().is_empty());
    let Some(Location::File { path, index }) = &cohort.subjects()[0].images[0].location else {
        panic!("no file")
    };
    assert_eq!((path, *index), (&folder.path().join("images/a.nii"), None));
}

#[test]
fn real_folders_open() {
    let data = std::env::var("VOXSTREAM_DATA").unwrap_or_else(|_| "../shared/data".to_owned());
    let root = std::path::absolute(data)
        .unwrap()
        .join("bench/msd-hippocampus");
    if !root.exists() {
        println!("skipped: {} is absent; set VOXSTREAM_DATA", root.display());
        return;
    }
    let yaml = format!(
        "folders: {{ path: '{}', images: 'images/{{subject}}.nii.gz', labels: 'labels/{{subject}}.nii.gz', modalities: [mr], split: {{ train: 160, validation: 10, test: 30, labelled: 8 }} }}",
        root.display()
    );
    let cohort = open(&yaml).unwrap();
    assert_eq!(cohort.subjects().len(), 200);
    assert_eq!(cohort.subjects().iter().filter(|s| s.labelled).count(), 8);
    let schema = cohort.schema().unwrap();
    assert_eq!(schema.channels[0].orientation.as_deref(), Some("RAS"));
    assert_eq!(schema.channels[0].spacing_mm, Some([1.0; 3]));
    assert_eq!(schema.channels[0].shape_xyz, None);
}
