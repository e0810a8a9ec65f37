use super::*;
use crate::sink::{FailureRow, SubjectRow, WarningRow, causes, write_table};
use std::fs;

mod merged;

fn attempt() -> Attempt {
    Attempt {
        host: "here".into(),
        number: 2,
    }
}

fn subject(id: &str) -> SubjectRow {
    SubjectRow {
        subject_id: id.into(),
        patient: id.into(),
        entities: Default::default(),
        cohort: "demo".into(),
        split: "train".into(),
        labelled: false,
        modalities: vec!["ct".into()],
        shape_x: 4,
        shape_y: 5,
        shape_z: 6,
        spacing_x_mm: 1.0,
        spacing_y_mm: 1.0,
        spacing_z_mm: 1.0,
        orientation: "RAS".into(),
        digest: String::new(),
        prepared_shape_x: None,
        prepared_shape_y: None,
        prepared_shape_z: None,
        seconds: Some(0.5),
        bytes: 10,
        status: "ok".into(),
    }
}

fn failure(id: &str) -> FailureRow {
    FailureRow {
        subject_id: id.into(),
        stage: "source".into(),
        cause: "no file".into(),
        file: None,
    }
}

/// Commits a part of these subjects, the last of which failed.
fn commit(ledger: &mut Ledger, ids: &[&str], digest: &str) -> String {
    let name = part_name(ids[0], digest);
    let mut writer = PartWriter::new(ledger.folder(), &name, digest, &attempt());
    for id in ids {
        let failed = (id == ids.last().unwrap()).then(|| failure(id));
        writer.add(subject(id), Vec::new(), Vec::new(), failed);
    }
    writer.commit(ledger).unwrap();
    name
}

fn ids(ledger: &Ledger) -> Vec<String> {
    let rows: Vec<SubjectRow> = ledger.read().unwrap();
    rows.into_iter().map(|row| row.subject_id).collect()
}

#[test]
fn tables_are_the_union_of_committed_parts() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path()).unwrap();
    assert!(ledger.parts().is_empty() && ids(&ledger).is_empty());
    let later = commit(&mut ledger, &["c", "d"], &"1".repeat(64));
    commit(&mut ledger, &["a", "b/x"], &"2".repeat(64));
    assert_eq!(later, "part-c-111111111111");
    let again = Ledger::open(folder.path()).unwrap();
    assert_eq!(ids(&again), ["a", "b/x", "c", "d"]);
    let failures: Vec<FailureRow> = again.read().unwrap();
    assert_eq!(failures, [failure("b/x"), failure("d")]);
    assert!(again.read::<WarningRow>().unwrap().is_empty());
    let whole = [failure("of the run")];
    write_table(&folder.path().join("failures.parquet"), &whole).unwrap();
    assert_eq!(again.read::<FailureRow>().unwrap().len(), 3);
    let row = again.whole(&later).unwrap();
    assert_eq!((row.subjects, row.failures, row.attempt), (2, 1, 2));
    assert_eq!((&*row.first_subject, &*row.last_subject), ("c", "d"));
    assert_eq!(row.files.len(), 2);
    assert_eq!(read_run_table::<PartRow>(folder.path()).unwrap().len(), 2);
}

#[test]
fn a_part_without_its_record_does_not_exist_and_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path()).unwrap();
    let name = commit(&mut ledger, &["a"], &"1".repeat(64));
    let other = commit(&mut ledger, &["b"], &"2".repeat(64));
    fs::remove_file(ledger.record(&name)).unwrap();
    fs::write(folder.path().join("subjects/.x.part"), b"draft").unwrap();
    fs::write(folder.path().join("subjects/notes.txt"), b"mine").unwrap();
    let images = folder.path().join("prepared/nifti/a");
    for place in [&images, &folder.path().join("pseudo_labels/best")] {
        fs::create_dir_all(place).unwrap();
        fs::write(place.join(".x.partial"), b"draft").unwrap();
    }
    fs::write(images.join("image.ct.nii.gz"), b"whole").unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    assert_eq!(ids(&ledger), ["b"]);
    assert!(ledger.whole(&name).is_none());
    // Of a training, NIfTI files have no record and stay.
    assert_eq!(ledger.unnamed(true).unwrap().len(), 6);
    assert_eq!(ledger.sweep(false).unwrap().len(), 5);
    assert!(images.join("image.ct.nii.gz").is_file());
    assert_eq!(ledger.sweep(true).unwrap().len(), 1);
    assert!(!images.exists(), "the folder of the subject goes, too");
    assert_eq!(ledger.sweep(true).unwrap().len(), 0);
    let left = entries(&folder.path().join("subjects")).unwrap();
    let left: Vec<_> = left.iter().map(|e| e.path.file_name().unwrap()).collect();
    assert_eq!(left, ["notes.txt", &*format!("{other}.parquet")]);
}

#[test]
fn parts_that_overlap_are_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path()).unwrap();
    for (ids, digit) in [(["a", "c"], "1"), (["d", "f"], "2"), (["g", "h"], "3")] {
        commit(&mut ledger, &ids, &digit.repeat(64));
    }
    ledger.retire("c", "d").unwrap();
    assert_eq!(ids(&ledger), ["g", "h"]);
    let kept = commit(&mut ledger, &["a", "b"], &"4".repeat(64));
    ledger.retain(&BTreeSet::from([kept])).unwrap();
    assert_eq!(ids(&Ledger::open(folder.path()).unwrap()), ["a", "b"]);
    assert_eq!(ledger.sweep(true).unwrap().len(), 0);
}

#[test]
fn a_writer_that_is_dropped_leaves_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = PartWriter::new(folder.path(), "part-a-1", "1", &attempt());
    writer.add(subject("a"), Vec::new(), Vec::new(), None);
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn every_changed_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path()).unwrap();
    let name = commit(&mut ledger, &["a"], &"1".repeat(64));
    commit(&mut ledger, &["b"], &"2".repeat(64));
    assert_eq!(verify(folder.path()).unwrap(), (4, vec![]));
    let path = folder.path().join(format!("subjects/{name}.parquet"));
    let good = fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let cases: [(Option<&[u8]>, &str); 3] = [
        (Some(&flipped), "digest"),
        (Some(&good[..100]), "100 bytes"),
        (None, "opening failed"),
    ];
    for (bytes, expected) in cases {
        match bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let (files, faults) = verify(folder.path()).unwrap();
        assert_eq!((files, faults.len()), (4, 1));
        assert_eq!(faults[0].parts, [name.as_str()]);
        assert!(
            faults[0].problem.contains(expected),
            "{}",
            faults[0].problem
        );
        let is_whole = Ledger::open(folder.path()).unwrap().whole(&name).is_some();
        assert_eq!(is_whole, expected == "digest", "{expected}");
    }
}

#[test]
fn no_flipped_bit_of_a_record_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path()).unwrap();
    let name = commit(&mut ledger, &["a", "b"], &"1".repeat(64));
    let (path, written) = (ledger.record(&name), ledger.parts()[0].clone());
    let good = fs::read(&path).unwrap();
    let (mut told, mut as_it_was) = (0, 0);
    for at in (0..good.len()).step_by(3) {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, flipped).unwrap();
        match Ledger::survey(folder.path()) {
            Ok(found) if found.damaged().is_empty() => {
                assert_eq!(found.parts(), [&written], "byte {at} of the record");
                as_it_was += 1;
            }
            // Damaged, or a table of another name or version.
            Ok(_) | Err(SinkError::Schema { .. }) => told += 1,
            Err(e) => panic!("byte {at}: {}", causes(&e)),
        }
    }
    assert!(told > 200, "{told} told, {as_it_was} read as written");
}

#[test]
fn nifti_files_of_a_part_go_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path()).unwrap();
    let file = |id: &str| PathBuf::from(format!("prepared/nifti/{id}/image.ct.nii.gz"));
    for (id, digit) in [("a", "1"), ("b", "2"), ("c", "3")] {
        let path = folder.path().join(file(id));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, id).unwrap();
        let digest = digit.repeat(64);
        let part = part_name(id, &digest);
        let mut writer = PartWriter::new(folder.path(), &part, &digest, &attempt());
        writer.add(subject(id), Vec::new(), Vec::new(), None);
        writer.add_file(file(id));
        writer.commit(&mut ledger).unwrap();
    }
    let is_there = |id: &str| folder.path().join(file(id)).exists();
    ledger.retire("a", "b").unwrap();
    // The file of `a` is written again before its part is committed.
    let digest = "4".repeat(64);
    let part = part_name("a", &digest);
    let mut writer = PartWriter::new(folder.path(), &part, &digest, &attempt());
    writer.add(subject("a"), Vec::new(), Vec::new(), None);
    writer.add_file(file("a"));
    writer.commit(&mut ledger).unwrap();
    let names = ledger.parts().iter().map(|row| row.part.clone()).collect();
    ledger.retain(&names).unwrap();
    assert_eq!(["a", "b", "c"].map(is_there), [true, false, true]);
    assert!(!folder.path().join("prepared/nifti/b").exists());
    let mine = folder.path().join("prepared/nifti/c/notes.txt");
    fs::write(&mine, "mine").unwrap();
    ledger.retain(&BTreeSet::new()).unwrap();
    assert_eq!(["a", "b", "c"].map(is_there), [false; 3]);
    assert!(mine.exists(), "other files stay");
}

#[test]
fn names_sort_as_subjects_and_stay_short() {
    let long = part_name(&"x".repeat(300), &"a".repeat(64));
    assert!(long.len() < 120, "{long}");
    assert_eq!(
        part_name("s/1", "0123456789abcdef"),
        "part-s+2F1-0123456789ab"
    );
    let digest = "f".repeat(64);
    let text = format!("{digest} 12 prepared/part with space.parquet");
    let file = PartFile::parse(&text).unwrap();
    assert_eq!(
        (file.bytes, file.path),
        (12, "prepared/part with space.parquet")
    );
    assert_eq!(file.to_string(), text);
    assert_eq!(PartFile::parse("x y z"), None);
}
