//! The place of a node at which rows are looked at.

use super::summary::RowSummary;
use crate::volume::Row;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows that one request asked for.
#[derive(Debug)]
pub struct Catch {
    node: String,
    /// Rows that are still to be summarised.
    wanted: AtomicU64,
    caught: Mutex<Vec<RowSummary>>,
}

impl Catch {
    /// Returns `true` if this row is one of those that were asked for.
    fn claims(&self) -> bool {
        let less = |wanted: u64| wanted.checked_sub(1);
        self.wanted.fetch_update(Relaxed, Relaxed, less).is_ok()
    }

    /// The summaries since the last call.
    pub fn take(&self) -> Vec<RowSummary> {
        let mut caught = self.caught.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut caught)
    }
}

/// Shows the rows that pass a node to whoever asked for them.
#[derive(Debug, Default)]
pub struct Tap {
    open: AtomicUsize,
    catches: Mutex<Vec<Arc<Catch>>>,
}

impl Tap {
    /// Summarises the next `count` rows that pass; `node` names the node in them.
    pub fn open(&self, node: &str, count: u64) -> Arc<Catch> {
        let catch = Arc::new(Catch {
            node: node.to_owned(),
            wanted: AtomicU64::new(count),
            caught: Mutex::default(),
        });
        let mut catches = self.lock();
        catches.push(Arc::clone(&catch));
        self.open.store(catches.len(), Relaxed);
        catch
    }

    /// Ends what [`Tap::open`] began.
    pub fn close(&self, catch: &Arc<Catch>) {
        let mut catches = self.lock();
        catches.retain(|other| !Arc::ptr_eq(other, catch));
        self.open.store(catches.len(), Relaxed);
    }

    /// Returns `true` if somebody asked for rows.
    pub fn is_open(&self) -> bool {
        self.open.load(Relaxed) > 0
    }

    /// Shows rows that pass; one load of a counter where nobody asked for them.
    pub fn show<'a>(&self, rows: impl IntoIterator<Item = &'a Row>) {
        if self.is_open() {
            rows.into_iter().for_each(|row| self.summarise(row));
        }
    }

    fn summarise(&self, row: &Row) {
        let catches = self.lock().clone();
        let claimed: Vec<_> = catches.into_iter().filter(|c| c.claims()).collect();
        let Some(first) = claimed.first() else {
            return;
        };
        let summary = RowSummary::of(&first.node, row);
        for catch in claimed {
            let mut caught = catch.caught.lock().unwrap_or_else(PoisonError::into_inner);
            caught.push(summary.clone());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Catch>>> {
        self.catches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(subject: &str) -> Row {
        Row {
            subject: subject.to_owned(),
            ..Row::default()
        }
    }

    #[test]
    fn a_tap_shows_as_many_rows_as_were_asked_for() {
        let tap = Tap::default();
        tap.show([&row("before")]);
        assert!(!tap.is_open());
        let (two, one) = (tap.open("source", 2), tap.open("source", 1));
        tap.show([&row("a"), &row("b"), &row("c")]);
        let subjects = |catch: &Catch| -> Vec<String> {
            catch.take().into_iter().map(|row| row.subject).collect()
        };
        assert_eq!(subjects(&two), ["a", "b"]);
        assert_eq!(subjects(&one), ["a"]);
        assert!(subjects(&two).is_empty() && tap.is_open());
        tap.close(&two);
        tap.close(&one);
        assert!(!tap.is_open());
    }
}
