//! Views: what the network sees of one prepared subject.

use super::super::chain::{Chain, MixMode, Traced};
use super::super::counters::Counters;
use super::super::failure::Failure;
use super::super::noted::Prepared;
use super::super::partner::{Making, Peers};
use super::super::prepare::{Preparer, Reading};
use crate::plan::{self, Plan, STRONG_FROM_WEAK};
use crate::stage::SubjectFacts;
use crate::volume::{Row, row::DrawRecord};
use arrow::array::RecordBatch;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The views of one patch, one row each.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The weak view.
    pub weak: RecordBatch,
    /// The strong views, in the order of the file; at least one.
    pub strong: Vec<RecordBatch>,
    /// What the run's tables say of the subject.
    pub prepared: Arc<Prepared>,
}

impl Sample {
    /// Every view: the weak one first.
    pub fn views(&self) -> impl Iterator<Item = &RecordBatch> {
        std::iter::once(&self.weak).chain(&self.strong)
    }
}

/// Makes views of prepared subjects.
pub struct Viewer {
    pub(super) preparer: Arc<Preparer>,
    pub(super) shared: Chain,
    pub(super) weak: Chain,
    pub(super) strong: Vec<(String, Chain)>,
    /// Steps with which all views begin.
    pub(super) common: usize,
    pub(super) seed: u64,
    /// Whether a step mixes rows.
    pub(super) mixes: bool,
    /// Samples made of a subject; `None` if that depends on its rows.
    pub(super) samples_per_subject: Option<u32>,
    /// Bytes of all views of all samples of a subject, as far as they are known.
    pub(super) view_bytes: u64,
    /// Whether views share no voxels with what is kept for the next epoch.
    apart: bool,
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
            view_bytes: {
                let patch = plan.edges.patch();
                let rows = u64::from(patch.rows_per_subject.unwrap_or(1));
                let views = 1 + plan.pipeline.views.strong.len() as u64;
                patch.bytes().unwrap_or(0) as u64 * rows * views
            },
            samples_per_subject: plan.edges.patch().rows_per_subject,
            mixes: (plan.pipeline.views.steps()).any(|s| s.stage.mixing().is_some()),
            apart: false,
        }
    }

    /// The same, for whoever may write to the voxels of a view: those that no step computed are copied.
    #[must_use]
    pub fn apart(self) -> Self {
        Self {
            apart: true,
            ..self
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
        let samples = self
            .preparer
            .with_prepared(subject, epoch, Reading::Parts, |row| {
                self.samples_of(row, subject, turn, peers)
            })?;
        Ok(samples.unwrap_or_default())
    }

    /// Every sample of a prepared row; all voxels it takes of the row were read when it returns.
    fn samples_of(
        &self,
        mut row: Row,
        subject: usize,
        turn: u32,
        peers: &Peers,
    ) -> Result<Vec<Sample>, Failure> {
        let prepared = Arc::new(Prepared::of(&row));
        row.sample = turn;
        let kept = self.apart.then(|| row.addresses());
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
            let rows = chain.run_traced(row, rest, MixMode::WithPartners(&making(route)))?;
            let rows = rows.into_iter().map(|traced| match &kept {
                Some(kept) => traced.row.apart_from(kept),
                None => traced.row,
            });
            let mut rows: Vec<Row> = rows.collect();
            rows.iter_mut().for_each(|r| r.view = name.to_owned());
            Ok(rows)
        };
        let mut both = Vec::new();
        let (partners, all) = (making(shared.clone()), 0..self.shared.steps().len());
        let way = MixMode::WithPartners(&partners);
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
                    let subject = &self.preparer.subject(subject).id;
                    return Err(Failure::new(subject, "views", cause));
                }
                strong
                    .iter_mut()
                    .for_each(|row| row.draws.push(placed(name)));
                views.push(strong);
            }
            samples.extend(weak.iter().enumerate().map(|(i, weak)| Sample {
                weak: weak.to_batch(),
                strong: views.iter().map(|rows| rows[i].to_batch()).collect(),
                prepared: Arc::clone(&prepared),
            }));
        }
        Ok(samples)
    }

    /// The order in which `subjects` are read in an epoch, each with how often it came before.
    pub(super) fn order(
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
pub(super) fn placed(name: &str) -> DrawRecord {
    DrawRecord {
        stage: format!("views.{name}"),
        draw: serde_json::json!({ "strong_from_weak": STRONG_FROM_WEAK }),
    }
}
