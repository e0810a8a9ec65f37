//! Folds of a cross-validation.

use super::*;
use std::collections::BTreeSet;

fn folds(count: usize, fold: usize) -> SplitSpec {
    SplitSpec {
        folds: Some(count),
        fold: Some(fold),
        ..SplitSpec::default()
    }
}

fn in_part(found: &BTreeMap<String, (Split, bool)>, part: Split) -> BTreeSet<String> {
    let of_part = found.iter().filter(|(_, (split, _))| *split == part);
    of_part.map(|(id, _)| id.clone()).collect()
}

#[test]
fn every_subject_validates_once_and_the_test_part_stays() {
    let ids = ids(23);
    let all = candidates(&ids);
    let mut reversed = all.clone();
    reversed.reverse();
    let tested = SplitSpec {
        test: Some(SplitPart::Count(4)),
        ..SplitSpec::default()
    };
    let tested = in_part(&who(&tested, &all), Split::Test);
    let mut seen = BTreeSet::new();
    for fold in 0..5 {
        let spec = SplitSpec {
            test: Some(SplitPart::Count(4)),
            ..folds(5, fold)
        };
        let found = who(&spec, &all);
        assert_eq!(found, who(&spec, &reversed), "the order of files decides");
        assert_eq!(in_part(&found, Split::Test), tested);
        let validated = in_part(&found, Split::Validation);
        assert!((3..=4).contains(&validated.len()), "{validated:?}");
        assert_eq!(in_part(&found, Split::Train).len(), 19 - validated.len());
        for id in validated {
            assert!(seen.insert(id.clone()), "{id} validates twice");
        }
    }
    assert_eq!(seen.len(), 19);
    let other = SplitSpec {
        seed: 1,
        ..folds(5, 0)
    };
    assert_ne!(who(&other, &all), who(&folds(5, 0), &all));
}

#[test]
fn no_patient_is_on_both_sides_and_subjects_without_labels_do_not_validate() {
    let ids = ids(30);
    let patients: Vec<String> = (0..30).map(|i| format!("p{}", i / 3)).collect();
    let mut all = candidates(&ids);
    for (i, row) in all.iter_mut().enumerate() {
        row.patient = Some(&patients[i]);
        row.has_labels = i % 3 != 2;
    }
    let mut validated = 0;
    for fold in 0..4 {
        let resolved = folds(4, fold).resolve(&all).unwrap();
        let parts = resolved.folds.unwrap();
        assert_eq!((parts.what, parts.chosen), ("patients", fold));
        let mut sides: BTreeMap<&str, Vec<Split>> = BTreeMap::new();
        for (row, place) in all.iter().zip(&resolved.places) {
            let side = place.map(|(split, _)| split);
            if side == Some(Split::Validation) {
                assert!(row.has_labels, "{}", row.id);
                validated += 1;
            }
            sides.entry(row.patient.unwrap()).or_default().extend(side);
        }
        let apart = |side: &Vec<Split>| side.iter().any(|s| *s != side[0]);
        assert!(!sides.values().any(apart), "{sides:?}");
        // What `check` says is what happens.
        let places = || resolved.places.iter().flatten();
        let count = |part| places().filter(|(split, _)| *split == part).count();
        let said = &parts.parts[fold];
        assert_eq!(count(Split::Validation), said.validation.len());
        assert_eq!(count(Split::Train), said.train);
    }
    assert_eq!(validated, 20);
}

#[test]
fn strata_are_spread_evenly() {
    let ids = ids(40);
    let rare = ["class 1".to_owned(), "class 2".to_owned()];
    let common = ["class 1".to_owned()];
    let mut all = candidates(&ids);
    for (i, row) in all.iter_mut().enumerate() {
        row.traits = if i < 10 { &rare } else { &common };
    }
    let resolved = folds(5, 0).resolve(&all).unwrap();
    for fold in resolved.folds.unwrap().parts {
        assert_eq!(fold.strata["class 1 + class 2"], 2);
        assert_eq!(fold.strata["class 1"], 6);
        assert_eq!((fold.patients, fold.train), (8, 32));
    }
}

#[test]
fn mistakes_about_folds_have_their_names() {
    let list = |spec: SplitSpec| spec.problems().join("; ");
    assert_eq!(
        list(folds(1, 0)),
        "`split.folds` is 1; a cross-validation has at least 2 folds: write `folds: 5`"
    );
    assert_eq!(
        list(folds(5, 5)),
        "`split.fold` is 5; the 5 folds are 0 to 4"
    );
    let alone = SplitSpec {
        fold: Some(1),
        ..SplitSpec::default()
    };
    assert_eq!(
        list(alone),
        "`split.fold` is given without `split.folds`; write `folds: 5`, or remove it"
    );
    let both = SplitSpec {
        validation: Some(SplitPart::Count(3)),
        ..folds(5, 0)
    };
    assert!(list(both).contains("`split.validation` and `split.folds` are given"));
    let ids = ids(4);
    let mut few = candidates(&ids);
    let message = |found: &[Candidate<'_>]| folds(5, 0).resolve(found).unwrap_err().to_string();
    assert_eq!(
        message(&few),
        "`split.folds` asks for 5 subjects, 4 are left with labels; lower it"
    );
    few[2].placed = Some(Split::Validation);
    assert_eq!(
        message(&few),
        "`split.folds` says who validates, but the table places subject `s002` in validation; remove the folds, or leave `columns.split` out"
    );
}
