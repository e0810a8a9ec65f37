//! Attempts at subjects, written down before they begin, so that a subject that ends the process every time
//! does not end the run for good.
//!
//! A process that is aborted, or killed by the system for its memory, cannot say which subject it was at. The
//! next start reads it from the log of attempts: subjects whose attempt did not end are suspected and worked
//! on **alone**, while no other subject is. One that was under way three times in a row when the process
//! ended is left out with a failure. A kill from outside suspects subjects too; they are cleared as soon as
//! an attempt at them ends, however it does.
//!
//! The log is `.attempts` in the run folder: a file that is added to, or in a store an object that is written
//! anew for many subjects at a time ([`object`]).

mod log;
mod object;

use super::failure::Failure;
use crate::error::Error;
use crate::sink::parquet::write_whole;
use crate::store;
use log::{Line, known, suspected};
use object::ObjectLog;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Name of the log.
const LOG: &str = ".attempts";
/// How often in a row the process may end in an attempt at a subject.
const MOST: u32 = 3;

/// Where attempts are written down.
#[derive(Debug)]
enum Log {
    File(PathBuf, Mutex<File>),
    Object(Box<Mutex<ObjectLog>>),
}

/// How a subject that was left out is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// A run in parts makes its part again.
    Part,
    /// A training has noted it, and must begin anew.
    Training,
}

impl Again {
    fn advice(self) -> &'static str {
        match self {
            Self::Part => "try it again with `run … --resume --retry-failed`",
            Self::Training => "train again without `--resume`, in another folder",
        }
    }
}

/// The attempts of one start of a run.
#[derive(Debug)]
pub(super) struct Attempts {
    log: Log,
    again: Again,
    /// Attempts in a row in which the process ended, by subject.
    suspected: BTreeMap<String, u32>,
    /// Held shared by attempts, and exclusively by those at suspected subjects.
    alone: RwLock<()>,
}

/// Keeps other attempts away from one at a suspected subject.
#[derive(Debug)]
enum Turn<'a> {
    Shared { _turn: RwLockReadGuard<'a, ()> },
    Alone { _turn: RwLockWriteGuard<'a, ()> },
}

/// An attempt under way; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    attempts: &'a Attempts,
    subject: &'a str,
    _turn: Turn<'a>,
}

impl Attempts {
    /// Reads the log of earlier starts, and begins another. A part that is made for another process has a
    /// log of its own. With `anew`, nobody is suspected.
    ///
    /// **Errors** if the log cannot be read or written.
    pub(super) fn open(
        run: &Path,
        part: Option<&str>,
        again: Again,
        anew: bool,
    ) -> Result<Self, Error> {
        let path = run.join(match part {
            Some(part) => format!("{LOG}-{part}"),
            None => LOG.to_owned(),
        });
        let suspected = match store::read(&path) {
            _ if anew => BTreeMap::new(),
            Err(e) if e.kind() == ErrorKind::NotFound => BTreeMap::new(),
            read => suspected(&read.map_err(Error::io(&path, "reading the log of attempts"))?),
        };
        for (subject, count) in suspected.iter().take(10) {
            tracing::warn!(%subject, count, "the process had ended in an attempt at this subject, or before it");
        }
        let log = match store::is_url(run) {
            // Without an attempt nothing is written there.
            true if anew => {
                store::remove(&path).map_err(Error::io(&path, "removing the log of attempts"))?;
                Log::Object(Box::new(Mutex::new(ObjectLog::new(path, BTreeMap::new()))))
            }
            true => Log::Object(Box::new(Mutex::new(ObjectLog::new(
                path,
                suspected.clone(),
            )))),
            false => {
                write_whole(&path, known(&suspected).as_bytes())?;
                let file = OpenOptions::new().append(true).open(&path);
                let file = file.map_err(Error::io(&path, "opening the log of attempts"))?;
                Log::File(path, Mutex::new(file))
            }
        };
        Ok(Self {
            log,
            again,
            suspected,
            alone: RwLock::default(),
        })
    }

    /// Says which subjects come next, in their order, instead of those that were on the list before: a log
    /// in a store names them together.
    pub(super) fn expect(&self, list: &str, subjects: impl Iterator<Item = String>) {
        if let Log::Object(log) = &self.log {
            lock(log).expect(list, subjects);
        }
    }

    /// Begins an attempt at a subject; waits until it may.
    ///
    /// **Errors** if the process ended too often in attempts at it.
    pub(super) fn begin<'a>(&'a self, subject: &'a str) -> Result<Attempt<'a>, Failure> {
        let count = self.suspected.get(subject).copied().unwrap_or(0);
        if count >= MOST {
            let cause = format!(
                "the process ended {count} times in a row while it worked on this subject: it crashed, or the system killed it for its memory. The subject is left out; once the cause is removed (more memory, another version, another file), {}",
                self.again.advice()
            );
            return Err(Failure::new(subject, "source", cause));
        }
        let turn = match count {
            0 => Turn::Shared {
                _turn: self.alone.read().unwrap_or_else(PoisonError::into_inner),
            },
            _ => Turn::Alone {
                _turn: self.alone.write().unwrap_or_else(PoisonError::into_inner),
            },
        };
        match &self.log {
            Log::File(path, file) => add(path, file, &Line::Begins(subject.to_owned())),
            Log::Object(log) => lock(log).begin(subject, matches!(turn, Turn::Alone { .. })),
        }
        Ok(Attempt {
            attempts: self,
            subject,
            _turn: turn,
        })
    }

    fn end(&self, subject: &str) {
        match &self.log {
            Log::File(path, file) => add(path, file, &Line::Ended(subject.to_owned())),
            Log::Object(log) => lock(log).end(subject),
        }
    }

    /// Ends the log of a start that came to its end; which subjects are left out stays known.
    ///
    /// **Errors** if the log cannot be written or removed.
    pub(super) fn close(&self) -> Result<(), Error> {
        let mut left_out = self.suspected.clone();
        left_out.retain(|_, count| *count >= MOST);
        let path = match &self.log {
            Log::File(path, _) => path.clone(),
            Log::Object(log) => {
                let log = lock(log);
                if self.suspected == left_out && !log.is_written() {
                    return Ok(());
                }
                log.path.clone()
            }
        };
        match left_out.is_empty() {
            true => store::remove(&path).map_err(Error::io(&path, "removing the log of attempts")),
            false => Ok(write_whole(&path, known(&left_out).as_bytes())?),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a line to a log.
fn add(path: &Path, file: &Mutex<File>, line: &Line) {
    // One write a line: what the process wrote is kept when it ends, whatever ends it.
    if let Err(e) = lock(file).write_all(line.text().as_bytes()) {
        tracing::debug!(log = %path.display(), reason = %e, "an attempt was not written down");
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.attempts.end(self.subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    fn open(run: &Path) -> Attempts {
        Attempts::open(run, None, Again::Part, false).unwrap()
    }

    /// Ends the process in attempts at these subjects, as far as the log is concerned.
    fn end_in(run: &Path, subjects: &[&str]) {
        let attempts = open(run);
        for subject in subjects {
            std::mem::forget(attempts.begin(subject).unwrap());
        }
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
            let third = attempts.begin("c").unwrap();
            let attempts = &attempts;
            scope.spawn(move || {
                let _turn = attempts.begin("a").unwrap();
                sender.send(()).unwrap();
            });
            drop(other);
            assert!(begun.recv_timeout(Duration::from_millis(30)).is_err());
            drop(third);
            begun.recv().unwrap();
        });
        assert_eq!(open(folder.path()).suspected, BTreeMap::new());
    }
}
