//! The views of a patch: what they share, and what each does alone.

use super::reader::Reader;
use super::step::Step;
use crate::spec::{Node, SpecError};

/// The views made of every prepared subject in training.
pub struct Views {
    /// Steps whose draws both views share: everything spatial belongs here.
    pub shared: Vec<Step>,
    /// Further steps of the weak view.
    pub weak: Vec<Step>,
    /// The strong views; always at least one, which may have no steps.
    pub strong: Vec<StrongView>,
}

/// Which voxel of a strong view is which of the weak view: the same, as steps that move voxels
/// are refused outside `views.shared`.
pub const STRONG_FROM_WEAK: &str = "identity";

/// One strong view of a patch.
#[derive(Default)]
pub struct StrongView {
    /// `strong`, or `strong.NAME` where views are named.
    pub name: String,
    /// Path of its chain in the file: `views.strong` or `views.strong.NAME`.
    pub path: String,
    /// Its further steps.
    pub steps: Vec<Step>,
}

impl StrongView {
    fn new(name: String, steps: Vec<Step>) -> Self {
        let path = format!("views.{name}");
        Self { name, path, steps }
    }
}

impl Views {
    /// Every step of every chain of views, in the order of the file's documentation.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let strong = self.strong.iter().flat_map(|view| &view.steps);
        self.shared.iter().chain(&self.weak).chain(strong)
    }
}

impl Reader<'_> {
    /// The section `views`; without it one weak and one strong view of no further steps.
    pub(super) fn views(&mut self, root: Node<'_>) -> Views {
        let Some(node) = root.given("views") else {
            return Views {
                shared: Vec::new(),
                weak: Vec::new(),
                strong: vec![StrongView::new("strong".to_owned(), Vec::new())],
            };
        };
        if !node.is_map() {
            let problem = format!(
                "found {}, expected `shared: […]`, `weak: […]` or `strong: […]`",
                node.found()
            );
            self.errors.push(SpecError::new(node.at(), problem).with_help(
                "write `views: { shared: [patch: { size: [32, 32, 32] }], weak: [], strong: [gamma: {}] }`",
            ));
        }
        const KEYS: [&str; 3] = ["shared", "weak", "strong"];
        for (key, _) in node
            .entries()
            .filter(|(k, _)| !k.text().is_some_and(|t| KEYS.contains(&t)))
        {
            self.errors.push(SpecError::unknown(
                key.at(),
                "view",
                key.text().unwrap_or_default(),
                &KEYS,
            ));
        }
        let mut chain = |name: &str| self.steps(node.get(name), &format!("views.{name}"));
        Views {
            shared: chain("shared"),
            weak: chain("weak"),
            strong: self.strong(node.get("strong")),
        }
    }

    /// The strong views: one where a list of steps is written, several where a map of lists is.
    fn strong(&mut self, node: Option<Node<'_>>) -> Vec<StrongView> {
        let Some(node) = node.filter(|node| node.is_map()) else {
            let steps = self.steps(node, "views.strong");
            return vec![StrongView::new("strong".to_owned(), steps)];
        };
        let mut views = Vec::new();
        for (key, steps) in node.entries() {
            let name = key.text().unwrap_or_default();
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(plain) {
                self.errors.push(
                    SpecError::new(key.at(), format!("`{name}` cannot name a strong view"))
                        .with_help("use letters, digits, `-` and `_`: `first: [gamma: {}]`"),
                );
                continue;
            }
            let name = format!("strong.{name}");
            let steps = self.steps(Some(steps), &format!("views.{name}"));
            views.push(StrongView::new(name, steps));
        }
        if node.entries().next().is_none() {
            self.errors.push(
                SpecError::new(node.at(), "`views.strong` names no view")
                    .with_help("write a list of steps, or a map: `{ first: [..], second: [..] }`"),
            );
        }
        views
    }
}
