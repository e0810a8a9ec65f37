//! The log of attempts of a run in a store: an object that is written anew, for many subjects at a time.
//!
//! An object cannot be added to, and a request a subject would cost as much as many subjects do. So the
//! object names subjects **before** their turn, [`AHEAD`] of those that come next, and whoever of them is at
//! work needs no request. A process that ends in one of them leaves all of them suspected; of these each is
//! written down alone, so that only one at which the process truly ended can be suspected twice.

use super::log::{Line, known};
use crate::store;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Subjects that one request writes down.
const AHEAD: usize = 128;
/// Age from which the object is written anew if subjects that it names have ended: fewer are suspected.
const AGED: Duration = Duration::from_secs(10);

/// The log in a store.
#[derive(Debug)]
pub(super) struct ObjectLog {
    pub(super) path: PathBuf,
    /// Subjects whose turn comes, by the list that they are on.
    coming: BTreeMap<String, VecDeque<String>>,
    /// Subjects that are written down and have not ended.
    open: BTreeSet<String>,
    /// Those that the object names.
    named: BTreeSet<String>,
    /// Attempts in a row in which the process ended, of the subjects at which no attempt has ended since.
    suspected: BTreeMap<String, u32>,
    /// When the object was written.
    written: Option<Instant>,
    /// Whether a request failed.
    fails: bool,
    /// Whether the user ends the process: nothing is named any more.
    stopped: bool,
}

impl ObjectLog {
    pub(super) fn new(path: PathBuf, suspected: BTreeMap<String, u32>) -> Self {
        Self {
            path,
            coming: BTreeMap::new(),
            open: BTreeSet::new(),
            named: BTreeSet::new(),
            suspected,
            written: None,
            fails: false,
            stopped: false,
        }
    }

    /// Replaces what comes next on a list.
    pub(super) fn expect(&mut self, list: &str, subjects: impl Iterator<Item = String>) {
        let coming = subjects.filter(|subject| !self.suspected.contains_key(subject));
        let coming = coming.collect();
        self.coming.insert(list.to_owned(), coming);
    }

    /// Writes down that an attempt at a subject begins, unless the object names it; `alone`: no other attempt
    /// is under way.
    pub(super) fn begin(&mut self, subject: &str, alone: bool) {
        if self.stopped {
            return;
        }
        if alone {
            self.write(&BTreeSet::from([subject.to_owned()]));
            return;
        }
        let aged = || {
            let age = self.written.map(|written| written.elapsed());
            age.is_some_and(|age| age >= AGED) && self.named != self.open
        };
        if self.named.contains(subject) && !aged() {
            self.open.insert(subject.to_owned());
            return;
        }
        if !self.open.contains(subject) {
            let next = self.next(subject);
            self.open.extend(next);
        }
        self.write(&self.open.clone());
    }

    /// A subject and those that come behind it on its list.
    fn next(&mut self, subject: &str) -> Vec<String> {
        let found = self.coming.iter_mut().find_map(|(list, coming)| {
            let at = coming.iter().position(|other| other == subject)?;
            let end = coming.len().min(at + AHEAD);
            Some((list.clone(), coming.drain(at..end).collect::<Vec<String>>()))
        });
        let Some((list, next)) = found else {
            return vec![subject.to_owned()];
        };
        if self.coming.get(&list).is_some_and(VecDeque::is_empty) {
            self.coming.remove(&list);
        }
        next
    }

    /// Notes that an attempt ended, for the next time the object is written.
    pub(super) fn end(&mut self, subject: &str) {
        self.open.remove(subject);
        self.suspected.remove(subject);
    }

    /// Notes that the user ends the process.
    pub(super) fn stop(&mut self) {
        if self.is_written() {
            self.write(&BTreeSet::new());
        }
        self.stopped = true;
    }

    /// Writes the object, which names these subjects; that it could not be written is a warning.
    fn write(&mut self, open: &BTreeSet<String>) {
        let mut text = known(&self.suspected);
        let lines = open.iter().map(|subject| Line::Begins(subject.clone()));
        lines.for_each(|line| text += &line.text());
        let written = store::write(&self.path, text.as_bytes());
        if let (Err(e), false) = (&written, self.fails) {
            tracing::warn!(log = %self.path.display(), reason = %e, "attempts are not written down");
        }
        self.fails = written.is_err();
        // Without the object the run goes on; it is tried again with the next subjects.
        self.named.clone_from(open);
        self.written = Some(Instant::now());
    }

    /// Returns `true` if there may be an object.
    pub(super) fn is_written(&self) -> bool {
        self.written.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::suspected;
    use super::*;
    use object_store::memory::InMemory;
    use std::sync::Arc;

    fn log(name: &str, suspected: &[(&str, u32)]) -> ObjectLog {
        let root = format!("memory://{name}");
        store::register(&root, Arc::new(InMemory::new())).unwrap();
        let suspected = suspected.iter().map(|(id, n)| ((*id).to_owned(), *n));
        ObjectLog::new(PathBuf::from(root).join(".attempts"), suspected.collect())
    }

    fn ids(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
        range.map(|i| format!("s{i:03}"))
    }

    /// What a start finds after an end in this instant.
    fn left(log: &ObjectLog) -> BTreeMap<String, u32> {
        suspected(&store::read(&log.path).unwrap())
    }

    #[test]
    fn one_request_names_many_subjects() {
        let mut log = log("attempts-ahead", &[("s001", 2)]);
        log.expect("part", ids(0..300));
        let mut requests = 0;
        for subject in ids(0..300).filter(|id| id != "s001") {
            let before = log.written;
            log.begin(&subject, false);
            requests += usize::from(log.written != before);
            assert_eq!(left(&log)[&subject], 1, "{subject}");
            // What is suspected already is not counted again before its turn.
            assert_eq!(left(&log)["s001"], 2);
            log.end(&subject);
        }
        assert_eq!(requests, 3, "of 299 subjects");
        assert!(log.coming.is_empty(), "{:?}", log.coming);
        // A subject that nobody expected is written down all the same.
        log.begin("other", false);
        assert_eq!(left(&log).keys().collect::<Vec<_>>(), ["other", "s001"]);
    }

    #[test]
    fn an_end_that_the_user_asks_for_names_nobody() {
        let mut log = log("attempts-stopped", &[("s001", 2)]);
        log.stop();
        assert!(!log.is_written(), "nothing had begun");
        log.stopped = false;
        log.begin("s000", false);
        assert_eq!(left(&log).len(), 2);
        log.stop();
        log.begin("s002", false);
        assert_eq!(left(&log), [("s001".into(), 2)].into());
    }

    #[test]
    fn a_suspected_subject_is_named_alone() {
        let mut log = log("attempts-alone", &[("s005", 1), ("s200", 1)]);
        log.expect("part", ids(0..10));
        log.begin("s000", false);
        assert_eq!(left(&log).len(), 11);
        log.begin("s005", true);
        let found = left(&log);
        assert_eq!(found, [("s005".into(), 2), ("s200".into(), 1)].into());
        log.end("s005");
        // The others are named again when one of them begins.
        log.begin("s001", false);
        let found = left(&log);
        assert!(!found.contains_key("s005"), "{found:?}");
        assert_eq!((found["s001"], found["s009"], found["s200"]), (1, 1, 1));
    }
}
