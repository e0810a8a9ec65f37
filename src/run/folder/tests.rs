use super::refuse_occupied;

#[test]
fn what_a_killed_start_leaves_is_not_in_the_way() {
    let refused = |names: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        refuse_occupied(folder.path()).is_err()
    };
    assert!(!refused(&[]));
    assert!(!refused(&[".lock"]));
    assert!(!refused(&[".lease", ".lease-clock", ".abc.part"]));
    assert!(!refused(&[".lock", "plan.json"]));
    assert!(!refused(&[
        ".lock",
        "plan.json",
        "pipeline.yaml",
        ".abc.part"
    ]));
    assert!(refused(&["pipeline.yaml"]), "the user's own file");
    assert!(refused(&["plan.json", "pipeline.yaml", "status.json"]));
    assert!(refused(&["plan.json", "notes.txt"]));
    assert!(refused(&[".git"]));
}
