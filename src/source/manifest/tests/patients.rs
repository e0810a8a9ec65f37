use super::{folder_with, yaml};
use crate::source::tests::{open, refusal};
use crate::volume::Split;

const TABLE: &str = "id,CT,mask,person,part\n\
    1,vol/a.nii,vol/am.nii,007,\n\
    2,vol/b.nii,vol/bm.nii,007,\n\
    3,vol/c.nii,vol/cm.nii,7,\n\
    4,vol/d.nii,vol/dm.nii,,\n";

#[test]
fn a_column_of_patients_keeps_their_subjects_together() {
    let folder = folder_with("s.csv", TABLE);
    for seed in 0..12 {
        let columns = format!(
            ", columns: {{ subject: id, images: {{ ct: CT }}, label: mask, patient: person }}, split: {{ seed: {seed}, test: 1 }}"
        );
        let cohort = open(&yaml(folder.path(), "s.csv", &columns)).unwrap();
        let [first, second, third, fourth] = cohort.subjects() else {
            panic!("{:?}", cohort.subjects())
        };
        assert_eq!(first.split, second.split);
        // `007` and `7` are two patients, and nobody is the patient without a name.
        assert_eq!(first.patient.as_deref(), Some("007"));
        assert_eq!(third.patient.as_deref(), Some("7"));
        assert_eq!(fourth.patient, None);
        let is_tested = |split| split == Split::Test;
        let tested = [first, third, fourth].map(|s| usize::from(is_tested(s.split)));
        assert_eq!(tested.iter().sum::<usize>(), 1);
    }
    let columns = ", columns: { subject: id, images: { ct: CT }, label: mask, patient: persn }";
    let message = refusal(&yaml(folder.path(), "s.csv", columns));
    assert!(
        message.contains("there is no column `persn`; did you mean `person`?"),
        "{message}"
    );
}

#[test]
fn a_table_that_tears_a_patient_apart_is_refused() {
    let text = TABLE
        .replace("007,\n", "007,train\n")
        .replacen("007,train", "007,test", 1);
    let text = text
        .replace("7,\n", "7,train\n")
        .replace(",,\n", ",,train\n");
    let folder = folder_with("s.csv", &text);
    let columns =
        ", columns: { subject: id, images: { ct: CT }, label: mask, patient: person, split: part }";
    let message = refusal(&yaml(folder.path(), "s.csv", columns));
    assert!(
        message.starts_with(
            "patient `007` is in two parts: subject `1` in test, subject `2` in train"
        ),
        "{message}"
    );
}
