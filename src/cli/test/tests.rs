use super::*;

const HEAD: &str = "name: promise\nseed: 3\nsource: { folders: { path: nowhere, images: \"{subject}/{modality}.nii.gz\", labels: \"{subject}/label.nii.gz\", modalities: { ct: CT } } }\n\
stages:\n  - orient: { to: RAS }\n  - window: { range: [-175, 250] }\n\
views: { shared: [flip: { axes: [x], p: 1.0 }], strong: [gamma: { p: 0.0 }] }\n\
train: { classes: [b, x, y], network: { unet3d: { width: 4, depth: 2 } }, steps: 1, batch: { labelled: 1 }, window: { size: [16, 16, 16] } }\n\
tests:\n";

/// A test of a phantom; the pipeline's own data is not there.
fn test_of(expect: &str) -> String {
    let phantom = "{ subjects: 2, size: [20, 18, 16], modalities: [ct], classes: 2 }";
    format!("{HEAD}  - name: a phantom on its way\n    phantom: {phantom}\n    expect:\n{expect}")
}

fn run(text: &str, update: bool) -> (u8, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("promise.yaml");
    std::fs::write(&path, text).unwrap();
    let args = TestArgs {
        files: vec![path.clone()],
        update,
    };
    let mut out = Vec::new();
    let code = test(&args, &mut out).unwrap();
    let printed = String::from_utf8(out).unwrap();
    let printed = printed.replace(&path.display().to_string(), "promise.yaml");
    (code, printed, std::fs::read_to_string(&path).unwrap())
}

fn mistakes(expect: &str) -> Vec<String> {
    let file = SourceFile {
        name: "promise.yaml".into(),
        text: test_of(expect),
    };
    let Err(Error::Pipeline { diagnostics }) = planned(&file) else {
        panic!("no mistake in {expect}");
    };
    diagnostics.iter().map(|d| d.render(false)).collect()
}

#[test]
fn promises_that_hold() {
    let text = test_of(
        "      - { at: source, column: label, classes: [2, 0, 1] }\n      \
         - { at: \"stages[0].orient\", column: image.ct, shape: [20, 18, 16], orientation: RAS, spacing_mm: [1.5, 1.5, 1.5] }\n      \
         - { at: \"stages[1].window\", column: image.ct, range: [0, 1], mean: [0, 1], dtype: f32 }\n      \
         - { at: \"views.shared[0].flip\", column: label, orientation: LAS, drawn: { axes: [x] }, rows: 1 }\n      \
         - { at: \"views.strong[0].gamma\", drawn: nothing }\n",
    );
    let (code, printed, _) = run(&text, false);
    let expected = "promise.yaml\n  ok      a phantom on its way (11 expectations)\n1 test holds\n";
    assert_eq!((code, &*printed), (0, expected));
}

#[test]
fn a_broken_promise_says_what_was_found() {
    let text = test_of(
        "      - { at: source, column: label, classes: [0, 1] }\n      \
         - { at: \"stages[0].orient\", column: image.ct, shape: [20, 18, 17], orientation: LPS }\n      \
         - { at: \"stages[1].window\", column: image.ct, range: [0.5, 1] }\n      \
         - { at: \"views.shared[0].flip\", drawn: { axes: [y], angle: 3 } }\n      \
         - { at: \"views.strong[0].gamma\", drawn: { gamma: 1.0 }, fails: empty }\n",
    );
    let (code, printed, after) = run(&text, true);
    assert_eq!(code, 1);
    assert_eq!(after, text, "only digests are updated");
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(
        lines[1..5],
        [
            "  FAILED  a phantom on its way",
            "    line 13: source label: classes: expected {0, 1}, found {0, 1, 2}",
            "    line 14: stages[0].orient image.ct: shape: expected [20, 18, 17], found [20, 18, 16]",
            "    line 14: stages[0].orient image.ct: orientation: expected LPS, found RAS",
        ]
    );
    assert!(
        lines[5].starts_with(
            "    line 15: stages[1].window image.ct: range: expected 0.5 to 1, found 0 to 0.9"
        ),
        "{printed}"
    );
    assert!(
        lines[5].contains(" of 5760 voxels are outside, the first at x 0, y 0, z 0: 0"),
        "{printed}"
    );
    assert_eq!(
        lines[6..],
        [
            "    line 16: views.shared[0].flip: drawn.angle: expected 3, found only axes",
            "    line 16: views.shared[0].flip: drawn.axes[0]: expected \"y\", found \"x\"",
            "    line 17: views.strong[0].gamma: fails: expected `empty`, found no failure",
            "    line 17: views.strong[0].gamma: drawn: expected {\"gamma\":1.0}, found nothing",
            "1 of 1 test failed",
        ]
    );
}

#[test]
fn digests_are_written_into_the_file_and_nothing_else_changes() {
    let text = test_of(
        "      # kept\n      - { at: source, column: label, digest: \"\" }   # so\n      \
         - at: stages[1].window\n        column: image.ct\n        digest: \"00000000000000000000000000000000\"\n        range: [0, 1]\n",
    );
    let (code, printed, _) = run(&text, false);
    assert_eq!(code, 1);
    assert!(
        printed.contains("digest: expected none stored, found "),
        "{printed}"
    );
    let (code, printed, updated) = run(&text, true);
    assert_eq!(code, 0, "{printed}");
    assert!(
        printed.contains("  2 digests updated\n1 test holds\n"),
        "{printed}"
    );
    let (code, printed, after) = run(&updated, true);
    assert_eq!((code, &after), (0, &updated), "{printed}");
    let blank = |text: &str| -> String {
        let mut kept = String::new();
        for line in text.lines() {
            match line.split_once("digest: ") {
                Some((before, rest)) => {
                    let end = rest.find(['}', ' ']).unwrap_or(rest.len());
                    kept += &format!("{before}digest: {}\n", rest[end..].trim_start());
                }
                None => kept += &format!("{line}\n"),
            }
        }
        kept
    };
    assert_eq!(blank(&updated), blank(&text));
    assert!(updated.contains("# kept") && updated.contains("}   # so"));
}

#[test]
fn voxels_of_another_seed_have_another_digest() {
    let line = "      - { at: \"stages[1].window\", column: image.ct, digest: \"\" }\n";
    let (_, _, first) = run(&test_of(line), true);
    let (code, _, _) = run(
        &first.replace("classes: 2 }", "classes: 2, seed: 4 }"),
        false,
    );
    assert_eq!(code, 1);
}

#[test]
fn a_subject_that_is_not_there_fails_its_test_alone() {
    let text = test_of("      - { at: source, column: label, classes: [0, 1, 2] }\n");
    let second = text
        .split("tests:\n")
        .nth(1)
        .unwrap()
        .replace("a phantom", "another");
    let second = second.replace("    expect", "    subject: phantom-07\n    expect");
    let (code, printed, _) = run(&format!("{text}{second}"), false);
    assert_eq!(code, 1);
    let expected = "  FAILED  another on its way\n    unknown subject `phantom-07`; did you mean `phantom-000`?\n1 of 2 tests failed\n";
    assert!(printed.ends_with(expected), "{printed}");
}

#[test]
fn a_failure_can_be_promised() {
    let text = test_of("      - { at: \"stages[1].remap\", fails: class 2 is not in }\n");
    let text = text.replace(
        "window: { range: [-175, 250] }",
        "remap: { map: { 0: 0, 1: 1 }, others: fail }",
    );
    let (code, printed, _) = run(&text, false);
    assert_eq!(code, 0, "{printed}");
}

#[test]
fn mistakes_are_shown_at_their_place() {
    let step = mistakes("      - { at: \"stages[1].windw\", column: image.ct, range: [0, 1] }\n");
    assert_eq!(step.len(), 1);
    assert!(
        step[0].contains("unknown step `stages[1].windw`")
            && step[0].contains("promise.yaml:13:15"),
        "{}",
        step[0]
    );
    assert!(
        step[0].contains("did you mean `stages[1].window`?"),
        "{}",
        step[0]
    );
    let several = mistakes(
        "      - { at: source, colum: label, classes: [0] }\n      - { at: source, column: label, shape: [1, 2] }\n",
    );
    assert_eq!(several.len(), 2, "{several:?}");
    let one = |line: &str, text: &str| {
        let found = mistakes(&format!("      - {{ {line} }}\n"));
        assert!(found.len() == 1 && found[0].contains(text), "{found:?}");
    };
    one(
        "at: source, column: image.mr, shape: [1, 1, 1]",
        "unknown column `image.mr`",
    );
    one(
        "at: source, shape: [1, 1, 1]",
        "`shape` is expected of no column",
    );
    one("at: source, column: label", "nothing is expected here");
    one(
        "at: source, column: label, range: [2, 1]",
        "expected the smaller number first",
    );
    one(
        "at: source, column: label, digest: abc",
        "`abc` is no digest",
    );
}

#[test]
fn a_file_without_tests_is_no_success() {
    let (code, printed, _) = run(HEAD.strip_suffix("tests:\n").unwrap(), false);
    assert_eq!(code, 2);
    assert!(
        printed.starts_with("promise.yaml\n  no tests\nno test: "),
        "{printed}"
    );
}
