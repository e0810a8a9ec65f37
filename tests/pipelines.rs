//! The gallery: every file plans, is valid for editors, and what needs no data runs.

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use std::path::{Path, PathBuf};
use voxstream::cli::test::{TestArgs, test};
use voxstream::cli::{open, planned, read};
use voxstream::plan::explain::{Form, explain};
use voxstream::plan::ranges::Subjects;
use voxstream::query::Session;
use voxstream::run::driver::{RunOptions, run};
use voxstream::schema::pipeline_schema;
use voxstream::spec::node::Document;
use voxstream::train::device;

/// Makes the phantom pipeline small enough for a test.
pub(crate) const TINY: [&str; 8] = [
    "source.phantom.subjects=8",
    "source.phantom.size=[16,16,16]",
    "source.phantom.labelled=2",
    "source.phantom.validation=1",
    "source.phantom.test=2",
    "views.shared[0].patch.size=[16,16,16]",
    "train.network.cmc.width=4",
    "train.validate.every=2",
];

fn gallery() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("pipelines").unwrap();
    let paths = entries.map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 16, "{files:?}");
    files
}

#[test]
fn every_file_opens_with_what_it_shows_and_is_short() {
    for path in gallery() {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.len() <= 40,
            "{} has {} lines",
            path.display(),
            lines.len()
        );
        assert!(
            lines[0].starts_with("# yaml-language-server: $schema=../schemas/"),
            "{}",
            path.display()
        );
        assert!(
            lines[1].starts_with("# ") && lines[1].ends_with('.'),
            "{}",
            path.display()
        );
    }
}

#[test]
fn every_file_plans_to_its_snapshot() {
    for path in gallery() {
        let plan = planned(&read(&path, &[]).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        insta::assert_snapshot!(
            name.clone(),
            explain(&plan, Form::Text, &Subjects::default())
        );
        assert!(explain(&plan, Form::Mermaid, &Subjects::default()).starts_with("flowchart LR\n"));
        let json: serde_json::Value =
            serde_json::from_str(&explain(&plan, Form::Json, &Subjects::default())).unwrap();
        assert_eq!(json["name"], name[3..]);
    }
}

#[test]
fn every_promise_of_the_gallery_holds() {
    let args = TestArgs {
        files: gallery(),
        update: false,
    };
    let mut out = Vec::new();
    let code = test(&args, &mut out).unwrap();
    let printed = String::from_utf8(out).unwrap();
    assert_eq!(code, 0, "{printed}");
    assert!(printed.ends_with("1 test holds\n"), "{printed}");
}

#[test]
fn readers_of_yaml_1_1_find_the_same_numbers() {
    // There `3e-5` is text: a number with an exponent has a point, and its exponent a sign.
    let exponent =
        regex::Regex::new(r"(?m)(?:^|[\s\[{,:])([0-9]+(?:e[-+]?[0-9]+)|[0-9.]+e[0-9]+)").unwrap();
    assert!(exponent.is_match("lr: 3e-5") && exponent.is_match("[1.0e5]"));
    assert!(!exponent.is_match("lr: 3.0e-5") && !exponent.is_match("name: case1e5x"));
    for path in gallery() {
        let text = std::fs::read_to_string(&path).unwrap();
        let found = exponent.find(&text).map(|m| m.as_str());
        assert_eq!(found, None, "{}", path.display());
    }
}

#[test]
fn every_file_is_valid_for_editors() {
    let validator = jsonschema::validator_for(&pipeline_schema()).unwrap();
    for path in gallery() {
        let text = std::fs::read_to_string(&path).unwrap();
        let value: serde_json::Value = Document::parse(&text).unwrap().root().read().unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    }
    let wrong = serde_json::json!({"name": "a", "source": {"phantom": {"subjcts": 3}}});
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn the_phantom_pipeline_runs_to_scores_and_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut set: Vec<String> = TINY.iter().map(|s| (*s).to_owned()).collect();
    set.push("train.steps=2".to_owned());
    let (plan, cohort) =
        open(&read(Path::new("pipelines/04-cmc-phantom.yaml"), &set).unwrap()).unwrap();
    let options = RunOptions {
        out: Some(out.clone()),
        workers: Some(2),
        ..RunOptions::default()
    };
    let outcome = run(plan, cohort, &options).unwrap();
    assert!(outcome.failures.is_empty());
    // 2 test subjects, 2 heads, 3 organs, 2 checkpoints.
    assert_eq!(outcome.scores.len(), 24);

    let session = Session::open(&out).unwrap();
    for (table, rows) in [
        ("subjects", 8),
        ("scores", 24),
        ("failures", 0),
        ("predictions", 4),
        ("pseudo_labels", 6),
    ] {
        let batches = session
            .sql(&format!("select count(*) from {table}"))
            .unwrap();
        let count = batches[0].column(0).as_primitive::<Int64Type>().value(0);
        assert_eq!(count, rows, "{table}");
    }
    let device = device::name(&options.device.open().unwrap());
    let used = format!("select count(*) from runs where device = '{device}'");
    let used = session.sql(&used).unwrap();
    assert_eq!(used[0].column(0).as_primitive::<Int64Type>().value(0), 1);
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        report.contains("cmc-phantom")
            && report.contains("<svg")
            && !report.contains("http://")
            && !report.contains("https://")
    );
    // A second start in the same folder is refused, and a resume of a finished run does nothing.
    let again = |resume| {
        let (plan, cohort) =
            open(&read(Path::new("pipelines/04-cmc-phantom.yaml"), &set).unwrap()).unwrap();
        run(
            plan,
            cohort,
            &RunOptions {
                out: Some(out.clone()),
                resume,
                ..RunOptions::default()
            },
        )
    };
    assert!(
        again(false)
            .unwrap_err()
            .to_string()
            .contains("the folder is not empty")
    );
    assert!(again(true).is_ok());
}

#[test]
fn training_ends_where_validation_no_longer_improves() {
    let folder = tempfile::tempdir().unwrap();
    let mut set: Vec<String> = TINY.iter().map(|s| (*s).to_owned()).collect();
    set.extend(
        [
            "train.steps=20",
            "train.validate={every: 2, patience: 2}",
            // Nothing is learnt, so the first validation stays the best.
            "train.optimizer.lr=1e-30",
        ]
        .map(str::to_owned),
    );
    let (plan, cohort) =
        open(&read(Path::new("pipelines/04-cmc-phantom.yaml"), &set).unwrap()).unwrap();
    let out = folder.path().join("run");
    let options = RunOptions {
        out: Some(out.clone()),
        workers: Some(1),
        ..RunOptions::default()
    };
    run(plan, cohort, &options).unwrap();
    let session = Session::open(&out).unwrap();
    let last = session.sql("select max(step) from metrics").unwrap();
    let last = last[0].column(0).as_any();
    let last = last.downcast_ref::<arrow::array::Int64Array>().unwrap();
    assert_eq!(last.value(0), 6);
}

#[test]
fn the_readme_shows_a_pipeline_that_plans() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let text = readme
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    assert_eq!(text.lines().count(), 12);
    let file = voxstream::spec::SourceFile {
        name: "README.md".into(),
        text: text.into(),
    };
    if let Err(error) = planned(&file) {
        voxstream::cli::show_error(&error);
        panic!("the README's pipeline has mistakes");
    }
}
