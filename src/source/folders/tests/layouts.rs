use crate::source::SubjectRecord;
use crate::source::tests::{ids, open, refusal, spec, write_nifti};
use crate::volume::Split;
use std::collections::BTreeSet;
use std::path::Path;

pub(super) fn touch(root: &Path, files: &[&str]) {
    for file in files {
        write_nifti(&root.join(file), [3, 4, 5], 1, 1.5, 1);
    }
}

pub(super) fn yaml(root: &Path, rest: &str) -> String {
    format!("folders: {{ path: '{}', {rest} }}", root.display())
}

/// Three patients with one to three sessions, labels as derivatives.
fn bids(root: &Path) {
    for (patient, sessions) in [("01", 2), ("02", 1), ("03", 3)] {
        for session in 1..=sessions {
            let stem = format!("sub-{patient}/ses-{session}/anat/sub-{patient}_ses-{session}");
            touch(
                root,
                &[
                    &format!("{stem}_T1w.nii.gz"),
                    &format!("{stem}_FLAIR.nii.gz"),
                ],
            );
            touch(root, &[&format!("derivatives/manual/{stem}_dseg.nii.gz")]);
        }
    }
}

const SESSIONS: &str = "images: 'sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}_{modality}.nii.gz', \
     labels: 'derivatives/*/sub-{subject}/ses-{session}/**/*_dseg.nii.gz', id: '{subject}_{session}', \
     patient: '{subject}', modalities: { t1: T1w, flair: FLAIR }";

fn text(record: &SubjectRecord, name: &str) -> String {
    record.entities.get(name).cloned().unwrap_or_default()
}

#[test]
fn a_bids_tree_with_sessions_can_be_written_down() {
    let folder = tempfile::tempdir().unwrap();
    bids(folder.path());
    let cohort = open(&yaml(folder.path(), SESSIONS)).unwrap();
    assert_eq!(
        ids(cohort.as_ref()),
        ["01_1", "01_2", "02_1", "03_1", "03_2", "03_3"]
    );
    for record in cohort.subjects() {
        let (patient, session) = record.id.split_once('_').unwrap();
        assert_eq!(record.patient.as_deref(), Some(patient));
        assert_eq!(text(record, "session"), session);
        assert_eq!(text(record, "subject"), patient);
        assert!(record.labelled, "{}", record.id);
        let stem = format!("sub-{patient}/ses-{session}/anat/sub-{patient}_ses-{session}");
        let image = folder.path().join(format!("{stem}_FLAIR.nii.gz"));
        assert_eq!(record.images[1].file(), Some(image.as_path()));
    }
}

#[test]
fn a_patient_is_never_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    bids(folder.path());
    for seed in 0..20 {
        let split = format!(", split: {{ seed: {seed}, test: 1, validation: 1 }}");
        let cohort = open(&yaml(folder.path(), &(SESSIONS.to_owned() + &split))).unwrap();
        let mut sides: BTreeSet<(&str, &str)> = BTreeSet::new();
        for record in cohort.subjects() {
            sides.insert((record.patient.as_deref().unwrap(), record.split.name()));
        }
        // Three patients in three parts, whatever they have of sessions.
        assert_eq!(sides.len(), 3, "{sides:?}");
        assert_eq!(cohort.subjects().len(), 6);
    }
    // The sessions of a listed subject's patient join it.
    let listed = SESSIONS.to_owned() + ", split: { test: ['03_2'] }";
    let cohort = open(&yaml(folder.path(), &listed)).unwrap();
    let tested = cohort.subjects().iter().filter(|s| s.split == Split::Test);
    assert_eq!(
        tested.map(|s| s.id.as_str()).collect::<Vec<_>>(),
        ["03_1", "03_2", "03_3"]
    );
    let apart = SESSIONS.to_owned() + ", split: { test: ['03_2'], train: ['03_1'] }";
    assert_eq!(
        refusal(&yaml(folder.path(), &apart)),
        "patient `03` is in two parts: subject `03_1` in train, subject `03_2` in test; keep all subjects of a patient in one"
    );
    let many = SESSIONS.to_owned() + ", split: { test: 4 }";
    assert_eq!(
        refusal(&yaml(folder.path(), &many)),
        "`split.test` asks for 4 patients, 3 are left with labels; lower it"
    );
    // Labels of one patient are used; its sessions are what training learns from.
    let few = SESSIONS.to_owned() + ", split: { seed: 3, test: 1, labelled: 1 }";
    let cohort = open(&yaml(folder.path(), &few)).unwrap();
    let labelled: BTreeSet<_> = (cohort.subjects().iter().filter(|s| s.labelled))
        .map(|s| s.patient.clone())
        .collect();
    assert_eq!(labelled.len(), 1);
}

#[test]
fn a_session_without_labels_does_not_leak_into_training() {
    let folder = tempfile::tempdir().unwrap();
    bids(folder.path());
    let label = "derivatives/manual/sub-03/ses-2/anat/sub-03_ses-2_dseg.nii.gz";
    std::fs::remove_file(folder.path().join(label)).unwrap();
    let listed = SESSIONS.to_owned() + ", split: { test: ['03_1'] }";
    let cohort = open(&yaml(folder.path(), &listed)).unwrap();
    assert_eq!(
        ids(cohort.as_ref()),
        ["01_1", "01_2", "02_1", "03_1", "03_3"]
    );
}

#[test]
fn stars_stand_for_names_and_folders() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    touch(
        root,
        &[
            "a/x/y/s1_ct.nii",
            "a/s2_ct.nii",
            "b/s3_ct_v2.nii",
            "s4_ct.nii",
            "s5_mr.nii",
        ],
    );
    let found = |images: &str| -> Vec<String> {
        let cohort = open(&yaml(
            root,
            &format!("images: '{images}', modalities: [ct]"),
        ))
        .unwrap();
        cohort.subjects().iter().map(|s| s.id.clone()).collect()
    };
    assert_eq!(found("**/{subject}_ct*.nii"), ["s1", "s2", "s3", "s4"]);
    assert_eq!(found("**/{subject}_ct.nii"), ["s1", "s2", "s4"]);
    assert_eq!(found("a/**/{subject}_ct.nii"), ["s1", "s2"]);
    assert_eq!(found("*/{subject}_*.nii"), ["s2", "s3"]);
    assert_eq!(found("a/**/y/{subject}_ct.nii"), ["s1"]);
    assert_eq!(found("./{subject}_ct.nii"), ["s4"]);
    // A repeated placeholder is what it was first, wherever else the name could be divided.
    touch(root, &["r/p_1/p_1_run_2_ct.nii", "r/p_1/q_ct.nii"]);
    assert_eq!(found("r/{subject}/{subject}_*_ct.nii"), ["p_1"]);
    let runs =
        "images: 'r/{subject}/{subject}_{run}_ct.nii', id: '{subject}-{run}', modalities: [ct]";
    assert_eq!(
        ids(open(&yaml(root, runs)).unwrap().as_ref()),
        ["p_1-run_2"]
    );
    std::fs::remove_dir_all(root.join("r")).unwrap();
    let message = refusal(&yaml(
        root,
        "images: '**/{subject}_*.nii', modalities: [ct], id: '{subject}', labels: '*/{subject}*.nii', split: { test: 9 }",
    ));
    assert!(message.contains("9 subjects"), "{message}");
    // Two files for one place.
    touch(root, &["b/s2_ct.nii"]);
    let message = refusal(&yaml(
        root,
        "images: '**/{subject}_ct.nii', modalities: [ct]",
    ));
    assert!(
        message.starts_with("subject `s2` in ")
            && message
                .contains("has two images of `ct`: a/s2_ct.nii and b/s2_ct.nii; put a placeholder"),
        "{message}"
    );
}

#[test]
fn an_error_names_the_part_that_failed_first_and_what_stands_there() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    bids(root);
    let one = |images: &str| {
        let message = refusal(&yaml(
            root,
            &format!("images: '{images}', modalities: {{ t1: T1w }}"),
        ));
        message.split_once("`: ").unwrap().1.to_owned()
    };
    assert_eq!(
        one("patients/{subject}/{modality}.nii.gz"),
        "no folder here fits `patients`; there stand derivatives/, sub-01/, sub-02/, sub-03/"
    );
    assert_eq!(
        one("sub-{subject}/{session}/{subject}_{modality}.nii.gz"),
        "no file in `sub-01/ses-1` and 5 folders like it fits `{subject}_T1w.nii.gz`; in `sub-01/ses-1` stand anat/"
    );
    assert_eq!(
        one("sub-{subject}/ses-3/anat/*_{modality}.nii"),
        "no file in `sub-03/ses-3/anat` fits `*_T1w.nii`; in `sub-03/ses-3/anat` stand sub-03_ses-3_FLAIR.nii.gz, sub-03_ses-3_T1w.nii.gz"
    );
    assert_eq!(
        one("sub-{subject}/**/*_{modality}.hdr"),
        "no file below `sub-01` and 2 folders like it fits `*_T1w.hdr`; in `sub-01` stand ses-1/, ses-2/"
    );
    assert_eq!(
        one("sub-{subject}/ses-{subject}/anat/*_{modality}.nii.gz"),
        "{subject} stands for two texts, `01` and `1`, in sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"
    );
    let empty = tempfile::tempdir().unwrap();
    let message = refusal(&yaml(
        empty.path(),
        "images: '{subject}.nii', modalities: [ct]",
    ));
    assert!(
        message.ends_with("no file here fits `{subject}.nii`; nothing stands there"),
        "{message}"
    );
}

#[test]
fn templates_and_patterns_are_checked_before_a_folder_is_read() {
    let problems = |rest: &str| {
        let yaml = format!("folders: {{ path: /absent, modalities: [ct], {rest} }}");
        spec(&yaml).check().unwrap_err().join("; ")
    };
    for (rest, said) in [
        (
            "images: '{subject}/{visit}.nii', id: '{subject}_{session}'",
            "has no {session}, which `id` is made of",
        ),
        (
            "images: '{subject}/{visit}.nii', patient: '{subjet}'",
            "which `images` does not have; did you mean `subject`?",
        ),
        (
            "images: '{subject}/{visit}.nii', id: '{subject}_{visit}', labels: '{subject}.nii'",
            "`labels: {subject}.nii` has no {visit}",
        ),
        (
            "images: '{subject}.nii', id: study",
            "`id: study` has no placeholder",
        ),
        (
            "images: '{subject}.nii', id: '{subject}_{modality}'",
            "a subject has several",
        ),
        ("images: '{subject}.nii', id: '{subject}/*'", "is no path"),
        (
            "images: '{subject.nii'",
            "a `{` in `{subject.nii` has no `}`",
        ),
        (
            "images: '{subject}}.nii'",
            "a `}` in `{subject}}.nii` has no `{`",
        ),
        (
            "images: '{subject}{}.nii'",
            "`{}` is no name of a placeholder",
        ),
        (
            "images: 'a**/{subject}.nii'",
            "`**` in `a**` stands for whole folders",
        ),
        ("images: '{subject}/**'", "it ends in `**`"),
        (
            "images: '{visit}.nii'",
            "has no {subject}; put it where the subject's id stands, or make `id`",
        ),
    ] {
        let text = problems(rest);
        assert!(text.contains(said), "{rest}: {text}");
    }
    assert!(
        spec("folders: { path: /absent, modalities: [ct], images: '{visit}.nii', id: '{visit}' }")
            .check()
            .is_ok()
    );
}

#[test]
fn a_label_map_of_another_subject_is_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["a", "a_seg", "b", "b_seg", "c_seg"] {
        write_nifti(&root.join(format!("{name}.nii")), [3, 4, 5], 1, 1.5, 1);
    }
    let yaml = |labels: &str| {
        format!(
            "folders: {{ path: '{}', images: '{{subject}}.nii'{labels}, modalities: [ct] }}",
            root.display()
        )
    };
    let cohort = open(&yaml(", labels: '{subject}_seg.nii'")).unwrap();
    // Nothing is named `c`, so `c_seg` may be an image; without `labels` all are.
    assert_eq!(ids(cohort.as_ref()), ["a", "b", "c_seg"]);
    let labelled = |id: &str| {
        let subject = cohort.subjects().iter().find(|s| s.id == id).unwrap();
        cohort.load(subject).unwrap().is_labelled()
    };
    assert_eq!(["a", "b", "c_seg"].map(labelled), [true, true, false]);
    assert_eq!(ids(open(&yaml("")).unwrap().as_ref()).len(), 5);
}
