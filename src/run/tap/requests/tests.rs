use super::*;
use crate::volume::Row;
use std::time::SystemTime;

fn row(subject: &str) -> Row {
    Row {
        subject: subject.to_owned(),
        ..Row::default()
    }
}

/// A run folder with a request for rows of `source`.
fn asked(count: u64, node: &str) -> (tempfile::TempDir, Counters, Requests) {
    let run = tempfile::tempdir().unwrap();
    let counters = Counters::default();
    counters.node("source");
    let requests = Requests::new(run.path(), counters.clone());
    fs::create_dir(run.path().join(FOLDER)).unwrap();
    let request = Request {
        node: node.to_owned(),
        count,
    };
    let text = serde_json::to_string(&request).unwrap();
    fs::write(run.path().join("tap/7.request.json"), text).unwrap();
    (run, counters, requests)
}

fn answers(run: &Path) -> Vec<Answer> {
    let text = fs::read_to_string(run.join("tap/7.rows.jsonl")).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn a_request_is_served_and_removed() {
    let (run, counters, mut requests) = asked(2, "source");
    let node = counters.node("source");
    node.tap().show([&row("before")]);
    assert!(requests.serve().unwrap());
    node.tap().show([&row("a")]);
    assert!(requests.serve().unwrap());
    assert_eq!(answers(run.path()).len(), 1);
    node.tap().show([&row("b"), &row("c")]);
    assert!(!requests.serve().unwrap());
    let subjects: Vec<String> = (answers(run.path()).into_iter())
        .map(|answer| match answer {
            Answer::Row(row) => row.subject,
            Answer::Refused(problem) => problem,
        })
        .collect();
    assert_eq!(subjects, ["a", "b"]);
    assert!(!run.path().join("tap/7.request.json").exists() && !node.tap().is_open());
    assert!(!requests.serve().unwrap());
}

#[test]
fn an_unknown_node_is_refused_with_those_there_are() {
    let (run, _, mut requests) = asked(2, "sourze");
    assert!(!requests.serve().unwrap());
    let [Answer::Refused(problem)] = &answers(run.path())[..] else {
        panic!("the request was served");
    };
    assert_eq!(
        problem,
        "the run has no node `sourze` yet; its nodes are source"
    );
    assert!(!run.path().join("tap/7.request.json").exists());
}

#[test]
fn what_a_command_left_behind_is_harmless() {
    // The command went away while it was served.
    let (run, counters, mut requests) = asked(5, "source");
    requests.serve().unwrap();
    counters.node("source").tap().show([&row("a")]);
    requests.serve().unwrap();
    fs::remove_file(run.path().join("tap/7.request.json")).unwrap();
    assert!(!requests.serve().unwrap());
    assert!(!run.path().join("tap/7.rows.jsonl").exists());
    assert!(!counters.node("source").tap().is_open());
    // A request of an hour ago, which nobody reads the answer of.
    let (run, counters, mut requests) = asked(5, "source");
    let file = run.path().join("tap/7.request.json");
    let hour = SystemTime::now() - Duration::from_secs(3600);
    let opened = OpenOptions::new().write(true).open(&file).unwrap();
    opened.set_modified(hour).unwrap();
    assert!(!requests.serve().unwrap());
    assert!(!file.exists() && !counters.node("source").tap().is_open());
    // The run ends while it is tapped.
    let (run, counters, mut requests) = asked(5, "source");
    requests.serve().unwrap();
    counters.node("source").tap().show([&row("a")]);
    drop(requests);
    assert_eq!(answers(run.path()).len(), 1);
    assert!(!run.path().join("tap/7.request.json").exists());
}
