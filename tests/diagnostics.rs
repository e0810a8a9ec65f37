//! What a user sees of a mistake: file, line, caret, help; all mistakes of a file at once.

use std::path::{Path, PathBuf};
use voxstream::cli::{planned, read};
use voxstream::error::Error;

fn shown(path: &Path) -> String {
    let error = planned(&read(path, &[]).unwrap())
        .err()
        .unwrap_or_else(|| panic!("{} has no mistake", path.display()));
    let Error::Pipeline { diagnostics } = error else {
        panic!("{error}")
    };
    diagnostics
        .iter()
        .map(|d| d.render(false))
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[test]
fn every_bad_file_shows_its_snapshot() {
    let mut files: Vec<PathBuf> = std::fs::read_dir("tests/bad")
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        insta::assert_snapshot!(
            path.file_stem().unwrap().to_str().unwrap().to_owned(),
            shown(&path)
        );
    }
}

#[test]
fn five_mistakes_give_five_places() {
    let path = PathBuf::from("tests/bad/five-mistakes.yaml");
    let Err(Error::Pipeline { diagnostics }) = planned(&read(&path, &[]).unwrap()) else {
        panic!("no mistakes found")
    };
    let places: Vec<(usize, usize)> = diagnostics
        .iter()
        .map(|d| d.file.line_column(d.error.at.unwrap().start))
        .collect();
    assert_eq!(places, [(5, 20), (8, 13), (10, 3), (13, 22), (16, 7)]);
}

#[test]
fn an_override_is_checked_like_the_file() {
    let set = ["train.steps=many".to_owned()];
    let file = read(&PathBuf::from("pipelines/04-cmc-phantom.yaml"), &set).unwrap();
    let Err(Error::Pipeline { diagnostics }) = planned(&file) else {
        panic!("no mistakes found")
    };
    let text = diagnostics[0].render(false);
    assert!(
        text.contains("(with --set)") && text.contains("steps: many"),
        "{text}"
    );
}

#[test]
fn an_override_removes_a_section() {
    let path = PathBuf::from("pipelines/02-supervised-hippocampus.yaml");
    let set = ["train=null", "views=null", "score=null", "sinks=null"].map(str::to_owned);
    let plan = planned(&read(&path, &set).unwrap()).unwrap_or_else(|e| panic!("{e}"));
    let pipeline = &plan.pipeline;
    assert!(pipeline.train.is_none() && pipeline.score.is_none() && !pipeline.makes_views());
    // What a file needs is missed as if it were not written.
    let Err(Error::Pipeline { diagnostics }) =
        planned(&read(&path, &["source=null".to_owned()]).unwrap())
    else {
        panic!("no mistakes found")
    };
    let text = diagnostics[0].render(false);
    assert!(text.contains("section `source` is missing"), "{text}");
}
