use super::*;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its errors are looked at")]
struct Noise {
    std: f64,
    axes: Vec<Axis>,
    inner: Option<Inner>,
    #[serde(default)]
    size: [u8; 3],
    kind: Option<Kind>,
}
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its errors are looked at")]
enum Kind {
    Plain,
    With(Inner),
}
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Axis {
    X,
    Y,
}
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its errors are looked at")]
struct Inner {
    a: u32,
}

fn errors(text: &str) -> Vec<(String, String)> {
    let document = Document::parse(text).unwrap();
    let found = document.root().read::<Noise>().unwrap_err();
    found
        .into_iter()
        .map(|e| {
            (
                e.at.map_or("-", |at| &text[at.start..at.end]).to_owned(),
                e.message,
            )
        })
        .collect()
}

#[test]
fn every_mistake_of_a_struct_is_found_at_its_place() {
    let found = errors("std: loud\nsgima: 3\naxes: [x, w, v]\ninner: { a: -1 }\n");
    let places: Vec<&str> = found.iter().map(|(at, _)| at.as_str()).collect();
    assert_eq!(places, ["loud", "sgima", "w", "v", "-1"], "{found:?}");
}

#[test]
fn a_left_out_field_is_not_missing_too() {
    let found = errors("axes: [x]\ninner: {}\nstd: []\n");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].1.contains("missing field `a`"), "{found:?}");
}

/// One mistake: its place and what it says.
fn only(text: &str) -> (String, String) {
    let found = errors(&format!("std: 1\naxes: [x]\n{text}\n"));
    let [(at, message)] = found.try_into().unwrap();
    (at, message)
}

#[test]
fn a_list_is_no_map_of_parameters() {
    let (at, told) = only("inner: [3]");
    assert_eq!(at, "[3]");
    assert!(told.starts_with("found a list, expected its parameters"));
}

#[test]
fn a_list_has_the_length_that_is_asked_for() {
    for (text, count) in [("[1, 2]", 2), ("[1, 2, 3, 4]", 4)] {
        let told = format!("found a list of {count}, expected a list of 3");
        assert_eq!(only(&format!("size: {text}")), (text.to_owned(), told));
    }
}

#[test]
fn a_mistake_inside_is_told_once() {
    for (text, at) in [
        ("size: [1, b, 3]", "b"),
        ("kind: { other: {} }", "other"),
        ("kind: { with: 5 }", "5"),
        ("kind: { with: { a: x } }", "x"),
    ] {
        assert_eq!(only(text).0, at, "{text}");
    }
}

#[test]
fn what_is_no_choice_lists_the_names() {
    for (text, found) in [
        ("3", "`3`"),
        ("[plain]", "a list"),
        ("{ plain: , with: {} }", "2 names"),
    ] {
        let told = format!("found {found}, expected one name");
        assert!(only(&format!("kind: {text}")).1.starts_with(&told));
    }
    let (at, told) = only("kind: { plain: {} }");
    assert_eq!(at, "{}");
    assert_eq!(told, "found a map, expected nothing behind the name");
}
