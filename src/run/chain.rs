//! Runs the steps of a chain over a row, counting each.

use super::counters::{Counters, Node};
use crate::plan::{Plan, Step};
use crate::volume::Row;
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
    steps: fn(&Plan) -> &[Step],
    nodes: Vec<Arc<Node>>,
}

impl Chain {
    /// The chain that `steps` picks from the plan.
    pub fn new(plan: &Arc<Plan>, steps: fn(&Plan) -> &[Step], counters: &Counters) -> Self {
        let nodes = steps(plan).iter().map(|s| counters.node(&s.path)).collect();
        Self {
            plan: Arc::clone(plan),
            steps,
            nodes,
        }
    }

    /// The chain's steps.
    pub fn steps(&self) -> &[Step] {
        (self.steps)(&self.plan)
    }

    /// Runs every step on a row; a step may make several rows of one.
    ///
    /// **Errors** the first step's failure, with subject and stage path.
    pub fn run(&self, row: Row) -> Result<Vec<Row>, Failure> {
        let mut rows = vec![row];
        for (step, node) in self.steps().iter().zip(&self.nodes) {
            let mut next = Vec::with_capacity(rows.len());
            for row in rows {
                let subject = row.subject.clone();
                let made = node
                    .busy(|| step.stage.run(&step.path, self.plan.pipeline.seed, row))
                    .map_err(|e| {
                        node.failed();
                        Failure::new(&subject, &step.path, &e)
                    })?;
                node.passed(made.len(), made.iter().map(Row::bytes).sum());
                next.extend(made);
            }
            rows = next;
        }
        Ok(rows)
    }
}
