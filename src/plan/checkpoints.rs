//! The checkpoints of `predict`: one, or several whose networks predict together.

use crate::spec::SpecError;
use crate::spec::{At, Node};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A path, or a list of paths: the probabilities of all their networks are averaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a path, or a list of paths such as [runs/a, runs/b]"
)]
pub enum Checkpoints {
    /// One path; a group of folds has several checkpoints.
    One(String),
    /// Several paths.
    Several(Vec<String>),
}

impl Checkpoints {
    /// The paths as written.
    pub fn paths(&self) -> &[String] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
    }

    /// Refuses an empty list, and a path that is listed twice; `node` says where it stands.
    pub(super) fn check(&self, at: At, node: Option<Node<'_>>, errors: &mut Vec<SpecError>) {
        let paths = self.paths();
        let place = node.map_or(at, Node::at);
        if paths.is_empty() {
            let error = SpecError::new(place, "`predict.checkpoint` lists no checkpoint");
            errors.push(error.with_help("name a run folder: `checkpoint: runs/a`"));
        }
        for (i, path) in paths.iter().enumerate() {
            if paths[..i].contains(path) {
                let item = node.and_then(|node| node.items().nth(i));
                let problem = format!("`{path}` is listed twice, so it would count twice");
                errors.push(
                    SpecError::new(item.map_or(place, Node::at), problem)
                        .with_help("list each checkpoint once"),
                );
            }
        }
    }
}
