//! Stores that fail while a run reads its cohort from them, or writes itself to them.

use super::*;
use crate::spoilt::{FOREVER, Fault as Spoils, Spoilt, Verb, is_gone};
use crate::stores::upload;
use voxstream::store::retry::set_patience;

/// How long a fault lasts that passes: a few attempts of a request.
const A_WHILE: Duration = Duration::from_millis(400);

/// What a run says that nothing disturbed, and its cohort of nine subjects in files.
fn whole() -> (tempfile::TempDir, PathBuf, Said) {
    let (folder, data) = files::cohort();
    let out = folder.path().join("whole");
    Run::new(&out).of_files(&data).start().unwrap();
    let said = said(&out);
    (folder, data, said)
}

/// Phases of the writing of a run: volumes of the first and of a later part, the commit record of the first
/// and of a later one, and the last tables.
const WRITES: [(Verb, &str, usize); 5] = [
    (Verb::Put, "/prepared/part-", 1),
    (Verb::Put, "/prepared/part-", 3),
    (Verb::Put, "/parts/part-", 1),
    (Verb::Put, "/parts/part-", 3),
    (Verb::Put, "/report.html", 1),
];

/// Phases of the reading of a cohort: voxels of the first, a middle and the last subject. The first request
/// for a subject is about its header.
const READS: [(Verb, &str, usize); 3] = [
    (Verb::Get, "s0/ct.nii", 2),
    (Verb::Get, "s4/ct.nii", 2),
    (Verb::Get, "s8/ct.nii", 2),
];

#[test]
fn an_output_fails_for_a_while() {
    let (_folder, data, whole) = whole();
    for fault in [Spoils::Away, Spoils::Errors, Spoils::Short, Spoils::Lags] {
        let lasts = match fault {
            Spoils::Away => A_WHILE,
            _ => FOREVER,
        };
        for (phase, at) in WRITES.into_iter().enumerate() {
            let (store, root) = Spoilt::new(&format!("while-{fault:?}-{phase}").to_lowercase());
            let out = root.join("runs/a");
            store.spoil(fault, at, lasts);
            let done = Run::new(&out).of_files(&data).start();
            assert_eq!(code(&done), 0, "{fault:?} {at:?}: {done:?}");
            // Who reads the run meets the fault, too, but for lists that lag.
            if fault == Spoils::Lags {
                assert!(store.heal(), "{at:?} did not come");
            }
            assert_eq!(said(&out), whole, "{fault:?} {at:?}");
            assert!(fault == Spoils::Lags || store.heal(), "{at:?} did not come");
            // Nothing is left to be done.
            let before = store.count(Verb::Put, "/prepared/");
            let again = Run::new(&out).of_files(&data).resumed().start();
            assert_eq!(code(&again), 0, "{fault:?} {at:?}: {again:?}");
            assert_eq!(store.count(Verb::Put, "/prepared/"), before);
            assert_eq!(said(&out), whole, "{fault:?} {at:?}");
        }
    }
}

#[test]
fn an_output_fails_for_good() {
    set_patience(Duration::from_secs(2));
    let (_folder, data, whole) = whole();
    let faults = [
        (Spoils::Away, "connection refused"),
        (Spoils::Closed, "the store refused access"),
    ];
    for (fault, cause) in faults {
        for (phase, at) in WRITES.into_iter().enumerate() {
            let (store, root) = Spoilt::new(&format!("good-{fault:?}-{phase}").to_lowercase());
            let out = root.join("runs/a");
            store.spoil(fault, at, FOREVER);
            let done = Run::new(&out).of_files(&data).start();
            assert_eq!(code(&done), 2, "{fault:?} {at:?}: {done:?}");
            let told = voxstream::sink::causes(&done.unwrap_err());
            assert!(
                told.contains(root.to_str().unwrap()) && told.contains(cause),
                "{fault:?} {at:?}: {told}"
            );
            assert!(store.heal(), "{at:?} did not come");
            is_gone(&out);
            // What was committed is whole, and is not made again.
            assert_eq!(verify(&out).unwrap().1, []);
            let committed = Ledger::open(&out).unwrap().parts().len();
            let written = store.count(Verb::Put, "/parts/part-");
            let again = Run::new(&out).of_files(&data).resumed().start();
            assert_eq!(code(&again), 0, "{fault:?} {at:?}: {again:?}");
            assert_eq!(said(&out), whole, "{fault:?} {at:?}");
            let parts = Ledger::open(&out).unwrap().parts().len();
            let made = store.count(Verb::Put, "/parts/part-") - written;
            assert_eq!(made, parts - committed, "{fault:?} {at:?}");
        }
    }
}

#[test]
fn an_input_fails_for_a_while() {
    let (folder, data, whole) = whole();
    for fault in [Spoils::Away, Spoils::Errors, Spoils::Short] {
        let lasts = match fault {
            Spoils::Away => A_WHILE,
            _ => FOREVER,
        };
        for (phase, at) in READS.into_iter().enumerate() {
            let name = format!("inputs-{fault:?}-{phase}").to_lowercase();
            let (store, root) = Spoilt::new(&name);
            upload(&data, &root.join("data"));
            store.spoil(fault, at, lasts);
            let out = folder.path().join(name);
            let done = Run::new(&out).of_files(&root.join("data")).start();
            assert_eq!(code(&done), 0, "{fault:?} {at:?}: {done:?}");
            assert_eq!(said(&out), whole, "{fault:?} {at:?}");
            assert!(store.heal(), "{at:?} did not come");
        }
    }
}

#[test]
fn an_input_fails_for_good_and_comes_back() {
    set_patience(Duration::from_secs(2));
    let (folder, data, whole) = whole();
    for (phase, at) in READS.into_iter().enumerate() {
        let name = format!("inputs-gone-{phase}");
        let (store, root) = Spoilt::new(&name);
        upload(&data, &root.join("data"));
        store.spoil(Spoils::Away, at, FOREVER);
        let out = folder.path().join(name);
        let run = || Run::new(&out).of_files(&root.join("data"));
        let done = run().start();
        assert_eq!(code(&done), 1, "{at:?}: {done:?}");
        let found = said(&out);
        assert_eq!(found.subjects.len(), 9, "{at:?}: none is lost");
        for (id, cause) in &found.causes {
            assert!(cause.contains("cannot be reached"), "{id}: {cause}");
        }
        let wrong = |id: &&String| !found.causes.contains_key(*id);
        for id in found.subjects.keys().filter(wrong) {
            assert_eq!(found.subjects[id], whole.subjects[id], "{at:?}");
        }
        assert!(store.heal(), "{at:?} did not come");
        assert_eq!(code(&run().resumed().start()), 0, "{at:?}");
        assert_eq!(said(&out), whole, "{at:?}");
    }
}

#[test]
fn a_list_of_inputs_lags() {
    let (folder, data, whole) = whole();
    let (store, root) = Spoilt::new("inputs-late");
    // The last three subjects are there, and the list does not say so yet.
    store.spoil(Spoils::Lags, (Verb::Put, "s6/ct.nii", 1), FOREVER);
    for id in 0..9 {
        let below = format!("s{id}/ct.nii");
        let bytes = std::fs::read(data.join(&below)).unwrap();
        voxstream::store::write(&root.join("data").join(below), &bytes).unwrap();
    }
    let out = folder.path().join("late");
    let run = || Run::new(&out).of_files(&root.join("data"));
    assert_eq!(code(&run().start()), 0);
    let found = said(&out);
    let known: Vec<&String> = found.subjects.keys().collect();
    assert_eq!(known, ["s0", "s1", "s2", "s3", "s4", "s5"]);
    assert!(store.heal());
    assert_eq!(code(&run().resumed().start()), 0);
    assert_eq!(said(&out), whole);
}

#[test]
fn a_list_that_lags_changes_neither_the_exit_code_nor_what_failed() {
    let (folder, data) = files::cohort();
    std::fs::write(data.join("s2/ct.nii"), b"no image").unwrap();
    let local = folder.path().join("whole");
    assert_eq!(code(&Run::new(&local).of_files(&data).start()), 1);
    let whole = said(&local);
    let (store, root) = Spoilt::new("late-failure");
    let out = root.join("runs/a");
    store.spoil(Spoils::Lags, (Verb::Put, ".parquet", 1), FOREVER);
    let check = |done: Result<RunOutcome, Error>| {
        let outcome = done.unwrap();
        let failed: Vec<&str> = (outcome.failures.iter())
            .map(|failure| failure.subject.as_str())
            .collect();
        assert_eq!((outcome.exit_code(), &failed[..]), (1, &["s2"][..]));
    };
    let run = || Run::new(&out).of_files(&data);
    check(run().start());
    // Nothing is listed of what is there: all is made again, in its place.
    check(run().resumed().start());
    assert!(store.heal());
    assert_eq!(said(&out), whole);
    check(run().resumed().start());
    assert_eq!(said(&out), whole);
}
