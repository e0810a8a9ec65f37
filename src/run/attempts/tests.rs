use super::*;
use std::sync::mpsc::channel;
use std::time::Duration;

fn open(run: &Path) -> Attempts {
    Attempts::open(run, None, Again::Part, false).unwrap()
}

/// Ends the process in attempts at these subjects, each in a thread of its own, as far as the log is
/// concerned.
fn end_in(run: &Path, subjects: &[&str]) {
    let attempts = &open(run);
    std::thread::scope(|scope| {
        for subject in subjects {
            scope.spawn(move || std::mem::forget(attempts.begin(subject).unwrap()));
        }
    });
}

#[test]
fn a_subject_that_ends_the_process_three_times_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    end_in(run, &["a\n\"", "b"]);
    drop(open(run).begin("b").unwrap());
    end_in(run, &["a\n\""]);
    assert_eq!(open(run).suspected, [("a\n\"".to_owned(), 2)].into());
    end_in(run, &["a\n\""]);
    let attempts = open(run);
    let failure = attempts.begin("a\n\"").unwrap_err();
    assert!(
        failure.cause.contains("3 times in a row"),
        "{}",
        failure.cause
    );
    assert!(failure.cause.contains("--retry-failed") && !failure.may_pass);
    drop(attempts.begin("b").unwrap());
    attempts.close().unwrap();
    // What is left out stays left out, until it is to be tried again.
    assert!(open(run).begin("a\n\"").is_err());
    let anew = Attempts::open(run, None, Again::Part, true).unwrap();
    drop(anew.begin("a\n\"").unwrap());
    anew.close().unwrap();
    assert!(!run.join(LOG).exists());
    Attempts::open(run, Some("part-a"), Again::Part, false).unwrap();
    assert!(run.join(".attempts-part-a").exists());
}

#[test]
fn a_start_between_two_ends_without_the_subject_keeps_its_count() {
    let folder = tempfile::tempdir().unwrap();
    end_in(folder.path(), &["a"]);
    end_in(folder.path(), &["b"]);
    let counts = &open(folder.path()).suspected;
    assert_eq!(counts, &[("a".to_owned(), 1), ("b".to_owned(), 1)].into());
    // A line that was cut off says nothing.
    let log = folder.path().join(LOG);
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, format!("{text}{{\"begins\":\"c")).unwrap();
    assert_eq!(open(folder.path()).suspected.len(), 2);
}

#[test]
fn a_suspected_subject_is_worked_on_alone() {
    let folder = tempfile::tempdir().unwrap();
    end_in(folder.path(), &["a"]);
    let attempts = open(folder.path());
    let (sender, begun) = channel();
    std::thread::scope(|scope| {
        let other = attempts.begin("b").unwrap();
        let attempts = &attempts;
        scope.spawn(move || {
            let _turn = attempts.begin("a").unwrap();
            sender.send(()).unwrap();
        });
        assert!(begun.recv_timeout(Duration::from_millis(30)).is_err());
        drop(other);
        begun.recv().unwrap();
    });
    assert_eq!(open(folder.path()).suspected, BTreeMap::new());
}
#[test]
fn within_an_attempt_the_innermost_is_suspected() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    end_in(run, &["a"]);
    // The view of `a` needs `partner`, in which the process ends.
    std::thread::scope(|scope| {
        let attempts = open(run);
        scope.spawn(move || {
            let view = attempts.begin_view("a").unwrap();
            drop(attempts.begin("a").unwrap());
            std::mem::forget(attempts.begin("partner").unwrap());
            std::mem::forget(view);
        });
    });
    let counts = [("a".to_owned(), 1), ("partner".to_owned(), 1)];
    assert_eq!(open(run).suspected, counts.into());
    // Behind the partner the view is under way again.
    std::thread::scope(|scope| {
        let attempts = open(run);
        scope.spawn(move || {
            let view = attempts.begin_view("a").unwrap();
            drop(attempts.begin("partner").unwrap());
            std::mem::forget(view);
        });
    });
    assert_eq!(open(run).suspected, [("a".to_owned(), 2)].into());
}

#[test]
fn a_long_log_is_shortened_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    end_in(run, &["c"]);
    let attempts = open(run);
    let view = attempts.begin_view("a").unwrap();
    for _ in 0..20_000 {
        drop(attempts.begin("b").unwrap());
    }
    let log = std::fs::metadata(run.join(LOG)).unwrap();
    assert!(log.len() < 1 << 20, "{} bytes", log.len());
    let counts = [("a".to_owned(), 1), ("c".to_owned(), 1)];
    assert_eq!(open(run).suspected, counts.into());
    drop(view);
}

#[test]
fn an_end_that_the_user_asks_for_suspects_nobody_and_clears_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    end_in(run, &["a"]);
    for _ in 0..3 {
        let attempts = &open(run);
        std::thread::scope(|scope| {
            scope.spawn(move || std::mem::forget(attempts.begin("a").unwrap()));
        });
        attempts.log.stop();
        // What begins behind it, and a log that is shortened, change nothing.
        let Log::File(file) = &*attempts.log else {
            panic!("the run is in a folder");
        };
        lock(file).add(&[Line::Begins("b".to_owned())]);
        let log = std::fs::read(run.join(LOG)).unwrap();
        let counts = BTreeMap::from([("a".to_owned(), 1)]);
        assert_eq!(suspected(&log), counts);
        let short = log::shortened(&log);
        let later = format!("{short}{}", Line::Begins("c".to_owned()).text());
        assert_eq!(suspected(later.as_bytes()), counts);
    }
}
