use super::*;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its errors are looked at")]
struct Noise {
    std: f64,
    axes: Vec<Axis>,
    inner: Option<Inner>,
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
