mod folds;

use super::*;

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("s{i:03}")).collect()
}

fn candidates(ids: &[String]) -> Vec<Candidate<'_>> {
    ids.iter()
        .map(|id| Candidate {
            id,
            patient: None,
            placed: None,
            has_labels: true,
            traits: &[],
        })
        .collect()
}

fn who(spec: &SplitSpec, found: &[Candidate<'_>]) -> BTreeMap<String, (Split, bool)> {
    let resolved = spec.resolve(found).unwrap();
    found
        .iter()
        .zip(resolved.places)
        .filter_map(|(c, r)| r.map(|r| (c.id.to_owned(), r)))
        .collect()
}

fn counts(train: Option<usize>, validation: usize, test: usize, labelled: usize) -> SplitSpec {
    SplitSpec {
        train: train.map(SplitPart::Count),
        validation: Some(SplitPart::Count(validation)),
        test: Some(SplitPart::Count(test)),
        labelled: Some(SplitPart::Count(labelled)),
        ..SplitSpec::default()
    }
}

#[test]
fn ranks_do_not_depend_on_order_and_parts_grow_inside_out() {
    let ids = ids(50);
    let forward = candidates(&ids);
    let mut backward = forward.clone();
    backward.reverse();
    let small = who(&counts(Some(20), 5, 10, 4), &forward);
    assert_eq!(small, who(&counts(Some(20), 5, 10, 4), &backward));
    assert_eq!(small.len(), 35);
    let in_part = |of: &BTreeMap<String, (Split, bool)>, want: Split| -> Vec<String> {
        of.iter()
            .filter(|(_, (s, _))| *s == want)
            .map(|(id, _)| id.clone())
            .collect()
    };
    let large = who(&counts(None, 8, 10, 9), &forward);
    assert_eq!(in_part(&small, Split::Test), in_part(&large, Split::Test));
    assert!(
        in_part(&small, Split::Validation)
            .iter()
            .all(|id| large[id].0 == Split::Validation)
    );
    assert_eq!(large.len(), 50);
    let full = who(&counts(None, 8, 10, 12), &forward);
    assert!(
        large
            .iter()
            .filter(|(_, (_, l))| *l)
            .all(|(id, _)| full[id].1)
    );
    assert_eq!(full.values().filter(|(_, l)| *l).count(), 12);
    let other_seed = SplitSpec {
        seed: 1,
        ..counts(Some(20), 5, 10, 4)
    };
    assert_ne!(small, who(&other_seed, &forward));
}

#[test]
fn the_manifest_s_places_and_missing_labels_are_respected() {
    let ids = ids(10);
    let mut found = candidates(&ids);
    found[0].placed = Some(Split::Test);
    found[1].placed = Some(Split::Train);
    found[2..6].iter_mut().for_each(|c| c.has_labels = false);
    let spec = SplitSpec {
        validation: Some(SplitPart::Count(3)),
        ..SplitSpec::default()
    };
    let placed = who(&spec, &found);
    assert_eq!(placed["s000"], (Split::Test, false));
    assert!((2..6).all(|i| placed[&ids[i]] == (Split::Train, false)));
    assert_eq!(
        placed
            .values()
            .filter(|p| **p == (Split::Validation, false))
            .count(),
        3
    );
    assert_eq!(
        placed
            .values()
            .filter(|p| **p == (Split::Train, true))
            .count(),
        2
    );
}

#[test]
fn every_mistake_has_its_name() {
    let ids = ids(4);
    let mut found = candidates(&ids);
    found[3].has_labels = false;
    let list = |names: &[&str]| {
        Some(SplitPart::Subjects(
            names.iter().map(|&n| n.into()).collect(),
        ))
    };
    let message = |spec: SplitSpec| spec.resolve(&found).unwrap_err().to_string();
    let base = SplitSpec::default();
    let unknown = message(SplitSpec {
        test: list(&["s0O1"]),
        ..base.clone()
    });
    assert_eq!(
        unknown,
        "`split.test` lists `s0O1`, which is not in the cohort; did you mean `s001`?"
    );
    let twice = SplitSpec {
        test: list(&["s001"]),
        validation: list(&["s001"]),
        ..base.clone()
    };
    assert_eq!(twice.problems().len(), 1);
    assert_eq!(
        message(twice),
        "subject `s001` is in `split.test` and in `split.validation`; keep it in one"
    );
    let few = message(SplitSpec {
        validation: Some(SplitPart::Count(4)),
        ..base.clone()
    });
    assert_eq!(
        few,
        "`split.validation` asks for 4 subjects, 3 are left with labels; lower it"
    );
    let bare = message(SplitSpec {
        labelled: list(&["s003"]),
        ..base.clone()
    });
    assert!(bare.contains("`s003`, which has no labels"), "{bare}");
    let scored = SplitSpec {
        test: list(&["s002"]),
        labelled: list(&["s002"]),
        ..base
    };
    assert!(message(scored).contains("is not trained on"));
}

#[test]
fn yaml_says_what_a_part_is() {
    use crate::spec::node::Document;
    let read = |text: &str| Document::parse(text).unwrap().root().read::<SplitSpec>();
    let spec = read("{ train: 160, test: [a, b] }").unwrap();
    assert_eq!(spec.train, Some(SplitPart::Count(160)));
    assert_eq!(
        spec.test,
        Some(SplitPart::Subjects(vec!["a".into(), "b".into()]))
    );
    let error = read("{ train: most }").unwrap_err().remove(0).message;
    assert!(error.contains("a count such as 160"), "{error}");
}

#[test]
fn without_patients_ranks_are_those_of_subjects() {
    let ids = ids(30);
    let alone = candidates(&ids);
    // A patient that bears its subject's id changes nothing but the words.
    let named: Vec<Candidate<'_>> = (alone.iter())
        .map(|c| Candidate {
            patient: Some(c.id),
            ..*c
        })
        .collect();
    let spec = counts(Some(12), 4, 6, 5);
    assert_eq!(who(&spec, &alone), who(&spec, &named));
    // Known since the first version; another split would be another experiment.
    let tested: Vec<String> = who(&spec, &alone)
        .into_iter()
        .filter(|(_, (split, _))| *split == Split::Test)
        .map(|(id, _)| id)
        .collect();
    assert_eq!(tested.join(" "), KNOWN_TEST);
}

/// The test part of `counts(Some(12), 4, 6, 5)` of 30 subjects before there were patients.
const KNOWN_TEST: &str = "s001 s014 s015 s024 s025 s029";

#[test]
fn a_table_may_not_tear_a_patient_apart() {
    let ids = ids(6);
    let mut rows = candidates(&ids);
    for row in &mut rows {
        row.patient = Some(if row.id < "s003" { "p" } else { "q" });
    }
    rows[0].placed = Some(Split::Test);
    let found = who(&SplitSpec::default(), &rows);
    assert!(
        found
            .iter()
            .all(|(id, (split, _))| (*split == Split::Test) == (id.as_str() < "s003"))
    );
    rows[2].placed = Some(Split::Train);
    let error = SplitSpec::default().resolve(&rows).unwrap_err().to_string();
    assert_eq!(
        error,
        "patient `p` is in two parts: subject `s000` in test, subject `s002` in train; keep all subjects of a patient in one"
    );
}
