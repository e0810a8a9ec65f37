//! Runs the steps of a chain over a row, counting each.

use super::counters::{Counters, Node};
use crate::plan::{self, Plan, Step};
use crate::stage::StageError;
use crate::volume::Row;
use std::ops::Range;
use std::sync::Arc;

/// A subject that could not be used, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The subject's id.
    pub subject: String,
    /// Stage path, or `source`.
    pub stage: String,
    /// The cause chain, joined by `: `.
    pub cause: String,
}

impl Failure {
    /// A failure with an error and all its causes.
    pub fn new(subject: &str, stage: &str, error: &dyn std::error::Error) -> Self {
        Self {
            subject: subject.to_owned(),
            stage: stage.to_owned(),
            cause: causes(error),
        }
    }
}

/// An error with all its causes, joined by `: `.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// One chain of a plan with a counter for each step.
pub struct Chain {
    plan: Arc<Plan>,
    chain: plan::Chain,
    nodes: Vec<Arc<Node>>,
}

impl Chain {
    /// A chain of the plan.
    pub fn new(plan: &Arc<Plan>, chain: plan::Chain, counters: &Counters) -> Self {
        let steps = plan.pipeline.steps(chain).iter();
        Self {
            nodes: steps.map(|s| counters.node(&s.path)).collect(),
            plan: Arc::clone(plan),
            chain,
        }
    }

    /// The chain's steps.
    pub fn steps(&self) -> &[Step] {
        self.plan.pipeline.steps(self.chain)
    }

    /// Runs every step on a row; a step may make several rows of one.
    ///
    /// **Errors** the first step's failure, with subject and stage path.
    pub fn run(&self, row: Row) -> Result<Vec<Row>, Failure> {
        self.run_steps(row, 0..self.steps().len())
    }

    /// Runs some of the steps, pass by pass.
    ///
    /// **Errors** as [`Chain::run`].
    pub fn run_steps(&self, row: Row, wanted: Range<usize>) -> Result<Vec<Row>, Failure> {
        let mut rows = vec![row];
        for pass in self.plan.passes(self.chain) {
            for i in pass.steps.clone().filter(|i| wanted.contains(i)) {
                // What a pass left pending is made, and its time counted, in its last step.
                let settles = i + 1 == pass.steps.end.min(wanted.end);
                rows = self.step(i, rows, settles)?;
            }
        }
        Ok(rows)
    }

    fn step(&self, i: usize, rows: Vec<Row>, settles: bool) -> Result<Vec<Row>, Failure> {
        let (step, node) = (&self.steps()[i], &self.nodes[i]);
        let mut next = Vec::with_capacity(rows.len());
        for row in rows {
            let subject = row.subject.clone();
            let run = || {
                let made = step.stage.run(&step.path, self.plan.pipeline.seed, row)?;
                Ok(match settles {
                    true => made.into_iter().map(Row::settled).collect(),
                    false => made,
                })
            };
            let made: Vec<Row> = node.busy(run).map_err(|e: StageError| {
                node.failed();
                Failure::new(&subject, &step.path, &e)
            })?;
            node.passed(made.len(), made.iter().map(Row::bytes).sum());
            next.extend(made);
        }
        Ok(next)
    }
}
