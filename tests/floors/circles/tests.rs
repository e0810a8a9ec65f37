//! Circles among made-up files.

use super::*;

fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let sources = files
        .iter()
        .map(|(p, t)| ((*p).to_owned(), (*t).to_owned()))
        .collect();
    let circles = circles(&sources);
    circles
        .iter()
        .map(|c| c.iter().map(|f| (*f).to_owned()).collect())
        .collect()
}

#[test]
fn a_parent_and_a_child_that_use_each_other_are_a_circle() {
    let parent = (
        "a.rs",
        "mod b;\nmod c;\nfn f() {\n    b::g();\n}\npub struct S;\n",
    );
    for child in [
        "use super::S;\n",
        "fn g(_: super::S) {}\n",
        "use crate::{\n    a::{S, T},\n};\n",
    ] {
        let circle = found(&[parent, ("a/b.rs", child), ("a/c.rs", "use super::S;\n")]);
        assert_eq!(circle, [["a.rs", "a/b.rs"]], "{child}");
    }
    let through = [
        ("a/b.rs", "use super::c::T;\n"),
        ("a/c.rs", "use crate::a::S;\n"),
    ];
    let circle = found(&[parent, through[0], through[1]]);
    assert_eq!(circle, [["a.rs", "a/b.rs", "a/c.rs"]]);
}

#[test]
fn what_is_handed_on_is_used_where_it_is_defined() {
    let child = ("a/b.rs", "use super::R;\n");
    let shared = ("a/c.rs", "pub struct S;\n");
    let parent = "mod b;\nmod c;\npub use c::S as R;\nuse b::g;\n";
    assert!(found(&[("a/mod.rs", parent), child, shared]).is_empty());
    let private = parent.replace("pub use", "use");
    assert_eq!(
        found(&[("a/mod.rs", &private), child, shared]),
        [["a/b.rs", "a/mod.rs"]]
    );
    // Handing on is no use.
    let only = ("a/mod.rs", "mod b;\nmod c;\npub(crate) use b::{g, h};\n");
    assert!(found(&[only, ("a/b.rs", "use super::S;\n"), shared]).is_empty());
}

#[test]
fn comments_scopes_and_modules_inside_a_file_lead_nowhere() {
    let parent = ("a.rs", "mod b;\nuse b::g;\n");
    let child = "// super::S\npub(in crate::a) fn g() {}\nmod inner {\n    use super::g;\n}\n";
    assert!(found(&[parent, ("a/b.rs", child)]).is_empty());
    let after = format!("{child}use super::S;\n");
    assert_eq!(found(&[parent, ("a/b.rs", &after)]), [["a.rs", "a/b.rs"]]);
}
