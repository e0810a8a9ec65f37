//! What is known of the data between two steps.

use super::pipeline::Chain;
use crate::stage::EdgeSchema;

/// The schema behind the source and behind every step.
pub struct Edges {
    /// Behind the source.
    pub source: EdgeSchema,
    /// Behind each step of `stages`.
    pub stages: Vec<EdgeSchema>,
    /// Behind each step of `views.shared`.
    pub shared: Vec<EdgeSchema>,
    /// Behind each step of `views.weak`.
    pub weak: Vec<EdgeSchema>,
    /// Behind each step of each strong view.
    pub strong: Vec<Vec<EdgeSchema>>,
}

impl Edges {
    /// What reaches prediction and scoring.
    pub fn prepared(&self) -> &EdgeSchema {
        self.stages.last().unwrap_or(&self.source)
    }

    /// The schemas behind the steps of a chain.
    pub fn of(&self, chain: Chain) -> &[EdgeSchema] {
        match chain {
            Chain::Stages => &self.stages,
            Chain::Shared => &self.shared,
            Chain::Weak => &self.weak,
            Chain::Strong(i) => &self.strong[i],
        }
    }

    /// What the shared steps of the views leave.
    pub fn patch(&self) -> &EdgeSchema {
        self.shared.last().unwrap_or_else(|| self.prepared())
    }
}
