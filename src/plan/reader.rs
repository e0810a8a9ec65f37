//! Reads chains of steps and single sections; collects every mistake.

use super::counterparts;
use super::entry::StageEntry;
use super::presets::{self, BY_PATCH, OPEN_STEP, Preset, in_plane};
use super::step::Step;
use crate::spec::node::Document;
use crate::spec::{At, Node, SpecError};

/// Reads a pipeline; collects every mistake.
pub(super) struct Reader<'r> {
    pub(super) registry: &'r [StageEntry],
    pub(super) errors: Vec<SpecError>,
}

impl Reader<'_> {
    pub(super) fn section<T: serde::de::DeserializeOwned>(
        &mut self,
        root: Node<'_>,
        key: &str,
    ) -> Option<(T, At)> {
        let node = root.given(key)?;
        match node.read() {
            Ok(value) => Some((value, node.at())),
            Err(errors) => {
                self.errors.extend(errors);
                None
            }
        }
    }

    pub(super) fn steps(&mut self, node: Option<Node<'_>>, path: &str) -> Vec<Step> {
        let Some(node) = node else { return Vec::new() };
        if !node.is_sequence() {
            self.errors.push(
                SpecError::new(node.at(), format!("`{path}` is no list"))
                    .with_help("write one step a line: `- flip: {}`"),
            );
            return Vec::new();
        }
        node.items()
            .enumerate()
            .flat_map(|(i, item)| self.step(item, &format!("{path}[{i}]")))
            .collect()
    }

    /// The step an item is; several for a preset, none where it has mistakes.
    fn step(&mut self, item: Node<'_>, path: &str) -> Vec<Step> {
        let mut entries = item.entries();
        let (Some((key, body)), None) = (entries.next(), entries.next()) else {
            let help = "write a step as a map with one key, its name: `- flip: { axes: [x] }`";
            self.errors
                .push(SpecError::new(item.at(), "this is no step").with_help(help));
            return Vec::new();
        };
        let name = key.text().unwrap_or_default();
        if let Some(preset) = presets::find(name) {
            return self.preset(preset, (key, body), path);
        }
        let Some(entry) = self.registry.iter().find(|e| e.name == name) else {
            let presets = presets::PRESETS.iter().map(|p| p.name);
            let names: Vec<&str> = self
                .registry
                .iter()
                .map(|e| e.name)
                .chain(presets)
                .collect();
            let error = SpecError::unknown(key.at(), "stage", name, &names);
            self.errors.push(match counterparts::find(name) {
                None => error,
                Some(known) => {
                    error.with_help(format!("{known}; see `voxstream stages {}`", known.ours))
                }
            });
            return Vec::new();
        };
        match (entry.parse)(body) {
            Ok(stage) => vec![Step {
                path: format!("{path}.{name}"),
                at: key.at(),
                stage,
            }],
            Err(errors) => {
                self.errors.extend(errors);
                Vec::new()
            }
        }
    }

    /// The steps of a preset, all at the place where it is written.
    fn preset(
        &mut self,
        preset: &Preset,
        (key, body): (Node<'_>, Node<'_>),
        path: &str,
    ) -> Vec<Step> {
        let mut steps = Vec::with_capacity(preset.steps.len());
        for (i, (name, parameters)) in preset.steps.iter().enumerate() {
            let path = format!("{path}.{}[{i}].{name}", preset.name);
            let entry = self.registry.iter().find(|entry| entry.name == *name);
            let parsed = match (entry, *name == OPEN_STEP) {
                (Some(entry), true) => (entry.parse)(body),
                (Some(entry), false) => {
                    let parameters = parameters.replace(BY_PATCH, &in_plane(body));
                    let document = Document::parse(&parameters).map_err(|e| vec![e]);
                    document.and_then(|document| (entry.parse)(document.root()))
                }
                // A registry without a step of ours; the preset's other steps still stand.
                (None, _) => continue,
            };
            match parsed {
                Ok(stage) => steps.push(Step {
                    path,
                    at: key.at(),
                    stage,
                }),
                Err(errors) => self.errors.extend(errors),
            }
        }
        steps
    }
}
