//! One subject on its way through a pipeline: its row behind every step.
//!
//! For looking at a pipeline and testing it. Draws are those of a run with the same seed, epoch
//! and subject.

use super::chain::{Chain, MixMode, Traced};
use super::context::{is_labelled, is_unlabelled};
use super::counters::Counters;
use super::failure::Failure;
use super::partner::{Making, Peers};
use super::prepare::Preparer;
use crate::plan::{self, Plan};
use crate::volume::{Row, Warning};
use serde_json::Value;
use std::sync::Arc;

/// A step that the subject went through.
#[derive(Debug, Clone)]
pub struct Stop {
    /// Path of the step in the file, such as `stages[1].window`.
    pub path: String,
    /// Whether the step draws.
    pub random: bool,
    /// The step's parameters, defaults included.
    pub options: Value,
    /// What was drawn; `None` where the step draws nothing, or its chance did not come.
    pub drawn: Option<Value>,
    /// What was suspicious in this step.
    pub warnings: Vec<Warning>,
    /// The row behind the step: the first one where it makes several.
    pub row: Row,
    /// Rows that the step made.
    pub rows: usize,
}

/// The stops of one view.
#[derive(Debug, Clone)]
pub struct ViewTrace {
    /// `weak`, `strong`, or `strong.NAME`.
    pub name: String,
    /// Further steps of the view.
    pub stops: Vec<Stop>,
}

/// One subject on its way through a pipeline.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The row as it was read.
    pub source: Row,
    /// Steps of `stages`.
    pub stages: Vec<Stop>,
    /// Steps of `views.shared`; empty where the pipeline has no views or the subject ended before.
    pub shared: Vec<Stop>,
    /// The views, weak first; empty where the pipeline has none or the subject ended before.
    pub views: Vec<ViewTrace>,
    /// The step that made no row of the subject.
    pub left_out: Option<String>,
    /// Where and why the subject could not go on.
    pub failure: Option<Failure>,
}

impl Trace {
    /// The last row of `stages`.
    pub fn prepared(&self) -> &Row {
        self.stages.last().map_or(&self.source, |stop| &stop.row)
    }

    /// The last row of `views.shared`.
    pub fn patch(&self) -> &Row {
        let last = self.shared.last();
        last.map_or_else(|| self.prepared(), |stop| &stop.row)
    }

    /// A view with its last row.
    pub fn view<'a>(&'a self, view: &'a ViewTrace) -> &'a Row {
        view.stops.last().map_or_else(|| self.patch(), |s| &s.row)
    }

    /// Every stop with the row before it, in the order of the data.
    pub fn stops(&self) -> Vec<(&Stop, &Row)> {
        fn pairs<'a>(first: &'a Row, stops: &'a [Stop]) -> Vec<(&'a Stop, &'a Row)> {
            let before = std::iter::once(first).chain(stops.iter().map(|s| &s.row));
            stops.iter().zip(before).collect()
        }
        let mut all = pairs(&self.source, &self.stages);
        all.extend(pairs(self.prepared(), &self.shared));
        for view in &self.views {
            all.extend(pairs(self.patch(), &view.stops));
        }
        all
    }
}

/// Runs a subject through `stages` and, where the pipeline has views, through each of them. Steps that
/// make several rows are followed by the first one.
///
/// The plan should be [`Plan::unoptimized`], so that every step computes its own voxels.
///
/// **Errors** the subject's failure if it cannot be read; a later one ends the trace and stands in
/// it.
pub fn trace(
    plan: &Arc<Plan>,
    preparer: &Arc<Preparer>,
    subject: usize,
    epoch: u64,
) -> Result<Trace, Failure> {
    let mut trace = Trace {
        source: preparer.load(subject, epoch)?.materialised(),
        stages: Vec::new(),
        shared: Vec::new(),
        views: Vec::new(),
        left_out: None,
        failure: None,
    };
    let counters = Counters::default();
    let chain = |which| Chain::new(plan, which, &counters);
    let views = &plan.pipeline.views;
    let walk = &mut Walk {
        left_out: None,
        failure: None,
    };
    let source = Traced::new(trace.source.clone());
    let stages = preparer.stages();
    let prepared = walk.chain(stages, source, &mut trace.stages, MixMode::None);
    // Training finds the voxels of classes in prepared rows, and draws patches by them.
    let prepared = prepared.map(|t| Traced::new(t.row.with_sites()));
    if let Some(prepared) = prepared.filter(|_| views.steps().next().is_some()) {
        let subjects = preparer.cohort().subjects();
        let trains = |i: &usize| is_labelled(&subjects[*i]) || is_unlabelled(&subjects[*i]);
        let training: Vec<usize> = (0..subjects.len()).filter(trains).collect();
        let peers = Peers::new(&training, &preparer.facts());
        let making = |route| Making {
            preparer,
            peers: &peers,
            seed: plan.pipeline.seed,
            subject,
            turn: 0,
            route,
        };
        let shared = chain(plan::Chain::Shared);
        let strong = views.strong.iter().enumerate();
        let strong = strong.map(|(i, v)| (v.name.clone(), chain(plan::Chain::Strong(i))));
        let weak = ("weak".to_owned(), chain(plan::Chain::Weak));
        let alone: Vec<(String, Chain)> = std::iter::once(weak).chain(strong).collect();
        let route = |last| -> Vec<(&Chain, std::ops::Range<usize>)> {
            let chains = [Some(&shared), last].into_iter().flatten();
            chains.map(|c| (c, 0..c.steps().len())).collect()
        };
        let partners = making(route(None));
        let way = MixMode::WithPartners(&partners);
        if let Some(patch) = walk.chain(&shared, prepared, &mut trace.shared, way) {
            for (name, chain) in &alone {
                let partners = making(route(Some(chain)));
                let way = MixMode::WithPartners(&partners);
                let mut stops = Vec::new();
                walk.chain(chain, patch.clone(), &mut stops, way);
                trace.views.push(ViewTrace {
                    name: name.clone(),
                    stops,
                });
            }
        }
    }
    trace.left_out = walk.left_out.take();
    trace.failure = walk.failure.take();
    Ok(trace)
}

/// How the way ended, where it did.
struct Walk {
    left_out: Option<String>,
    failure: Option<Failure>,
}

impl Walk {
    /// Runs a chain step by step; `None` if it ended before its last step.
    fn chain(
        &mut self,
        chain: &Chain,
        mut at: Traced,
        stops: &mut Vec<Stop>,
        way: MixMode<'_>,
    ) -> Option<Traced> {
        for (i, step) in chain.steps().iter().enumerate() {
            let (draws, warnings) = (at.row.draws.len(), at.row.warnings.len());
            let mut made = match chain.run_traced(at, i..i + 1, way) {
                Ok(made) => made,
                Err(failure) => {
                    self.failure.get_or_insert(failure);
                    return None;
                }
            };
            if made.is_empty() {
                self.left_out.get_or_insert(step.path.clone());
                return None;
            }
            let rows = made.len();
            at = made.swap_remove(0);
            stops.push(Stop {
                path: step.path.clone(),
                random: step.stage.is_random(),
                options: step.stage.to_json(),
                drawn: at.row.draws.get(draws).map(|d| d.draw.clone()),
                warnings: at.row.warnings[warnings.min(at.row.warnings.len())..].to_vec(),
                row: at.row.clone(),
                rows,
            });
        }
        Some(at)
    }
}
