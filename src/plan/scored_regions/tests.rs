use super::*;

fn classes() -> Vec<String> {
    ["background", "edema", "necrosis", "enhancing"]
        .map(str::to_owned)
        .to_vec()
}

fn resolved_as(text: &str, trained: &[LabelRegion]) -> (Vec<(String, Vec<u8>)>, Vec<String>) {
    let document = Document::parse(text).unwrap();
    let Named(regions) = document.root().read::<Named<ScoredRegion>>().unwrap();
    let (unions, problems) = resolve(&regions, &classes(), trained);
    let plain = |union: ClassUnion| (union.name, union.classes);
    let told = |p: Problem| format!("{}; {}", p.message, p.help);
    (
        unions.into_iter().map(plain).collect(),
        problems.into_iter().map(told).collect(),
    )
}

#[test]
fn unions_may_overlap_in_any_order_and_leave_classes_out() {
    let (unions, problems) = resolved_as(
        "{ active: enhancing, whole: [3, edema, necrosis], core: [enhancing, 2] }",
        &[],
    );
    let expected = [
        ("active", vec![3]),
        ("whole", vec![1, 2, 3]),
        ("core", vec![2, 3]),
    ];
    assert_eq!(
        unions,
        expected.map(|(name, classes)| (name.to_owned(), classes))
    );
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let (_, problems) = resolved_as(
        "{ whole: [edma, 2], necrosis: [2], core: [7], none: [], air: [background, 1, edema] }",
        &[],
    );
    let begins = [
        "unknown class `edma`; did you mean `edema`?",
        "`necrosis` is also the name of a class; scores are listed by name",
        "there is no class 7; the classes have the numbers 0 to 3",
        "a region without a class; list classes: `[edema, necrosis, enhancing]`",
        "the background is in no region",
        "class `edema` is listed twice",
    ];
    assert_eq!(problems.len(), begins.len(), "{problems:?}");
    for (problem, begin) in problems.iter().zip(begins) {
        assert!(problem.starts_with(begin), "{problem}");
    }
}

#[test]
fn a_region_that_was_trained_is_scored_once() {
    let trained = crate::volume::region::tests::nested();
    let (unions, problems) = resolved_as("{ core: [3, 2], rim: [1, 3] }", &trained);
    assert_eq!(unions, [("rim".to_owned(), vec![1, 3])]);
    assert_eq!(problems, Vec::<String>::new());
    let (_, problems) = resolved_as("{ core: [1, 3] }", &trained);
    assert_eq!(
        problems,
        [
            "the network is trained on a region `core` of other classes; give it another name, or its classes: `core: [necrosis, enhancing]`"
        ]
    );
}
