//! The training stream: subjects in keyed order, prepared once, seen in fresh views each epoch.

use super::budget::Budget;
use super::chain::{Chain, Failure, Traced, Way};
use super::counters::Counters;
use super::ordered::{Ordered, Work, ordered};
use super::partner::{Making, Peers};
use super::prepare::Preparer;
use crate::plan::{self, Plan, STRONG_FROM_WEAK};
use crate::stage::SubjectFacts;
use crate::volume::{Row, row::DrawRecord};
use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The views of one patch, one row each.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The weak view.
    pub weak: RecordBatch,
    /// The strong views, in the order of the file; at least one.
    pub strong: Vec<RecordBatch>,
}

impl Sample {
    /// Every view: the weak one first.
    pub fn views(&self) -> impl Iterator<Item = &RecordBatch> {
        std::iter::once(&self.weak).chain(&self.strong)
    }
}

/// A place in a stream: exact to the row, so that a resumed run draws what an unbroken one draws.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Subjects taken so far, over all epochs.
    pub job: u64,
    /// Rows already used of the next subject.
    pub row: usize,
}

/// Makes views of prepared subjects.
pub struct Viewer {
    preparer: Arc<Preparer>,
    shared: Chain,
    weak: Chain,
    strong: Vec<(String, Chain)>,
    /// Steps with which all views begin.
    common: usize,
    seed: u64,
    /// Whether a step mixes rows.
    mixes: bool,
}

impl Viewer {
    /// The views of a plan.
    pub fn new(plan: &Arc<Plan>, preparer: &Arc<Preparer>, counters: &Counters) -> Self {
        Self {
            preparer: Arc::clone(preparer),
            shared: Chain::new(plan, plan::Chain::Shared, counters),
            weak: Chain::new(plan, plan::Chain::Weak, counters),
            strong: (plan.pipeline.views.strong.iter().enumerate())
                .map(|(i, view)| {
                    let chain = Chain::new(plan, plan::Chain::Strong(i), counters);
                    (view.name.clone(), chain)
                })
                .collect(),
            common: plan.optimized.common,
            seed: plan.pipeline.seed,
            mixes: (plan.pipeline.views.steps()).any(|s| s.stage.mixing().is_some()),
        }
    }

    /// Every sample of one subject in one epoch; `turn` counts how often it came before in it, and
    /// `peers` are the subjects that mixing steps may take voxels from.
    ///
    /// **Errors** the subject's failure.
    pub fn samples(
        &self,
        subject: usize,
        epoch: u64,
        turn: u32,
        peers: &Peers,
    ) -> Result<Vec<Sample>, Failure> {
        let Some(mut row) = self.preparer.prepared(subject, epoch)? else {
            return Ok(Vec::new());
        };
        row.sample = turn;
        let making = |route| Making {
            preparer: &self.preparer,
            peers,
            seed: self.seed,
            subject,
            turn,
            route,
        };
        let shared = vec![
            (&self.shared, 0..self.shared.steps().len()),
            (&self.weak, 0..self.common),
        ];
        // The strong view at a place, or the weak one.
        let view = |at: Option<usize>, row: Traced, name: &str| -> Result<Vec<Row>, Failure> {
            let chain = at.map_or(&self.weak, |i| &self.strong[i].1);
            let rest = self.common..chain.steps().len();
            let mut route = shared.clone();
            route.push((chain, rest.clone()));
            let rows = chain.run_traced(row, rest, Way::Mixing(&making(route)))?;
            let mut rows: Vec<Row> = rows.into_iter().map(|traced| traced.row).collect();
            rows.iter_mut().for_each(|r| r.view = name.to_owned());
            Ok(rows)
        };
        let mut both = Vec::new();
        let (partners, all) = (making(shared.clone()), 0..self.shared.steps().len());
        let way = Way::Mixing(&partners);
        for row in self.shared.run_traced(Traced::new(row), all, way)? {
            both.extend(self.weak.run_traced(row, 0..self.common, way)?);
        }
        let mut samples = Vec::new();
        for row in both {
            let weak = view(None, row.clone(), "weak")?;
            let mut views = Vec::with_capacity(self.strong.len());
            for (i, (name, _)) in self.strong.iter().enumerate() {
                let mut strong = view(Some(i), row.clone(), name)?;
                if let Some(cause) = moved(&weak, &strong, name) {
                    return Err(Failure {
                        subject: self.preparer.subject(subject).id.clone(),
                        stage: "views".to_owned(),
                        cause,
                    });
                }
                strong
                    .iter_mut()
                    .for_each(|row| row.draws.push(placed(name)));
                views.push(strong);
            }
            samples.extend(weak.iter().enumerate().map(|(i, weak)| Sample {
                weak: weak.to_batch(),
                strong: views.iter().map(|rows| rows[i].to_batch()).collect(),
            }));
        }
        Ok(samples)
    }

    /// The order in which `subjects` are read in an epoch, each with how often it came before.
    fn order(
        &self,
        seed: u64,
        epoch: u64,
        subjects: &[usize],
        facts: &[SubjectFacts],
    ) -> Vec<(usize, u32)> {
        let mut order = subjects.to_vec();
        for step in self
            .preparer
            .stages()
            .steps()
            .iter()
            .chain(self.shared.steps())
        {
            step.stage.order(&step.path, seed, epoch, &mut order, facts);
        }
        let mut turns = BTreeMap::new();
        let turn_of = |subject| {
            let turns: &mut u32 = turns.entry(subject).or_default();
            *turns += 1;
            (subject, *turns - 1)
        };
        order.into_iter().map(turn_of).collect()
    }
}

/// Whether a step moved voxels in one view only; a pseudo-label would not fit the other then.
fn moved(weak: &[Row], strong: &[Row], name: &str) -> Option<String> {
    let grids = |rows: &[Row]| -> Vec<_> {
        rows.iter()
            .map(|r| r.first_image().map(|(_, v)| *v.grid()))
            .collect()
    };
    (grids(weak) != grids(strong)).then(|| {
        format!(
            "the weak and the {name} view stand on different grids, or are {} and {} rows; \
             move spatial steps to `views.shared`",
            weak.len(),
            strong.len()
        )
    })
}

/// Where the voxels of a strong view lie in the weak one.
fn placed(name: &str) -> DrawRecord {
    DrawRecord {
        stage: format!("views.{name}"),
        draw: serde_json::json!({ "strong_from_weak": STRONG_FROM_WEAK }),
    }
}

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
        one * (1 + u64::from(self.viewer.mixes))
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
}

/// An endless stream of samples of the given subjects.
pub struct SampleStream {
    results: Ordered<(Job, Result<Vec<Sample>, Failure>)>,
    viewer: Arc<Viewer>,
    ready: VecDeque<Sample>,
    position: Position,
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
        (workers, budget): (usize, u64),
        counters: &Counters,
    ) -> std::io::Result<Self> {
        let count = subjects.len();
        let order_of = Arc::clone(viewer);
        let facts: Vec<SubjectFacts> = viewer.preparer.facts();
        let peers = Peers::new(&subjects, &facts);
        let mut epoch_order: Option<(u64, Vec<(usize, u32)>)> = None;
        let jobs = (position.job..).map_while(move |job| {
            let epoch = job / (count as u64).max(1);
            if count == 0 {
                return None;
            }
            if epoch_order.as_ref().is_none_or(|(e, _)| *e != epoch) {
                epoch_order = Some((epoch, order_of.order(seed, epoch, &subjects, &facts)));
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
        let results = ordered(
            name,
            workers,
            Budget::new(budget),
            jobs,
            work,
            counters.node(&format!("stream.{name}")),
        )?;
        Ok(Self {
            results,
            viewer: Arc::clone(viewer),
            ready: VecDeque::new(),
            position,
            epoch: position.job / (count as u64).max(1),
            subjects: count,
            nothing: 0,
            last_failure: None,
        })
    }

    /// The next `count` samples; `None` when a whole epoch gave none.
    pub fn take(&mut self, count: usize) -> Option<Vec<Sample>> {
        let mut samples = Vec::with_capacity(count);
        while samples.len() < count {
            if let Some(sample) = self.ready.pop_front() {
                self.position.row += 1;
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
            match result {
                Ok(made) if made.len() > self.position.row => {
                    (self.nothing, self.last_failure) = (0, None);
                    self.ready.extend(made.into_iter().skip(self.position.row));
                }
                other => {
                    if let Err(failure) = other {
                        self.viewer.preparer.note(failure.clone());
                        self.last_failure = Some(failure);
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

    /// Why the last subject of those gave nothing that came before an end; `None` where steps left
    /// all of them out.
    pub fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref()
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
