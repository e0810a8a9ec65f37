use super::*;
use crate::spec::node::Document;

fn read(text: &str) -> Vec<(String, RegionSection)> {
    let document = Document::parse(text).unwrap();
    let Named(regions) = document.root().read().unwrap();
    regions
}

fn classes() -> Vec<String> {
    ["background", "edema", "necrosis", "enhancing"]
        .map(str::to_owned)
        .to_vec()
}

/// Name, classes and painted class of each region.
fn resolved_as(text: &str) -> Vec<(String, Vec<u8>, u8)> {
    let (regions, problems) = resolve(&read(text), &classes());
    assert!(problems.is_empty(), "{problems:?}");
    let plain = |r: LabelRegion| (r.name, r.classes, r.paints);
    let found: Vec<_> = regions.iter().cloned().map(plain).collect();
    crate::volume::region::check(&regions, 4).unwrap();
    found
}

fn refused(text: &str) -> (Option<usize>, Place, String) {
    let (_, mut problems) = resolve(&read(text), &classes());
    let first = problems.remove(0);
    (first.region, first.place, first.message)
}

#[test]
fn a_region_paints_the_class_that_no_later_one_holds() {
    let expected = [
        ("whole".to_owned(), vec![1, 2, 3], 1),
        ("core".to_owned(), vec![2, 3], 2),
        ("active".to_owned(), vec![3], 3),
    ];
    assert_eq!(
        resolved_as("{ whole: [edema, 2, enhancing], core: [enhancing, necrosis], active: 3 }"),
        expected
    );
    // Kidney with mass, masses, tumour: regions that are not numbered by size.
    let found = resolved_as("{ kidney: [1, 2, 3], mass: [2, 3], tumour: [2] }");
    assert_eq!(found.iter().map(|r| r.2).collect::<Vec<_>>(), [1, 3, 2]);
    // Two regions overlap in part; the first alone would be edema.
    let found = resolved_as(
        "{ both: { classes: [1, 2, 3], paints: edema }, a: [1, 3], b: [2, 3], c: { classes: [3], paints: 3 } }",
    );
    assert_eq!(found.iter().map(|r| r.2).collect::<Vec<_>>(), [1, 1, 2, 3]);
}

#[test]
fn regions_that_lose_a_class_are_refused() {
    let (region, place, message) = refused("{ whole: [1, 2, 3], active: [3] }");
    assert_eq!((region, place), (Some(0), Place::Region));
    assert!(
        message.contains("last region of both `edema` and `necrosis`"),
        "{message}"
    );
    let (region, _, message) = refused("{ active: [3], core: [2, 3], whole: [1, 2, 3] }");
    assert_eq!(region, Some(0));
    assert!(
        message.contains("what it paints is not defined"),
        "{message}"
    );
    let (region, _, message) = refused("{ core: [2, 3], active: [3] }");
    assert_eq!(region, None);
    assert!(message.starts_with("`edema` is in no region"), "{message}");
    let wrong = "{ whole: { classes: [1, 2, 3], paints: 2 }, core: [2, 3], active: [3] }";
    let (region, place, message) = refused(wrong);
    assert_eq!((region, place), (Some(0), Place::Paints));
    assert!(
        message.contains("voxel of it would be painted as `necrosis`"),
        "{message}"
    );
    let (_, place, message) = refused("{ all: { classes: [2, 3], paints: 1 }, e: 1, n: 2, a: 3 }");
    assert_eq!(
        (place, &*message),
        (Place::Paints, "`edema` is not in the region")
    );
}
