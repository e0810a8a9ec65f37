//! Prepares subjects in parallel for whoever needs their rows and no run folder.

use super::budget::Budget;
use super::failure::Failure;
use super::guard::Panic;
use super::ordered::{Ordered, Work, ordered};
use super::prepare::Preparer;
use crate::volume::Row;
use std::sync::Arc;

struct PrepareSubject {
    preparer: Arc<Preparer>,
}

/// The rows of one subject, or why there are none.
pub(super) type Rows = Result<Vec<Row>, Failure>;

impl Work<usize, Rows> for PrepareSubject {
    fn estimate(&self, subject: &usize) -> u64 {
        // A subject whose headers cannot be read fails when it is loaded, with its reason.
        self.preparer.estimate(*subject).unwrap_or(0)
    }

    fn run(&self, subject: usize) -> Rows {
        self.preparer.rows(subject, 0)
    }

    fn bytes(&self, rows: &Rows) -> u64 {
        rows.as_ref()
            .map_or(0, |rows| rows.iter().map(|r| r.bytes() as u64).sum())
    }

    fn panicked(&self, subject: usize, panic: &Panic) -> Rows {
        let record = self.preparer.subject(subject);
        let failure = Failure::new(&record.id, "stages", panic.to_string());
        self.preparer.note(failure.clone());
        Err(failure)
    }
}

/// Prepares subjects in parallel; results come in the order asked for.
///
/// **Errors** when the system starts no thread.
pub(super) fn prepared_rows(
    preparer: &Arc<Preparer>,
    subjects: Vec<usize>,
    workers: usize,
    memory: u64,
) -> std::io::Result<Ordered<Rows>> {
    let node = preparer.counters().node("prepare");
    let work = PrepareSubject {
        preparer: Arc::clone(preparer),
    };
    let budget = Budget::new(memory);
    ordered("prepare", workers, budget, subjects.into_iter(), work, node)
}
