//! The optimiser: what a plan may do in one pass, once, or not at all.
//!
//! One rule a file. Four rules join steps into [`Pass`]es, between which voxels are made: a plan
//! that is not optimised makes them after every step. The others say what is computed once and
//! kept, and what is never read. A rule changes no figure beyond what its page states; the tests
//! compare every pair of steps it touches with the plan that is not optimised.

pub mod cut;
mod fired;
pub mod fuse_intensity;
pub mod fuse_space;
pub mod push_crop;
pub mod read_foreground;
pub mod select_early;
pub mod share;

pub use fired::Fired;

use super::pipeline::Pipeline;
use super::step::Step;
use crate::stage::Effect;
use serde::Serialize;
use std::ops::Range;

/// Steps after which voxels are made, in one go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pass {
    /// Positions of the steps in their chain.
    pub steps: Range<usize>,
    /// Names of the rules that joined them.
    pub rules: Vec<&'static str>,
}

/// How the chains of a pipeline are carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Optimized {
    /// Passes over `stages`.
    pub stages: Vec<Pass>,
    /// Passes over `views.shared`.
    pub shared: Vec<Pass>,
    /// Passes over `views.weak`.
    pub weak: Vec<Pass>,
    /// Passes over each strong view.
    pub strong: Vec<Vec<Pass>>,
    /// How many steps of `stages` come before the cut, where prepared subjects are kept.
    pub cut: Option<usize>,
    /// How many steps the weak and every strong view begin with in common.
    pub common: usize,
    /// Every rule that fired.
    pub fired: Vec<Fired>,
}

/// A rule that lets a step join the pass before it.
struct Join {
    name: &'static str,
    joins: fn(last: Effect, next: Effect) -> bool,
    what: &'static str,
}

const JOINS: [Join; 4] = [
    Join {
        name: fuse_space::NAME,
        joins: fuse_space::joins,
        what: fuse_space::WHAT,
    },
    Join {
        name: push_crop::NAME,
        joins: push_crop::joins,
        what: push_crop::WHAT,
    },
    Join {
        name: fuse_intensity::NAME,
        joins: fuse_intensity::joins,
        what: fuse_intensity::WHAT,
    },
    Join {
        name: read_foreground::NAME,
        joins: read_foreground::joins,
        what: read_foreground::WHAT,
    },
];

/// Name of the rule that lets a step join the pass of the step before it.
pub fn rule_joining(last: Effect, next: Effect) -> Option<&'static str> {
    join(last, next).map(|rule| rule.name)
}

fn join(last: Effect, next: Effect) -> Option<&'static Join> {
    JOINS.iter().find(|rule| (rule.joins)(last, next))
}

impl Optimized {
    /// Applies every rule.
    pub fn new(pipeline: &Pipeline) -> Self {
        let mut fired = select_early::fired(pipeline);
        let cut = cut::cut(pipeline, &mut fired);
        let common = share::common(pipeline, &mut fired);
        let views = &pipeline.views;
        Self {
            stages: passes(&pipeline.stages, cut, &mut fired),
            shared: passes(&views.shared, None, &mut fired),
            weak: passes(&views.weak, Some(common), &mut fired),
            strong: (views.strong.iter())
                .map(|view| passes(&view.steps, Some(common), &mut fired))
                .collect(),
            cut,
            common,
            fired,
        }
    }

    /// Applies no rule: voxels are made after every step, and nothing is kept.
    pub fn none(pipeline: &Pipeline) -> Self {
        let single = |steps: &[Step]| -> Vec<Pass> {
            let pass = |i| Pass {
                steps: i..i + 1,
                rules: Vec::new(),
            };
            (0..steps.len()).map(pass).collect()
        };
        let views = &pipeline.views;
        Self {
            stages: single(&pipeline.stages),
            shared: single(&views.shared),
            weak: single(&views.weak),
            strong: views.strong.iter().map(|v| single(&v.steps)).collect(),
            cut: None,
            common: 0,
            fired: Vec::new(),
        }
    }
}

/// Joins the steps of a chain into passes; none reaches over `boundary`.
fn passes(steps: &[Step], boundary: Option<usize>, fired: &mut Vec<Fired>) -> Vec<Pass> {
    let mut passes: Vec<Pass> = Vec::new();
    let mut last: Option<Effect> = None;
    for (i, step) in steps.iter().enumerate() {
        let effect = step.stage.effect();
        let join = match (last, effect) {
            // A step that sees no voxel is in the pass it is in.
            (_, None) => Some(None),
            (Some(last), Some(next)) => join(last, next).map(Some),
            (None, Some(_)) => Some(None),
        };
        match (passes.last_mut(), join) {
            (Some(pass), Some(rule)) if boundary != Some(i) => {
                pass.steps.end = i + 1;
                if let Some(rule) = rule {
                    if !pass.rules.contains(&rule.name) {
                        pass.rules.push(rule.name);
                    }
                    fired.push(Fired {
                        rule: rule.name,
                        path: step.path.clone(),
                        what: rule.what.to_owned(),
                    });
                }
            }
            _ => {
                passes.push(Pass {
                    steps: i..i + 1,
                    rules: Vec::new(),
                });
                last = None;
            }
        }
        last = effect.or(last);
    }
    passes
}
