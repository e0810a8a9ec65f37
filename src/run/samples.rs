//! Samples of a pipeline for a trainer outside this program, such as one in PyTorch.
//!
//! A pipeline with `train` or `views` streams the views of its training subjects, exactly those that `run`
//! would train on: draws depend on (seed, epoch, subject, sample, stage) alone. Subjects for validation
//! and test, and every subject of a pipeline with neither, are streamed as they leave `stages`.

use super::budget::Budget;
use super::chain::Failure;
use super::counters::Counters;
use super::guard::Panic;
use super::options::RunOptions;
use super::ordered::{Ordered, Work, ordered};
use super::prepare::Preparer;
use super::stream::{Position, SampleStream, Viewer};
use crate::error::Error;
use crate::plan::Plan;
use crate::source::{Cohort, SubjectRecord};
use crate::volume::{Row, Split};
use arrow::array::RecordBatch;
use std::collections::VecDeque;
use std::sync::Arc;

/// Which samples are streamed, and how often.
#[derive(Debug, Clone)]
pub struct SampleOptions {
    /// Part of the cohort.
    pub split: Split,
    /// Of the training subjects, those with labels, those without, or both.
    pub labelled: Option<bool>,
    /// Passes over the subjects; `None` streams without end.
    pub epochs: Option<u64>,
    /// Where to begin, as [`Samples::current_position`] returned it.
    pub from: Position,
    /// Workers, budget and limit of subjects; the other options have no use here.
    pub run: RunOptions,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            split: Split::Train,
            labelled: Some(true),
            epochs: Some(1),
            from: Position::default(),
            run: RunOptions::default(),
        }
    }
}

/// Bytes of one sample: its views, or its prepared row.
type Views = Vec<RecordBatch>;

/// An iterator over samples. Each is one record batch of one row for every view, the weak view first;
/// a prepared subject is one batch without a view's name. Columns are those of
/// [`row_schema`](crate::volume::columns::row_schema).
///
/// A sample shares no voxels with what is kept for later epochs, so whoever takes it may write to it;
/// its views may share voxels with each other where they do the same.
///
/// **Errors** end it: not one subject of a whole epoch could be used.
pub struct Samples {
    preparer: Arc<Preparer>,
    stream: Stream,
    given: u64,
    ended: bool,
    what: &'static str,
}

enum Stream {
    Views(SampleStream),
    Prepared(Prepared),
}

impl Samples {
    /// Starts the workers; reads no voxels before.
    ///
    /// **Errors** when there is no such subject, the cache folder cannot be used, or no thread can be
    /// started.
    pub fn start(
        plan: Plan,
        cohort: Box<dyn Cohort>,
        options: &SampleOptions,
    ) -> Result<Self, Error> {
        let (plan, cohort): (Arc<Plan>, Arc<dyn Cohort>) = (Arc::new(plan), Arc::from(cohort));
        let counters = Counters::default();
        let (memory, workers) = (options.run.take_memory(&plan), options.run.threads());
        let preparer = Arc::new(Preparer::new(&plan, cohort, memory, &counters)?);
        let subjects = subjects(&preparer, options)?;
        let budget = (workers, memory / 2);
        let trains = plan.pipeline.makes_views();
        let stream = if trains && options.split == Split::Train {
            let viewer = Viewer::new(&plan, &preparer, &counters).apart();
            let end = options
                .epochs
                .map(|n| n.saturating_mul(subjects.len() as u64));
            let stream = SampleStream::start_until(
                "samples",
                &Arc::new(viewer),
                subjects,
                plan.pipeline.seed,
                (options.from, end),
                budget,
                &counters,
            );
            Stream::Views(stream.map_err(no_thread)?)
        } else {
            let prepared = Prepared::start(&preparer, trains, subjects, options, budget);
            Stream::Prepared(prepared.map_err(no_thread)?)
        };
        Ok(Self {
            preparer,
            stream,
            given: 0,
            ended: false,
            what: options.split.name(),
        })
    }

    /// From where another stream of the same pipeline and options would go on.
    pub fn current_position(&self) -> Position {
        match &self.stream {
            Stream::Views(stream) => stream.position(),
            Stream::Prepared(prepared) => prepared.position,
        }
    }

    /// Subjects that failed so far, each once.
    pub fn failures(&self) -> Vec<Failure> {
        self.preparer.failures()
    }

    /// Names of the modalities, in the order of the columns.
    pub fn modalities(&self) -> &[String] {
        self.preparer.cohort().modalities()
    }

    /// The end of the stream, or why there is nothing in it.
    fn end(&mut self) -> Option<Result<Views, Error>> {
        self.ended = true;
        let (finished, last) = match &self.stream {
            Stream::Views(stream) => (stream.is_finished(), stream.last_failure().cloned()),
            Stream::Prepared(_) => (true, self.preparer.failures().pop()),
        };
        if finished && self.given > 0 {
            return None;
        }
        let what = self.what;
        match last {
            Some(f) => Some(Err(Error::run(format!(
                "no {what} subject can be used; the last, {} in {}: {}",
                f.subject, f.stage, f.cause
            )))),
            // A stream that begins at its end has nothing to report.
            None if finished && self.current_position() != Position::default() => None,
            None => Some(Err(Error::run(format!(
                "steps leave no {what} subject: look at `filter` in the plan (`voxstream explain`)"
            )))),
        }
    }
}

impl Iterator for Samples {
    type Item = Result<Views, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let views = match &mut self.stream {
            Stream::Views(stream) => stream.take(1).and_then(|mut taken| {
                let sample = taken.pop()?;
                Some(std::iter::once(sample.weak).chain(sample.strong).collect())
            }),
            Stream::Prepared(prepared) => prepared.next(&self.preparer).map(|row| vec![row]),
        };
        match views {
            Some(views) => {
                self.given += 1;
                Some(Ok(views))
            }
            None => self.end(),
        }
    }
}

fn no_thread(source: std::io::Error) -> Error {
    super::bench::no_thread(source)
}

/// Positions of the subjects that are asked for.
///
/// **Errors** when there is none, with what there is instead.
fn subjects(preparer: &Preparer, options: &SampleOptions) -> Result<Vec<usize>, Error> {
    let all = preparer.cohort().subjects();
    let wanted = |s: &SubjectRecord| {
        s.split == options.split
            && (s.split != Split::Train || options.labelled.is_none_or(|l| l == s.labelled))
    };
    let found: Vec<usize> = (0..all.len())
        .filter(|&i| wanted(&all[i]))
        .take(options.run.limit.unwrap_or(usize::MAX))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let of = |split, labelled: Option<bool>| {
        let of_split = all.iter().filter(|s| s.split == split);
        let of_kind = of_split.filter(|s| labelled.is_none_or(|l| l == s.labelled));
        of_kind.count()
    };
    Err(Error::run(format!(
        "no subject to stream: {}{} asked for, and the cohort has {} train with labels, {} train without, {} validation, {} test",
        options.split.name(),
        match (options.split, options.labelled) {
            (Split::Train, Some(true)) => " subjects with labels were",
            (Split::Train, Some(false)) => " subjects without labels were",
            _ => " subjects were",
        },
        of(Split::Train, Some(true)),
        of(Split::Train, Some(false)),
        of(Split::Validation, None),
        of(Split::Test, None),
    )))
}

/// Rows of subjects as they leave `stages`.
struct Prepared {
    results: Ordered<(usize, Result<Vec<Row>, Failure>)>,
    ready: VecDeque<Row>,
    position: Position,
}

struct Prepare {
    preparer: Arc<Preparer>,
    /// Whether a row is kept for the next epoch, which takes a pipeline that makes one row of a subject.
    keeps: bool,
}

impl Work<usize, (usize, Result<Vec<Row>, Failure>)> for Prepare {
    fn estimate(&self, subject: &usize) -> u64 {
        // A subject whose headers cannot be read fails when it is loaded, with its reason.
        self.preparer.estimate(*subject).unwrap_or(0)
    }

    fn run(&self, subject: usize) -> (usize, Result<Vec<Row>, Failure>) {
        let rows = match self.keeps {
            true => {
                let kept = self.preparer.prepared(subject, 0);
                let apart = |row: Row| {
                    let kept = row.addresses();
                    row.apart_from(&kept)
                };
                kept.map(|row| row.map(apart).into_iter().collect())
            }
            false => self.preparer.rows(subject, 0),
        };
        (subject, rows)
    }

    fn bytes(&self, (_, rows): &(usize, Result<Vec<Row>, Failure>)) -> u64 {
        let rows = rows.as_ref().into_iter().flatten();
        rows.map(|row| row.bytes() as u64).sum()
    }

    fn panicked(&self, subject: usize, panic: &Panic) -> (usize, Result<Vec<Row>, Failure>) {
        let id = &self.preparer.subject(subject).id;
        (subject, Err(Failure::new(id, "stages", panic.to_string())))
    }
}

impl Prepared {
    fn start(
        preparer: &Arc<Preparer>,
        keeps: bool,
        subjects: Vec<usize>,
        options: &SampleOptions,
        (workers, memory): (usize, u64),
    ) -> std::io::Result<Self> {
        let count = subjects.len() as u64;
        let end = options.epochs.map_or(u64::MAX, |n| n.saturating_mul(count));
        let jobs = (options.from.job..end).map(move |job| subjects[(job % count) as usize]);
        let work = Prepare {
            preparer: Arc::clone(preparer),
            keeps,
        };
        let node = preparer.counters().node("samples");
        Ok(Self {
            results: ordered("samples", workers, Budget::new(memory), jobs, work, node)?,
            ready: VecDeque::new(),
            position: options.from,
        })
    }

    /// The next row; what is known of its subject is noted.
    fn next(&mut self, preparer: &Preparer) -> Option<RecordBatch> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                self.position.row += 1;
                if self.ready.is_empty() {
                    self.next_subject();
                }
                return Some(row.to_batch());
            }
            let (subject, rows) = self.results.next()?;
            match rows {
                Ok(rows) => {
                    for row in &rows {
                        preparer.note_warnings(subject, &row.warnings);
                    }
                    self.ready.extend(rows.into_iter().skip(self.position.row));
                }
                Err(failure) => preparer.note(failure),
            }
            if self.ready.is_empty() {
                self.next_subject();
            }
        }
    }

    fn next_subject(&mut self) {
        self.position = Position {
            job: self.position.job + 1,
            row: 0,
        };
    }
}

#[cfg(test)]
mod tests;
