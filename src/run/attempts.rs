//! Attempts at subjects, written down before they begin, so that a subject that ends the process every time
//! does not end the run for good.
//!
//! A process that is aborted, or killed by the system for its memory, cannot say which subject it was at. The
//! next start reads it from the log of attempts: subjects whose attempt did not end are suspected and worked
//! on **alone**, while no other subject is. One that was under way three times in a row when the process
//! ended is left out with a failure. A kill from outside suspects subjects too; they are cleared as soon as
//! an attempt at them ends, however it does. Once the user asked the run to end (Ctrl-C, SIGTERM), no end of the
//! process suspects a subject, not even a kill.
//!
//! The log is `.attempts` in the run folder: a file that is added to ([`file`]), or in a store an object that
//! is written anew for many subjects at a time ([`object`]). A training writes down each view that it makes of
//! a subject; in a store, where that would cost a request each, only that it is prepared.

mod file;
mod log;
mod logs;
mod object;

use super::cancelled::CANCELLED;
use super::failure::Failure;
use crate::error::Error;
use crate::sink::parquet::write_whole;
use crate::store;
use file::FileLog;
use log::{Line, known, suspected};
pub use logs::cancel;
use logs::{Log, lock};
use object::ObjectLog;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Name of the log.
const LOG: &str = ".attempts";
/// How often in a row the process may end in an attempt at a subject.
const MOST: u32 = 3;

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
    log: Arc<Log>,
    again: Again,
    /// Attempts in a row in which the process ended, by subject.
    suspected: BTreeMap<String, u32>,
    /// Held shared by attempts, and exclusively by those at suspected subjects.
    alone: RwLock<()>,
}

thread_local! {
    /// Subjects of the attempts under way in this thread, the innermost last.
    static UNDER_WAY: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps other attempts away from one at a suspected subject.
#[derive(Debug)]
enum Turn<'a> {
    Shared {
        _turn: RwLockReadGuard<'a, ()>,
    },
    Alone {
        _turn: RwLockWriteGuard<'a, ()>,
    },
    /// Within an attempt of the same thread at this subject, which has its turn: a partner of its view, or
    /// the subject itself.
    Within {
        outer: String,
    },
}

/// An attempt under way; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    attempts: &'a Attempts,
    subject: &'a str,
    turn: Turn<'a>,
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
                Log::File(Mutex::new(FileLog::open(path)?))
            }
        };
        let log = Arc::new(log);
        logs::register(&log);
        if CANCELLED.load(Ordering::Relaxed) {
            log.stop();
        }
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
        if let Log::Object(log) = &*self.log {
            lock(log).expect(list, subjects);
        }
    }

    /// Begins an attempt at a subject; waits until it may. Within an attempt of the same thread nothing is
    /// waited for, and that one is under way again when this ends.
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
        let outer = UNDER_WAY.with_borrow(|under_way| under_way.last().cloned());
        let turn = match (outer, count) {
            (Some(outer), _) => Turn::Within { outer },
            (None, 0) => Turn::Shared {
                _turn: self.alone.read().unwrap_or_else(PoisonError::into_inner),
            },
            (None, _) => Turn::Alone {
                _turn: self.alone.write().unwrap_or_else(PoisonError::into_inner),
            },
        };
        match (&*self.log, &turn) {
            (_, Turn::Within { outer }) if outer == subject => {}
            (Log::File(log), Turn::Within { outer }) => {
                // If the process ends now, it is not for the outer subject.
                lock(log).add(&[
                    Line::Pauses(outer.clone()),
                    Line::Begins(subject.to_owned()),
                ]);
            }
            (Log::File(log), _) => lock(log).add(&[Line::Begins(subject.to_owned())]),
            (Log::Object(log), _) => {
                lock(log).begin(subject, matches!(turn, Turn::Alone { .. }));
            }
        }
        UNDER_WAY.with_borrow_mut(|under_way| under_way.push(subject.to_owned()));
        Ok(Attempt {
            attempts: self,
            subject,
            turn,
        })
    }

    /// Begins an attempt at all that is done with a subject, where that costs no request.
    ///
    /// **Errors** as [`Attempts::begin`].
    pub(super) fn begin_view<'a>(
        &'a self,
        subject: &'a str,
    ) -> Result<Option<Attempt<'a>>, Failure> {
        match *self.log {
            Log::File(_) => self.begin(subject).map(Some),
            Log::Object(_) => Ok(None),
        }
    }

    fn end(&self, attempt: &Attempt<'_>) {
        let subject = attempt.subject;
        match (&*self.log, &attempt.turn) {
            (_, Turn::Within { outer }) if outer == subject => {}
            (Log::File(log), Turn::Within { outer }) => {
                lock(log).add(&[Line::Ended(subject.to_owned()), Line::Begins(outer.clone())]);
            }
            (Log::File(log), _) => lock(log).add(&[Line::Ended(subject.to_owned())]),
            (Log::Object(log), _) => lock(log).end(subject),
        }
    }

    /// Ends the log of a start that came to its end; which subjects are left out stays known.
    ///
    /// **Errors** if the log cannot be written or removed.
    pub(super) fn close(&self) -> Result<(), Error> {
        let mut left_out = self.suspected.clone();
        left_out.retain(|_, count| *count >= MOST);
        let path = match &*self.log {
            Log::File(log) => lock(log).path.clone(),
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

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        UNDER_WAY.with_borrow_mut(Vec::pop);
        self.attempts.end(self);
    }
}

#[cfg(test)]
mod tests;
