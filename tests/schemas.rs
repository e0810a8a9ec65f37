//! `schemas/` says what the types say.

use voxstream::schema::all;

#[test]
fn the_committed_schemas_are_current() {
    for (file, text) in all() {
        let committed = std::fs::read_to_string(format!("schemas/{file}")).unwrap_or_default();
        assert!(
            committed == text,
            "schemas/{file} is out of date; run `cargo run -- schema --write` and commit"
        );
    }
    let files = std::fs::read_dir("schemas").unwrap().count();
    assert_eq!(
        files,
        all().len(),
        "schemas/ holds a file that no type stands for"
    );
}
