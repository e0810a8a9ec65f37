//! The training stream: subjects in keyed order, prepared once, seen in fresh views each epoch.

mod replayed;
mod viewer;

pub use replayed::RecordedView;
pub use viewer::{Sample, Viewer};

use super::budget::Budget;
use super::counters::{Counters, Node};
use super::failure::Failure;
use super::guard::Panic;
use super::ordered::{Ordered, Work, ordered};
use super::partner::Peers;
use crate::stage::SubjectFacts;
use crate::volume::Row;
use crate::volume::columns::warnings_at;
use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// A place in a stream: exact to the row, so that a resumed run draws what an unbroken one draws.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Subjects taken so far, over all epochs.
    pub job: u64,
    /// Rows already used of the next subject.
    pub row: usize,
}

#[derive(Clone, Copy)]
struct Job {
    epoch: u64,
    subject: usize,
    /// How often the subject came before in this epoch.
    turn: u32,
}

struct MakeViews {
    viewer: Arc<Viewer>,
    peers: Peers,
}

impl Work<Job, (Job, Result<Vec<Sample>, Failure>)> for MakeViews {
    fn estimate(&self, job: &Job) -> u64 {
        // A subject whose headers cannot be read fails when it is loaded, with its reason.
        let one = self.viewer.preparer.estimate(job.subject).unwrap_or(0);
        // A partner is prepared beside it, most likely of a similar size.
        one * (1 + u64::from(self.viewer.mixes)) + self.viewer.view_bytes
    }
    fn run(&self, job: Job) -> (Job, Result<Vec<Sample>, Failure>) {
        let viewer = &self.viewer;
        let samples = viewer.samples(job.subject, job.epoch, job.turn, &self.peers);
        (job, samples)
    }
    fn bytes(&self, (_, samples): &(Job, Result<Vec<Sample>, Failure>)) -> u64 {
        let of = |batch: &RecordBatch| Row::from_batch(batch, 0).map_or(0, |r| r.bytes() as u64);
        samples
            .as_ref()
            .map_or(0, |s| s.iter().flat_map(Sample::views).map(of).sum())
    }
    fn panicked(&self, job: Job, panic: &Panic) -> (Job, Result<Vec<Sample>, Failure>) {
        let subject = &self.viewer.preparer.subject(job.subject).id;
        (job, Err(Failure::new(subject, "views", panic.to_string())))
    }
}

/// A stream of samples of the given subjects, endless unless it was given an end.
pub struct SampleStream {
    results: Ordered<(Job, Result<Vec<Sample>, Failure>)>,
    node: Arc<Node>,
    viewer: Arc<Viewer>,
    ready: VecDeque<Sample>,
    /// Subject of the samples that are ready.
    taken: usize,
    position: Position,
    /// Subjects after which the stream ends.
    end: Option<u64>,
    epoch: u64,
    subjects: usize,
    /// Subjects in a row of which nothing came.
    nothing: usize,
    /// The last of them that failed, and was not left out.
    last_failure: Option<Failure>,
}

impl SampleStream {
    /// Starts the stream at a position.
    ///
    /// **Errors** when the system starts no thread.
    pub fn start(
        name: &str,
        viewer: &Arc<Viewer>,
        subjects: Vec<usize>,
        seed: u64,
        position: Position,
        budget: (usize, u64),
        counters: &Counters,
    ) -> std::io::Result<Self> {
        let stretch = (position, None);
        Self::start_until(name, viewer, subjects, seed, stretch, budget, counters)
    }

    /// As [`SampleStream::start`]; with an `end` the stream ends after so many subjects, counted from
    /// the first epoch on.
    ///
    /// **Errors** when the system starts no thread.
    pub fn start_until(
        name: &str,
        viewer: &Arc<Viewer>,
        subjects: Vec<usize>,
        seed: u64,
        (position, end): (Position, Option<u64>),
        (workers, budget): (usize, u64),
        counters: &Counters,
    ) -> std::io::Result<Self> {
        let count = subjects.len();
        let order_of = Arc::clone(viewer);
        let facts: Vec<SubjectFacts> = viewer.preparer.facts();
        let peers = Peers::new(&subjects, &facts);
        let (list, mut epoch_order) = (name.to_owned(), None::<(u64, Vec<(usize, u32)>)>);
        let jobs = (position.job..).map_while(move |job| {
            let epoch = job / (count as u64).max(1);
            if count == 0 || end.is_some_and(|end| job >= end) {
                return None;
            }
            if epoch_order.as_ref().is_none_or(|(e, _)| *e != epoch) {
                let order = order_of.order(seed, epoch, &subjects, &facts);
                let from = (job % count as u64) as usize;
                let coming = order[from..].iter().filter(|(_, turn)| *turn == 0);
                order_of.preparer.expect(&list, coming.map(|(i, _)| *i));
                epoch_order = Some((epoch, order));
            }
            let (_, order) = epoch_order.as_ref()?;
            let (subject, turn) = order[(job % count as u64) as usize];
            Some(Job {
                epoch,
                subject,
                turn,
            })
        });
        let work = MakeViews {
            viewer: Arc::clone(viewer),
            peers,
        };
        let node = counters.node(&format!("stream.{name}"));
        let budget = Budget::new(budget);
        let results = ordered(name, workers, budget, jobs, work, Arc::clone(&node))?;
        Ok(Self {
            results,
            node,
            viewer: Arc::clone(viewer),
            ready: VecDeque::new(),
            taken: 0,
            position,
            end,
            epoch: position.job / (count as u64).max(1),
            subjects: count,
            nothing: 0,
            last_failure: None,
        })
    }

    /// The next `count` samples; `None` when a whole epoch gave none, or the stream ends before.
    pub fn take(&mut self, count: usize) -> Option<Vec<Sample>> {
        let mut samples = Vec::with_capacity(count);
        while samples.len() < count {
            if let Some(sample) = self.ready.pop_front() {
                self.position.row += 1;
                self.note(&sample);
                samples.push(sample);
                if self.ready.is_empty() {
                    self.position = Position {
                        job: self.position.job + 1,
                        row: 0,
                    };
                }
                continue;
            }
            let (job, result) = self.results.next()?;
            self.epoch = job.epoch;
            self.taken = job.subject;
            match result {
                Ok(made) if made.len() > self.position.row => {
                    (self.nothing, self.last_failure) = (0, None);
                    self.ready.extend(made.into_iter().skip(self.position.row));
                }
                other => {
                    let preparer = &self.viewer.preparer;
                    if let Err(failure) = other {
                        preparer.note(failure.clone());
                        self.last_failure = Some(failure);
                    } else if preparer.is_left_out(job.subject) {
                        preparer.noted().left_out(job.subject);
                    }
                    self.position = Position {
                        job: self.position.job + 1,
                        row: 0,
                    };
                    self.nothing += 1;
                    // Epochs differ in their order: only so many in a row hold a whole one for certain.
                    if self.nothing + 1 >= 2 * self.subjects {
                        return None;
                    }
                }
            }
        }
        Some(samples)
    }

    /// Adds what is known of a sample's subject, and the warnings of its views, to those of the run.
    fn note(&self, sample: &Sample) {
        let preparer = &self.viewer.preparer;
        preparer.noted().prepared(self.taken, &sample.prepared);
        preparer.note_classes(self.taken);
        let subject = &preparer.subject(self.taken).id;
        if self.node.tap().is_open() {
            let rows = sample.views().flat_map(|view| Row::from_batch(view, 0));
            self.node.tap().show(&rows.collect::<Vec<Row>>());
        }
        for view in sample.views() {
            // Views are made from rows, so their warnings can be read.
            for warning in warnings_at(view, 0).unwrap_or_default() {
                preparer.warnings().add(Some(subject), &warning);
            }
        }
    }

    /// Why the last subject of those gave nothing that came before an end; `None` where steps left
    /// all of them out.
    pub fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref()
    }

    /// Returns `true` if every subject up to the stream's end was taken.
    pub fn is_finished(&self) -> bool {
        self.end.is_some_and(|end| self.position.job >= end)
    }

    /// Where the next sample comes from.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The epoch of the subject taken last.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

#[cfg(test)]
mod tests;
